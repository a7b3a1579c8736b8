# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in: the sample, an ID, a pasted URL, a folder; cancelling, waiting, failing."""

from __future__ import annotations

import bpy
from driver import (
    FILES_BAR,
    FILES_PATH,
    RIGHT,
    Gui,
    Steps,
    attention,
    children,
    contents,
    has_timers,
)

MESHES = 6
"""In the sample: the source and five variations."""


def sample(gui: Gui) -> Steps:
    before = contents()
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    yield from gui.wait(lambda: gui.state.jobs[0].progress > 0.1, "there was no progress")
    gui.picture("progress")
    yield from gui.finished()
    gui.check(not gui.state.message_is_error, gui.state.message)
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    gui.equal(attention(), {key: before[key] for key in attention()}, "mode, selection, active")
    after = contents()
    gui.equal(len(after["objects"]) - len(before["objects"]), 2 * MESHES + 5, "objects placed")
    yield from gui.look("placed")

    yield from _rows(gui)

    yield from gui.to_viewport()
    for _ in range(3):
        yield from gui.key("Z", ctrl=True)
        yield 0.1
    yield from gui.look("undone")
    gui.equal(contents(), before, "the file after the undo")
    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True, shift=True)
    yield 0.1
    gui.equal(contents(), after, "the file after the redo")
    yield from gui.look("redone")
    gui.check(not has_timers(), "a timer is still registered")
    gui.equal(children(), [], "processes that still run")


def _rows(gui: Gui) -> Steps:
    """Click a row of the list, then the magnifier in the session's header."""
    view = next(area for area in bpy.context.screen.areas if area.type == "VIEW_3D")
    region_3d = view.spaces.active.region_3d
    distance = region_3d.view_distance
    yield from gui.click('object_name="Suzanne, sculpted retopo 3"')
    yield 0.1
    gui.equal(attention()["selected"], ["Suzanne, sculpted retopo 3"], "selected by its row")
    gui.equal(attention()["active"], "Suzanne, sculpted retopo 3", "active by its row")
    gui.check(region_3d.view_distance < distance, "the mesh was not framed")
    yield from gui.look("one-framed")
    yield from gui.click('select(session_id="', column=RIGHT)
    yield 0.1
    gui.equal(len(attention()["selected"]), MESHES, "selected by the magnifier")
    yield from gui.look("all-framed")


def by_id(gui: Gui) -> Steps:
    session_id = gui.arguments["session_id"]
    yield from gui.open_tab()
    yield from gui.fill_in("csm_retopo.session_id", session_id)
    gui.equal(gui.state.session_id, session_id, "the ID that was typed")
    yield from gui.look("id-typed")
    before = contents()
    yield from gui.click("import_session(")
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    yield from gui.wait(lambda: gui.state.jobs[0].progress > 0.15, "there was no progress")
    gui.picture("started")
    first = gui.state.jobs[0].progress
    yield from gui.wait(lambda: gui.state.jobs[0].progress > first + 0.1, "progress stands still")
    yield from gui.hover("csm_retopo.cancel", column=RIGHT)
    gui.picture("half-way")
    yield from gui.press()
    yield from gui.wait(lambda: not gui.state.jobs, "cancel did not end it")
    gui.check("Cancelled" in gui.state.message, gui.state.message)
    yield from gui.wait(lambda: not has_timers(), "a timer is still registered")
    yield from gui.wait(lambda: not children(), "a process is still running")
    gui.equal(contents(), before, "the file after the cancel")
    yield from gui.look("cancelled")

    yield from gui.click("csm_retopo.session_id")
    yield from gui.key("A", ctrl=True)
    bpy.context.window_manager.clipboard = gui.arguments["url"]
    yield from gui.key("V", ctrl=True)
    gui.picture("url-pasted")
    yield from gui.key("RET")
    yield 0.1
    gui.equal(gui.state.session_id, session_id, "what is left of the URL")
    yield from gui.look("url-reduced")
    yield from gui.click("import_session(")
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from gui.look("imported")


def in_edit_mode_then_from_folder(gui: Gui) -> Steps:
    yield from gui.open_tab()
    yield from gui.to_viewport()
    yield from gui.key("TAB")
    yield from gui.wait(lambda: bpy.context.object.mode == "EDIT", "no Edit Mode with Tab")
    at = attention()
    objects = contents()["objects"]
    yield from gui.click("import_sample")
    yield from gui.wait(
        lambda: gui.state.jobs and "Object Mode" in gui.state.jobs[0].stage,
        "it does not wait for Object Mode",
    )
    yield from gui.look("waiting", after_s=1.0)
    gui.equal(attention(), at, "mode, selection, active while it waits")
    gui.equal(contents()["objects"], objects, "objects while it waits")
    yield from gui.to_viewport()
    yield from gui.key("TAB")
    yield from gui.finished()
    gui.equal(attention(), {**at, "mode": "OBJECT"}, "mode, selection, active at the end")
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from gui.look("placed")

    placed = contents()
    yield from gui.click("import_folder")
    yield from gui.wait(lambda: len(bpy.context.window_manager.windows) == 2, "no file browser")
    yield 0.8
    gui.picture("browser")
    folder = gui.arguments["folder"]
    yield from gui.fill_in("directory", folder, FILES_PATH)
    yield 0.5
    # One Enter completes the path in newer versions, another one ends the typing.
    if bpy.app.version >= (5, 0):
        yield from gui.key("RET")
    browser = bpy.context.window_manager.windows[-1].screen.areas[0].spaces.active
    yield from gui.wait(
        lambda: browser.params.directory.decode().rstrip("/") == folder, "not the folder typed"
    )
    yield 0.5
    gui.picture("folder-typed")
    yield from gui.click("file.execute", FILES_BAR, column=0.9)
    yield from gui.wait(lambda: gui.state.jobs, "nothing started")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    gui.equal(contents(), placed, "the file after a second import")
    yield from gui.look("imported-again")


def errors(gui: Gui) -> Steps:
    yield from gui.open_tab()
    yield from gui.fill_in("csm_retopo.session_id", "my retopology")
    yield from gui.click("import_session(")
    yield from _error(gui, "no-id", "SESSION_")
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["unknown_id"])
    yield from gui.click("import_session(")
    yield from _error(gui, "unknown-id", gui.arguments["unknown_id"])
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from _error(gui, "one-web-page", "Imported 4 of 5")
    gui.check("retopo 2" in gui.state.message, gui.state.message)
    before = contents()
    yield from gui.click("import_session(session_id")  # the row's Retry
    yield from gui.wait(
        lambda: not gui.state.jobs and "Imported 5 variations" in gui.state.message,
        "a second try did not bring it",
    )
    gui.equal(len(gui.state.failures), 0, "failed rows that are left")
    yield from gui.look("retried")
    retried = contents()
    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True)
    yield from gui.look("retry-undone")
    gui.equal(contents(), before, "the file after the undo")
    yield from gui.key("Z", ctrl=True, shift=True)
    yield from gui.look("retry-redone")
    gui.equal(contents(), retried, "the file after the redo")


def _error(gui: Gui, name: str, words: str) -> Steps:
    yield from gui.wait(
        lambda: not gui.state.jobs and words in gui.state.message, f"no message with {words}"
    )
    gui.check(gui.state.message_is_error, "the message is not shown as an error")
    yield from gui.look(name)
