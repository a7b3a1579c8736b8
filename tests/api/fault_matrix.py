# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the network, alone and in pairs, at every stage of a session's way.

A case is run against stand-ins that serve many at once, and judged by what an artist would notice:
what could be had is there, byte for byte; what could not is one failed row, or, for the session
itself, one sentence; nothing hangs; nothing else is in the cache.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import itertools
import logging
import os
import random
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import trustme
import without_blender  # noqa: F401 - before anything of api/
from fetching import glb, obj, png, session_document

from csm_retopo.api.cache import Cache
from csm_retopo.api.errors import CsmError
from csm_retopo.api.jobs import (
    DownloadJob,
    Failed,
    FileFailed,
    FileKind,
    FileReady,
    Finished,
    Message,
    Stopped,
)
from csm_retopo.api.patience import Patience
from csm_retopo.api.settings import Service
from standin import Fault, StandIn

PATIENCE = Patience(
    connect_s=0.5,
    silence_s=0.6,
    answer_s=1.0,
    slow_s=1.0,
    session_s=20.0,
    file_s=20.0,
    first_pause_s=0.02,
)
LONGEST_CASE_S = 25.0
AT_ONCE = 12

STAGES = ("session", "source", "mesh", "preview", "hop", "renewal")
"""Where a fault can be: in the answer to the request for the session, for the source, for one
variation's mesh or preview, or behind a redirect to another host (of a mesh); or for the session
again, since the link to a mesh has expired."""
_OF_SESSION = ("session", "renewal")

_KEYS = {
    "source": (FileKind.SOURCE, -1),
    "mesh": (FileKind.MESH, 0),
    "hop": (FileKind.MESH, 0),
    "renewal": (FileKind.MESH, 0),
    "preview": (FileKind.PREVIEW, 0),
}
_NAMES = {
    (FileKind.SOURCE, -1): ("mesh.glb", "source.glb"),
    (FileKind.MESH, 0): ("retopo_mesh_0.obj", "variation_0.obj"),
    (FileKind.MESH, 1): ("retopo_mesh_1.obj", "variation_1.obj"),
    (FileKind.PREVIEW, 0): ("retopo_render_0.png", "variation_0.png"),
    (FileKind.PREVIEW, 1): ("retopo_render_1.png", "variation_1.png"),
}
"""By file: its name at the service, and in the cache."""

FILES = {
    "mesh.glb": glb(),
    "retopo_mesh_0.obj": obj(400),
    "retopo_mesh_1.obj": obj(401),
    "retopo_render_0.png": png(40),
    "retopo_render_1.png": png(41),
}
CHANGED = {
    "mesh.glb": glb()[:-1] + b"!",
    "retopo_mesh_0.obj": obj(402),
    "retopo_render_0.png": png(42),
}
"""The same files after somebody has exchanged them."""


_MAY_BE_LATE = ("what could", "it should have")


class Effect(enum.Enum):
    """What a fault that happens once does to what it happens to."""

    NONE = "it is unusual, but right"
    PASSES = "another try helps"
    EXPIRED = "the session has to be fetched again, which is done once"
    FINAL = "it can't be had"


@dataclass(frozen=True)
class Trouble:
    """A fault by name, and what it does once it happens, at each stage. Without a fault, it is the
    connection that goes wrong.
    """

    name: str
    fault: Fault | None
    files: Effect
    session: Effect
    exceptions: dict[str, Effect] = field(default_factory=dict)

    def effect(self, stage: str) -> Effect:
        """What it does at that stage."""
        return self.exceptions.get(stage, self.session if stage in _OF_SESSION else self.files)


