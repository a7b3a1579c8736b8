# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's Retopo tab."""

from __future__ import annotations

import textwrap

import bpy

from .. import __package__ as base_package
from ..api.errors import ConfigurationError
from ..scene import placing, sessions
from ..scene.layout import percent_text, short_names
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
        row.operator("csm_retopo.import_folder", text="Import Folder", icon="FILE_FOLDER")
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
    frame = header.operator("csm_retopo.select", text="", icon="ZOOM_SELECTED", emboss=False)
    frame.session_id = carried.session_id
    if body is None:
        return
    meshes = sorted(
        (
            obj
            for obj in collection.all_objects
            if obj.csm_retopo.role in (Role.VARIATION, Role.SOURCE)
        ),
        key=lambda obj: obj.csm_retopo.index,
    )
    column = body.column(align=True)
    facts = " · ".join(each for each in (carried.model, carried.created_at[:10]) if each)
    _draw_columns(column, facts, "Faces", "Quads")
    sources = [obj for obj in meshes if obj.csm_retopo.role == Role.SOURCE]
    variations = [obj for obj in meshes if obj.csm_retopo.role == Role.VARIATION]
    names = [obj.name for obj in sources] + short_names([obj.name for obj in variations])
    for obj, name in zip(sources + variations, names, strict=True):
        metrics = obj.csm_retopo.metrics
        faces = f"{metrics.get('faces') or 0:,}"
        cell = _draw_columns(column, "", faces, percent_text(metrics.get("quad_ratio")))
        icon = "MESH_MONKEY" if obj in sources else "MESH_GRID"
        select = cell.operator("csm_retopo.select", text=name, icon=icon, emboss=False)
        select.object_name = obj.name


def _draw_columns(
    layout: bpy.types.UILayout, first: str, second: str, third: str
) -> bpy.types.UILayout:
    """A row of the list. Returns its first cell, empty if `first` is."""
    split = layout.split(factor=0.5, align=True)
    cell = split.row(align=True)
    cell.alignment = "LEFT"
    if first:
        cell.label(text=first)
    numbers = split.split(factor=0.5, align=True)
    for text in (second, third):
        number = numbers.row(align=True)
        number.alignment = "RIGHT"
        number.label(text=text)
    return cell


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
