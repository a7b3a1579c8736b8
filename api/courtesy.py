# SPDX-License-Identifier: GPL-3.0-or-later
"""How the requests of many sessions share a host without being a burden to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

from .cancellation import Cancellation
from .errors import RateLimited

SERVICE_AT_ONCE = 4
FILES_AT_ONCE = 16
_LOOK_INTERVAL_S = 0.2
"""How long a wait for a turn may go on after it was cancelled."""


class Courtesy:
    """The turns at every host that a batch has to do with. Use from any thread.

    `at_once` has the limits of single hosts (and ports), as in a URL; others get `otherwise`.
    """

    def __init__(
        self, at_once: Mapping[str, int] | None = None, otherwise: int = FILES_AT_ONCE
    ) -> None:
        self._at_once = dict(at_once or {})
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._turns: dict[str, Turns] = {}

    def turns(self, host: str) -> Turns:
        """The turns at this host."""
        with self._lock:
            if host not in self._turns:
                self._turns[host] = Turns(self._at_once.get(host, self._otherwise))
            return self._turns[host]

    def pause_s(self) -> float:
        """How long no request will go out to some host, because that asked for it."""
        with self._lock:
            return max((each.pause_s for each in self._turns.values()), default=0.0)


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
            while not self._may_begin(cancellation, longest_pause_s) or not self._free:
                self._changed.wait(min(self.pause_s or _LOOK_INTERVAL_S, _LOOK_INTERVAL_S))
            self._free -= 1
        try:
            yield time.monotonic() - start_s
        finally:
            with self._changed:
                self._free += 1
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
