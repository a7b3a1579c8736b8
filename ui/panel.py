# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's Retopo tab."""

from __future__ import annotations

import textwrap

import bpy

from .. import __package__ as base_package
from ..api.errors import ConfigurationError
from ..scene import placing, sessions
from ..scene.layout import faces_text
from ..scene.models import Role


class CSM_RETOPO_PT_import(bpy.types.Panel):
    """Session ID, import, progress, and what happened"""

    bl_label = "Import Retopology"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Retopo"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        state = context.window_manager.csm_retopo

        _draw_trouble(layout, context)
        column = layout.column(align=True)
        column.prop(state, "session_id", text="", placeholder="SESSION_...")
        row = column.row(align=True)
        row.scale_y = 1.4
        row.enabled = bool(state.session_id.strip())
        row.operator_context = "INVOKE_DEFAULT"
        row.operator("csm_retopo.import_session", text="Import", icon="IMPORT")

        row = layout.row(align=True)
        row.operator("csm_retopo.import_folder", text="Folder...", icon="FILE_FOLDER")
        row.operator("csm_retopo.import_sample", text="Try the Sample", icon="MESH_MONKEY")

        for job in state.jobs:
            row = layout.row(align=True)
            column = row.column(align=True)
            column.label(text=job.key)
            column.progress(factor=job.progress, text=job.stage)
            row.operator("csm_retopo.cancel", text="", icon="CANCEL").key = job.key

        if state.message:
            icon = "ERROR" if state.message_is_error else "INFO"
            _draw_text(layout.column(align=True), context, state.message, icon)


class CSM_RETOPO_PT_sessions(bpy.types.Panel):
    """The imported sessions of this scene and their variations"""

    bl_label = "Sessions"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Retopo"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the scene has any."""
        return bool(placing.session_collections(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        for collection in placing.session_collections(context.scene):
            _draw_session(self.layout, collection)


def _draw_session(layout: bpy.types.UILayout, collection: bpy.types.Collection) -> None:
    carried = collection.csm_retopo
    header, body = layout.panel(f"csm_retopo_{carried.session_id}")
    header.label(text=carried.session_id)
    if body is None:
        return
    facts = [carried.model, carried.created_at[:10]]
    body.label(text=" · ".join(each for each in facts if each))
    meshes = sorted(
        (
            obj
            for obj in collection.all_objects
            if obj.csm_retopo.role in (Role.VARIATION, Role.SOURCE)
        ),
        key=lambda obj: obj.csm_retopo.index,
    )
    column = body.column(align=True)
    for obj in meshes:
        metrics = obj.csm_retopo.metrics
        is_source = obj.csm_retopo.role == Role.SOURCE
        split = column.split(factor=0.6, align=True)
        name = split.row(align=True)
        name.alignment = "LEFT"
        name.operator(
            "csm_retopo.select",
            text=obj.name,
            icon="MESH_ICOSPHERE" if is_source else "MESH_GRID",
            emboss=False,
        ).object_name = obj.name
        numbers = split.row(align=True)
        numbers.alignment = "RIGHT"
        numbers.label(text=faces_text(metrics))


def _draw_trouble(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Say what keeps the service from being used, with a button that leads to its setting."""
    try:
        sessions.find_service()
    except ConfigurationError as error:
        box = layout.box().column(align=True)
        _draw_text(box, context, str(error), "INFO")
        if sessions.needs_online_access():
            box.operator("screen.userpref_show", text="Open System Preferences").section = "SYSTEM"
        else:
            show = box.operator("preferences.addon_show", text="Open Add-on Preferences")
            show.module = base_package


def _draw_text(
    layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str
) -> None:
    """Draw `text` in as many lines as the panel's width asks for."""
    scale = context.preferences.system.ui_scale
    characters = max(int(context.region.width / (7.0 * scale)) - 6, 16)
    for number, line in enumerate(textwrap.wrap(text, characters)):
        layout.label(text=line, icon="BLANK1" if number else icon)


register, unregister = bpy.utils.register_classes_factory(
    (CSM_RETOPO_PT_import, CSM_RETOPO_PT_sessions)
)