@dataclass(frozen=True)
class Case:
    """Troubles one after the other at one stage; the last one for ever, if it is `lasting`."""

    stage: str
    troubles: tuple[Trouble, ...]
    lasting: bool = False

    def __str__(self) -> str:
        names = ", then ".join(each.name for each in self.troubles)
        return f"{self.stage}: {names}{' for ever' if self.lasting else ''}"

    def without(self, trouble: Trouble) -> Case:
        """The case as it is if this one never happens."""
        return replace(self, troubles=tuple(each for each in self.troubles if each is not trouble))

    @property
    def is_had(self) -> bool | None:
        """Whether what the troubles happen to can be had in the end; None if either is right."""
        renewed = False
        for number, trouble in enumerate(self.troubles):
            for_ever = self.lasting and number == len(self.troubles) - 1
            match trouble.effect(self.stage):
                case Effect.NONE:
                    return True
                case Effect.FINAL:
                    # What answers a request for a part wrongly is asked for all of it.
                    is_part = trouble.name in ("206", "gzip bomb") and number > 0
                    return None if is_part else False
                case Effect.EXPIRED if renewed or for_ever:
                    return False
                case Effect.EXPIRED:
                    renewed = True
                case Effect.PASSES if for_ever and trouble.fault is None:
                    return False
                case Effect.PASSES if for_ever:
                    # What comes piece by piece may be whole before the tries are used up; what
                    # concerns parts never happens as long as nothing else goes wrong.
                    partial = trouble.fault.after_bytes is not None
                    partial = partial or trouble.fault.kind == "drip_body"
                    return None if partial or trouble.name.startswith("range") else False
        return True


