# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that are still running on the service, and a result that comes while one is busy."""

from __future__ import annotations

import bpy
from driver import MODULE, RIGHT, Gui, Steps, attention, children, contents, has_timers

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
    yield from gui.wait(lambda: not has_timers(), "a timer is still registered", 2)
    gui.equal(contents(), before, "the file after stopping")


def elsewhere(gui: Gui) -> Steps:
    """It is ready while the artist sculpts, in another window that shows another scene; another one
    is placed at once while they paint there.
    """
    _ask_every(3.0)
    yield from gui.open_tab()
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from gui.wait(
        lambda: gui.state.jobs and "Running" in gui.state.jobs[0].stage, "it doesn't wait"
    )
    bust = _open_another_window()
    yield 0.8
    yield from gui.open_tab()
    yield from _enter(gui, bust, "SCULPT")
    at = _everywhere()
    _ask_every(0.05)
    yield from gui.wait(lambda: gui.state.jobs[0].is_ready, "it is never ready", 40)
    yield 0.5
    gui.picture("ready-while-sculpting")
    gui.equal(_everywhere(), at, "what both windows show while it is ready")
    yield from gui.click("csm_retopo.place")
    yield from gui.finished()
    gui.equal(_everywhere(), at, "what both windows show after placing")
    gui.equal(_placed(), {"Scene": 5}, "variations in each scene")
    gui.picture("placed-while-sculpting")

    bpy.context.preferences.addons[MODULE].preferences.when_ready = "AT_ONCE"
    yield from _enter(gui, bust, "TEXTURE_PAINT")
    at = _everywhere()
    yield from gui.click("import_sample", column=0.66)
    yield from gui.wait(lambda: _placed().get("Studio"), "nothing was placed")
    yield from gui.finished()
    gui.equal(_everywhere(), at, "what both windows show after placing at once")
    gui.equal(_placed(), {"Scene": 5, "Studio": 5}, "variations in each scene")
    gui.picture("placed-while-painting")


def _open_another_window() -> bpy.types.Object:
    """Show another scene in a window of its own, with a mesh to work on."""
    bpy.ops.wm.window_new()
    window = bpy.context.window_manager.windows[-1]
    window.scene = bpy.data.scenes.new("Studio")
    mesh = bpy.data.objects["Cube"].data.copy()
    bust = bpy.data.objects.new("Bust", mesh)
    window.scene.collection.objects.link(bust)
    window.view_layer.objects.active = bust
    bust.select_set(True, view_layer=window.view_layer)
    return bust


def _enter(gui: Gui, bust: bpy.types.Object, mode: str) -> Steps:
    window = bpy.context.window_manager.windows[-1]
    with bpy.context.temp_override(window=window):
        bpy.ops.object.mode_set(mode=mode)
    yield from gui.wait(lambda: bust.mode == mode, f"no {mode}")
    yield 0.3


def _everywhere() -> list[tuple[object, ...]]:
    """Of each window, what the artist is at."""
    found: list[tuple[object, ...]] = []
    for window in bpy.context.window_manager.windows:
        layer = window.view_layer
        active = layer.objects.active
        selected = sorted(each.name for each in layer.objects if each.select_get(view_layer=layer))
        mode = active.mode if active else None
        found.append((window.scene.name, active.name if active else None, mode, selected))
    return found


def _placed() -> dict[str, int]:
    """By scene, how many variations are in it."""
    counts = {
        scene.name: sum(each.csm_retopo.role == "VARIATION" for each in scene.objects)
        for scene in bpy.data.scenes
    }
    return {name: count for name, count in counts.items() if count}


def in_the_middle(gui: Gui) -> Steps:
    """It is ready while something is being moved; and what the artist did last can't be adjusted
    any more once it is placed, since that would undo it.
    """
    yield from gui.open_tab()
    yield from gui.to_viewport()
    yield from gui.key("G", text="g")
    yield from gui.nudge(120, 0)
    yield from gui.wait(_is_moving, "G moves nothing")
    # The pointer belongs to the tool: a button can't be clicked meanwhile.
    bpy.ops.csm_retopo.import_sample("INVOKE_DEFAULT")
    yield from gui.wait(lambda: gui.state.jobs and gui.state.jobs[0].is_ready, "it is never ready")
    gui.equal(gui.state.jobs[0].stage, "Ready: waiting for a tool to end", "the stage")
    gui.check(_is_moving(), "the tool was ended")
    yield 0.5
    gui.picture("moving")
    yield from gui.key("ESC")
    yield from gui.finished()
    gui.equal(_variations(), 5, "variations after the tool")
    yield from gui.to_viewport()
    for _ in range(2):
        yield from gui.key("Z", ctrl=True)
        yield 0.1
        yield from gui.key("Z", ctrl=True, shift=True)
        yield 0.1
    gui.equal(tuple(bpy.data.objects["Cube"].location), (0.0, 0.0, 0.0), "where the cube is")
    gui.equal(_variations(), 5, "variations after undo and redo")

    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the objects stay")
    yield from gui.key("F3")
    yield 0.1
    yield from gui.type("uv sphere")
    yield 0.1
    yield from gui.key("RET")
    yield from gui.wait(lambda: bpy.context.scene.objects[:], "no sphere")
    yield 0.3
    gui.picture("adjustable")
    yield from gui.click("import_sample", column=0.66)
    yield from gui.finished()
    yield from gui.look("no-longer-adjustable", after_s=0.5)
    yield from gui.to_viewport()
    yield from gui.key("F9")
    yield 0.3
    gui.picture("nothing-to-adjust")
    yield from gui.key("ESC")
    yield 0.1
    yield from gui.key("R", shift=True, text="R")
    yield 0.3
    gui.equal(_variations(), 5, "variations in the end")
    gui.equal(bpy.context.active_operator.bl_label, "Import Retopology Session", "the last one")


def _is_moving() -> bool:
    tools = [
        each for window in bpy.context.window_manager.windows for each in window.modal_operators
    ]
    return any(each.bl_idname == "TRANSFORM_OT_translate" for each in tools)
