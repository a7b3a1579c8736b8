# SPDX-License-Identifier: GPL-3.0-or-later
"""Get hold of what was imported."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import StringProperty

from ..api.texts import Text
from ..scene.compare import flipping
from ..scene.compare.table import full_text, is_over_budget
from ..scene.measure.metrics import METRICS
from ..scene.models import Role
from ..scene.properties import read_metrics
from ..scene.texts import told


class CSM_RETOPO_OT_select(bpy.types.Operator):
    """Select this mesh, or all meshes of the session, and show it whole in the view"""

    bl_idname = "csm_retopo.select"
    bl_label = "Select and Frame"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    # Not kept for the next call: a session's button would select the mesh of the last click.
    object_name: StringProperty(
        name="Object", description="The name of the mesh to select", options={"SKIP_SAVE"}
    )
    session_id: StringProperty(
        name="Session",
        description="The session to select all meshes of, if no object is named",
        options={"SKIP_SAVE"},
    )
    metric: StringProperty(
        name="Metric",
        description="The metric that the tooltip tells the value of",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether objects can be selected now."""
        if context.mode != "OBJECT":
            cls.poll_message_set("Leave the current mode for Object Mode first")
            return False
        return True

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        """Which mesh it is, and what the metric says of it."""
        obj = bpy.data.objects.get(properties.object_name)
        if obj is None:
            return ""
        texts: list[str] = [Text("{}", obj.name)]
        metrics = read_metrics(obj)
        if (metric := METRICS.get(properties.metric)) is not None:
            value = full_text(metric.key, metrics.get(metric.key))
            texts[0] = Text("{}: {} {}", obj.name, Text(metric.label), value)
            texts.append(Text(metric.description))
        budget = context.scene.csm_retopo.triangle_budget
        if is_over_budget(metrics, budget):
            count = metrics["triangle_count"]
            over = "Over the triangle budget: {:,} instead of {:,} at most"
            texts.append(Text(over, count, budget))
        texts.append(Text("Click to select it and show it whole in the view"))
        return told(Text.joined(".\n", texts))

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Select and frame. While variations are flipped through, show it first."""
        for obj in flipping.flipped(context.scene) if flipping.is_on(context.scene) else ():
            if obj.name == self.object_name:
                flipping.show(context.scene, obj)
        wanted = [obj for obj in context.view_layer.objects if self._is_wanted(obj)]
        visible = [obj for obj in wanted if obj.visible_get()]
        if not visible:
            what = self.object_name or self.session_id
            text = Text("{} is hidden, or not in this view layer", what)
            self.report({"WARNING"}, told(text))
            return {"CANCELLED"}
        for each in list(context.view_layer.objects.selected):
            each.select_set(False)
        for each in visible:
            each.select_set(True)
        context.view_layer.objects.active = visible[0]
        _frame_selected(context)
        return {"FINISHED"}

    def _is_wanted(self, obj: bpy.types.Object) -> bool:
        if self.object_name:
            return obj.name == self.object_name
        carried = obj.csm_retopo
        is_mesh = carried.role in (Role.SOURCE, Role.VARIATION)
        return is_mesh and carried.session_id == self.session_id


def _frame_selected(context: bpy.types.Context) -> None:
    """Show the selection whole in the 3D view, if the operator was called from one."""
    area = context.area
    if area is None or area.type != "VIEW_3D":
        return
    # Not with a context override, which can crash Blender while an import's threads run.
    bpy.ops.view3d.view_selected("EXEC_REGION_WIN")


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_select,))
