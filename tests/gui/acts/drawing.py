# SPDX-License-Identifier: GPL-3.0-or-later
"""How the panel and a row look at their best, and how long the panel takes to draw."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from driver import MODULE, Gui, Steps

SESSIONS, VARIATIONS = 20, 8
_METRICS = {"faces": 8_000, "quads": 7_900, "quad_ratio": 0.9875, "vertices": 8_002}


def long_list(gui: Gui) -> Steps:
    for number in range(SESSIONS):
        _make_session(f"SESSION_1763900000_{number:07}")
    panel = sys.modules[f"{MODULE}.ui.panel"]
    times: dict[str, list[float]] = {"import_ms": [], "sessions_ms": []}
    _measure(panel.CSM_RETOPO_PT_import, times["import_ms"])
    _measure(panel.CSM_RETOPO_PT_sessions, times["sessions_ms"])
    yield from gui.open_tab()
    for values in times.values():
        values.clear()
    for _ in range(40):
        for area in bpy.context.window_manager.windows[0].screen.areas:
            area.tag_redraw()
        yield 0.02
    gui.facts.update({name: round(statistics.median(each), 3) for name, each in times.items()})
    yield from gui.look("long-list")


def portraits(gui: Gui) -> Steps:
    """The sidebar and the row, as the README shows them."""
    yield from gui.to_viewport()
    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the default objects stay")
    # Labels and previews are turned to the view that the artist has when they arrive.
    yield from gui.key("NUMPAD_1")
    yield 0.4
    yield from gui.open_tab()
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from gui.finished()

    yield from gui.to_viewport()
    for key in ("NUMPAD_5", "NUMPAD_6", "NUMPAD_8"):
        yield from gui.key(key)
        yield 0.4
    yield from gui.click('object_name="Suzanne, sculpted retopo 1"')
    yield 0.4
    yield from gui.to_viewport()
    for key in ("NUMPAD_MINUS",) * 4:
        yield from gui.key(key)
        yield 0.3
    yield 1.0
    folder = Path(gui.arguments["folder"])
    area = next(area for area in bpy.context.screen.areas if area.type == "VIEW_3D")
    screen_height = bpy.context.window_manager.windows[0].height
    crop = f"{area.width + area.x}x{area.height}+0+{screen_height - area.y - area.height}"
    sidebar = folder / "sidebar.png"
    subprocess.run(["import", "-window", "root", "-crop", crop, "+repage", sidebar], check=True)
    _convert(sidebar)

    yield from gui.to_viewport()
    yield from gui.key("A", text="a", alt=True)
    yield from gui.key("NUMPAD_1")
    yield 0.4
    space = next(a for a in bpy.context.screen.areas if a.type == "VIEW_3D").spaces.active
    overlay = space.overlay
    for name in ("floor", "axis_x", "axis_y", "cursor", "text", "relationship_lines"):
        setattr(overlay, f"show_{name}", False)
    overlay.show_ortho_grid = False
    overlay.show_object_origins = False
    yield from gui.key("HOME")
    yield 0.6
    yield 1.0
    large = folder / "row.png"
    _render(str(large), space.region_3d)
    _convert(large)


def _convert(picture: Path) -> None:
    """Make the PNG small: one byte per pixel."""
    options = ["-strip", "+dither", "-colors", "128", "-define", "png:compression-level=9"]
    subprocess.run(["convert", picture, *options, f"PNG8:{picture}"], check=True, timeout=60)


def _render(path: str, region_3d: bpy.types.RegionView3D) -> None:
    """The same view in more pixels than the screen has."""
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 2600, 330, 100
    render.filepath = path
    scene.view_settings.view_transform = "Standard"  # the previews are meant to be seen as they are
    region_3d.view_distance *= 0.54
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.render.opengl(write_still=True, view_context=True)


def _make_session(session_id: str) -> None:
    collection = bpy.data.collections.new(session_id)
    bpy.context.scene.collection.children.link(collection)
    collection.csm_retopo.session_id = session_id
    collection.csm_retopo.model = "swift"
    collection.csm_retopo.created_at = "2025-11-23T12:13:20.000Z"
    for index in range(-1, VARIATIONS):
        name = f"Statue retopo {index + 1}" if index >= 0 else "Statue"
        obj = bpy.data.objects.new(name, bpy.data.meshes.new(name))
        collection.objects.link(obj)
        carried = obj.csm_retopo
        carried.role = "VARIATION" if index >= 0 else "SOURCE"
        carried.session_id = session_id
        carried.index = index
        carried.metrics = json.dumps(_METRICS | {"faces": 8_000 + index})


def _measure(panel: Any, times: list[float]) -> None:
    draw: Callable[[Any, bpy.types.Context], None] = panel.draw

    def timed(self: Any, context: bpy.types.Context) -> None:
        start = time.perf_counter()
        draw(self, context)
        times.append((time.perf_counter() - start) * 1000)

    panel.draw = timed
