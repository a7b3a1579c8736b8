# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch's output folder as an asset library: browsed, searched, dragged out of."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import bpy
from driver import Gui, Place, Steps, contents

SESSIONS = 3
VARIATIONS = 5
"""Of each session."""
BAR = Place("FILE_BROWSER", "HEADER")

_ROW_STEP_PX = 12
"""Less than the height of a catalog in the tree."""


def browse(gui: Gui) -> Steps:
    """Register the folder, look at its catalogs, search by tag, drag an asset into the scene."""
    yield from gui.to_viewport()
    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the default objects stay")
    before = contents()
    yield from _register(gui)

    _open_browser()
    yield 0.5
    params = _browser().spaces.active.params
    params.asset_library_reference = _library().name
    yield from _listed(gui, SESSIONS * VARIATIONS)
    yield from gui.look("library", after_s=1.0)
    told = [each.metadata.description for each in _selected()]
    gui.check(all("triangles, " in each for each in told), f"no numbers: {told}")

    root, *_, last = gui.arguments["catalogs"]
    yield from _choose(gui, lambda: params.catalog_id == root)
    yield from _open(gui)
    yield from _choose(gui, lambda: params.catalog_id == last)
    yield from _listed(gui, VARIATIONS)
    yield from _show_details(gui)
    yield from gui.look("catalog", after_s=0.5)
    yield from _show_details(gui)

    yield from _choose(gui, lambda: _count() == SESSIONS * VARIATIONS)
    yield from _listed(gui, SESSIONS * VARIATIONS)
    yield from gui.hover("filter_search", BAR)
    yield from gui.nudge(0, -8)  # off the edge of the area, which can be dragged
    yield 0.1
    yield from gui.press()
    yield 0.2
    yield from gui.type("precision")
    yield from gui.key("RET")
    yield from _listed(gui, VARIATIONS)
    yield from gui.look("found-by-tag", after_s=0.5)
    gui.check(all("Precision" in each.metadata.tags for each in _selected()), "other assets")

    yield from _drag(gui)
    yield from gui.wait(lambda: bpy.context.scene.objects[:], "nothing was dropped")
    yield from gui.to_viewport()
    yield from gui.key("NUMPAD_PERIOD")
    (dropped,) = bpy.context.scene.objects
    yield from gui.look("dropped", after_s=0.5)
    after = contents()
    came = {kind: after[kind] for kind in ("meshes", "curves", "images", "collections")}
    expected = {kind: before[kind] for kind in came}
    expected["meshes"] = sorted([*before["meshes"], dropped.data.name])
    gui.equal(came, expected, "what came along")
    gui.check(dropped.library is None and dropped.asset_data is None, "it is an asset still")
    gui.equal(json.loads(dropped.csm_retopo.metrics)["faces"], len(dropped.data.polygons), "faces")

    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True)
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the drop can't be undone")
    yield from gui.look("undone")


def _register(gui: Gui) -> Steps:
    """Add the folder in the preferences."""
    sections = [
        each.identifier
        for each in bpy.types.Preferences.bl_rna.properties["active_section"].enum_items
    ]
    section = next(each for each in ("ASSETS", "FILE_PATHS") if each in sections)
    bpy.ops.screen.userpref_show(section=section)
    yield from gui.wait(lambda: len(_windows()) == 2, "no preferences opened")
    yield 0.6
    # As its button does once a folder is chosen; which button that is differs by version.
    bpy.ops.preferences.asset_library_add(directory=gui.arguments["folder"])
    gui.redraw()
    yield 0.5
    gui.picture("registered")
    with bpy.context.temp_override(window=_windows()[-1]):
        bpy.ops.wm.window_close()
    yield from gui.wait(lambda: len(_windows()) == 1, "the preferences did not close")


def _open_browser() -> None:
    """Split the viewport, and make the lower part an Asset Browser."""
    window = _windows()[0]
    area = next(each for each in window.screen.areas if each.type == "VIEW_3D")
    region = next(each for each in area.regions if each.type == "WINDOW")
    before = window.screen.areas[:]
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.5)
    (made,) = [each for each in window.screen.areas if each not in before]
    min(area, made, key=lambda each: each.y).ui_type = "ASSETS"


def _choose(gui: Gui, is_chosen: Callable[[], bool]) -> Steps:
    """Click down the tree of catalogs until the right one is chosen."""
    region = _browser_region("TOOLS")
    for y in range(region.y + region.height - 40, region.y, -_ROW_STEP_PX):
        yield from gui.move(region.x + 0.5 * region.width, y, _windows()[0])
        yield from gui.press()
        yield 0.1
        if is_chosen():
            return
    raise AssertionError("The catalog is not there")


def _open(gui: Gui) -> Steps:
    """Click the triangle of the catalog that the mouse is on."""
    yield from gui.nudge(_browser_region("TOOLS").x + 40 - gui._mouse[0], -4)
    yield from gui.press()
    yield 0.2


def _show_details(gui: Gui) -> Steps:
    """Have the sidebar tell about the asset that is active, or no more."""
    region = _browser_region("WINDOW")
    yield from gui.move(region.x + region.width // 2, region.y + 30, _windows()[0])
    yield from gui.key("N", text="n")
    yield 0.2


def _listed(gui: Gui, count: int) -> Steps:
    """Wait until so many assets are shown."""
    yield from gui.wait(lambda: _count() == count, f"not {count} assets")


def _count() -> int:
    """How many assets are shown. They are selected then."""
    area, region = _browser(), _browser_region("WINDOW")
    with bpy.context.temp_override(window=_windows()[0], area=area, region=region):
        bpy.ops.file.select_all(action="SELECT")
    return len(_selected())


def _selected() -> list[Any]:
    area, region = _browser(), _browser_region("WINDOW")
    with bpy.context.temp_override(window=_windows()[0], area=area, region=region):
        return list(bpy.context.selected_assets or ())


def _drag(gui: Gui) -> Steps:
    """Drag the first asset shown into the viewport."""
    items = _browser_region("WINDOW")
    view = next(each for each in _windows()[0].screen.areas if each.type == "VIEW_3D")
    start = (items.x + 50, items.y + items.height - 50)
    end = (view.x + view.width // 2, view.y + view.height // 3)
    yield from gui.drag(start, end, _windows()[0], "dragging")


def _browser() -> bpy.types.Area:
    return next(each for each in _windows()[0].screen.areas if each.type == "FILE_BROWSER")


def _browser_region(kind: str) -> bpy.types.Region:
    return next(each for each in _browser().regions if each.type == kind)


def _windows() -> list[bpy.types.Window]:
    return bpy.context.window_manager.windows[:]


def _library() -> Any:
    return bpy.context.preferences.filepaths.asset_libraries[-1]
