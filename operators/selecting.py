# SPDX-License-Identifier: GPL-3.0-or-later
"""Get hold of what was imported."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty


class CSM_RETOPO_OT_select(bpy.types.Operator):
    """Select this mesh, and nothing else"""

    bl_idname = "csm_retopo.select"
    bl_label = "Select Variation"
    bl_options = {"REGISTER", "UNDO"}

    object_name: StringProperty(name="Object", description="The object's name")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether objects can be selected now."""
        cls.poll_message_set("Leave the current mode for Object Mode first")
        return context.mode == "OBJECT"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Select it."""
        obj = context.view_layer.objects.get(self.object_name)
        if obj is None or not obj.visible_get():
            self.report({"WARNING"}, f"{self.object_name} is hidden, or not in this view layer")
            return {"CANCELLED"}
        for each in context.selected_objects:
            each.select_set(False)
        obj.select_set(True)
        context.view_layer.objects.active = obj
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_select,))
