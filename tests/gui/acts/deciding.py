# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the choice: flipping through the variations in place, keeping one."""

from __future__ import annotations

from typing import Any

import bpy
from driver import Gui, Place, Steps, attention

VARIATIONS = 5
"""In the sample."""
DIALOG = Place("VIEW_3D", "TEMPORARY")


def flip(gui: Gui) -> Steps:
    yield from _import(gui)
    row = _looks()
    view = _view_state()
    yield from gui.look("row")

    # The keys do here what they do everywhere.
    yield from gui.to_viewport()
    frame = bpy.context.scene.frame_current
    yield from gui.key("RIGHT_ARROW")
    yield 0.1
    gui.equal(bpy.context.scene.frame_current, frame + 1, "the frame after Right, not flipping")
    yield from gui.key("LEFT_ARROW")
    yield 0.1
    gui.equal(bpy.context.scene.frame_current, frame, "the frame after Left, not flipping")
    at = attention()

    yield from gui.click("csm_retopo.flip()")
    yield 0.1
    names = _names()
    gui.equal(_visible(), [names[0]], "shown at first")
    yield from gui.look("first")
    # With the mouse where it is after the click, over the sidebar, and over the view.
    yield from gui.hover("csm_retopo.flip_end")
    yield from _press(gui, "RIGHT_ARROW", names[1])
    yield from gui.to_viewport()
    yield from _press(gui, "RIGHT_ARROW", names[2])
    yield from gui.look("third")
    yield from gui.to_viewport()
    yield from _press(gui, "LEFT_ARROW", names[1])
    yield from _press(gui, "DOWN_ARROW", names[2])
    yield from _press(gui, "DOWN_ARROW", names[1])
    yield from _press(gui, "LEFT_ARROW", names[0])
    yield from _press(gui, "LEFT_ARROW", names[-1])
    gui.equal(bpy.context.scene.frame_current, frame, "the frame after flipping")
    # Over another editor, they do what they do there.
    window = bpy.context.window_manager.windows[0]
    timeline = next(area for area in window.screen.areas if area.type == "DOPESHEET_EDITOR")
    middle = (timeline.x + timeline.width // 2, timeline.y + timeline.height // 3)
    yield from gui.move(*middle, window)
    yield from gui.key("RIGHT_ARROW")
    yield 0.1
    gui.equal(bpy.context.scene.frame_current, frame + 1, "the frame after Right in the timeline")
    gui.equal(_visible(), [names[-1]], "shown after Right in the timeline")
    yield from gui.key("LEFT_ARROW")
    yield 0.1
    gui.equal(attention(), at, "mode, selection, active while flipping")

    yield from gui.click("csm_retopo.flip.show_ghost")
    yield 0.1
    gui.equal(len(_visible()), 2, "what is seen with the ghost")
    yield from gui.look("ghost")
    yield from gui.click(f'flip_show(object_name="{names[3]}"')
    yield 0.1
    gui.check(names[3] in _visible(), "the list does not jump to one")
    yield from gui.click("csm_retopo.flip_step(step=-1", column=0.2)
    yield 0.1
    gui.check(names[2] in _visible(), "the button does not step back")
    yield from gui.look("ghost-of-third")
    yield from gui.click("flip_step(step=1", column=0.75)
    yield 0.1
    gui.check(names[3] in _visible(), "the button does not step on")
    yield from gui.click("csm_retopo.flip_swap", column=0.5)
    yield 0.1
    gui.check(names[2] in _visible(), "the button does not swap")

    yield from gui.to_viewport()
    yield from gui.key("ESC")
    yield 0.1
    gui.equal(_looks(), row, "the row after Esc")
    gui.equal(_view_state(), view, "what the view shows after Esc")
    gui.equal(attention(), at, "mode, selection, active after Esc")
    yield from gui.look("back-in-the-row")

    yield from _undo(gui, row)
    yield from gui.click("csm_retopo.flip()")
    yield 0.1
    gui.check(_is_flipping(), "not flipping again")
    yield from gui.click("csm_retopo.flip_end")
    yield 0.1
    gui.equal(_looks(), row, "the row after the button")
    yield from gui.to_viewport()
    yield from gui.key("RIGHT_ARROW")
    yield 0.1
    gui.equal(bpy.context.scene.frame_current, frame + 1, "the frame after Right, back in the row")


def _press(gui: Gui, key: str, name: str) -> Steps:
    yield from gui.key(key)
    yield from gui.wait(lambda: _visible() == [name], f"{key} does not show {name}")
    yield 0.1


def _undo(gui: Gui, row: dict[str, Any]) -> Steps:
    """Each of enter, step, leave is a step of Ctrl+Z, steps together one."""
    names = _names()
    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True)
    yield 0.1
    gui.check(_is_flipping(), "the return to the row was not undone")
    gui.check(names[2] in _visible(), "the undo shows another variation")
    yield from gui.key("Z", ctrl=True, shift=True)
    yield 0.1
    gui.equal(_looks(), row, "the row after the redo")
    for _ in range(8):
        yield from gui.key("Z", ctrl=True)
        yield 0.1
        if not _is_flipping():
            break
    gui.equal(_looks(), row, "the row after all was undone")
    yield from gui.look("all-undone")


