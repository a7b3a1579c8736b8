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

PANELS = {
    "import_ms": "ui.panel.CSM_RETOPO_PT_import",
    "sessions_ms": "ui.panel.CSM_RETOPO_PT_sessions",
    "compare_ms": "ui.compare.CSM_RETOPO_PT_compare",
    "flip_ms": "ui.flip.CSM_RETOPO_PT_flip",
}


def long_list(gui: Gui) -> Steps:
    for number in range(SESSIONS):
        make_session(f"SESSION_1763900000_{number:07}")
    times: dict[str, list[float]] = {}
    for name, path in PANELS.items():
        module, _, panel = path.rpartition(".")
        times[name] = _measure(getattr(sys.modules[f"{MODULE}.{module}"], panel))
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


def make_session(session_id: str) -> None:
    """A session with all that an import brings, but for the shapes."""
    metrics = sys.modules[f"{MODULE}.scene.measure.metrics"].METRICS
    collection = bpy.data.collections.new(session_id)
    bpy.context.scene.collection.children.link(collection)
    collection.csm_retopo.session_id = session_id
    collection.csm_retopo.model = "swift"
    collection.csm_retopo.created_at = "2025-11-23T12:13:20.000Z"
    for index in range(-1, VARIATIONS):
        name = f"Statue retopo {index + 1}" if index >= 0 else "Statue"
        values = {key: 8_000 + number + index for number, key in enumerate(metrics)}
        values |= {"quad_ratio": 0.9 + index / 100, "scaled_jacobian_mean": 0.8 + index / 100}
        values |= {"hausdorff_relative": 0.01 - index / 1000}
        parts: list[tuple[str, Any]] = [
            ("SOURCE" if index < 0 else "VARIATION", bpy.data.meshes.new(name)),
            ("LABEL", bpy.data.curves.new(name, "FONT")),
        ]
        if index >= 0:
            parts.append(("PREVIEW", None))
        for role, data in parts:
            obj = bpy.data.objects.new(name if data else f"{name} Preview", data)
            collection.objects.link(obj)
            carried = obj.csm_retopo
            carried.role = role
            carried.session_id = session_id
            carried.index = index
            if role in ("SOURCE", "VARIATION"):
                carried.metrics = json.dumps(values)


def _measure(panel: Any) -> list[float]:
    """What each drawing of the panel takes from now on, in milliseconds."""
    times: list[float] = []
    draw: Callable[[Any, bpy.types.Context], None] = panel.draw

    def timed(self: Any, context: bpy.types.Context) -> None:
        start = time.perf_counter()
        draw(self, context)
        times.append((time.perf_counter() - start) * 1000)

    panel.draw = timed
    return times
