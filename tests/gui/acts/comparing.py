# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing: the table's columns, order, rows, budget and export; colors, legend and wires."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
from driver import FILES_BAR, FILES_OPTIONS, MODULE, Gui, Steps, attention

from acts import drawing

KEYS = {
    "FACE_TYPES": "F",
    "POLES": "P",
    "QUAD_SHAPE": "Q",
    "DEVIATION": "D",
    "COVERAGE": "C",
    "NONE": "N",
}
"""The underlined letters of the menu."""
NAME = "Suzanne, sculpted retopo"
_FORMAT = (150, 17)


def table(gui: Gui) -> Steps:
    yield from _import(gui)
    settings = _settings()
    yield from gui.look("table")

    yield from gui.click("sort_table(column='triangle_count'")
    yield 0.1
    gui.equal(settings.sort_by, "triangle_count", "sorted by")
    counts = _shown_counts()
    gui.equal(counts, sorted(counts), "after a click, the triangle counts")
    yield from gui.look("sorted")
    yield from gui.click("sort_table(column='triangle_count'")
    gui.equal(_shown_counts(), sorted(counts, reverse=True), "after another")
    yield from gui.click("sort_table(column='triangle_count'")
    gui.equal(settings.sort_by, "", "sorted by, after the third")
    yield from gui.click("sort_table(column='quad_ratio'")
    gui.check(settings.sort_descending, "the largest share of quads does not come first")

    yield from _rows(gui)

    middle = sorted(counts)[2]
    yield from gui.fill_in("csm_retopo.triangle_budget", str(middle))
    gui.equal(settings.triangle_budget, middle, "the budget that was typed")
    gui.equal([line.is_over for line in _lines()].count(True), 2, "over the budget")
    yield from gui.hover('metric="triangle_count"')
    yield 1.5
    gui.picture("budget-tooltip")
    yield from gui.hover("sort_table(column='quad_ratio'")
    yield 1.5
    gui.picture("heading-tooltip")

    yield from gui.to_viewport()
    # An undo makes what is held of the scene worthless: it is asked for again each time.
    while _settings().triangle_budget:
        yield from gui.key("Z", ctrl=True)
        yield 0.1
    gui.equal(_settings().sort_by, "quad_ratio", "sorted by, the budget undone")
    yield from gui.look("budget-undone")


def columns_and_export(gui: Gui) -> Steps:
    yield from _import(gui)
    yield from _columns(gui)
    yield from _export(gui)


def _rows(gui: Gui) -> Steps:
    """Each cell of a row selects and frames."""
    view = next(area for area in bpy.context.screen.areas if area.type == "VIEW_3D")
    region_3d = view.spaces.active.region_3d
    distance = region_3d.view_distance
    yield from gui.click(f'object_name="{NAME} 3"')
    yield 0.1
    gui.equal(attention()["selected"], [f"{NAME} 3"], "selected by its name")
    gui.check(region_3d.view_distance < distance, "the mesh was not framed")
    yield from gui.look("row-selected")
    yield from gui.click(f'object_name="{NAME} 1", metric="quad_ratio"', column=0.45)
    yield 0.1
    gui.equal(attention()["active"], f"{NAME} 1", "active by a number")
    gui.equal(attention()["selected"], [f"{NAME} 1"], "selected by a number")
    obj = bpy.data.objects[f"{NAME} 1"]
    obj.name = "Renamed"
    yield 0.1
    gui.check("Renamed" in [line.object_name for line in _lines()], "the table keeps a name")
    obj.name = f"{NAME} 1"
    yield 0.1


def _columns(gui: Gui) -> Steps:
    """Choose a column in the popover. Blender tells nothing of its button and of what is in it, so
    it is found beside another one, and seen by what changes.
    """
    settings = _settings()
    before = set(settings.columns.split())
    yield from gui.hover("csm_retopo.export_table", column=0.5)
    yield from gui.nudge(-90, 0)
    yield from gui.press()
    yield 0.1
    gui.picture("columns")
    yield from gui.nudge(0, 100)
    for _ in range(10):
        yield from gui.nudge(0, 12)
        yield 0.1
        yield from gui.press()
        yield 0.1
        if set(settings.columns.split()) != before:
            break
    gui.picture("column-chosen")
    gui.equal(len(before ^ set(settings.columns.split())), 1, "columns that changed")
    yield from gui.key("ESC")
    yield 0.1
    settings.columns = " ".join(sorted({*before, "poles_3", "poles_5"}))
    gui.redraw()
    yield from gui.look("six-columns")
    settings.columns = " ".join(sorted(before))


def _export(gui: Gui) -> Steps:
    path = Path(gui.arguments["folder"], "table.json")
    yield from gui.click("csm_retopo.export_table", column=0.5)
    yield from gui.wait(lambda: len(bpy.context.window_manager.windows) == 2, "no file browser")
    yield 0.8
    window = bpy.context.window_manager.windows[-1]
    browser = window.screen.areas[0].spaces.active
    browser.params.directory = str(path.parent).encode()
    browser.params.filename = "table.csv"
    yield 0.5
    yield from gui.press_at(FILES_OPTIONS, *_FORMAT)
    gui.picture("formats")
    yield from gui.key("J", text="j")
    yield from gui.wait(lambda: browser.params.filename == path.name, "the name's ending stays")
    gui.picture("browser")
    yield from gui.click("file.execute", FILES_BAR, column=0.9)
    yield from gui.wait(path.exists, "nothing was exported")
    yield 0.1
    gui.equal(len(json.loads(path.read_text(encoding="utf-8"))), 5, "exported variations")