def keep(gui: Gui) -> Steps:
    yield from _import(gui)
    _prepare_source()
    before = _looks()
    yield from gui.to_viewport()
    yield from gui.click("csm_retopo.flip()")
    yield from gui.to_viewport()
    yield from gui.key("RIGHT_ARROW")
    yield 0.1
    kept = _visible()
    gui.equal(kept, [_names()[1]], "flipped to")
    yield from gui.click("csm_retopo.keep(")
    yield 0.6
    gui.picture("dialog")
    # The dialog stands at the mouse, and Enter confirms it.
    yield from gui.key("RET")
    yield from gui.wait(lambda: "Suzanne, sculpted Retopo" in bpy.data.objects, "nothing was kept")
    yield 0.1
    result = bpy.data.objects["Suzanne, sculpted Retopo"]
    gui.equal(_visible_meshes(), [result.name], "visible after keeping")
    gui.equal(attention()["active"], result.name, "active")
    gui.check(result.data.uv_layers, "no UV map was transferred")
    gui.equal(len({face.material_index for face in result.data.polygons}), 2, "materials")
    yield from gui.look("kept")
    _view().shading.type = "MATERIAL"
    yield from gui.look("kept-material", after_s=2.5)
    _view().shading.type = "SOLID"

    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True)
    yield 0.1
    gui.check(_is_flipping(), "the undo does not come back to flipping")
    gui.equal(_visible_meshes(), kept, "visible after the undo")
    yield from gui.look("undone")
    yield from gui.to_viewport()
    yield from gui.key("Z", ctrl=True, shift=True)
    yield 0.1
    gui.check("Suzanne, sculpted Retopo" in bpy.data.objects, "the redo brings nothing")
    yield from gui.key("Z", ctrl=True)
    yield 0.1
    yield from gui.key("ESC")
    yield 0.1
    gui.equal(_looks(), before, "the row")
    yield from gui.look("back-in-the-row")


def _import(gui: Gui) -> Steps:
    yield from gui.to_viewport()
    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the default objects stay")
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    yield from gui.to_viewport()
    yield from gui.key("HOME")
    yield 0.6


def _prepare_source() -> None:
    """Give the source UVs and two materials, which the sample has not."""
    (source,) = [o for o in bpy.context.scene.objects if o.csm_retopo.role == "SOURCE"]
    mesh = source.data
    layer = mesh.uv_layers.new(name="UVMap")
    mesh.materials.clear()
    for name, color in (("Left", (0.8, 0.1, 0.1, 1.0)), ("Right", (0.1, 0.2, 0.8, 1.0))):
        material = bpy.data.materials.new(name)
        material.diffuse_color = color
        if material.node_tree is None:
            material.use_nodes = True
        material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
        mesh.materials.append(material)
    for face in mesh.polygons:
        face.material_index = int(face.center.x > 0)
    for loop in mesh.loops:
        x, y, z = mesh.vertices[loop.vertex_index].co
        layer.uv[loop.index].vector = (x + y, z)
    bpy.ops.ed.undo_push(message="Source")


def _names() -> list[str]:
    found = [o for o in bpy.context.scene.objects if o.csm_retopo.role == "VARIATION"]
    return [o.name for o in sorted(found, key=lambda o: o.csm_retopo.index)]


def _visible() -> list[str]:
    return sorted(obj.name for obj in bpy.context.scene.objects if obj.visible_get())


def _visible_meshes() -> list[str]:
    return [name for name in _visible() if bpy.data.objects[name].type == "MESH"]


def _is_flipping() -> bool:
    return bpy.context.scene.csm_retopo.flip.is_on


def _looks() -> dict[str, Any]:
    """What flipping could change of the objects."""
    return {
        obj.name: (
            tuple(obj.location),
            tuple(map(tuple, obj.matrix_world)),
            obj.visible_get(),
            (obj.hide_viewport, obj.hide_render, obj.hide_select, obj.select_get()),
            len(obj.constraints),
            len(obj.modifiers),
            obj.data.name,
        )
        for obj in bpy.context.scene.objects
    }


def _view_state() -> tuple[tuple[float, ...], float]:
    region_3d = _view().region_3d
    return tuple(region_3d.view_location), region_3d.view_distance


def _view() -> bpy.types.SpaceView3D:
    areas = bpy.context.window_manager.windows[0].screen.areas
    return next(area for area in areas if area.type == "VIEW_3D").spaces.active
