# SPDX-License-Identifier: GPL-3.0-or-later
"""Blenders of their own that import sessions into one cache, and may be killed while they do."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from standin import StandIn
from tools import environments

TESTS = Path(__file__).parent
TIMEOUT_S = 120.0

_MARK = "importer:"

_INSTALL = "import sys, lifecycle; lifecycle.install(sys.argv[1], enable=False)"

_PROGRAM = """
import hashlib, json, sys, time
import bpy, lifecycle

bpy.ops.preferences.addon_enable(module=lifecycle.MODULE)
lifecycle.check_enabled()
from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.scene import pipeline, runner, sessions, targets
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing


def tell(**fields):
    print(f"\\nimporter:{json.dumps(fields)}", flush=True)


def digest(mesh):
    import numpy

    positions = numpy.empty(len(mesh.vertices) * 3, numpy.float32)
    mesh.vertices.foreach_get("co", positions)
    corners = numpy.empty(len(mesh.loops), numpy.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    data = positions.tobytes() + corners.tobytes()
    return f"{len(mesh.polygons)} {hashlib.sha256(data).hexdigest()}"


def placed(session_id):
    found = {}
    for obj in bpy.data.objects:
        carried = obj.csm_retopo
        if carried.session_id != session_id:
            continue
        key = f"{carried.role} {carried.index}"
        if carried.role in ("VARIATION", "SOURCE"):
            found[key] = [obj.name, digest(obj.data), json.loads(carried.metrics)]
        elif carried.role == "PREVIEW":
            found[key] = hashlib.sha256(obj.data.packed_files[0].packed_file.data).hexdigest()
    return found


def by_panel(session_id):
    # As the operator does in a window, whose timer this loop stands for.
    target = targets.SceneTarget(
        bpy.context.scene.session_uid, Facing.FRONT, targets.WhenReady.OBJECT_MODE
    )
    job = sessions.session_job(session_id, sessions.open_cache())
    runner.start(session_id, pipeline.Import(job, target, Converter(job.cache)))
    while (pause_s := runner._pump()) is not None:
        time.sleep(pause_s)
    bpy.app.timers.unregister(runner._pump)
    return bpy.context.window_manager.csm_retopo.message


tell(ready=True)
for line in sys.stdin:
    way, session_id, folder, refetch = json.loads(line)
    bpy.ops.wm.read_homefile(use_empty=True)
    message = ""
    if way == "command":
        arguments = [session_id, "--output", folder, *(["--force"] if refetch else [])]
        message = f"exit code {cli.main(['import', *arguments])}"
        blend = f"{folder}/{session_id}/session.blend"
        try:
            bpy.ops.wm.open_mainfile(filepath=blend)
        except RuntimeError:
            pass
    elif way == "panel":
        message = by_panel(session_id)
    else:
        operator = getattr(bpy.ops.csm_retopo, way)
        try:
            operator(**({"session_id": session_id} if session_id else {}))
        except RuntimeError as error:
            message = str(error)
        message = message or bpy.context.window_manager.csm_retopo.message
    tell(message=message, placed=placed(session_id))
bpy.ops.preferences.addon_disable(module=lifecycle.MODULE)
"""


def interpreter() -> Path:
    """A Python in which `import bpy` gives a Blender: this one, if it is one."""
    if find_spec("bpy") is not None:
        return Path(sys.executable)
    return environments.blender_interpreter("5.0")


class Importers:
    """The extension, installed in a folder of its own, and what runs it there."""

    def __init__(self, archive: Path, folder: Path, service: StandIn) -> None:
        self.python = interpreter()
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        self.environment = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(folder / "resources"),
            "PYTHONPATH": os.pathsep.join([str(TESTS / "blender"), str(TESTS)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
            "CSM_API_URL": service.api_url,
            "CSM_API_KEY": service.key,
        }
        subprocess.run(
            [self.python, "-c", _INSTALL, archive],
            check=True,
            env=self.environment,
            timeout=TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        extension = ("extensions", ".user", "user_default", "csm_retopo", "cache")
        self.cache = folder.joinpath("resources", *extension)

    def start(self, *before: str, **environment: str) -> Importer:
        """Another Blender, started by the command `before`, with these variables on top."""
        return Importer(self, before, {**self.environment, **environment})

    def leftovers(self) -> list[str]:
        """What is not to be there when nobody imports: temporary files, and processes."""
        unfinished = [str(each) for each in self.cache.rglob("*.part*")]
        # Blender's own stay behind when it is killed.
        temporary = [str(each) for each in self.temporary.glob("csm-retopo-*")]
        return [*unfinished, *temporary, *(f"process {each}" for each in self._processes())]

    def _processes(self) -> Iterator[str]:
        mark = f"BLENDER_USER_RESOURCES={self.folder / 'resources'}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    yield process.name

    def files(self) -> set[str]:
        """The names of all files in the cache."""
        paths = [each for each in self.cache.rglob("*") if each.is_file()]
        return {str(each.relative_to(self.cache)) for each in paths}


class Importer:
    """One Blender, which imports what it is asked to."""

    def __init__(self, home: Importers, before: Sequence[str], environment: dict[str, str]) -> None:
        self.printed = ""
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._home = home
        self._outputs = 0
        self._process = subprocess.Popen(
            [*before, home.python, "-c", _PROGRAM],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.answer()

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ask(self, way: str, session_id: str, *, refetch: bool = False) -> None:
        """Have it import a session: by the `panel`, the `command` line, or an operator."""
        assert self._process.stdin is not None
        self._outputs += 1
        output = self._home.folder / f"out-{self._process.pid}-{self._outputs}"
        self._process.stdin.write(json.dumps([way, session_id, str(output), refetch]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What became of it: `message`, and what is `placed`."""
        try:
            answer = self._answers.get(timeout=TIMEOUT_S)
        except queue.Empty:
            answer = None
        if answer is None:
            self.kill()
            raise AssertionError(f"No answer; it printed:\n{self.printed}")
        return answer

    def run(self, way: str, session_id: str, *, refetch: bool = False) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self.ask(way, session_id, refetch=refetch)
        return self.answer()

    def kill(self) -> None:
        """End it at once, wherever it is; how its children end is their business."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10.0)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._reader.join(20.0)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(TIMEOUT_S)
        self._reader.join(20.0)
        assert code == 0, self.printed

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_MARK):
                self._answers.put(json.loads(line.removeprefix(_MARK)))
            else:
                self.printed += line
        self._answers.put(None)


def wait_until_clean(importers: Importers, timeout_s: float = 20.0) -> list[str]:
    """What is left of those that were killed after a while."""
    end = time.monotonic() + timeout_s
    while (left := importers.leftovers()) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def flip(path: Path, chance: random.Random) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
