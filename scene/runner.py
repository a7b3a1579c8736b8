# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs while the artist works: a timer moves it on, the panel shows how far it is.

A timer, not a modal operator: Blender's autosave waits for as long as a modal operator runs.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from typing import Any, Protocol

import bpy

from ..api.errors import CsmError
from ..api.texts import Text
from . import failures
from .background.converter import join_closed
from .stepping import STEP_BUDGET_S
from .texts import told

SHUTDOWN_S = 1.5
SIDE_BY_SIDE = 4
"""How many may be busy at once; what comes after waits for its turn. Each has a background Blender
of its own."""


class Work(Protocol):
    """Something that takes a while: an import, a report. Main thread only."""

    is_over: bool

    @property
    def stage(self) -> str:
        """What it is doing, in a few words."""

    @property
    def detail(self) -> str:
        """What else there is to know about the stage; often nothing."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for something that can take long, and others may go first."""

    @property
    def waits_for_artist(self) -> bool:
        """Whether all is ready, and `place` has it placed."""

    @property
    def fraction(self) -> float:
        """How far it is, from 0 to 1."""

    @property
    def pause_s(self) -> float:
        """How long there will hardly be any news."""

    def start(self) -> None:
        """Begin. Raises CsmError."""

    def step(self) -> None:
        """Move on a little."""

    def place(self) -> None:
        """Put what is ready in its place now."""

    def cancel(self) -> None:
        """End it, as if it had never begun."""

    def close(self, timeout_s: float) -> None:
        """Cancel, and wait for threads and processes to end."""

    def conclusion(self, key: str) -> tuple[str, bool]:
        """What to tell the artist at its end, and whether something went wrong."""

    def note_failures(self) -> None:
        """At its end: have the panel show what may be had another time."""


_running: dict[str, Work] = {}
_queued: set[str] = set()
"""The keys of those that are not begun."""
_last = ""
"""The key of the one that was moved on last."""


def start(key: str, running: Work) -> None:
    """Begin `running`, now or when it is its turn, and keep it moving. `key` names it to the user.
    Main thread.

    Raises CsmError when one of the same key is running.
    """
    if key in _running:
        raise CsmError(Text("{} is under way already", key))
    if _is_busy():
        _queued.add(key)
    else:
        running.start()
    _running[key] = running
    _show()
    if not bpy.app.timers.is_registered(_pump):
        bpy.app.timers.register(_pump, first_interval=0.0)


def is_running(key: str = "") -> bool:
    """Whether what has this key, or anything, is under way."""
    return key in _running if key else bool(_running)


def waiting_for_artist() -> list[str]:
    """The keys of what is ready to be placed and waits for the artist."""
    return [key for key, each in _running.items() if each.waits_for_artist]


def place(key: str = "") -> int:
    """Have what has this key, or all that is ready, placed now. Returns how many. Main thread."""
    ready = [each for each in waiting_for_artist() if key in ("", each)]
    for each in ready:
        _running[each].place()
    return len(ready)


def cancel(key: str = "") -> int:
    """Cancel what has this key, or all. Returns how many. Main thread."""
    cancelled = [key] if key in _running else ([] if key else list(_running))
    for each in cancelled:
        _running[each].cancel()
        _finish(each)
    _show()
    return len(cancelled)


def stop_all() -> None:
    """Cancel everything and wait, not for long, until threads and processes have ended."""
    running = list(_running.values())
    _running.clear()
    _queued.clear()
    for each in running:
        each.cancel()
    end = time.monotonic() + SHUTDOWN_S
    for each in running:
        each.close(max(end - time.monotonic(), 0.0))
    if bpy.app.timers.is_registered(_pump):
        bpy.app.timers.unregister(_pump)
    if running:
        _show()


def show_message(text: str, *, is_error: bool) -> None:
    """Make the panel say this."""
    state = bpy.context.window_manager.csm_retopo
    state.message = told(text)
    state.message_is_error = is_error
    redraw()


def _is_busy() -> bool:
    """Whether another one would have to wait for its turn."""
    busy = [key for key, each in _running.items() if key not in _queued and not each.is_idle]
    return len(busy) >= SIDE_BY_SIDE


def _pump() -> float | None:
    global _last
    end = time.monotonic() + STEP_BUDGET_S
    keys = list(_running)
    first = keys.index(_last) + 1 if _last in keys else 0
    for key in keys[first:] + keys[:first]:
        if key in _queued and (_is_busy() or not _begin(key)):
            continue
        _last = key
        _running[key].step()
        if _running[key].is_over:
            _finish(key)
        if time.monotonic() >= end:
            break
    _show()
    if not _running:
        return None
    return min((_running[key].pause_s for key in _running if key not in _queued), default=0.0)


def _begin(key: str) -> bool:
    """Begin what waited for its turn. Returns whether that went well."""
    _queued.remove(key)
    try:
        _running[key].start()
    except CsmError as error:
        del _running[key]
        show_message(error.text, is_error=True)
        return False
    return True


def _finish(key: str) -> None:
    _queued.discard(key)
    work = _running.pop(key)
    text, is_error = work.conclusion(key)
    work.note_failures()
    show_message(text, is_error=is_error)


def _show() -> None:
    """Write what runs to where the panel reads it."""
    rows = bpy.context.window_manager.csm_retopo.jobs
    changed = len(rows) != len(_running)
    while len(rows) > len(_running):
        rows.remove(len(rows) - 1)
    while len(rows) < len(_running):
        rows.add()
    for row, (key, running) in zip(rows, _running.items(), strict=True):
        stage = told("Waiting for its turn" if key in _queued else running.stage)
        detail = told(running.detail)
        shown = (key, stage, detail[:1].upper() + detail[1:], running.waits_for_artist)
        progress = round(running.fraction, 3)
        if (row.key, row.stage, row.detail, row.is_ready, round(row.progress, 3)) != (
            *shown,
            progress,
        ):
            row.key, row.stage, row.detail, row.is_ready = shown
            row.progress = progress
            changed = True
    if changed:
        redraw()


def redraw() -> None:
    """Have the sidebars of the 3D views drawn again. Main thread.

    Not the views themselves: what takes a moment with a heavy scene has not changed.
    """
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


@bpy.app.handlers.persistent
def _on_load(*_: object) -> None:
    """Before another file is loaded: what is on its way belongs to the one that is left."""
    stop_all()
    failures.clear()


@bpy.app.handlers.persistent
def _on_undo(*_: object) -> None:
    """What was told last may be undone now."""
    state = bpy.context.window_manager.csm_retopo
    if state.message and not state.message_is_error:
        state.message = ""


_HANDLERS: tuple[tuple[Any, Callable[..., None]], ...] = (
    (bpy.app.handlers.load_pre, _on_load),
    (bpy.app.handlers.undo_post, _on_undo),
)


def register() -> None:
    """Start to look out for file loads, undo and the end."""
    for handlers, handler in _HANDLERS:
        handlers.append(handler)
    # Blender disables add-ons as it quits, but as a Python module it does so after Python has
    # frozen all threads, and not at all while one of them holds what is to go: then it crashes.
    atexit.register(_end)


def unregister() -> None:
    """Stop everything."""
    atexit.unregister(_end)
    _end()
    for handlers, handler in _HANDLERS:
        handlers.remove(handler)


def _end() -> None:
    stop_all()
    join_closed(SHUTDOWN_S)