def troubles(place: Places, forbidden: Iterable[str]) -> list[Trouble]:
    """All that can go wrong, with redirects to these URLs."""
    none, passes, expired, final = Effect.NONE, Effect.PASSES, Effect.EXPIRED, Effect.FINAL

    def leading(name: str, location: str, files: Effect) -> Trouble:
        return Trouble(f"redirect to {name}", Fault("redirect", location=location), files, final)

    def status(code: int, files: Effect, session: Effect, **headers: str) -> Trouble:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        said = "".join(f" {name}: {value}" for name, value in sent.items())
        return Trouble(f"{code}{said}", Fault("status", status=code, headers=sent), files, session)

    def passing(name: str, fault: Fault) -> Trouble:
        return Trouble(name, fault, passes, passes)

    return [
        passing("reset", Fault("reset")),
        passing("closed", Fault("close")),
        passing("stall", Fault("stall")),
        passing("reset in the body", Fault("reset", after_bytes=20)),
        passing("closed in the body", Fault("close", after_bytes=25)),
        passing("stall in the body", Fault("stall", after_bytes=15)),
        passing("truncated", Fault("truncate")),
        passing("truncated chunks", Fault("truncate_chunked")),
        passing("truncated headers", Fault("truncate_headers")),
        Trouble(
            "truncated without length",
            Fault("truncate_no_length"),
            passes,  # there is a checksum, or it is refused
            final,
        ),
        Trouble("length too short", Fault("wrong_length_short"), passes, final),
        Trouble("bits flipped", Fault("corrupt"), passes, final),
        passing("drip of headers", Fault("drip_headers", interval_s=0.02)),
        passing("drip of the body", Fault("drip_body", interval_s=0.02)),
        passing("100 Continue for ever", Fault("continue_flood", interval_s=0.001)),
        passing("headers for ever", Fault("flood_headers", interval_s=0.001)),
        passing("huge header", Fault("huge_header", size_bytes=1 << 20)),
        passing("endless chunk extension", Fault("chunk_extension", interval_s=0.001)),
        passing("endless trailers", Fault("trailer_flood", interval_s=0.001)),
        Trouble("chunked", Fault("chunked"), none, none),
        Trouble("gzip", Fault("gzip"), none, none),
        Trouble("no length", Fault("no_length"), none, none, {"mesh": passes, "hop": passes}),
        Trouble("gzip bomb", Fault("gzip_bomb", size_bytes=16 << 20), final, passes),
        Trouble("web page with status 200", Fault("html_200"), final, final),
        Trouble("half a JSON", Fault("not_json"), final, final),
        Trouble("expired", Fault("expired"), expired, none, {"hop": final}),
        status(403, expired, final),
        status(400, final, final),
        status(401, final, final),
        status(404, final, final),
        status(410, final, final),
        status(206, final, final),
        status(204, final, final),
        status(500, passes, passes),
        status(501, final, final),
        status(503, passes, passes),
        status(503, passes, passes, Retry_After="0"),
        status(503, passes, passes, Retry_After="-5"),
        status(503, passes, passes, Retry_After="soon"),
        status(503, final, final, Retry_After="7200"),
        status(503, final, final, Retry_After="9" * 400),
        status(503, passes, passes, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        status(503, final, final, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"),
        status(429, passes, passes),
        status(429, passes, passes, Retry_After="0"),
        status(429, final, final, Retry_After="86400"),
        Trouble("redirect without end", Fault("redirect_loop"), final, final),
        Trouble("redirect to nowhere", Fault("redirect", location="http://["), final, final),
        leading("a closed port", place.closed, passes),
        leading("what speaks no TLS", place.no_tls, final),
        leading("a handshake that is cut", place.cut_tls, passes),
        leading("a handshake that drips", place.dripping_tls, passes),
        leading("a name that is not known", "https://unknown.example/a", passes),
        leading("a name server that hangs", "https://hanging.example/a", passes),
        leading("http", "http://public.example/a", final),
        *(leading(each, each, final) for each in forbidden),
        passing("range ignored", Fault("range_ignored")),
        passing("range 416", Fault("range_416")),
        passing("range from elsewhere", Fault("range_wrong_offset")),
        passing("range of another length", Fault("range_wrong_total")),
        passing("range of another file", Fault("range_other_file")),
        passing("range without validator", Fault("range_no_validator")),
        Trouble("file exchanged", Fault("replace"), none, none),
    ]


REFUSED, UNKNOWN, SILENT = "refused", "a name that is not known", "no answer"
NO_TLS, CUT_TLS, DRIPPING_TLS = "no TLS", "a handshake that is cut", "a handshake that drips"
OF_TLS = (NO_TLS, CUT_TLS, DRIPPING_TLS)


def broken_connections() -> list[Trouble]:
    """All that can become of a connection before a request is sent. Redirects lead a file to the
    same; for the session, none is followed.
    """
    return [
        Trouble(name, None, Effect.NONE, Effect.FINAL if name == NO_TLS else Effect.PASSES)
        for name in (REFUSED, UNKNOWN, SILENT, *OF_TLS)
    ]


INSIDE = {
    "router.example": "192.168.1.1",
    "ten.example": "10.1.2.3",
    "lab.example": "172.16.5.5",
    "carrier.example": "100.64.0.1",
    "cloud.example": "169.254.169.254",
    "self.example": "127.0.0.1",
    "zero.example": "0.0.0.0",
    "many.example": "224.0.0.1",
    "six.example": "::1",
    "mapped.example": "::ffff:10.0.0.1",
    "local.example": "fe80::1",
    "unique.example": "fd00::1",
    "tunnel.example": "2002:7f00:1::",
    "nat.example": "64:ff9b::a00:1",
}
"""Public names whose addresses are not."""

FORBIDDEN = [
    *(f"https://{name}/a" for name in INSIDE),
    "https://10.0.0.1/a",
    "https://0/a",
    "https://127.1/a",
    "https://2130706433/a",
    "https://0x7f000001/a",
    "https://0177.0.0.1/a",
    "https://[::ffff:127.0.0.1]/a",
    "https://[::]/a",
    "https://localhost./a",
    "http://169.254.169.254/latest/meta-data",
]


@dataclass(frozen=True)
class Places:
    """URLs on this machine where something is wrong."""

    closed: str
    no_tls: str
    cut_tls: str
    dripping_tls: str


class Bench:
    """The stand-ins and places that cases run against, and where connections went. All methods can
    be called on any thread, but `opened` and `close`.
    """

    def __init__(
        self, folder: Path, service: StandIn, hop: StandIn, places: Places, tls_url: str
    ) -> None:
        self.folder = folder
        self.service = service
        self.hop = hop
        self.places = places
        self.connected: list[tuple[str, int]] = []
        self._tls_url = tls_url
        self._numbers = itertools.count(1)
        self._connections: dict[str, Iterator[Trouble | None]] = {}
        self._met: dict[str, list[Trouble]] = {}
        self._current = threading.local()

    @property
    def allowed(self) -> set[tuple[str, int]]:
        """Where connections may go."""
        urls = [
            *(self.service.api_url, self.service.files_url, self.hop.files_url, self._tls_url),
            *(self.places.closed, self.places.no_tls),
            *(self.places.cut_tls, self.places.dripping_tls),
        ]
        return {_address(url) for url in urls}

    def begin_connection(self) -> None:
        """This thread begins a connection. Raises OSError if it goes wrong at once."""
        job = threading.current_thread().name
        self._current.trouble = trouble = next(self._connections.get(job, iter(())), None)
        if trouble is not None:
            self._met[job].append(trouble)
            if trouble.name == UNKNOWN:
                raise socket.gaierror(-2, "Name or service not known")

    def lead_connection(self, address: tuple[Any, ...]) -> tuple[Any, ...]:
        """Where the connection that this thread has begun leads instead. Raises OSError."""
        trouble = getattr(self._current, "trouble", None)
        self._current.trouble = None
        if trouble is None:
            return address
        if trouble.name == REFUSED:
            raise ConnectionRefusedError
        if trouble.name == SILENT:
            time.sleep(0.1)
            raise TimeoutError
        places = self.places
        urls = {NO_TLS: places.no_tls, CUT_TLS: places.cut_tls, DRIPPING_TLS: places.dripping_tls}
        return _address(urls[trouble.name])

    def arm(self, case: Case) -> str:
        """Have a new session meet the case's troubles. Returns its ID."""
        number = next(self._numbers)
        session_id = f"SESSION_{number}_{number}"
        document = session_document(2, _id=session_id)
        self.service.add_session(session_id, document=document, files=FILES)
        stage = case.stage
        pattern, server = f"/v3/sessions/{session_id}", self.service
        skip = 0
        if stage == "renewal":
            expired = f"/inference-outputs/*/{session_id}/{_NAMES[_KEYS[stage]][0]}"
            self.service.add_fault(expired, Fault("expired"))
            skip = 1
        elif stage != "session":
            name = _NAMES[_KEYS[stage]][0]
            pattern = f"/inference-outputs/*/{session_id}/{name}"
        if stage == "hop":
            self.hop.add_session(session_id, document=document, files=FILES)
            to_hop = Fault("redirect", location=self.hop.file_url(session_id, name))
            self.service.add_fault(pattern, to_hop, times=None)
            server = self.hop
        for position, trouble in enumerate(case.troubles):
            fault = trouble.fault
            if fault is None:
                continue
            if fault.kind == "replace":
                fault = Fault("replace", body=CHANGED[name])
            is_last = position == len(case.troubles) - 1
            times = None if case.lasting and is_last else 1
            server.add_fault(pattern, fault, times=times, skip=skip)
        return session_id

    def job(self, case: Case, session_id: str) -> DownloadJob:
        """The job that brings that session, and has such troubles with its connections."""
        has_tls = any(each.name in OF_TLS for each in case.troubles)
        account = Service(self._tls_url if has_tls else self.service.api_url, self.service.key)
        job = DownloadJob(session_id, account, Cache(self.folder), patience=PATIENCE)
        job._thread.name = name = f"csm-retopo-job-{session_id}"
        troubles = [each if each.fault is None else None for each in case.troubles]
        for_ever = itertools.repeat(troubles[-1]) if case.lasting else ()
        self._connections[name] = itertools.chain(troubles, for_ever)
        self._met[name] = []
        return job

    def run(self, case: Case) -> list[str]:
        """Run one case to its end. Returns what is wrong with it."""
        session_id = self.arm(case)
        job = self.job(case, session_id)
        messages: list[Message] = []
        end_s = time.monotonic() + LONGEST_CASE_S
        job.start()
        while time.monotonic() < end_s:
            message = job.poll(0.5)
            if message is not None:
                messages.append(message)
            if isinstance(message, Finished | Failed | Stopped):
                break
        else:
            job.cancel()
            return ["it hangs"]
        job.join(5.0)
        for trouble in case.troubles:
            # After an answer, the connection serves again: there is no other that could go wrong.
            if trouble.fault is None and trouble not in self._met[job._thread.name]:
                case = case.without(trouble)
        return list(self._problems(case, session_id, messages))

    def _problems(self, case: Case, session_id: str, messages: list[Message]) -> Iterator[str]:
        end = messages[-1]
        folder = self.folder / session_id
        if case.stage == "session" and case.is_had is False:
            if not isinstance(end, Failed):
                yield f"it should have failed, but is {end}"
            elif type(end.error) is CsmError:
                yield f"it failed in an unforeseen way: {end.error}"
            if folder.exists():
                yield "it left a folder"
            return
        if not isinstance(end, Finished):
            if not (case.stage == "session" and case.is_had is None and isinstance(end, Failed)):
                yield f"it should have finished, but is {end}"
            return
        ready = {(each.kind, each.index) for each in messages if isinstance(each, FileReady)}
        failed = {(each.kind, each.index) for each in messages if isinstance(each, FileFailed)}
        if ready | failed != set(_NAMES) or ready & failed:
            yield f"files are unaccounted for: {ready} {failed}"
        struck = _KEYS.get(case.stage)
        for key in failed - {struck}:
            yield f"a file that nothing happened to is lost: {key}"
        if case.is_had is True and struck in failed:
            reasons = [each.reason for each in messages if isinstance(each, FileFailed)]
            yield f"what could be had is lost: {reasons}"
        if case.is_had is False and struck in ready:
            yield "what could not be had is there"
        for each in messages:
            if isinstance(each, FileFailed) and " " not in each.reason:  # an exception's name
                yield f"it failed in an unforeseen way: {each.reason}"
        yield from self._wrong_files(folder, ready)

    def _wrong_files(self, folder: Path, ready: set[tuple[FileKind, int]]) -> Iterator[str]:
        """The cache has what is ready, whole, and nothing else."""
        expected = {"session.json"}
        for key in ready:
            name, cached_as = _NAMES[key]
            expected |= {cached_as, f"{cached_as}.json"}
            content = (folder / cached_as).read_bytes()
            if content not in (FILES[name], CHANGED.get(name)):
                yield f"{cached_as} is neither the file nor the other: {len(content)} bytes"
        found = {path.name for path in folder.iterdir()}
        if found != expected:
            yield f"the folder holds {sorted(found ^ expected)}"

    def run_all(self, cases: Iterable[Case]) -> dict[str, list[str]]:
        """Run cases, many at once. Returns what is wrong, by case.

        On a busy machine a right answer can come too late, which changes who is had and who is not:
        such a case, if nothing else is wrong with it, is run again by itself.
        """
        cases = list(cases)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(self.run, cases))
        wrong = {}
        for case, found in zip(cases, results, strict=True):
            if found and all(each.startswith(_MAY_BE_LATE) for each in found):
                found = self.run(case)
            if found:
                wrong[str(case)] = found
        return wrong

    def cancel(self, case: Case, after_s: float) -> float:
        """Run one case, and cancel it after a while. Returns how long its threads went on."""
        job = self.job(case, self.arm(case))
        job.start()
        time.sleep(after_s)
        start_s = time.monotonic()
        job.cancel()
        job.join(LONGEST_CASE_S)
        return time.monotonic() - start_s

    def cancel_all(self, cases: Iterable[Case], seed: int) -> float:
        """Cancel cases at any moment, a few at once. Returns the longest that one went on."""
        chance = random.Random(seed)
        timed = [(case, chance.uniform(0.0, 1.0)) for case in cases]
        with ThreadPoolExecutor(6) as pool:
            return max(pool.map(lambda each: self.cancel(*each), timed), default=0.0)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Bench]:
    """A bench. No name is known in its block but those that it knows, and all connections are
    noted; whoever tries to connect elsewhere is refused.
    """
    look_up, connect = socket.getaddrinfo, socket.socket.connect
    released = threading.Event()

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in INSIDE:
            family = socket.AF_INET6 if ":" in INSIDE[name] else socket.AF_INET
            return [(family, socket.SOCK_STREAM, 6, "", (INSIDE[name], port))]
        if name == "hanging.example":
            released.wait(60.0)
        bench.begin_connection()
        if name.rstrip(".").endswith(".example"):
            raise socket.gaierror(-2, "Name or service not known")
        return look_up(host, port, *args, **options)

    def connecting(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            bench.connected.append(tuple(address[:2]))
            if tuple(address[:2]) not in bench.allowed:
                raise ConnectionRefusedError("a test tried to leave this machine")
            address = bench.lead_connection(address)
        connect(self, address)

    with contextlib.ExitStack() as stack:
        service, hop = stack.enter_context(StandIn()), stack.enter_context(StandIn())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            closed = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
        no_tls = stack.enter_context(_saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        cut = stack.enter_context(_saying(b""))
        dripping = stack.enter_context(_saying(b"\x16\x03\x03\x40\x00", b"\x02"))
        bundle = stack.enter_context(tempfile.NamedTemporaryFile())
        tls = stack.enter_context(_speaking_tls(_address(service.api_url), bundle.name))
        stack.enter_context(mock.patch.dict(os.environ, REQUESTS_CA_BUNDLE=bundle.name))
        bench = Bench(folder, service, hop, Places(closed, no_tls, cut, dripping), tls)
        socket.getaddrinfo = getaddrinfo
        socket.socket.connect = connecting  # type: ignore[method-assign]
        try:
            yield bench
        finally:
            socket.getaddrinfo = look_up
            socket.socket.connect = connect  # type: ignore[method-assign]
            released.set()


def _address(url: str) -> tuple[str, int]:
    """The address of a URL of this machine."""
    return "127.0.0.1", int(url.split(":")[2].partition("/")[0])


@contextlib.contextmanager
def _speaking_tls(behind: tuple[str, int], bundle: str) -> Iterator[str]:
    """The https URL of a server that speaks TLS for the one behind it. `bundle` is a file that the
    authority's certificate is written to.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def serve(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            sock = stack.enter_context(context.wrap_socket(raw, server_side=True))
            other = stack.enter_context(socket.create_connection(behind))
            back = threading.Thread(target=pass_on, args=(other, sock), daemon=True)
            back.start()
            pass_on(sock, other)
            back.join(5.0)

    with _accepting(serve) as port:
        yield f"https://127.0.0.1:{port}"


@contextlib.contextmanager
def _saying(first: bytes, then: bytes = b"") -> Iterator[str]:
    """The https URL of a server that says something else, and then something again and again."""
    closing = threading.Event()

    def speak(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.recv(65_536)
            sock.sendall(first)
            while then and not closing.wait(0.02):
                sock.sendall(then)

    with _accepting(speak) as port:
        yield f"https://127.0.0.1:{port}/a"
        closing.set()


@contextlib.contextmanager
def _accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that has each connection served on a thread of its own."""
    closing = threading.Event()

    def accept(listener: socket.socket) -> None:
        while not closing.is_set():
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        yield port
        closing.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join(5.0)


_NOT_OF_A_SESSION = {"expired", "file exchanged"}
"""Both strike files, at once or later: other tests have them there."""


def singles(bench: Bench) -> list[Case]:
    """Every trouble alone, at every stage: once, and for ever."""
    return [
        Case(stage, (trouble,), lasting)
        for stage in STAGES
        for trouble in _troubles_of(stage, bench, FORBIDDEN)
        for lasting in (False, True)
    ]


def pairs(bench: Bench) -> list[Case]:
    """Every trouble after every other, at every stage; of the forbidden places only two."""
    return [
        Case(stage, pair)
        for stage in STAGES
        for pair in itertools.product(_troubles_of(stage, bench, FORBIDDEN[::20]), repeat=2)
    ]


def _troubles_of(stage: str, bench: Bench, forbidden: Iterable[str]) -> list[Trouble]:
    every = troubles(bench.places, forbidden)
    if stage in _OF_SESSION:
        every = [each for each in every if each.name not in _NOT_OF_A_SESSION]
    if stage == "session":
        every += broken_connections()
    return every


class Errors(logging.Handler):
    """Counts what is logged as an error: an exception that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen[record.getMessage()] += 1


@functools.cache
def errors() -> Errors:
    """What api/ logs as an error from the first call on."""
    handler = Errors()
    logging.getLogger("csm_retopo").addHandler(handler)
    return handler
