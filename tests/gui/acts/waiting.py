# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that are still running on the service, and a result that comes while one is busy."""

from __future__ import annotations

import bpy
from driver import RIGHT, Gui, Steps, attention, children, contents, is_pumping

from bl_ext.user_default.csm_retopo.api.jobs import DownloadJob
from bl_ext.user_default.csm_retopo.scene import runner


def _variations() -> int:
    return sum(each.csm_retopo.role == "VARIATION" for each in bpy.context.scene.objects)


def _ask_every(seconds: float) -> None:
    """Make the add-on ask for running sessions every so many seconds instead of every 30."""
    DownloadJob.__init__.__kwdefaults__["poll_interval_s"] = seconds
    for running in runner._running.values():
        running._job.poll_interval_s = seconds


def early_then_all(gui: Gui) -> Steps:
    """One variation is ready before the others; meanwhile the artist goes on."""
    _ask_every(3.0)
    yield from gui.open_tab()
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    at = attention()
    yield from gui.click("import_session(")
    yield from gui.wait(_variations, "nothing came early")
    yield from gui.wait(
        lambda: gui.state.jobs and "ready so far: 1" in gui.state.jobs[0].detail, "it doesn't wait"
    )
    gui.equal(_variations(), 1, "variations that came early")
    gui.equal(children(), [], "processes that run while it waits")
    gui.equal(attention(), at, "mode, selection, active while it waits")
    yield from gui.look("one-early")

    # The artist edits a mesh in the meantime, and the result waits for a word.
    yield from gui.to_viewport()
    yield from gui.key("TAB")
    yield from gui.wait(lambda: bpy.context.object.mode == "EDIT", "no Edit Mode with Tab")
    _ask_every(0.05)
    yield from gui.wait(lambda: gui.state.jobs[0].is_ready, "it is never ready", 40)
    gui.equal(_variations(), 1, "variations while it is ready")
    yield from gui.look("ready")
    at = attention()
    yield from gui.click("csm_retopo.place")
    yield from gui.finished()
    gui.equal(_variations(), 5, "variations in the end")
    gui.equal(attention(), at, "mode, selection, active after placing")
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from gui.look("placed-in-edit-mode")

    # Undo knows nothing of what was placed meanwhile, and must not stumble over it.
    yield from gui.to_viewport()
    yield from gui.key("A")
    yield from _back_and_forth(gui, 2)
    gui.equal(bpy.context.object.mode, "EDIT", "the mode after undo and redo")
    gui.equal(_variations(), 5, "variations after undo in Edit Mode")
    yield from gui.key("TAB")
    yield from gui.wait(lambda: bpy.context.object.mode == "OBJECT", "no Object Mode with Tab")
    gui.equal(_variations(), 5, "variations after Edit Mode")
    yield from _back_and_forth(gui, 6)
    gui.equal(_variations(), 5, "variations after undo and redo")
    for each in bpy.context.scene.objects:
        if each.csm_retopo.role == "VARIATION":
            gui.check(each.data.polygons, f"{each.name} is empty")
    yield from gui.look("undone-and-redone")


def _back_and_forth(gui: Gui, steps: int) -> Steps:
    """Undo so many steps, and redo them."""
    for _ in range(steps):
        yield from gui.key("Z", ctrl=True)
        yield 0.1
    for _ in range(steps):
        yield from gui.key("Z", ctrl=True, shift=True)
        yield 0.1


def stopped(gui: Gui) -> Steps:
    """Two are waited for side by side; each has a row with a button that stops it."""
    yield from gui.open_tab()
    before = contents()
    for number, session_id in enumerate(gui.arguments["session_ids"]):
        yield from gui.fill_in("csm_retopo.session_id", session_id)
        yield from gui.click("import_session(")
        yield from gui.wait(
            lambda wanted=number: (
                len(gui.state.jobs) > wanted and "Running" in gui.state.jobs[wanted].stage
            ),
            "it doesn't wait",
        )
    yield 1.5
    gui.picture("two-waiting")
    for session_id in gui.arguments["session_ids"]:
        yield from gui.click("csm_retopo.cancel", column=RIGHT)
        yield from gui.wait(lambda wanted=session_id: wanted in gui.state.message, "not stopped")
        gui.check("Stopped waiting for" in gui.state.message, gui.state.message)
    yield from gui.look("stopped")
    yield from gui.wait(lambda: not is_pumping(), "a timer is still registered", 2)
    gui.equal(contents(), before, "the file after stopping")
