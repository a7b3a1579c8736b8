# SPDX-License-Identifier: GPL-3.0-or-later
"""A small session, and a job that is run to its end: what the tests of the network share."""

from __future__ import annotations

import copy
import json
import struct
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from csm_retopo.api.cache import Cache
from csm_retopo.api.errors import CsmError
from csm_retopo.api.jobs import (
    DownloadJob,
    Failed,
    FileFailed,
    FileKind,
    FileReady,
    Finished,
    Job,
    Message,
    Notice,
    Progress,
    Stopped,
)
from csm_retopo.api.patience import Patience
from csm_retopo.api.settings import Service
from standin import StandIn

SESSION_ID = "SESSION_1747336753_6390509"
VARIATIONS = 3
SECRETS = ("CANARY", "artist@example", "artist%40example")
"""Parts of the stand-in's keys, of its signatures, and of the account's e-mail in its URLs."""

QUICK = Patience(first_pause_s=0.02)
"""Tries again at once."""
IMPATIENT = replace(QUICK, connect_s=0.2, silence_s=0.2, post_silence_s=0.3)
FOR_EVER = 1000.0
PATIENT = replace(
    QUICK,
    **dict.fromkeys(("connect_s", "silence_s", "answer_s", "slow_s"), FOR_EVER),
    **dict.fromkeys(("session_s", "file_s"), FOR_EVER),
)
"""No time-out of its own ends a wait before the test does."""

_M = TypeVar("_M")


def png(width: int = 4, height: int = 3) -> bytes:
    """A whole PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(3 * width)) * height)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def obj(vertices: int = 3000) -> bytes:
    """An OBJ of some 40 kB."""
    return b"".join(b"v %d %d 0\n" % (n, vertices) for n in range(vertices)) + b"f 1 2 3\n"


def glb(size: int = 10_240) -> bytes:
    """A GLB that holds a mesh, and so much data."""
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    gltf = {"asset": {"version": "2.0"}, "meshes": [{}], "buffers": [{"byteLength": len(data)}]}
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


FILES = {"mesh.glb": glb()}
for _number in range(VARIATIONS):
    FILES[f"retopo_mesh_{_number}.obj"] = obj(3000 + _number)
    FILES[f"retopo_render_{_number}.png"] = png(4 + _number)

CACHED_AS = {
    (FileKind.SOURCE, -1): ("source.glb", "mesh.glb"),
    **{
        (kind, number): (f"variation_{number}.{suffix}", f"retopo_{stem}_{number}.{suffix}")
        for number in range(VARIATIONS)
        for kind, stem, suffix in (
            (FileKind.MESH, "mesh", "obj"),
            (FileKind.PREVIEW, "render", "png"),
        )
    },
}
"""By file: its name in the cache, and at the service."""


def session_document(variations: int = VARIATIONS, **changes: Any) -> dict[str, Any]:
    """The session in the service's own shape, with these top-level fields in place of its own."""
    base = f"https://files.example/inference-outputs/artist/{SESSION_ID}"
    document = {
        "_id": SESSION_ID,
        "status": "complete",
        "created_at": "2025-05-15T19:19:13.720Z",
        "updated_at": "2025-05-15T19:25:50.069Z",
        "type": "retopology",
        "input": {
            "mesh": {
                "_id": "ASSET_1_0",
                "name": "Cube",
                "status": "complete",
                "data": {"glb_url": f"{base}/mesh.glb"},
            },
            "model": "swift",
            "quads": True,
        },
        "output": {
            "meshes": [
                {
                    "_id": f"ASSET_1_{number + 1}",
                    "name": f"Cube retopo {number + 1}",
                    "status": "complete",
                    "data": {
                        "obj_url": f"{base}/retopo_mesh_{number}.obj",
                        "image_url": f"{base}/retopo_render_{number}.png",
                    },
                }
                for number in range(variations)
            ]
        },
    }
    return copy.deepcopy({**document, **changes})


