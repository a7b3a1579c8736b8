# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's Retopo tab."""

from __future__ import annotations

import functools
import operator

import bpy

from .. import __package__ as base_package
from ..api.errors import ConfigurationError
from ..scene import placing, sessions
from ..scene.layout import percent_text, short_names
from ..scene.properties import read_metrics
from .text import draw_text

OPEN_AT_FIRST = 1
"""How many sessions are unfolded until the artist says otherwise: the newest."""


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
        column.prop(state, "session_id", text="", placeholder="Session ID or URL")
        row = column.row(align=True)
        row.scale_y = 1.4
        row.enabled = bool(state.session_id.strip())
        row.operator_context = "INVOKE_DEFAULT"
        row.operator("csm_retopo.import_session", text="Import", icon="IMPORT")

        row = layout.row(align=True)
        row.operator("csm_retopo.import_folder", text="Import Folder", icon="FILE_FOLDER")
        row.operator("csm_retopo.import_sample", text="Try the Sample", icon="MESH_MONKEY")

        for job in state.jobs:
            column = layout.column(align=True)
            column.label(text=job.key)
            row = column.row(align=True)
            row.progress(factor=job.progress, text=job.stage)
            row.operator("csm_retopo.cancel", text="", icon="CANCEL").key = job.key

        if state.message:
            draw_text(layout, context, state.message, "ERROR" if state.message_is_error else "INFO")


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
        newest_first = reversed(placing.session_collections(context.scene))
        for number, collection in enumerate(newest_first):
            _draw_session(self.layout, collection, default_closed=number >= OPEN_AT_FIRST)


def _draw_session(
    layout: bpy.types.UILayout, collection: bpy.types.Collection, *, default_closed: bool
) -> None:
    carried = collection.csm_retopo
    session_id = carried.session_id
    header, body = layout.panel(f"csm_retopo_{session_id}", default_closed=default_closed)
    header.label(text=session_id)
    frame = header.operator("csm_retopo.select", text="", icon="ZOOM_SELECTED", emboss=False)
    frame.session_id = session_id
    if body is None:
        return
    sources, variations = _meshes(collection)

    # Three columns: a row with three cells per mesh would take longer to draw.
    split = body.split(factor=0.5, align=True)
    names = split.column(align=True)
    numbers = split.split(factor=0.5, align=True)
    faces = numbers.column(align=True)
    faces.alignment = "RIGHT"
    quads = numbers.column(align=True)
    quads.alignment = "RIGHT"

    facts = " · ".join(each for each in (carried.model, carried.created_at[:10]) if each)
    for column, text in ((names, facts), (faces, "Faces"), (quads, "Quads")):
        heading = column.row()
        heading.alignment = "LEFT" if column is names else "RIGHT"
        heading.active = False
        heading.label(text=text)
    titles = ["Source"] * len(sources) + short_names([obj.name for _, obj in variations])
    for (_, obj), title in zip(sources + variations, titles, strict=True):
        selected = obj.select_get()
        cell = names.row(align=True)
        cell.alignment = "LEFT"
        cell.operator(
            "csm_retopo.select", text=title, icon="MESH_GRID", emboss=selected, depress=selected
        ).object_name = obj.name
        metrics = read_metrics(obj)
        count, share = _texts(metrics.get("faces"), metrics.get("quad_ratio"))
        faces.label(text=count)
        quads.label(text=share)


_Meshes = list[tuple[int, bpy.types.Object]]


def _meshes(collection: bpy.types.Collection) -> tuple[_Meshes, _Meshes]:
    """The session's source, and its variations in order, with their index."""
    sources: _Meshes = []
    variations: _Meshes = []
    for obj in collection.all_objects:
        if obj.type != "MESH":
            continue
        carried = obj.csm_retopo
        role = carried.role
        if role == "VARIATION":
            variations.append((carried.index, obj))
        elif role == "SOURCE":
            sources.append((-1, obj))
    variations.sort(key=operator.itemgetter(0))
    return sources, variations


@functools.lru_cache(maxsize=4096)
def _texts(faces: int | None, quad_ratio: float | None) -> tuple[str, str]:
    """How many faces and which share of quads, as the list shows them."""
    return f"{faces or 0:,}", percent_text(quad_ratio)


def _draw_trouble(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Say what keeps the service from being used, with a button that leads to its setting."""
    try:
        sessions.find_service()
    except ConfigurationError as error:
        box = layout.box().column()
        draw_text(box, context, str(error), "INFO", in_box=True)
        if sessions.needs_online_access():
            box.operator("screen.userpref_show", text="Open System Preferences").section = "SYSTEM"
        else:
            show = box.operator("preferences.addon_show", text="Open Add-on Preferences")
            show.module = base_package


register, unregister = bpy.utils.register_classes_factory(
    (CSM_RETOPO_PT_import, CSM_RETOPO_PT_sessions)
)
