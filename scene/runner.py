# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs while the artist works: a timer moves it on, the panel shows how far it is.

A timer, not a modal operator: Blender's autosave waits for as long as a modal operator runs.
"""

from __future__ import annotations

import time
from typing import Protocol

import bpy

from ..api.errors import CsmError

SHUTDOWN_S = 1.5


class Work(Protocol):
    """Something that takes a while: an import, a report. Main thread only."""

    is_over: bool

    @property
    def stage(self) -> str:
        """What it is doing, in a few words."""

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

    def cancel(self) -> None:
        """End it, as if it had never begun."""

    def close(self, timeout_s: float) -> None:
        """Cancel, and wait for threads and processes to end."""

    def conclusion(self, key: str) -> tuple[str, bool]:
        """What to tell the artist at its end, and whether something went wrong."""


_running: dict[str, Work] = {}


def start(key: str, running: Work) -> None:
    """Begin `running` and keep it moving. `key` names it to the user. Main thread.

    Raises CsmError when one of the same key is running.
    """
    if key in _running:
        raise CsmError(f"{key} is under way already")
    running.start()
    _running[key] = running
    _show()
    if not bpy.app.timers.is_registered(_pump):
        bpy.app.timers.register(_pump, first_interval=0.0)


def is_running(key: str = "") -> bool:
    """Whether what has this key, or anything, is under way."""
    return key in _running if key else bool(_running)


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
    state.message = text
    state.message_is_error = is_error
    _redraw()


def _pump() -> float | None:
    for key, running in list(_running.items()):
        running.step()
        if running.is_over:
            _finish(key)
    _show()
    return min((each.pause_s for each in _running.values()), default=None)


def _finish(key: str) -> None:
    text, is_error = _running.pop(key).conclusion(key)
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
        shown = (key, running.stage, round(running.fraction, 3))
        if (row.key, row.stage, round(row.progress, 3)) != shown:
            row.key, row.stage, row.progress = shown
            changed = True
    if changed:
        _redraw()


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


@bpy.app.handlers.persistent
def _on_load(*_: object) -> None:
    """Before another file is loaded: what is on its way belongs to the one that is left."""
    stop_all()


def register() -> None:
    """Start to look out for file loads."""
    bpy.app.handlers.load_pre.append(_on_load)


def unregister() -> None:
    """Stop everything."""
    stop_all()
    bpy.app.handlers.load_pre.remove(_on_load)
