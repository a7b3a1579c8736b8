# SPDX-License-Identifier: GPL-3.0-or-later
"""How long Blender stands still during an import: by the extension, and by the obvious script."""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import bpy
from driver import MODULE, Gui, Steps

import lifecycle
from acts.drawing import PANELS

_BEAT_S = 0.01
_IMPORT_TIMEOUT_S = 240.0
_SETTLE_S = 2.0


class _Heartbeat:
    """A timer that should be called a hundred times a second, and how late it was."""

    def __init__(self) -> None:
        self.gaps_s: list[float] = []
        self._last_s = time.perf_counter()
        # Blender knows a timer by the object, and a method is a new one whenever it is named.
        self._timer = self._beat
        bpy.app.timers.register(self._timer, first_interval=0.0)

    def stop(self) -> float:
        """End it. Returns the longest gap, which may be the one that goes on."""
        self._beat()
        bpy.app.timers.unregister(self._timer)
        return max(self.gaps_s)

    def _beat(self) -> float:
        now_s = time.perf_counter()
        self.gaps_s.append(now_s - self._last_s)
        self._last_s = now_s
        return _BEAT_S


def by_extension(gui: Gui) -> Steps:
    """An import from the panel: every call of the add-on is a step, be it the click, a timer of its
    own, or the drawing of a panel.
    """
    contenders = _contenders(gui)
    yield from gui.open_tab()
    gui.facts["timers_before"] = len(list(lifecycle.find_timers()))
    parts = contenders._watch_parts()
    collections_s = contenders._watch_collections()
    steps: list[dict[str, Any]] = []

    def step(name: str, function: Callable[[], Any]) -> Any:
        parts.clear()
        collections_s.clear()
        start = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - start
        during = {each: round(value * 1e3, 1) for each, value in parts.items()}
        steps.append({"s": seconds, "name": name, "parts_ms": during, "gc_s": sum(collections_s)})
        return result

    _watch(gui, step)
    session_id = gui.arguments["session_id"]
    yield _SETTLE_S
    heartbeat = _Heartbeat()
    start = time.perf_counter()
    step(
        "click", lambda: bpy.ops.csm_retopo.import_session("INVOKE_DEFAULT", session_id=session_id)
    )
    yield from gui.wait(lambda: not gui.state.jobs, "the import does not end", _IMPORT_TIMEOUT_S)
    gui.facts["total_s"] = time.perf_counter() - start
    yield _SETTLE_S
    gui.facts["gap_s"] = heartbeat.stop()
    gui.check(not gui.state.message_is_error, gui.state.message)
    longest = sorted(steps, key=lambda each: -each["s"])[:3]
    gui.facts.update(faces=contenders._faces(), step_s=longest[0]["s"], longest=longest)
    gui.facts["over_20_ms"] = sum(each["s"] > 0.02 for each in steps)
    gui.facts["timers_after"] = len(list(lifecycle.find_timers()))
    yield from gui.look("imported")


def by_script(gui: Gui) -> Steps:
    """The same session by the script that everybody would write first."""
    contenders = _contenders(gui)
    yield from gui.open_tab()
    yield _SETTLE_S
    heartbeat = _Heartbeat()
    keys = ("api_url", "key", "session_id", "folder")
    done = contenders.script(**{each: gui.arguments[each] for each in keys})
    yield _SETTLE_S
    gui.facts.update(done, gap_s=heartbeat.stop())


def _watch(gui: Gui, step: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Have all that Blender calls of the add-on during an import called by `step`."""

    def watch_timer(owner: Any, name: str, label: Callable[[], str]) -> None:
        timer = getattr(owner, name)
        # What it is called as tells whose timer it is.
        setattr(owner, name, functools.wraps(timer)(lambda: step(label(), timer)))

    def watch_panel(panel: Any) -> None:
        draw = panel.draw

        # Blender counts the arguments of what it is to call.
        def watched(self: Any, context: bpy.types.Context) -> None:
            step(panel.__name__, lambda: draw(self, context))

        panel.draw = watched

    watch_timer(_module("scene.runner"), "_pump", lambda: _stages(gui))
    watch_timer(_module("scene.recents"), "_tend", lambda: "the recent sessions")
    watch_timer(_module("ui.thumbnails"), "_free", lambda: "thumbnails")
    for path in PANELS.values():
        module, _, panel = path.rpartition(".")
        watch_panel(getattr(_module(module), panel))


def _module(name: str) -> Any:
    return importlib.import_module(f"{MODULE}.{name}")


def _contenders(gui: Gui) -> Any:
    sys.path.append(gui.arguments["bench"])
    return importlib.import_module("contenders")


def _stages(gui: Gui) -> str:
    return ", ".join(each.stage for each in gui.state.jobs)
