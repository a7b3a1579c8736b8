# SPDX-License-Identifier: GPL-3.0-or-later
"""The background Blenders, seen from the one that needs them.

Each process has a thread that feeds it one request at a time, with a time limit. A request that
hangs or crashes its process fails alone: the next one gets a new process.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import logging
import os
import queue
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ...api.cache import DEFAULT_LIMIT_BYTES, IN_USE_S, Cache
from ...api.errors import CsmError, FileError
from ...api.files import TEMPORARY_SUFFIX
from ...api.holding import Hold, if_free
from ...api.jobs import log_failure
from .. import models
from ..models import AssembleRequest, CompareRequest, ConvertedMesh, ConvertRequest
from ..report import models as report_models
from ..report.models import ReportRequest
from . import conversion, memory
from .comparison import Comparer
from .worker import MARK, TEMPORARY_PREFIX

log = logging.getLogger(__name__)

PROCESSES = min(2, os.cpu_count() or 1)
"""How many background Blenders share a session's meshes: each costs half a second of a core, and
some hundred megabytes. Sessions that are imported side by side have one each, and share the rest.
"""

_KINDS = {
    ConvertRequest: ("convert", "Blender's importer"),
    CompareRequest: ("compare", "the comparison with the source"),
    AssembleRequest: ("assemble", "Blender"),
}
"""What a request is called to the process, and to the artist what works on it."""

START_TIMEOUT_S = 60.0
START_AGAIN_S = 30.0
"""A machine that was short of memory or of processes for a moment may have them again."""
TIMEOUT_S = 120.0
TIMEOUT_S_PER_MB = 1.0
LEFTOVER_AGE_S = 0.5
"""A folder that is younger, and that nobody holds, may be about to be held."""


_TEMPORARY_NAME = re.compile(r"csm-retopo-(process|report|mesh)-[a-z0-9_]{8}")
"""A folder that `tempfile` has made for us."""

_LINE_LIMIT = 2**26
"""How many characters of a line are held in memory; no answer is as long."""


MeshRequest = ConvertRequest | CompareRequest
Request = MeshRequest | AssembleRequest | ReportRequest


@dataclass(frozen=True)
class Converted:
    """The answer to a request for a mesh: it, or the reason why there is none.

    `damaged` tells that the file itself is at fault.
    """

    request: MeshRequest
    mesh: ConvertedMesh | None
    reason: str = ""
    damaged: bool = False


@dataclass(frozen=True)
class Assembled:
    """The answer to an AssembleRequest: warnings, or the reason why it failed."""

    request: AssembleRequest
    warnings: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Done:
    """The answer to a ReportRequest: what `report.worker.serve` returned, or the reason why it did
    not; `crashed` tells that it took Blender down with it, or took too long.
    """

    request: ReportRequest
    result: dict[str, Any] | None = None
    reason: str = ""
    crashed: bool = False


@dataclass(frozen=True)
class NoProcess:
    """No process can be started: a mesh can be made on the main thread, with `run_here`."""

    request: Request


Answer = Converted | Assembled | Done | NoProcess


class _Errand(enum.Enum):
    """In the queue of requests: what is no request."""

    WARM_UP = "only start the process"
    REST = "end the process until there is a request again"
    END = "there will be no more requests"


_Queued = Request | _Errand

_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
"""Those of all converters, also of such that are closed and only clean up."""

_spare = threading.Semaphore(PROCESSES - 1)
"""A converter has one process in any case; further ones share this number."""


class Converter:
    """Requests in, answers out. Make it on the main thread; its methods never block.

    At its end, it makes the cache fit `cache_limit_bytes`. Each of the `processes`, 0 for
    PROCESSES, uses as many `threads`, 0 for as many as there are processors.
    """

    def __init__(
        self,
        cache: Cache,
        cache_limit_bytes: int = DEFAULT_LIMIT_BYTES,
        processes: int = 0,
        threads: int = 0,
    ) -> None:
        self._cache = cache
        self._cache_limit_bytes = cache_limit_bytes
        self._requests: queue.SimpleQueue[_Queued] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._closed = threading.Event()
        command = _command(threads)
        # What the cached files must match is read from bpy here, on the main thread.
        notes = conversion.notes_for("")
        self._servers = [
            _Server(command, cache, notes, self._closed) for _ in range(processes or PROCESSES)
        ]
        self._thread = _thread(self._run)

    def warm_up(self) -> None:
        """Start the processes, to have them ready when the first request comes."""
        for _ in self._servers:
            self._put(_Errand.WARM_UP)

    def rest(self) -> None:
        """End the processes when all that was asked for is done: it takes a while until the next
        request. That one starts them again.
        """
        for _ in self._servers:
            self._put(_Errand.REST)

    def submit(self, request: Request) -> None:
        """Queue a request."""
        self._put(request)

    def poll(self, timeout_s: float = 0.0) -> Answer | None:
        """The next answer, or None if there is none in time."""
        try:
            return self._answers.get(timeout=timeout_s) if timeout_s else self._answers.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Kill the processes, without waiting for them. The threads remove what they left."""
        self._closed.set()
        for server in self._servers:
            self._requests.put(_Errand.END)
            server.kill()

    def join(self, timeout_s: float) -> None:
        """Wait for the threads to end."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _put(self, request: _Queued) -> None:
        self._requests.put(request)
        if self._thread.ident is None:
            _threads.add(self._thread)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            request = self._requests.get()
            if request in (_Errand.REST, _Errand.END):
                continue  # nothing runs that it could end
            helpers = self._start_helpers()
            self._serve(self._servers[0], request)
            for helper in helpers:
                helper.join()
        _remove_leftover_folders()
        self._cache.remove_leftovers()
        self._cache.prune(self._cache_limit_bytes)

    def _start_helpers(self) -> list[threading.Thread]:
        helpers = []
        for server in self._servers[1:]:
            if not _spare.acquire(blocking=False):
                break
            helpers.append(_thread(functools.partial(self._help, server)))
            helpers[-1].start()
        return helpers

    def _help(self, server: _Server) -> None:
        try:
            self._serve(server, self._requests.get())
        finally:
            _spare.release()

    def _serve(self, server: _Server, request: _Queued) -> None:
        """Serve requests with this process until it is to rest or end."""
        while request not in (_Errand.REST, _Errand.END) and not self._closed.is_set():
            try:
                if request is _Errand.WARM_UP:
                    server.start_process()
                else:
                    self._answers.put(server.serve(request))
            except Exception as error:  # noqa: BLE001 - whatever it is, the user gets an answer
                failure = _unforeseen(error)
                if request is not _Errand.WARM_UP:
                    self._answers.put(_answer_to(request, failure))
            request = self._requests.get()
        server.end()


def join_closed(timeout_s: float) -> None:
    """Wait until the converters that are closed have cleaned up."""
    end = time.monotonic() + timeout_s
    for thread in list(_threads):
        thread.join(max(end - time.monotonic(), 0.0))


def _thread(target: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=target, name="csm-retopo-converter", daemon=True)


class _Server:
    """One process and what it takes to serve requests with it, on one thread; `kill` from any."""

    def __init__(
        self,
        command: list[str] | None,
        cache: Cache,
        notes: dict[str, Any],
        closed: threading.Event,
    ) -> None:
        self._command = command
        self._cache = cache
        self._notes = notes
        self._closed = closed
        self._process: _Process | None = None
        self._again_at_s = 0.0

    def serve(self, request: Request) -> Answer:
        """Find in the cache what is asked for, or have the process make it."""
        if isinstance(request, ConvertRequest):
            notes = {**self._notes, "file_sha256": request.file_sha256}
            if found := conversion.find_converted(self._cache, request, notes):
                return Converted(request, found)
        self.start_process()
        if self._process is None:
            return NoProcess(request)
        size_bytes = _size_bytes(request)
        limit_s = TIMEOUT_S + TIMEOUT_S_PER_MB * size_bytes / 2**20
        kind, doer = _KINDS.get(type(request), ("report", "Blender"))
        fields = {
            "cache": str(self._cache.root),
            "memory_bytes": memory.allowed_bytes(size_bytes),
            kind: _to_json(request),
        }
        answer = self._process.ask(fields, limit_s)
        if answer is None:
            self.end()
            if isinstance(request, ConvertRequest | CompareRequest | AssembleRequest):
                _remove_unfinished(Path(request.blend))
            answer = {"error": f"{doer} crashed, or took over {limit_s:.0f} s", "crashed": True}
        return _answer_to(request, answer)

    def start_process(self) -> None:
        """Start the process, unless it runs or none can be started."""
        if self._command is None or self._closed.is_set() or time.monotonic() < self._again_at_s:
            return
        if self._process is not None and self._process.is_alive:
            return
        for pause_s in (0.5, 2.0, 0.0):
            try:
                self._process = _Process(self._command)
                break
            except OSError as error:
                log.warning("no background Blender: %s", error.strerror)
                self._closed.wait(pause_s)
        else:
            self._again_at_s = time.monotonic() + START_AGAIN_S
            return
        if self._closed.is_set() or not self._process.wait_until_ready(START_TIMEOUT_S):
            self.end()
            if not self._closed.is_set():
                log.warning("the background Blender does not start")
                self._again_at_s = time.monotonic() + START_AGAIN_S

    def kill(self) -> None:
        """End the process at once, without waiting."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """End the process, and remove its temporary files."""
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _Process:
    """One background Blender, used by one thread; `kill` from any."""

    def __init__(self, command: list[str]) -> None:
        # Its temporary files are in a folder that can be removed when it was killed.
        self._folder = tempfile.TemporaryDirectory(
            prefix=TEMPORARY_PREFIX, ignore_cleanup_errors=True
        )
        self._held = Hold(Path(self._folder.name))
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env=_environment(self._folder.name),
                # Blender and its libraries look for plug-ins below the working folder, and that may
                # be where the session's files are.
                cwd=self._folder.name,
                # Only Windows has these: no console window, and the artist's Blender first.
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                | getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
            )
        except OSError:
            self._held.end()
            self._folder.cleanup()
            raise
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="csm-retopo-reader", daemon=True)
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def wait_until_ready(self, timeout_s: float) -> bool:
        answer = self._next_answer(timeout_s, "")
        return answer is not None and bool(answer.get("ready"))

    def ask(self, fields: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
        """The answer, or None if the process died or took too long."""
        assert self._popen.stdin is not None
        try:
            # What a file has its importer print must not pass for an answer.
            token = secrets.token_hex(16)
            self._popen.stdin.write(json.dumps({**fields, "token": token}) + "\n")
            self._popen.stdin.flush()
        except (OSError, ValueError):
            return None
        return self._next_answer(timeout_s, token)

    def kill(self) -> None:
        """End it at once, without waiting."""
        with contextlib.suppress(OSError):
            self._popen.kill()

    def end(self) -> None:
        """End it, and remove its temporary files."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(10.0)
        self._reader.join(1.0)
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        self._held.end()
        self._folder.cleanup()

    def _next_answer(self, timeout_s: float, token: str) -> dict[str, Any] | None:
        mark = f"{MARK}{token}"
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                return None
            if line is None:
                return None
            if line.startswith(mark):
                answer: dict[str, Any] = json.loads(line.removeprefix(mark))
                return answer
            log.debug("background Blender: %s", line.rstrip())
        return None

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            while line := lines.readline(_LINE_LIMIT):
                self._lines.put(line)
        self._lines.put(None)


