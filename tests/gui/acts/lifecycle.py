# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to Blender while an import is under way, and what becomes of the import.

The events and what is expected are those of tests/blender/stages.py.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

import bpy
import stages
from driver import Gui, Steps, Until

_WISH_TIMEOUT_S = 90.0
_AUTOSAVE_TIMEOUT_S = 120.0


def events(gui: Gui) -> Steps:
    """All that Blender survives, at one stage."""
    by_keys = {"undo": _undo, "redo": _redo, "new file": _new_file}
    for event, session_id in zip(stages.EVENTS, gui.arguments["ids"], strict=True):
        gui.facts[event] = round(time.monotonic())
        gui.save(f"Blender ended at: {event}")
        happen = functools.partial(by_keys[event], gui) if event in by_keys else None
        yield from _live(stages.play(_cell(gui, session_id), event, happen))
    yield from _live(stages.sample_works(_cell(gui, "")))
    yield from gui.open_tab()
    yield from gui.look(f"after-{gui.arguments['stage']}")


def quit_blender(gui: Gui) -> Steps:
    """Quit with Ctrl+Q; at a stage, or where nothing is under way."""
    yield from gui.open_tab()
    if gui.arguments["stage"]:
        yield from _live(stages.reach(_cell(gui, gui.arguments["id"])))
    yield from gui.look(gui.arguments["stage"] or "idle")
    yield from gui.to_viewport()
    gui.facts["quit_at"] = time.time()
    gui.save()
    yield from gui.key("Q", ctrl=True)
    yield _WISH_TIMEOUT_S
    raise AssertionError("Ctrl+Q did not quit")


def autosave(gui: Gui) -> Steps:
    """Blender saves by itself while an import waits."""
    bpy.context.preferences.filepaths.auto_save_time = 1
    saved_before = _autosaved()
    yield from gui.open_tab()
    yield from _live(stages.reach(_cell(gui, gui.arguments["id"])))
    # Blender 5.2 saves by itself only what the artist has changed.
    yield from gui.to_viewport()
    yield from gui.key("A")
    yield Until(lambda: bpy.data.is_dirty, "A changes nothing")
    yield Until(lambda: _autosaved() > saved_before, "there was no autosave", _AUTOSAVE_TIMEOUT_S)
    gui.check(gui.state.jobs, "the import does not wait any more")
    yield from gui.look("saved")


def _cell(gui: Gui, session_id: str) -> stages.Cell:
    return stages.Cell(
        gui.arguments["stage"],
        session_id,
        Path(gui.arguments["folder"]),
        lambda each: bpy.ops.csm_retopo.import_session("INVOKE_DEFAULT", session_id=each),
        lambda: bpy.ops.csm_retopo.import_sample("INVOKE_DEFAULT"),
    )


def _live(wishes: stages.Wishes) -> Steps:
    for each in wishes:
        yield Until(*each, _WISH_TIMEOUT_S) if isinstance(each, tuple) else each


def _undo(gui: Gui, _cell: stages.Cell) -> stages.Wishes:
    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True)
    yield lambda: "Other" not in bpy.data.scenes, "Ctrl+Z undoes nothing"


def _redo(gui: Gui, _cell: stages.Cell) -> stages.Wishes:
    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True, shift=True)
    yield lambda: "Other" in bpy.data.scenes, "Ctrl+Shift+Z redoes nothing"


def _new_file(gui: Gui, _cell: stages.Cell) -> stages.Wishes:
    yield from gui.to_viewport()
    yield from gui.key("N", ctrl=True)
    yield 0.3
    yield from gui.key("G", text="g")
    yield lambda: "Other" not in bpy.data.scenes, "Ctrl+N makes no new file"


def _autosaved() -> int:
    return len(list(Path(bpy.app.tempdir).parent.glob("*_autosave.blend")))
