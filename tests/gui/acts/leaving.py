# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends an import from outside: another file, the add-on disabled, Blender quit."""

from __future__ import annotations

import sys
import time

import bpy
from driver import MODULE, PREFERENCES, Gui, Steps, children, contents, is_pumping


def new_file_then_quit(gui: Gui) -> Steps:
    yield from gui.open_tab()
    yield from _start(gui)
    yield from gui.to_viewport()
    yield from gui.key("N", ctrl=True)
    yield 0.5
    gui.picture("new-file-menu")
    gui.check(gui.state.jobs, "the import was over before the new file")
    yield from gui.key("G", text="g")
    yield from gui.wait(lambda: not is_pumping(), "the import outlives the file")
    fresh = contents()
    yield 1.5
    gui.equal(contents(), fresh, "the new file")
    gui.equal(fresh["objects"], ["Camera", "Cube", "Light"], "the new file")
    gui.equal(len(gui.state.jobs), 0, "progress rows")
    gui.equal(children(), [], "processes that still run")
    yield from gui.open_tab()
    yield from gui.look("new-file")

    yield from _start(gui)
    yield from gui.look("before-quit")
    yield from gui.to_viewport()
    gui.check(gui.state.jobs, "the import was over before Blender was quit")
    gui.facts["quit_at"] = time.time()
    gui.save()
    yield from gui.key("Q", ctrl=True)
    yield 10.0
    raise AssertionError("Ctrl+Q did not quit")


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
    yield from gui.look("disabled", after_s=1.0)
    lifecycle.check_nothing_left()
    gui.equal(children(), [], "processes that still run")
    gui.check(MODULE not in sys.modules or not is_pumping(), "a timer is still registered")


def _start(gui: Gui) -> Steps:
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from gui.wait(
        lambda: gui.state.jobs and gui.state.jobs[0].progress > 0.1, "no import started"
    )