def colors(gui: Gui) -> Steps:
    yield from _import(gui)
    settings = _settings()
    plain = _looks()
    yield from gui.click(f'object_name="{NAME} 2"')
    yield 0.1
    view = next(area for area in bpy.context.screen.areas if area.type == "VIEW_3D")
    for kind in list(KEYS)[:-1]:
        yield from _choose(gui, kind)
        gui.check(_are_colored(), f"no colors for {kind}")
        yield from gui.look(kind.lower().replace("_", "-"))
        _check_legend(gui, kind)
    yield from gui.click("csm_retopo.wireframe", column=0.88)
    yield 0.1
    gui.check(all(wires for _, wires in _looks().values()), "no wires")
    yield from gui.look("wireframe")
    view.spaces.active.shading.color_type = "OBJECT"
    yield from gui.look("hint")
    yield from gui.click("shading.color_type")
    yield 0.1
    gui.picture("view-colors")
    yield from gui.key("M", text="m")
    yield from gui.wait(
        lambda: view.spaces.active.shading.color_type == "MATERIAL", "the view's color stays"
    )
    yield from gui.fill_in("csm_retopo.color_limit", "0.5")
    gui.equal(round(settings.color_limit, 3), 0.5, "the limit that was typed")
    yield from gui.look("limit")
    yield from _choose(gui, "NONE")
    yield from gui.click("csm_retopo.wireframe", column=0.88)
    yield 0.1
    gui.equal(_looks(), plain, "all off")
    gui.equal(len(bpy.data.node_groups), 0, "node groups, all off")
    yield from gui.look("off")

    # Backwards: wires, colors, limit, wires, coverage.
    yield from gui.to_viewport()
    for what, holds in (
        ("wires are back", lambda: _settings().wireframe and _looks()[f"{NAME} 1"][1]),
        ("colors are back", lambda: _settings().colors == "COVERAGE" and _are_colored()),
        ("the automatic limit is back", lambda: _settings().color_limit == 0),
        ("wires are off", lambda: not _settings().wireframe and not _looks()[f"{NAME} 1"][1]),
        ("the deviation is back", lambda: _settings().colors == "DEVIATION"),
    ):
        yield from gui.key("Z", ctrl=True)
        yield 0.1
        gui.check(holds(), f"undo: not so that {what}")
    yield from gui.look("undone")
    _check_legend(gui, "DEVIATION")


def narrow(gui: Gui) -> Steps:
    """The panel and the legend where there is little room, on a light theme and scaled up."""
    yield from _import(gui)
    settings = _settings()
    settings.colors = "DEVIATION"
    for number in range(3):
        drawing.make_session(f"SESSION_1763900000_{number:07}")
    yield from gui.look("sessions")
    bpy.context.preferences.view.ui_scale = 1.5
    yield from gui.look("scaled")
    bpy.context.preferences.view.ui_scale = 1.0
    presets = Path(bpy.utils.system_resource("SCRIPTS"), "presets", "interface_theme")
    light = next(presets.glob("*ight.xml"))
    bpy.ops.script.execute_preset(
        filepath=str(light), menu_idname="USERPREF_MT_interface_theme_presets"
    )
    yield from gui.look("light")


def _choose(gui: Gui, kind: str) -> Steps:
    yield from gui.click("csm_retopo.colors")
    yield 0.1
    yield from gui.key(KEYS[kind], text=KEYS[kind].lower())
    yield from gui.wait(
        lambda: bpy.context.scene.csm_retopo.colors == kind, f"{kind} is not chosen"
    )
    yield 0.1


def _check_legend(gui: Gui, kind: str) -> None:
    """Every color of the legend is on the screen, in the lower left."""
    legend = sys.modules[f"{MODULE}.scene.compare.coloring"].shown_legend(bpy.context.scene)
    gui.check(legend is not None, "no legend")
    area = next(area for area in bpy.context.screen.areas if area.type == "VIEW_3D")
    height = bpy.context.window_manager.windows[0].height
    crop = f"{area.width // 2}x{area.height // 2}+{area.x}+{height - area.y - area.height // 2}"
    command = ["import", "-window", "root", "-crop", crop, "-depth", "8", "-format", "%c"]
    done = subprocess.run(
        [*command, "histogram:info:-"], check=True, timeout=20, capture_output=True, text=True
    )
    seen = {tuple(bytes.fromhex(code)) for code in re.findall("#([0-9A-F]{6})", done.stdout)}
    for color, _ in legend.entries:
        wanted = [255 * each for each in color]
        near = any(
            all(abs(one - other) < 6 for one, other in zip(wanted, each, strict=True))
            for each in seen
        )
        gui.check(near, f"{kind}: the legend lacks {color}")


def _import(gui: Gui) -> Steps:
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    gui.check(not gui.state.message_is_error, gui.state.message)


def _looks() -> dict[str, tuple[list[str], bool]]:
    """Each variation's modifiers, and whether its wires are shown."""
    return {
        obj.name: ([each.name for each in obj.modifiers], obj.show_wire)
        for obj in bpy.context.scene.objects
        if obj.csm_retopo.role == "VARIATION"
    }


def _are_colored() -> bool:
    return all(modifiers for modifiers, _ in _looks().values())


def _settings() -> Any:
    return bpy.context.scene.csm_retopo


def _lines() -> Any:
    return sys.modules[f"{MODULE}.scene.compare.table"].read_table(bpy.context.scene).lines


def _shown_counts() -> list[int]:
    return [line.metrics["triangle_count"] for line in _lines()]
