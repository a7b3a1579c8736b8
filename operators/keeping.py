# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep one variation as the result. What it means is in `scene.compare.keeping`."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..api.errors import CsmError
from ..api.texts import Text
from ..scene.compare import keeping
from ..scene.rows import session_collections
from ..scene.texts import told

_DIALOG_WIDTH = 340
_NOTHING_CHOSEN = "No variation is chosen: make one active, or flip to it"


class CSM_RETOPO_OT_keep(bpy.types.Operator):
    """Make the variation that is shown, or the active one, the result: at the source's place, \
under a name of its own, no longer part of the session
    """

    bl_idname = "csm_retopo.keep"
    bl_label = "Keep Variation"
    bl_options = {"REGISTER", "UNDO"}

    object_name: StringProperty(
        name="Object",
        description="The variation to keep. Left empty, the one that is shown while flipping, "
        "else the active one",
        options={"SKIP_SAVE"},
    )
    name: StringProperty(
        name="Name",
        description="What the result is called, object and mesh. Left empty, the source's name "
        'with "Retopo"',
        options={"SKIP_SAVE"},
    )
    others: EnumProperty(
        name="Others",
        description="What becomes of the other variations, the source, previews and labels, those "
        "of other sessions of the same input mesh among them",
        items=(
            ("HIDE", "Hide", "Hide them in viewports and renders"),
            ("DELETE", "Delete", "Delete them, the source among them, with their data"),
            ("LEAVE", "Leave", "Leave them in the row"),
        ),
    )
    transfer_uvs: BoolProperty(
        name="UV Maps",
        description="Take over the source's UV maps, from the nearest of its faces",
        options={"SKIP_SAVE"},
    )
    transfer_normals: BoolProperty(
        name="Normals",
        description="Take over the source's normals, as custom normals, from the nearest of its "
        "faces",
        options={"SKIP_SAVE"},
    )
    transfer_materials: BoolProperty(
        name="Materials",
        description="Take over the source's materials; if it has several, each face gets that of "
        "the source's nearest",
        options={"SKIP_SAVE"},
    )
    mark_asset: BoolProperty(
        name="Mark as Asset",
        description="Show the result in the Asset Browser, with its preview image and its numbers",
    )

    @classmethod
    def description(
        cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties
    ) -> str:
        """Which one would be kept, or why none can be."""
        chosen = keeping.find_chosen(context)
        name = properties.object_name or (chosen.name if chosen else "")
        if not name:
            return told(_NOTHING_CHOSEN)
        return told(
            Text(
                "Make {} the result: at the source's place, under a name of its own, no longer "
                "part of the session",
                name,
            )
        )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether objects can be changed now."""
        if not session_collections(context.scene):
            cls.poll_message_set("Import a session first")
            return False
        if context.mode != "OBJECT":
            cls.poll_message_set("Leave the current mode for Object Mode first")
            return False
        return True

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask how."""
        obj = self._find(context)
        if obj is None:
            return {"CANCELLED"}
        source = keeping.find_source(context.scene, obj)
        self.object_name = obj.name
        self.name = self.name or keeping.default_name(context.scene, obj)
        if source is not None:
            for name, wanted in (
                ("transfer_uvs", bool(source.data.uv_layers)),
                ("transfer_materials", any(slot.material for slot in source.material_slots)),
            ):
                if not self.properties.is_property_set(name):
                    setattr(self, name, wanted)
        return context.window_manager.invoke_props_dialog(
            self, width=_DIALOG_WIDTH, title=told(Text("Keep {}", obj.name)), confirm_text="Keep"
        )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the dialog."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "name")
        layout.row().prop(self, "others", expand=True)
        obj = context.scene.objects.get(self.object_name)
        source = keeping.find_source(context.scene, obj) if obj else None
        column = layout.column(heading="From the Source")
        column.enabled = source is not None
        column.prop(self, "transfer_materials")
        uvs = column.row()
        uvs.enabled = source is not None and bool(source.data.uv_layers)
        uvs.prop(self, "transfer_uvs")
        column.prop(self, "transfer_normals")
        reason = ""
        if source is None:
            reason = "The source is not in the scene"
        elif not source.data.uv_layers:
            reason = "The source has no UV maps"
        if reason:
            note = layout.split(factor=0.4)
            note.active = False
            note.label()
            note.label(text=reason, icon="INFO")
        layout.prop(self, "mark_asset")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Keep it."""
        obj = self._find(context)
        if obj is None:
            return {"CANCELLED"}
        was_called = obj.name
        wishes = keeping.Wishes(
            name=self.name or keeping.default_name(context.scene, obj),
            others=keeping.Others(self.others),
            transfer_uvs=self.transfer_uvs,
            transfer_normals=self.transfer_normals,
            transfer_materials=self.transfer_materials,
            mark_asset=self.mark_asset,
        )
        try:
            keeping.keep(context.scene, context.view_layer, obj, wishes)
        except CsmError as error:
            self.report({"ERROR"}, told(error.text))
            return {"CANCELLED"}
        self.report({"INFO"}, told(Text("Kept {} as {}", was_called, obj.name)))
        return {"FINISHED"}

    def _find(self, context: bpy.types.Context) -> bpy.types.Object | None:
        """The variation to keep; None, and a report, if there is none."""
        if not self.object_name:
            if (obj := keeping.find_chosen(context)) is None:
                self.report({"ERROR"}, _NOTHING_CHOSEN)
            return obj
        obj = context.scene.objects.get(self.object_name)
        if obj is None or not keeping.is_variation(obj):
            self.report({"ERROR"}, told(not_a_variation(self.object_name)))
            return None
        return obj


def not_a_variation(name: str) -> Text:
    """What to say of an object that is none."""
    return Text("{} is no variation of a session", name)


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_keep,))
