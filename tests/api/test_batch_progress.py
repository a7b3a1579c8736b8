# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a batch is, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from csm_retopo.batch import progress as batch_progress
from csm_retopo.batch.progress import Progress


class Stream(io.StringIO):
    encoding = "utf-8"

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(batch_progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_now_and_then(clock: list[float]) -> None:
    stream = Stream(False)
    progress = Progress(5_000, stream)
    for number in range(200):
        clock[0] += 0.5
        progress.count(failed=number % 10 == 0, skipped=False)
    progress.end()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[-1] == ("180 of 5,000 sessions, 2.0 a second, about 40 min left, 18 not whole")
    assert "\r" not in stream.getvalue()


def test_a_bar_on_a_terminal(clock: list[float]) -> None:
    stream = Stream(True)
    progress = Progress(4, stream)
    for number in range(3):
        clock[0] += 10.0
        progress.say(f"session {number}")
        progress.count(failed=False, skipped=False)
    progress.refresh()
    progress.end()
    text = stream.getvalue()
    assert "\u2588" * 18 + "\u2591" * 6 + " 3 of 4 sessions, 6.0 a minute, about 10 s left" in text
    # Lines stand alone, and the bar is gone at the end.
    assert [each for each in text.replace("\r\x1b[K", "\n").splitlines() if "session " in each]
    assert text.endswith("\r\x1b[K")


def test_what_took_no_time_says_nothing_about_the_rate(clock: list[float]) -> None:
    progress = Progress(1_000, Stream(False))
    for _ in range(900):
        progress.count(failed=False, skipped=True)
    assert progress.text(clock[0]) == "900 of 1,000 sessions"
    clock[0] += 10.0
    progress.count(failed=False, skipped=False)
    assert progress.text(clock[0]) == "901 of 1,000 sessions, 6.0 a minute, about 16 min left"


def test_what_it_waits_for(clock: list[float]) -> None:
    stream = Stream(False)
    progress = Progress(10, stream)
    clock[0] += 20.0
    progress.refresh("the service asks for a pause of 60 s")
    assert stream.getvalue() == "0 of 10 sessions, the service asks for a pause of 60 s\n"


def test_one_session_has_no_progress(clock: list[float]) -> None:
    stream = Stream(True)
    progress = Progress(1, stream)
    clock[0] += 20.0
    progress.count(failed=False, skipped=False)
    assert stream.getvalue() == ""
