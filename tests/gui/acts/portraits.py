# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on at its best: the README's pictures, each of a Blender of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import bpy
from driver import Gui, Steps
from mathutils import Vector

_WIDER_PX = 40
"""How much wider than at first the sidebar is made."""
_SENSOR_MM = 72
"""What a 3D view shows of the world through its lens."""
_AROUND_LEGEND = ((0, 0), (1, 0), (2, 0), (1, 1), (2, 1))
"""Columns and rows in which the variations leave the lower left to the legend."""
_FROM_THE_SIDE = ("NUMPAD_5", "NUMPAD_6", "NUMPAD_6", "NUMPAD_8")


def sidebar(gui: Gui) -> Steps:
    """The tab, and what an import brings."""
    yield from _import(gui)
    yield from gui.click('object_name="Suzanne, sculpted retopo 1"')
    yield from _turn(gui, *_FROM_THE_SIDE)
    _frame(range(-1, 1), 0.85)
    yield 1.0
    _photograph(gui, "sidebar")


def row(gui: Gui) -> Steps:
    """All of a session, in more pixels than the screen has."""
    yield from _import(gui)
    _clear_view()
    yield from gui.to_viewport()
    yield from gui.key("HOME")
    yield 1.6
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 2600, 330, 100
    render.filepath = str(_path(gui, "row"))
    scene.view_settings.view_transform = "Standard"  # the previews are meant to be seen as they are
    _space().region_3d.view_distance *= 0.51
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window, area=_area(), region=_region("WINDOW")):
        bpy.ops.render.opengl(write_still=True, view_context=True)
    _shrink(_path(gui, "row"))


def compare(gui: Gui) -> Steps:
    """The deviation on the surfaces, its legend and the table."""
    yield from _import(gui)
    bpy.context.scene.csm_retopo.colors = "DEVIATION"
    for obj in bpy.context.scene.objects:
        role, index = obj.csm_retopo.role, obj.csm_retopo.index
        if role == "VARIATION":
            across, down = _AROUND_LEGEND[index]
            width, _, height = obj.dimensions
            obj.location = (across * 1.3 * width, 0, -down * 1.6 * height)
        elif role == "LABEL" and index >= 0:
            # Below the mesh alone, not below mesh and preview.
            obj.data.offset_x = 0
        else:
            obj.hide_set(True)
    _clear_view()
    _space().show_gizmo_navigate = False
    yield from gui.to_viewport()
    yield 0.5
    _frame(range(len(_AROUND_LEGEND)), 0.94)
    yield 1.0
    _photograph(gui, "compare")


def flip(gui: Gui) -> Steps:
    """One variation in the source's place, with its wires."""
    yield from _import(gui)
    bpy.context.scene.csm_retopo.wireframe = True
    yield from gui.click("csm_retopo.flip()")
    yield from _turn(gui, "RIGHT_ARROW", *_FROM_THE_SIDE)
    _frame(range(1, 2), 0.5)
    yield 1.0
    _photograph(gui, "flip")


def report(gui: Gui) -> Steps:
    """The page, for a browser to show."""
    yield from _import(gui)
    bpy.ops.csm_retopo.write_report(filepath=gui.arguments["page"])


def shrink(gui: Gui) -> Steps:
    """Make a PNG small that was made elsewhere."""
    yield 0.0
    _shrink(Path(gui.arguments["picture"]))


def _import(gui: Gui) -> Steps:
    """Fetch the session into an empty file whose view is all of the window, seen from the front."""
    yield from gui.to_viewport()
    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the default objects stay")
    # Labels and previews are turned to the view that the artist has when they arrive.
    yield from _turn(gui, "NUMPAD_1")
    yield from gui.key("SPACE", text=" ", ctrl=True)
    yield 0.6
    yield from gui.open_tab()
    yield from gui.widen_sidebar(_WIDER_PX)
    yield from gui.fill_in("csm_retopo.session_id", gui.arguments["session_id"])
    yield from gui.click("import_session(")
    yield from gui.finished()
    gui.check(not gui.state.message_is_error, gui.state.message)


def _turn(gui: Gui, *keys: str) -> Steps:
    yield from gui.to_viewport()
    for key in keys:
        yield from gui.key(key)
        yield 0.4


def _clear_view() -> None:
    """Show objects and nothing else."""
    overlay = _space().overlay
    for name in ("floor", "axis_x", "axis_y", "cursor", "text", "relationship_lines"):
        setattr(overlay, f"show_{name}", False)
    overlay.show_ortho_grid = False
    overlay.show_object_origins = False


def _frame(indices: range, share: float) -> None:
    """Show these meshes and their previews in the middle of what the sidebar leaves of the view,
    over this share of its width.
    """
    corners = []
    for obj in bpy.context.scene.objects:
        if obj.csm_retopo.index not in indices or not obj.visible_get():
            continue
        if obj.type == "MESH":
            corners += [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
        elif obj.csm_retopo.role == "PREVIEW":
            # Square, and facing the front.
            start = obj.empty_image_offset[0]
            for x in (start, start + 1):
                corners.append(
                    obj.matrix_world.translation + Vector((x * obj.empty_display_size, 0, 0))
                )
    low, high = (Vector(map(pick, zip(*corners, strict=True))) for pick in (min, max))
    whole = _region("WINDOW").width
    left = _region("TOOLS").width
    right = whole - _region("UI").width
    pixel = (high.x - low.x) / (share * (right - left))
    region_3d = _space().region_3d
    region_3d.view_distance = pixel * whole * _space().lens / _SENSOR_MM
    sideways = region_3d.view_rotation @ Vector((1, 0, 0))
    region_3d.view_location = (low + high) / 2 + sideways * pixel * (whole - left - right) / 2


def _area() -> bpy.types.Area:
    areas = bpy.context.window_manager.windows[0].screen.areas
    return next(area for area in areas if area.type == "VIEW_3D")


def _space() -> bpy.types.SpaceView3D:
    return _area().spaces.active


def _region(kind: str) -> bpy.types.Region:
    return next(region for region in _area().regions if region.type == kind)


def _path(gui: Gui, name: str) -> Path:
    return Path(gui.arguments["folder"], f"{name}.png")


def _photograph(gui: Gui, name: str) -> None:
    """Keep a picture of the 3D view with its sidebar."""
    area = _area()
    top = bpy.context.window_manager.windows[0].height - area.y - area.height
    crop = f"{area.width}x{area.height}+{area.x}+{top}"
    path = _path(gui, name)
    subprocess.run(
        ["import", "-window", "root", "-crop", crop, "+repage", path], check=True, timeout=20
    )
    _shrink(path)


def _shrink(picture: Path) -> None:
    """Make the PNG small: one byte per pixel."""
    options = ["-strip", "+dither", "-colors", "256", "-define", "png:compression-level=9"]
    subprocess.run(["convert", picture, *options, f"PNG8:{picture}"], check=True, timeout=60)
