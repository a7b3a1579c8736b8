# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside of a Dask worker: it hands sessions to Blenders that it starts.

It is sent there as text, so that a worker needs Dask and a Blender with the extension, and nothing
else: it may import only those two's common ground, Python's own modules. Neither the key nor any
setting travels: the Blender on the worker has its own, or gets them from the worker's variables.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import socket
import subprocess
import threading
import time
from typing import Any

MARK = "csm-retopo-answer:"
COMMAND_VARIABLE = "CSM_RETOPO_COMMAND"
"""How to run the command of the extension on this worker."""
USUAL_COMMAND = "blender --background --online-mode --command csm_retopo"

_DASKS_OWN = "MALLOC_TRIM_THRESHOLD_"
"""Dask has its workers give memory back at once. A Blender would ask for it again all the time,
which takes a fifth of its time.
"""
_END_WITHIN_S = 10.0
_PAUSE_S = 5.0


class _Sent:
    """Something that is pickled as the text of this module, `source`: a Python crashes when it runs
    what another version of it has compiled, and a worker is not ours to crash.
    """

    maker = ""
    """The function of this module that makes it."""

    def __init__(self, source: str, name: str) -> None:
        self.source = source
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        names = {
            "source": self.source,
            "maker": self.maker,
            "name": self.name,
            "module": {"__name__": "csm_retopo_cluster_task"},
        }
        return eval, ("exec(source, module) or module[maker](source, name)", names)


class Blenders(_Sent):
    """The Blenders of one worker: as many as it has tasks at a time, kept for the next ones.

    It is a Dask worker plugin, `setup` and `teardown` being Dask's calls; use from any thread.
    """

    maker = "plugin"

    def setup(self, worker: Any) -> None:
        """Begin."""
        self._lock = threading.Lock()
        self._all: list[subprocess.Popen[str]] = []
        self._idle: list[subprocess.Popen[str]] = []

    def teardown(self, worker: Any) -> None:
        """End the Blenders."""
        with self._lock:
            processes, self._all, self._idle = self._all, [], []
        for each in processes:
            each.terminate()
        end = time.monotonic() + _END_WITHIN_S
        for each in processes:
            try:
                each.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                each.kill()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of one of the Blenders. Raises RuntimeError when there is none."""
        process = self._take()
        answer = _ask(process, request)
        with self._lock:
            if answer is not None:
                self._idle.append(process)
            elif process in self._all:
                self._all.remove(process)
        if answer is None:
            process.kill()
            code = process.wait()
            if code == 2:
                time.sleep(_PAUSE_S)  # the others take the sessions that this one can't import
                raise RuntimeError(
                    f"the command in {COMMAND_VARIABLE} does not work on {socket.gethostname()}"
                )
            raise RuntimeError(f"Blender ended unexpectedly on {socket.gethostname()} ({code})")
        return answer

    def _take(self) -> subprocess.Popen[str]:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.poll() is None:
                    return process
                self._all.remove(process)
        command = _split(os.environ.get(COMMAND_VARIABLE) or USUAL_COMMAND)
        try:
            process = subprocess.Popen(
                [*command, "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env={name: os.environ[name] for name in os.environ if name != _DASKS_OWN},
            )
        except OSError as error:
            time.sleep(_PAUSE_S)
            raise RuntimeError(
                f"{command[0]} can't be started on {socket.gethostname()} ({error.strerror}): set "
                f"{COMMAND_VARIABLE} there, as in: {USUAL_COMMAND}"
            ) from None
        with self._lock:
            self._all.append(process)
        return process


def _ask(process: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, or None if the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return answer
    return None


class _Task(_Sent):
    """Has the Blenders of the worker, the plugin of this name, import a session."""

    maker = "task"

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        worker = importlib.import_module("distributed").get_worker()
        answer: dict[str, Any] = worker.plugins[self.name].ask(request)
        return answer


def plugin(source: str, name: str) -> Blenders:
    """The plugin for workers, of this name. `source` is the text of this module."""
    kind = importlib.import_module("distributed").WorkerPlugin
    made: Blenders = type("BlendersPlugin", (Blenders, kind), {})(source, name)
    return made


def task(source: str, name: str) -> _Task:
    """The task, for workers with the plugin of this name."""
    return _Task(source, name)


def _split(command: str) -> list[str]:
    """The words of a command line. In Windows' paths, a backslash is one."""
    if os.name != "nt":
        return shlex.split(command)
    return [word.strip('"') for word in shlex.split(command, posix=False)]