def run_here(cache: Cache, request: MeshRequest) -> Converted:
    """What the process would have done, on the main thread, for want of a process."""
    try:
        if isinstance(request, ConvertRequest):
            return Converted(request, conversion.convert(cache, request))
        comparer = Comparer()
        try:
            return Converted(request, comparer.compare(cache, request))
        finally:
            comparer.close()
    except CsmError as error:
        return Converted(request, None, str(error), isinstance(error, FileError))
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets an answer
        return Converted(request, None, _unforeseen(error)["error"])


def _unforeseen(error: Exception) -> dict[str, Any]:
    log_failure(error)
    return {"error": f"something unforeseen happened ({type(error).__name__})"}


def _answer_to(request: Request, fields: dict[str, Any]) -> Answer:
    reason = str(fields.get("error", ""))
    if isinstance(request, AssembleRequest):
        warnings = () if reason else tuple(fields["result"]["warnings"])
        return Assembled(request, warnings, reason)
    if not isinstance(request, ConvertRequest | CompareRequest):
        return Done(request, fields.get("result"), reason, bool(fields.get("crashed")))
    if reason:
        return Converted(request, None, reason, bool(fields.get("damaged")))
    return Converted(request, models.converted_mesh(fields["result"]))


def _to_json(request: Request) -> dict[str, Any]:
    if isinstance(request, ConvertRequest | CompareRequest | AssembleRequest):
        return models.to_json(request)
    return {"kind": type(request).__name__, "fields": report_models.to_json(request)}


