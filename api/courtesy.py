# SPDX-License-Identifier: GPL-3.0-or-later
"""How the requests of many sessions share a host without being a burden to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from .cancellation import Cancellation
from .errors import RateLimited
from .locking import Lock

SERVICE_AT_ONCE = 4
FILES_AT_ONCE = 16
PAUSE_SUFFIX = ".pause"
"""Of a file that tells other processes of a pause, which ends when the file was last changed: that
is in the future as long as the pause lasts.
"""
_LOOK_INTERVAL_S = 0.2
"""How long a wait for a turn may go on after it was cancelled."""


class Courtesy:
    """The turns at every host that a batch has to do with. Use from any thread.

    `at_once` has the limits of single hosts (and ports), as in a URL; others get `otherwise`. With
    `shared`, a folder that is there, the turns at these single hosts are shared with all processes
    that name the same folder; `close` it then.
    """

    def __init__(
        self,
        at_once: Mapping[str, int] | None = None,
        otherwise: int = FILES_AT_ONCE,
        shared: Path | None = None,
    ) -> None:
        self._at_once = dict(at_once or {})
        self._otherwise = otherwise
        self._shared = shared
        self._lock = threading.Lock()
        self._turns: dict[str, Turns] = {}

    def turns(self, host: str) -> Turns:
        """The turns at this host."""
        with self._lock:
            if host not in self._turns:
                limit = self._at_once.get(host)
                if self._shared is None or limit is None:
                    self._turns[host] = Turns(limit or self._otherwise)
                else:
                    name = hashlib.sha256(host.encode()).hexdigest()[:16]
                    self._turns[host] = SharedTurns(limit, self._shared / name)
            return self._turns[host]

    def pause_s(self) -> float:
        """How long no request will go out to some host, because that asked for it."""
        with self._lock:
            return max((each.pause_s for each in self._turns.values()), default=0.0)

    def close(self) -> None:
        """Remove what tells other processes of pauses, once these are over."""
        if self._shared is not None:
            for path in self._shared.glob(f"*{PAUSE_SUFFIX}"):
                remove_if_over(path)


class Turns:
    """At one host: at most `at_once` requests at a time, and none while it wants a pause."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._changed = threading.Condition()
        self._pause_until_s = 0.0

    @property
    def pause_s(self) -> float:
        """How long the pause still lasts."""
        return max(self._pause_until_s - time.monotonic(), 0.0)

    def hold_off(self, seconds: float) -> None:
        """Let no request begin for so long: the host has asked one of us for it."""
        with self._changed:
            self._pause_until_s = max(self._pause_until_s, time.monotonic() + seconds)

    @contextlib.contextmanager
    def one(self, cancellation: Cancellation, longest_pause_s: float) -> Iterator[float]:
        """A turn for the length of the block, waited for: yields how many seconds that took.

        Raises Cancelled, and RateLimited when the host wants a longer pause than that.
        """
        start_s = time.monotonic()
        with self._changed:
            while not (self._may_begin(cancellation, longest_pause_s) and self._take()):
                self._changed.wait(min(self.pause_s or _LOOK_INTERVAL_S, self._look_interval_s()))
        try:
            yield time.monotonic() - start_s
        finally:
            with self._changed:
                self._give_back()
                self._changed.notify()

    def keep_pause(self, cancellation: Cancellation, longest_pause_s: float) -> None:
        """Wait for the end of a pause. Raises as `one`."""
        with self._changed:
            while not self._may_begin(cancellation, longest_pause_s):
                self._changed.wait(min(self.pause_s, _LOOK_INTERVAL_S))

    def _may_begin(self, cancellation: Cancellation, longest_pause_s: float) -> bool:
        """Whether there is no pause."""
        cancellation.check()
        if self.pause_s > longest_pause_s:
            raise RateLimited
        return not self.pause_s

    def _take(self) -> bool:
        """Whether there was a turn, which is taken now."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def _give_back(self) -> None:
        self._free += 1

    def _look_interval_s(self) -> float:
        return _LOOK_INTERVAL_S


class SharedTurns(Turns):
    """Turns for all processes that use the files whose paths begin with `place`, on one machine or
    on several with shared storage, whose clocks agree.

    A turn is a lock, which ends with its process. Where there are no locks, or no files can be
    made, each process takes turns by itself.
    """

    def __init__(self, at_once: int, place: Path) -> None:
        super().__init__(at_once)
        self._files = [place.with_name(f"{place.name}-{turn}.lock") for turn in range(at_once)]
        self._pause_file = place.with_name(f"{place.name}{PAUSE_SUFFIX}")
        self._held: list[Lock | None] = []

    def hold_off(self, seconds: float) -> None:
        """Let no request begin for so long, in any of the processes."""
        super().hold_off(seconds)
        with contextlib.suppress(OSError):
            os.close(os.open(self._pause_file, os.O_CREAT | os.O_WRONLY, 0o666))
            end_s = max(time.time() + seconds, self._pause_file.stat().st_mtime)
            os.utime(self._pause_file, (end_s, end_s))

    def _may_begin(self, cancellation: Cancellation, longest_pause_s: float) -> bool:
        """Whether there is no pause that any of the processes was asked for."""
        with contextlib.suppress(OSError):
            left_s = self._pause_file.stat().st_mtime - time.time()
            self._pause_until_s = max(self._pause_until_s, time.monotonic() + left_s)
        return super()._may_begin(cancellation, longest_pause_s)

    def _take(self) -> bool:
        if not super()._take():
            return False
        try:
            lock = next((lock for path in self._files if (lock := Lock.take(path))), None)
        except OSError:
            self._held.append(None)
            return True
        if lock is None:
            super()._give_back()
            return False
        self._held.append(lock)
        return True

    def _give_back(self) -> None:
        if lock := self._held.pop():  # whichever: one is as good as another
            lock.release()
        super()._give_back()

    def _look_interval_s(self) -> float:
        # Nobody tells when another process gives its turn back.
        return random.uniform(0.25, 0.5) * _LOOK_INTERVAL_S


def remove_if_over(path: Path) -> None:
    """Remove the file that tells of a pause, unless that still lasts."""
    with contextlib.suppress(OSError):
        if path.stat().st_mtime <= time.time():
            path.unlink()
