# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs that are given to operators: what Blender keeps and shows of that."""

from __future__ import annotations

import bpy
from driver import MODULE, Gui, Steps

from acts.first_look import type_key


def overheard(gui: Gui) -> Steps:
    """By a button, in the sidebar's field, and in the dialog that asks for it."""
    url = gui.arguments["url"]
    yield from gui.to_viewport()
    for operator in ("import_session", "import_cached"):
        getattr(bpy.ops.csm_retopo, operator)("INVOKE_DEFAULT", session_id=url)
        yield from gui.finished()
    gui.state.session_id = url
    bpy.ops.csm_retopo.import_session("INVOKE_DEFAULT")
    yield from gui.finished()
    gui.state.session_id = ""
    bpy.ops.csm_retopo.import_session("INVOKE_DEFAULT")
    yield 0.5
    bpy.context.window_manager.clipboard = url
    yield from gui.key("V", ctrl=True)
    gui.picture("dialog")
    yield from gui.key("RET")
    yield 0.2
    yield from gui.key("RET")
    yield 0.5
    yield from gui.finished()
    gui.equal(gui.state.message.count("Imported 5 variations"), 1, "imported by the dialog")

    yield from gui.look("imported")
    yield from gui.open_tab()
    bpy.context.window_manager.clipboard = url
    yield from gui.click("csm_retopo.session_id")
    yield from gui.key("A", ctrl=True)
    yield from gui.key("V", ctrl=True)
    yield from gui.key("RET")
    yield 0.2
    bpy.ops.preferences.addon_show(module=MODULE)
    yield from type_key(gui, "key-0123")

    area = bpy.context.window.screen.areas[0]
    area.type = "INFO"
    with bpy.context.temp_override(area=area, region=area.regions[-1]):
        bpy.ops.info.select_all(action="SELECT")
        bpy.ops.info.report_copy()
    log = bpy.context.window_manager.clipboard
    kept = [str(dict(each.properties)) for each in bpy.context.window_manager.operators]
    gui.check("SESSION_" in log + str(kept), "nothing is in the Info log")
    for text in (log, *kept):
        gui.check("key-0123" not in text, f"overheard: {text}")
        gui.check("CANARY" not in text and "://" not in text, f"overheard: {text}")