def _command(threads: int = 0) -> list[str] | None:
    """How to start a background Blender with so many threads, 0 for as many as it likes; None where
    that can't be done.
    """
    script = str(Path(__file__).with_name("worker.py"))
    if bpy.app.binary_path:
        return [
            bpy.app.binary_path,
            *("--background", "--factory-startup", "-noaudio", "--offline-mode"),
            *("--threads", str(threads), "--python-exit-code", "1", "--python", script),
        ]
    if sys.executable and Path(sys.executable).stem.lower().startswith("python"):
        # -P: the script's folder is no place to find modules in.
        return [sys.executable, "-P", script, str(threads)]
    return None


def _environment(temporary: str) -> dict[str, str]:
    """The environment without what the process has no need to know: it uses no network."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.upper().startswith("CSM_API_") or name.upper().endswith("_PROXY"))
    }
    return {**kept, "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}


def _remove_leftover_folders() -> None:
    """Remove the temporary files of processes that were killed together with their Blender."""
    now = time.time()
    for folder in Path(tempfile.gettempdir()).glob("csm-retopo-*"):
        if not _TEMPORARY_NAME.fullmatch(folder.name):
            continue  # the artist's own
        with contextlib.suppress(OSError), if_free(folder) as free:
            can_tell = free and folder.name.startswith(TEMPORARY_PREFIX)
            limit_s = LEFTOVER_AGE_S if can_tell else 24 * IN_USE_S
            if free is not False and now - folder.stat().st_mtime > limit_s:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_unfinished(blend: Path) -> None:
    """Remove what a killed process had begun to write, under our name or Blender's (`...@`)."""
    for path in blend.parent.glob(f"{blend.name}*{TEMPORARY_SUFFIX}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def _size_bytes(request: Request) -> int:
    if isinstance(request, ConvertRequest):
        files = [request.path]
    elif isinstance(request, CompareRequest):
        files = [request.mesh.blend, request.source.blend]
    elif isinstance(request, AssembleRequest):
        files = [planned.mesh.blend for planned in request.plan.meshes]
    else:
        files = report_models.files_of(request)
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += os.path.getsize(file)
    return total
