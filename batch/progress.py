# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a batch is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import shutil
import time
from collections import deque
from typing import TextIO

BAR_INTERVAL_S = 0.1
LINE_INTERVAL_S = 15.0
_REMEMBERED_S = 120.0
"""The rate is that of so long a time."""
_REMEMBERED = 512
_BAR_WIDTH = 24


class Progress:
    """Written to `stream`, below the lines that `say` writes there.

    Only sessions that had to be worked on count for the rate: others take no time.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._done = self._failed = self._skipped = 0
        self._start_s = self._shown_s = time.monotonic()
        self._ends: deque[float] = deque([self._start_s], _REMEMBERED)
        self._is_shown = False

    def count(self, *, failed: bool, skipped: bool) -> None:
        """Note that a session is done: not imported whole, or without any work."""
        self._done += 1
        self._failed += failed
        self._skipped += skipped
        if not skipped:
            self._ends.append(time.monotonic())
        self.refresh()

    def say(self, line: str) -> None:
        """Write a line of its own."""
        self._clear()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def refresh(self, note: str = "") -> None:
        """Show how far it is, unless that was done a moment ago. `note` says what it waits for."""
        if self._total < 2:
            return
        now = time.monotonic()
        if now - self._shown_s < (BAR_INTERVAL_S if self._is_terminal else LINE_INTERVAL_S):
            return
        self._shown_s = now
        text = ", ".join(each for each in (self.text(now), note) if each)
        if not self._is_terminal:
            self.say(text)
            return
        columns = shutil.get_terminal_size().columns
        filled = round(_BAR_WIDTH * self._done / self._total)
        bar = "\u2588" * filled + "\u2591" * (_BAR_WIDTH - filled)
        try:
            bar.encode(self._stream.encoding or "ascii")
        except UnicodeEncodeError:
            bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        self._clear()
        self._stream.write(f"{bar} {text}"[: columns - 1])
        self._stream.flush()
        self._is_shown = True

    def end(self) -> None:
        """Leave nothing but lines."""
        self._clear()
        self._stream.flush()

    def text(self, now: float) -> str:
        """How far it is, in words."""
        parts = [f"{self._done:,} of {self._total:,} sessions"]
        rate = self._rate(now)
        if rate:
            parts.append(f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute")
            if left := self._total - self._done:
                parts.append(f"about {_duration(left / rate)} left")
        if self._failed:
            parts.append(f"{self._failed:,} not whole")
        return ", ".join(parts)

    def _rate(self, now: float) -> float:
        """Sessions a second of late; 0 while nothing is known."""
        while len(self._ends) > 2 and now - self._ends[0] > _REMEMBERED_S:
            self._ends.popleft()
        took_s = now - self._ends[0]
        return (len(self._ends) - 1) / took_s if took_s > 0 else 0.0

    def _clear(self) -> None:
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._is_shown = False


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes:.0f} min"
    hours, minutes = divmod(round(minutes), 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} days"
