# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions in the cache, for scripts and for the sidebar.

The sidebar asks at every redraw and gets at once what is known. What is missing, or not true any
more, is read on a thread; a timer takes the answer, and is there only for as long as that takes.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import bpy

from ..api import cache as files
from ..api.cancellation import Cancellation
from ..api.errors import Cancelled, CsmError
from ..api.recent import Page, RecentSession, RecentSessions
from . import runner, sessions

PAGE_SESSIONS = 8
"""How many the sidebar shows at a time."""

_POLL_S = 0.02
_SHUTDOWN_S = 1.0


@dataclass(frozen=True)
class _Wish:
    """What the sidebar wants to show, and the state of the cache that it is to be true for."""

    page: int
    text: str
    changes: int


class _Reader:
    """Reads a page on a thread of its own."""

    def __init__(self, known: RecentSessions, wish: _Wish) -> None:
        self.wish = wish
        self.page: Page | None = None
        self._known = known
        self._cancellation = Cancellation()
        self._thread = threading.Thread(target=self._read, name="csm-retopo-recents", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def cancel(self) -> None:
        self._cancellation.cancel()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _read(self) -> None:
        first = self.wish.page * PAGE_SESSIONS
        with contextlib.suppress(Cancelled):
            try:
                self.page = self._known.page(
                    first, PAGE_SESSIONS, self.wish.text, self._cancellation
                )
            except OSError as error:
                self.page = Page(problem=f"The cache can't be read ({type(error).__name__})")


_known: RecentSessions | None = None
_reader: _Reader | None = None
_wish: _Wish | None = None
_page: Page | None = None


def find(limit: int = 100, text: str = "") -> tuple[RecentSession, ...]:
    """The sessions in the cache that can be opened without the service, the latest used first, at
    most `limit` of them. With `text`, those that have all of its words in ID, model or date.

    Reads the disk: for scripts. Raises CacheError if there is none, OSError if it can't be read.
    """
    page = RecentSessions(sessions.open_cache()).page(0, limit, text)
    if page.problem:
        raise OSError(page.problem)
    return page.sessions


def shown(number: int, text: str) -> Page | None:
    """The page of this number, from 0, as far as it is known, for the sidebar: None if nothing is
    known yet. What is missing is read, and 3D views are drawn again when it is there. Takes no
    time. Main thread.
    """
    global _wish
    changes = files.changes()
    if _wish is not None and runner.is_running():
        changes = _wish.changes  # it changes all the time, and is listed when that is over
    wish = _Wish(number, text.strip(), changes)
    if wish != _wish:
        _wish = wish
        if not bpy.app.timers.is_registered(_tend):
            # What runs belongs to no file, so loading one must not take the timer away.
            bpy.app.timers.register(_tend, first_interval=0.0, persistent=True)
    return _page


def has_more() -> bool:
    """Whether there are pages after the one that is shown, or it is not known yet."""
    return _page is None or _page.has_more


def _tend() -> float | None:
    """Have read what is wanted, and take what was read."""
    global _page, _reader
    if _reader is None:
        _reader = _start()
        return None if _reader is None else _POLL_S
    if not _reader.is_over:
        if _reader.wish != _wish:
            _reader.cancel()
        return _POLL_S
    reader, _reader = _reader, None
    if reader.wish != _wish:
        return 0.0
    _page = reader.page
    _settle(reader.wish)
    runner.redraw()
    return None


def _start() -> _Reader | None:
    """Begin to read what is wanted."""
    global _known, _page
    assert _wish is not None
    try:
        if _known is None:
            _known = RecentSessions(sessions.open_cache())
    except CsmError as error:
        _page = Page(problem=str(error))
        runner.redraw()
        return None
    return _Reader(_known, _wish)


def _settle(wish: _Wish) -> None:
    """Go back to the last page there is, if the one that was asked for is beyond it."""
    global _wish
    number = _page.first // PAGE_SESSIONS if _page is not None else wish.page
    if number != wish.page:
        _wish = _Wish(number, wish.text, wish.changes)
        bpy.context.window_manager.csm_retopo.recent_page = number


def stop() -> None:
    """Stop reading, and forget what was read."""
    global _known, _page, _reader, _wish
    if bpy.app.timers.is_registered(_tend):
        bpy.app.timers.unregister(_tend)
    if _reader is not None:
        _reader.cancel()
        _reader.join(_SHUTDOWN_S)
    _known = _page = _reader = _wish = None
