# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on is disabled in the preferences, with the mouse."""

from __future__ import annotations

import sys
import threading

import bpy
from driver import MODULE, PREFERENCES, Gui, Steps, children, has_timers


def disabled(gui: Gui) -> Steps:
    import lifecycle

    yield from gui.open_tab()
    yield from _start(gui)
    bpy.context.preferences.active_section = "ADDONS"
    yield from gui.to_viewport()
    yield from gui.key("COMMA", ctrl=True)
    yield from gui.wait(lambda: len(bpy.context.window_manager.windows) == 2, "no preferences")
    yield 0.8
    gui.picture("addons")
    yield from gui.hover(f'addon_disable(module="{MODULE}"', PREFERENCES, column=36)
    gui.check(gui.state.jobs, "the import was over before the add-on was disabled")
    yield from gui.press()
    yield from gui.wait(
        lambda: MODULE not in bpy.context.preferences.addons, "the add-on can't be disabled"
    )
    yield from gui.wait(
        lambda: not children() and threading.active_count() == 1, "threads or processes go on"
    )
    yield from gui.look("disabled")
    lifecycle.check_nothing_left()
    gui.check(MODULE not in sys.modules or not has_timers(), "a timer is still registered")


def _start(gui: Gui) -> Steps:
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from gui.wait(
        lambda: gui.state.jobs and gui.state.jobs[0].progress > 0.1, "no import started"
    )
