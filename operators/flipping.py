# SPDX-License-Identifier: GPL-3.0-or-later
"""Flip through the variations in place. The mode itself is in `scene.compare.flipping`."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import IntProperty, StringProperty
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

from ..api.texts import Text
from ..scene.compare import flipping
from ..scene.models import Role
from ..scene.rows import Row, session_collections
from ..scene.texts import told
from .keeping import not_a_variation

_STEPS = "Flip Through"
"""Steps that follow each other are one step of Blender's undo."""

_SENSOR_WIDTH_MM = 36.0
_FRAMED = 1.3
"""How far away a framed mesh is, of the distance at which it would just fit."""
_FAR = 2.5
"""Farther away than this, it is too small to be compared."""

_views_before: dict[tuple[int, str, str], tuple[Vector, float]] = {}
"""Where the 3D view looked at, and from how far, that was moved when flipping began. Lost with the
session of Blender, as nothing depends on it."""


def _poll_mode(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether objects can be shown and hidden now. Elsewhere the keys keep their meaning."""
    if context.mode != "OBJECT":
        cls.poll_message_set("Leave the current mode for Object Mode first")
        return False
    return True


def _poll_flipping(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    if not flipping.is_on(context.scene):
        cls.poll_message_set("Flip in Place first")
        return False
    return _poll_mode(cls, context)


def _finish(context: bpy.types.Context) -> set[str]:
    """Have what is shown drawn anew: the text in the views knows of no change by itself."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
    return {"FINISHED"}


class CSM_RETOPO_OT_flip(bpy.types.Operator):
    """Lay the variations over each other at the source's place and show one at a time, those of \
other sessions of the same input mesh among them; or bring them back to the row
    """

    bl_idname = "csm_retopo.flip"
    bl_label = "Flip in Place"
    bl_options = {"UNDO"}

    session_id: StringProperty(
        name="Session",
        description="The session to flip through. Left empty, that of the active object, else the "
        "newest",
        options={"SKIP_SAVE"},
    )
    object_name: StringProperty(
        name="Object",
        description="The variation to show first, or now, if it is flipped through already. Left "
        "empty, the active one, else the session's first",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is something to flip through."""
        if not session_collections(context.scene):
            cls.poll_message_set("Import a session first")
            return False
        return _poll_mode(cls, context)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Begin, or end. The view goes along."""
        was_on = flipping.is_on(context.scene)
        done = self.execute(context)
        if (obj := flipping.shown(context.scene)) is not None and not was_on:
            _bring_into_view(context, obj)
        elif not flipping.is_on(context.scene):
            _bring_view_back(context)
        return done

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Begin, or end."""
        if self.object_name:
            return self._show(context)
        scene = context.scene
        state = scene.csm_retopo.flip
        if state.is_on:
            group = flipping.group_of(scene, state.session_id)
            if self.session_id in ("", *(row.session_id for row in group)):
                flipping.end(scene)
                return _finish(context)
        session_id = self.session_id or _session_at_hand(context)
        group = flipping.group_of(scene, session_id)
        if not group:
            self.report({"ERROR"}, told(Text("The scene has no session {}", session_id)))
            return {"CANCELLED"}
        if not flipping.begin(scene, session_id, _variation_at_hand(context, group)):
            self.report(
                {"ERROR"},
                "No variation can be shown: all are hidden or linked",
            )
            return {"CANCELLED"}
        return _finish(context)

    def _show(self, context: bpy.types.Context) -> set[str]:
        """Show the variation that is named, and begin if need be."""
        scene = context.scene
        obj = scene.objects.get(self.object_name)
        if obj is None or obj.csm_retopo.role != Role.VARIATION:
            self.report({"ERROR"}, told(not_a_variation(self.object_name)))
            return {"CANCELLED"}
        if obj in (flipping.flipped(scene) if flipping.is_on(scene) else ()):
            flipping.show(scene, obj)
            return _finish(context)
        flipping.begin(scene, obj.csm_retopo.session_id, obj)
        if flipping.shown(scene) != obj:
            flipping.end(scene)
            text = Text("{} can't be shown: it is hidden or linked", self.object_name)
            self.report({"ERROR"}, told(text))
            return {"CANCELLED"}
        return _finish(context)


class _Key(bpy.types.Operator):
    """An operator that a key calls, in 3D views only: elsewhere the key keeps its meaning."""

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Called by a key or a button."""
        if context.area is None or context.area.type != "VIEW_3D":
            return {"PASS_THROUGH"}
        return self.execute(context)


class CSM_RETOPO_OT_flip_step(_Key):
    """Show the next or the previous variation"""

    bl_idname = "csm_retopo.flip_step"
    bl_label = "Next Variation"
    bl_options = {"UNDO_GROUPED"}
    bl_undo_group = _STEPS

    step: IntProperty(
        name="Step",
        description="How many variations further on; negative to go back",
        default=1,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(
        cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties
    ) -> str:
        """What the button does."""
        return told(
            "Show the previous variation" if properties.step < 0 else "Show the next variation"
        )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the mode is on."""
        return _poll_flipping(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        flipping.step(context.scene, self.step)
        return _finish(context)


class CSM_RETOPO_OT_flip_swap(_Key):
    """Show the variation that was shown before, and back again"""

    bl_idname = "csm_retopo.flip_swap"
    bl_label = "A/B"
    bl_options = {"UNDO_GROUPED"}
    bl_undo_group = _STEPS

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the mode is on."""
        return _poll_flipping(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        flipping.swap(context.scene)
        return _finish(context)


class CSM_RETOPO_OT_flip_show(bpy.types.Operator):
    """Show this variation"""

    bl_idname = "csm_retopo.flip_show"
    bl_label = "Show Variation"
    bl_options = {"UNDO_GROUPED", "INTERNAL"}
    bl_undo_group = _STEPS

    object_name: StringProperty(
        name="Object", description="The name of the variation to show", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the mode is on."""
        return _poll_flipping(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        for obj in flipping.flipped(context.scene):
            if obj.name == self.object_name:
                flipping.show(context.scene, obj)
                return _finish(context)
        text = Text("{} is none of the variations flipped through", self.object_name)
        self.report({"ERROR"}, told(text))
        return {"CANCELLED"}


class CSM_RETOPO_OT_flip_end(_Key):
    """Bring the variations back to the row, exactly as it was"""

    bl_idname = "csm_retopo.flip_end"
    bl_label = "Back to the Row"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the mode is on."""
        return _poll_flipping(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """End the mode. The view goes along."""
        done = super().invoke(context, event)
        if not flipping.is_on(context.scene):
            _bring_view_back(context)
        return done

    def execute(self, context: bpy.types.Context) -> set[str]:
        """End the mode."""
        flipping.end(context.scene)
        return _finish(context)


def _session_at_hand(context: bpy.types.Context) -> str:
    """The active object's session, else the newest."""
    ids = [each.csm_retopo.session_id for each in session_collections(context.scene)]
    active = context.active_object
    if active is not None and active.csm_retopo.session_id in ids:
        return active.csm_retopo.session_id
    return ids[-1]


def _variation_at_hand(context: bpy.types.Context, group: list[Row]) -> bpy.types.Object | None:
    """The active object's variation, be it the mesh, its preview or its label."""
    active = context.active_object
    if active is None:
        return None
    carried = active.csm_retopo
    for row in group:
        if row.session_id == carried.session_id:
            return row.variations.get(carried.index)
    return None


def _bring_into_view(context: bpy.types.Context, obj: bpy.types.Object) -> None:
    """Frame the object, unless it is well in view: what an artist looks at in the row moves away
    from there. Not by Blender's operator, which frames what is selected.
    """
    area = context.area
    if area is None or area.type != "VIEW_3D":
        return
    region = next(each for each in area.regions if each.type == "WINDOW")
    space: Any = area.spaces.active
    view: bpy.types.RegionView3D = space.region_3d
    if view.view_perspective == "CAMERA":
        return
    context.view_layer.update()
    corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    center = sum(corners, Vector()) / len(corners)
    radius = max((corner - center).length for corner in corners)
    aspect = max(region.width, region.height) / max(min(region.width, region.height), 1)
    # Across the longer side of the region, Blender shows twice the sensor's width.
    fitting = radius * space.lens / _SENSOR_WIDTH_MM * aspect
    at = location_3d_to_region_2d(region, view, center)
    is_in_view = at is not None and 0 < at.x < region.width and 0 < at.y < region.height
    _views_before.clear()
    if fitting > 0 and not (is_in_view and view.view_distance < _FAR * fitting):
        _views_before[_view_key(context, view)] = (view.view_location.copy(), view.view_distance)
        view.view_location = center
        view.view_distance = _FRAMED * fitting


def _bring_view_back(context: bpy.types.Context) -> None:
    """Have the view look at what it looked at when flipping began, if it was moved then."""
    area = context.area
    if area is not None and area.type == "VIEW_3D":
        space: Any = area.spaces.active
        view: bpy.types.RegionView3D = space.region_3d
        before = _views_before.pop(_view_key(context, view), None)
        if before is not None:
            view.view_location, view.view_distance = before


def _view_key(context: bpy.types.Context, view: bpy.types.RegionView3D) -> tuple[int, str, str]:
    # In another file, another view can be at the same place in memory.
    return view.as_pointer(), context.scene.name, bpy.data.filepath


register, _unregister = bpy.utils.register_classes_factory(
    (
        CSM_RETOPO_OT_flip,
        CSM_RETOPO_OT_flip_step,
        CSM_RETOPO_OT_flip_swap,
        CSM_RETOPO_OT_flip_show,
        CSM_RETOPO_OT_flip_end,
    )
)


def unregister() -> None:
    """Bring all rows back, since nothing will be there to do it, and take the operators away."""
    for scene in bpy.data.scenes:
        flipping.end(scene)
    _unregister()