def write_folder(folder: Path, document: dict[str, Any], files: dict[str, bytes]) -> Path:
    """A session kept as a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "session.json").write_text(json.dumps(document), encoding="utf-8")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def download_job(service: StandIn, cache_root: Path, **options: Any) -> DownloadJob:
    """The job that brings the session from the stand-in."""
    account = Service(service.api_url, options.pop("key", service.key))
    session_id = options.pop("session_id", SESSION_ID)
    options.setdefault("patience", QUICK)
    return DownloadJob(session_id, account, Cache(cache_root), **options)


def patient_job(service: StandIn, cache_root: Path, **options: Any) -> DownloadJob:
    """The same, which waits for ever."""
    return download_job(service, cache_root, patience=PATIENT, **options)


@dataclass
class Run:
    """What a job told from its start to its end."""

    messages: list[Message] = field(default_factory=list)

    def of(self, kind: type[_M]) -> list[_M]:
        """All messages of a kind."""
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def end(self) -> Message:
        """The last message; no other was an end."""
        ends = [each for each in self.messages if isinstance(each, Finished | Failed | Stopped)]
        assert ends == self.messages[-1:]
        return ends[0]

    @property
    def error(self) -> CsmError:
        """Why nothing could be brought."""
        assert isinstance(self.end, Failed), self.end
        return self.end.error

    @property
    def ready(self) -> dict[tuple[FileKind, int], FileReady]:
        """The files that are there."""
        files = self.of(FileReady)
        found = {(each.kind, each.index): each for each in files}
        assert len(found) == len(files)
        return found

    @property
    def failed(self) -> dict[tuple[FileKind, int], str]:
        """The files that are not, and why."""
        return {(each.kind, each.index): each.reason for each in self.of(FileFailed)}

    @property
    def notices(self) -> list[str]:
        """What the artist is told besides."""
        return [each.text for each in self.of(Notice)]

    @property
    def progress(self) -> list[Progress]:
        """The progress, in order."""
        return self.of(Progress)

    def require_whole(self, contents: dict[str, bytes] = FILES) -> None:
        """Every file of the small session is there, byte for byte."""
        assert isinstance(self.end, Finished), self.end
        assert self.failed == {}
        assert set(self.ready) == set(CACHED_AS)
        for key, (cached_as, name) in CACHED_AS.items():
            assert self.ready[key].path.name == cached_as
            assert self.ready[key].path.read_bytes() == contents[name]


def run(job: Job, *, timeout_s: float = 20.0, until: Callable[[Run], bool] | None = None) -> Run:
    """Run a job to its end, or until `until` says so."""
    told = Run()
    deadline_s = time.monotonic() + timeout_s
    job.start()
    while time.monotonic() < deadline_s:
        if until is not None and until(told):
            return told
        message = job.poll(0.05)
        if message is None:
            continue
        told.messages.append(message)
        if isinstance(message, Finished | Failed | Stopped):
            assert job.poll(0.0) is None
            job.join(timeout_s)
            require_no_secret(told)
            return told
    job.cancel()
    raise AssertionError(f"still running after {timeout_s} s; told: {told.messages[-3:]}")


def require_no_secret(told: Run) -> None:
    """Nothing that was told holds a secret, nor do the errors' tracebacks."""
    texts = [text for message in told.messages for text in (repr(message), str(message))]
    for failed in told.of(Failed):
        texts += [str(failed.error), *traceback.format_exception(failed.error)]
    assert not [secret for secret in SECRETS for text in texts if secret in text]


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    """Wait until something has happened on another thread."""
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        pause.wait(0.005)


def job_threads(*, within_s: float) -> list[threading.Thread]:
    """The jobs' threads that don't end within that time."""
    deadline_s = time.monotonic() + within_s
    for thread in threading.enumerate():
        if thread.name.startswith("csm-retopo"):
            thread.join(max(0.0, deadline_s - time.monotonic()))
    return [each for each in threading.enumerate() if each.name.startswith("csm-retopo")]
