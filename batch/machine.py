# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions of a batch, some at a time, on this machine.

Each lane has a background Blender and takes one session after another through it. One loop on the
main thread moves all lanes on; while they convert, the files of the sessions that come next are
fetched. So what is in memory depends on the number of lanes alone.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..api.cancellation import Cancellation
from ..api.courtesy import FILES_AT_ONCE, SERVICE_AT_ONCE, Courtesy
from ..api.errors import ConfigurationError, CsmError
from ..api.jobs import log_failure
from ..api.patience import FOR_BATCHES
from ..api.session import Links
from ..scene import sessions
from ..scene.background.converter import Converter
from .models import Options, SessionResult, Source, Status
from .output import Output, is_full, is_scarce
from .session_work import SessionWork, Steps, Tell

PAUSE_S = 0.004
"""Between two looks at the lanes, when there is nothing to do."""
PRUNE_INTERVAL_S = 20.0
PRUNE_UNUSED_S = 300.0
"""What a batch has put into the cache makes room for what comes after it, when nobody has used it
for so long."""
ASK_INTERVAL_S = 0.5
"""How often to look whether another run has done with a session."""


class DiskFull(CsmError):
    """Nothing can be written any more."""


def usual_jobs() -> int:
    """As many as this process may use processors."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class _Lane:
    """A background Blender, and the session that it is at work on."""

    converter: Converter
    work: SessionWork | None = None
    steps: Steps | None = None


class Machine:
    """Imports sessions here, `jobs` at a time, each with so many `processes` of so many `threads`
    (0: as many as there are processors). Main thread only; `close` it at the end. `tick` is called
    often.
    """

    def __init__(
        self,
        output: Output,
        options: Options,
        jobs: int,
        *,
        processes: int = 1,
        threads: int = 1,
        tell: Tell = lambda session_id, line: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._output = output
        self._options = options
        self._tell = tell
        self._tick = tick
        self._cache = sessions.open_cache()
        self._cancellation = Cancellation()
        from ..api.transport import Transport  # it brings in requests

        self._courtesy, links, own_host = _courtesy(output.hidden)
        self._transport = Transport(
            self._cancellation,
            links=links,
            own_host=own_host,
            connections=FILES_AT_ONCE,
            patience=FOR_BATCHES,
            courtesy=self._courtesy,
        )
        self._jobs = jobs
        self._processes = processes
        self._threads = threads
        self._lanes: list[_Lane] = []
        self._ready: deque[SessionWork] = deque()
        self._taken: deque[Source] = deque()
        self._is_full = False
        self._asked_at_s = 0.0
        self._pruned_at_s = time.monotonic()

    @property
    def waits_for(self) -> str:
        """What it waits for, if that is worth to be told."""
        pause_s = self._courtesy.pause_s()
        return f"the service asks for a pause of {pause_s:.0f} s" if pause_s >= 1 else ""

    def results(self, sources: Iterable[Source]) -> Generator[SessionResult, None, None]:
        """Import the sessions; what became of each, as it gets done.

        Raises DiskFull, and OSError when the output folder can't be used.
        """
        waiting = iter(sources)
        while True:
            yield from self._prepare(waiting)
            if not (self._ready or self._taken or any(lane.work for lane in self._lanes)):
                return
            self._fill_lanes()
            results = [result for lane in self._lanes if (result := self._step(lane))]
            for result in results:
                yield result
                self._stop_if_full(result)
            self._tick()
            if not results:
                time.sleep(PAUSE_S)
            self._prune()

    def close(self) -> None:
        """End what is under way, and wait for it."""
        self._cancellation.cancel()
        for lane in self._lanes:
            lane.converter.close()
        for lane in self._lanes:
            if lane.steps is not None:
                lane.steps.close()
        for lane in self._lanes:
            lane.converter.join(5.0)
        for work in [*self._ready, *(lane.work for lane in self._lanes if lane.work)]:
            work.release()
        self._ready.clear()
        self._lanes.clear()
        self._transport.close()
        self._courtesy.close()

    def _prepare(self, waiting: Iterator[Source]) -> Iterator[SessionResult]:
        """Have as many sessions fetched ahead as there are lanes; what needs nothing is done."""
        while len(self._ready) < self._jobs:
            self._tick()
            source = next(waiting, None) or self._next_taken()
            if source is None:
                return
            if source.problem:
                yield SessionResult(source.name, Status.FAILED, error=source.problem)
                continue
            lock = self._output.claim(source.session_id)
            if lock is None:
                self._taken.append(source)
                continue
            work = SessionWork(
                source, lock, self._output, self._options, self._cache, self._transport
            )
            if work.is_all_there:
                result = work.already()
                work.release()
                yield result
            else:
                self._ready.append(work)

    def _next_taken(self) -> Source | None:
        """A session that another run was at work on, now and then."""
        now = time.monotonic()
        if not self._taken or now - self._asked_at_s < ASK_INTERVAL_S:
            return None
        self._asked_at_s = now
        return self._taken.popleft()

    def _fill_lanes(self) -> None:
        if len(self._lanes) < self._jobs and len(self._ready) > sum(
            lane.work is None for lane in self._lanes
        ):
            limit = sessions.cache_limit_bytes()
            self._lanes.append(_Lane(Converter(self._cache, limit, self._processes, self._threads)))
        for lane in self._lanes:
            if lane.work is None and self._ready:
                lane.work = self._ready.popleft()
                lane.steps = lane.work.steps(lane.converter, self._tell)

    def _step(self, lane: _Lane) -> SessionResult | None:
        """Move a lane's session on. Returns its result when it is done."""
        if lane.work is None or lane.steps is None:
            return None
        name = lane.work.source.session_id
        try:
            next(lane.steps)
        except StopIteration as end:
            result: SessionResult = end.value
        except CsmError as error:
            result = SessionResult(name, Status.FAILED, error=str(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"{self._output.folder} can't be written ({reason})"
            if is_full(error):
                self._is_full = True
                text = str(self._disk_full())
            result = SessionResult(name, Status.FAILED, error=text)
        except Exception as error:  # noqa: BLE001 - the other sessions go on
            log_failure(error)
            text = f"Something unforeseen happened ({type(error).__name__}): see the log"
            result = SessionResult(name, Status.FAILED, error=text)
        else:
            return None
        lane.work.release()
        lane.work = lane.steps = None
        return result

    def _stop_if_full(self, result: SessionResult) -> None:
        """Raise DiskFull if that is why the session was not imported: no other could be."""
        if result.is_whole:
            return
        # A quota can be used up where the disk has room.
        if self._is_full or any(map(is_scarce, (self._output.folder, self._cache.root))):
            raise self._disk_full()

    def _disk_full(self) -> DiskFull:
        place = self._cache.root if is_scarce(self._cache.root) else self._output.folder
        return DiskFull(
            f"There is no room left on the disk of {place}: make some, and start this again; what "
            "is done stays"
        )

    def _prune(self) -> None:
        now = time.monotonic()
        if now - self._pruned_at_s > PRUNE_INTERVAL_S:
            for work in [*self._ready, *(lane.work for lane in self._lanes if lane.work)]:
                with contextlib.suppress(OSError):  # nothing of it is there yet
                    os.utime(self._cache.root / work.source.session_id)
            self._cache.prune(sessions.cache_limit_bytes(), PRUNE_UNUSED_S)
            self._pruned_at_s = time.monotonic()


def _courtesy(shared: Path) -> tuple[Courtesy, Links, str]:
    try:
        service = sessions.find_service()
    except ConfigurationError:  # every session will say so
        return Courtesy(), Links.SECURE, ""
    courtesy = Courtesy({urlsplit(service.api_url).netloc: SERVICE_AT_ONCE}, shared=shared)
    return courtesy, service.links, service.own_host
