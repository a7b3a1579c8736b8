# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch from its beginning to its end, wherever its sessions are imported."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from ..api.errors import CsmError
from ..scene.assets.catalogs import CATALOGS_NAME, Catalogs
from .machine import Machine, usual_jobs
from .models import Options, SessionResult, Source
from .output import Output
from .session_work import Tell
from .sources import find_sources
from .summary import Summary


class Worker(Protocol):
    """What imports the sessions of a batch: this machine, or a cluster."""

    @property
    def waits_for(self) -> str:
        """What it waits for, if that is worth to be told."""

    def results(self, sources: Iterable[Source]) -> Iterator[SessionResult]:
        """What became of each, as it gets done."""

    def close(self) -> None:
        """End what is under way."""


class Batch:
    """Sessions to import; see `batch.run` for what the arguments mean. Main thread only.

    `tell` is called with a session's ID and a line for each of its files that is settled, `tick`
    often, where what it raises ends all well.
    """

    def __init__(
        self,
        sources: Iterable[str],
        output: str | os.PathLike[str],
        *,
        jobs: int | None = None,
        options: Options = Options(),  # noqa: B008 - it is frozen
        scheduler: str = "",
        worker_output: str = "",
        tell: Tell = lambda session_id, line: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._sources = find_sources(sources)
        self._output = Output(Path(output))
        self._jobs = jobs or usual_jobs()
        self._options = options
        self._scheduler = scheduler
        self._worker_output = worker_output
        self._tell = tell
        self._tick = tick
        self._makes_library = bool(options.choice.as_assets)
        self._worker: Worker | None = None

    @property
    def total(self) -> int:
        """How many sessions, and things that name none, there are."""
        return len(self._sources)

    @property
    def waits_for(self) -> str:
        """What it waits for, if that is worth to be told."""
        return self._worker.waits_for if self._worker else ""

    def results(self) -> Generator[SessionResult, None, None]:
        """Import them; what became of each, as it gets done. To be called once.

        Raises as `batch.run`.
        """
        if not self._sources:
            raise CsmError("There is no session to import: name one")
        with contextlib.ExitStack() as closing:
            self._output.open()
            closing.callback(self._output.close)
            summary = Summary(self._output)
            closing.push(functools.partial(_close, summary))
            catalogs = Catalogs(self._output.folder)
            closing.push(functools.partial(_flush, catalogs))
            self._worker = worker = self._new_worker()
            closing.callback(worker.close)
            for result in worker.results(self._sources):
                summary.add(result)
                summary.write_if_due()
                if self._makes_library and result.report.get("assets") and not result.kept_on:
                    catalogs.add(result.session_id)
                yield result

    def _new_worker(self) -> Worker:
        if self._scheduler:
            from .cluster import Cluster

            return Cluster(
                self._scheduler, self._output, self._worker_output, self._options, self._tick
            )
        jobs = min(self._jobs, self.total)
        return Machine(
            self._output,
            self._options,
            jobs,
            processes=max(self._jobs // jobs, 1),
            # A job is to take one processor, unless others would have nothing to do.
            threads=1 if self.total > self._jobs else 0,
            tell=self._tell,
            tick=self._tick,
        )


def _flush(catalogs: Catalogs, kind: type[BaseException] | None, *_: object) -> None:
    """Write what is left of the catalogs. Raises CsmError, unless something else is raised."""
    try:
        catalogs.flush()
    except (CsmError, OSError) as error:
        if kind is None or issubclass(kind, GeneratorExit):
            if isinstance(error, CsmError):
                raise
            reason = error.strerror or type(error).__name__
            raise CsmError(f"{CATALOGS_NAME} can't be written ({reason})") from None


def _close(summary: Summary, kind: type[BaseException] | None, *_: object) -> None:
    """Write the summary for the last time. Raises CsmError, unless something else is raised."""
    try:
        summary.close()
    except OSError as error:
        if kind is None or issubclass(kind, GeneratorExit):
            reason = error.strerror or type(error).__name__
            raise CsmError(f"The summary can't be written ({reason})") from None
