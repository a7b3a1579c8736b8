# SPDX-License-Identifier: GPL-3.0-or-later
"""Another retopology of the same mesh: the dialog refused, then confirmed, and the result."""

from __future__ import annotations

import bpy
from driver import Gui, Steps, attention, children, contents, has_timers

from bl_ext.user_default.csm_retopo.api.jobs import DownloadJob

_BUTTON = "csm_retopo.request_another"
_SWIFT = (-122, -4)
_FROM_SWIFT_TO_QUADS = (-44, -25)
_FROM_QUADS_TO_REQUEST = (112, -78)


def another(gui: Gui) -> Steps:
    # Every second instead of every half minute.
    DownloadJob.__init__.__kwdefaults__["poll_interval_s"] = 1.0
    yield from gui.open_tab()
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    yield from gui.finished()
    before, message = contents(), gui.state.message
    gui.check("Imported 5" in message, message)

    yield from gui.hover(_BUTTON, column=0.9)
    yield 1.5
    gui.picture("tooltip")
    yield from gui.press()
    yield 0.6
    gui.picture("dialog")
    yield from gui.key("ESC")
    yield 0.6
    gui.equal((len(gui.state.jobs), gui.state.message), (0, message), "after Escape")
    gui.equal(contents(), before, "the file after the refusal")

    # Other settings than those proposed, by clicks: where they are from where the mouse was.
    yield from gui.click(_BUTTON, column=0.9)
    yield 0.6
    yield from gui.nudge(*_SWIFT)
    yield from gui.press()
    yield 0.1
    yield from gui.nudge(*_FROM_SWIFT_TO_QUADS)
    yield from gui.press()
    yield 0.1
    gui.picture("chosen")
    yield from gui.nudge(*_FROM_QUADS_TO_REQUEST)
    yield from gui.press()
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    gui.equal(gui.state.jobs[0].key, "Request Another (swift, triangles)", "the row's name")
    yield from gui.wait(lambda: "Requested SESSION_" in gui.state.message, "no ID is told")
    yield from gui.wait(lambda: "Running" in gui.state.jobs[0].stage, "it is not waited for")
    at = attention()
    yield from gui.look("waiting")
    yield from gui.finished()
    gui.check("Imported 5 variations of SESSION_177" in gui.state.message, gui.state.message)
    gui.equal(attention(), at, "mode, selection, active")
    first, second = (each for each in bpy.data.collections if each.csm_retopo.session_id)
    gui.equal(first.csm_retopo.input_asset_id, second.csm_retopo.input_asset_id, "the input meshes")
    yield from gui.look("placed")

    # To do again what was done last does not mean to pay again.
    yield from gui.to_viewport()
    yield from gui.key("R", shift=True, text="R")
    yield 1.0
    gui.picture("repeated")
    gui.equal(len(gui.state.jobs), 0, "requests after Shift R")
    yield from gui.wait(lambda: not has_timers(), "a timer is still registered", 2)
    gui.equal(children(), [], "processes that still run")
