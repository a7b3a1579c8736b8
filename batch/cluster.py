# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions of a batch on a Dask cluster: a task for each, done by the workers' own Blenders.

Dask, `distributed`, is imported here and nowhere else. Tasks go to the scheduler as they are
needed, so neither it nor this process holds all of them.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import importlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ..api.errors import CsmError
from ..scene.report import outcome as report
from ..scene.report.models import REPORT_NAME
from . import cluster_task
from .machine import DiskFull
from .models import Options, SessionResult, Source, Status
from .output import THUMBNAILS_NAME, Output, is_scarce
from .session_work import is_all_there

CONNECT_TIMEOUT_S = 15.0
CONNECT_LIMIT_S = 20.0
"""Dask keeps its own time-out only as long as it is Dask that answers."""
REGISTER_LIMIT_S = 60.0
"""For all workers, one of which may have stopped."""
AHEAD = 2
"""Tasks for each thread of the cluster: none is to wait for this process."""
RETRIES = 3
"""How often a session is tried again whose Blender ended unexpectedly. One whose worker died is
given to another as often as the cluster's own settings say.
"""
_LOOK_INTERVAL_S = 2.0
_WAIT_S = 0.1

_T = TypeVar("_T")


class Cluster:
    """Imports sessions on the workers of a Dask scheduler. Main thread; `close` it at the end.

    Raises CsmError when Dask is not installed or the scheduler can't be used.
    """

    def __init__(
        self,
        address: str,
        output: Output,
        worker_output: str,
        options: Options,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = address
        self._output = output
        self._worker_output = worker_output or str(output.folder)
        self._options = options
        self._tick = tick
        self._plugin = f"csm-retopo-{output.own.name}"
        self._source = Path(cluster_task.__file__).read_text(encoding="utf-8")
        self._task = cluster_task.task(self._source, self._plugin)
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sources: dict[str, Source] = {}
        self._futures: dict[str, Any] = {}
        self._threads = 0
        self._looked_at_s = 0.0
        distributed = _distributed()
        try:
            self._client = self._within(CONNECT_LIMIT_S, lambda: _connected(distributed, address))
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            # OSError: nobody answers, or no scheduler; the others: that is no address, or another
            # Dask.
            raise CsmError(
                f"The Dask scheduler at {address} can't be reached ({type(error).__name__}): check "
                f"the address, and that `dask scheduler` runs there, of {_version(distributed)}"
            ) from None
        try:
            self._register()
        except BaseException:
            self.close()
            raise

    @property
    def waits_for(self) -> str:
        """What it waits for, if that is worth to be told."""
        return "" if self._threads else "the cluster has no worker yet"

    def results(self, sources: Iterable[Source]) -> Iterator[SessionResult]:
        """Import the sessions; what became of each, as it gets done.

        Raises CsmError when the scheduler is lost, DiskFull, and OSError.
        """
        waiting = iter(sources)
        while True:
            self._tick()
            self._count_threads()
            for source in self._submit(waiting):
                yield self._settled(source)
            if not self._futures:
                return
            try:
                key = self._done.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            result = self._take(key)
            yield result
            if not result.is_whole and is_scarce(self._output.folder):
                raise DiskFull(
                    f"There is no room left on the disk of {self._output.folder}: make some, and "
                    "start this again; what is done stays"
                )

    def close(self) -> None:
        """Take back what was not done, and end the workers' Blenders."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures.values()), force=True)
        self._futures.clear()
        with contextlib.suppress(Exception):
            self._client.sync(
                self._client.unregister_worker_plugin, self._plugin, callback_timeout=10.0
            )
        with contextlib.suppress(Exception):
            self._client.close(timeout=5.0)

    def _register(self) -> None:
        """Have every worker, also those that join later, get ready for our tasks."""
        plugin = cluster_task.plugin(self._source, self._plugin)
        try:
            self._within(
                REGISTER_LIMIT_S,
                lambda: self._client.register_plugin(plugin, name=self._plugin),
            )
        except Exception as error:  # noqa: BLE001 - of a worker's, which can be any
            raise CsmError(
                f"The workers of {self._address} can't be used ({type(error).__name__}): they need "
                f"{_version(_distributed())}"
            ) from None

    def _within(self, limit_s: float, function: Callable[[], _T]) -> _T:
        """What the function returns or raises, which blocks and can't be interrupted: it runs on a
        thread of its own, which is left alone when the time is over. Raises TimeoutError then.
        """
        answers: queue.SimpleQueue[Callable[[], _T]] = queue.SimpleQueue()

        def run() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                answers.put(functools.partial(_raise, error))
            else:
                answers.put(lambda: result)

        threading.Thread(target=run, name="csm-retopo-dask", daemon=True).start()
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            self._tick()
            with contextlib.suppress(queue.Empty):
                return answers.get(timeout=_WAIT_S)()
        raise TimeoutError

    def _submit(self, waiting: Iterator[Source]) -> Iterator[Source]:
        """Give the cluster as much as it can use; what needs no work comes back at once."""
        while len(self._futures) < AHEAD * max(self._threads, 1):
            source = next(waiting, None)
            if source is None:
                return
            if source.problem or is_all_there(
                self._output.folder / source.session_id, self._options
            ):
                yield source
                continue
            key = f"csm-retopo-{source.session_id}-{self._output.own.name}"
            request = {
                "session_id": source.session_id,
                "folder": str(source.folder or ""),
                "options": dataclasses.asdict(self._options),
                "output": self._worker_output,
                "run": self._output.own.name,
            }
            future = self._client.submit(
                self._task,
                request,
                key=key,
                pure=False,
                retries=RETRIES,
            )
            self._sources[key] = source
            self._futures[key] = future
            future.add_done_callback(lambda done: self._done.put(done.key))

    def _settled(self, source: Source) -> SessionResult:
        if source.problem:
            return SessionResult(source.name, Status.FAILED, error=source.problem)
        folder = self._output.folder / source.session_id
        fields = report.read_report(folder / REPORT_NAME)
        return SessionResult(
            source.session_id,
            Status.ALREADY,
            Path(fields.get("kept_in") or folder),
            str(fields.get("kept_on") or ""),
            report=fields,
        )

    def _take(self, key: str) -> SessionResult:
        """The result of a task that has ended. Raises CsmError when the scheduler is lost."""
        future, source = self._futures.pop(key), self._sources.pop(key)
        try:
            if future.status == "finished":
                return self._result(source, future.result(timeout=60.0))
            if future.status == "error":
                error = future.exception(timeout=60.0)
                return SessionResult(source.session_id, Status.FAILED, error=_reason(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"{self._output.folder} can't be written ({reason})"
            return SessionResult(source.session_id, Status.FAILED, error=text)
        finally:
            with contextlib.suppress(Exception):
                future.release()
        raise CsmError(
            f"The Dask scheduler at {self._address} is gone: start this again when it is back; "
            "what is done stays"
        )

    def _result(self, source: Source, answer: dict[str, Any]) -> SessionResult:
        """What a worker answered; where it keeps the files, a report that says so comes here."""
        thumbnails = base64.b64decode(answer.pop("thumbnails"))
        fields = answer.pop("report")
        kept_on, kept_in = answer.pop("kept_on"), answer.pop("folder")
        here = self._output.folder / source.session_id
        if kept_on and fields:
            fields = {**fields, "kept_on": kept_on, "kept_in": kept_in}
            staged = self._output.staging(source.session_id)
            try:
                if thumbnails:
                    (staged / THUMBNAILS_NAME).write_bytes(thumbnails)
                report.write_report(staged / REPORT_NAME, fields)
                self._output.publish(source.session_id)
            finally:
                self._output.discard(source.session_id)
        folder = Path(kept_in) if kept_on and kept_in else here if kept_in else None
        return SessionResult(
            source.session_id,
            Status(answer["status"]),
            folder,
            kept_on if folder else "",
            answer["error"],
            tuple(answer["messages"]),
            fields,
        )

    def _count_threads(self) -> None:
        now = time.monotonic()
        if self._threads and now - self._looked_at_s < _LOOK_INTERVAL_S:
            return
        self._looked_at_s = now
        with contextlib.suppress(Exception):  # it is tried again
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            self._threads = sum(int(each["nthreads"]) for each in workers)


def _connected(distributed: Any, address: str) -> Any:
    """A client. Raises what Dask raises."""
    client = distributed.Client.__new__(distributed.Client)
    try:
        client.__init__(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except BaseException:
        # Or Dask closes it when it is freed, which takes twice the time-out and prints an error.
        client.status = "closed"
        raise
    return client


def _distributed() -> Any:
    """The module. Raises CsmError where it is not installed."""
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise CsmError(
            "Dask is not installed in Blender's Python. Install it there with: "
            f'"{sys.executable}" -m pip install distributed'
        ) from None


def _raise(error: BaseException) -> NoReturn:
    raise error


def _version(distributed: Any) -> str:
    return f"the version of Dask that is here, {distributed.__version__}"


def _reason(error: BaseException) -> str:
    if type(error).__name__ == "KilledWorker":
        return "The workers that had it died, one after the other"
    text = str(error)
    return f"The worker failed: {text if isinstance(error, RuntimeError) else type(error).__name__}"
