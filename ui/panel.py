# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's Retopo tab."""

from __future__ import annotations

import functools
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import __package__ as base_package
from ..api.errors import ConfigurationError
from ..scene import sessions
from .overlay import text_points, text_width
from .text import draw_text


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
            if job.is_ready:
                column.operator("csm_retopo.place", icon="CHECKMARK").key = job.key
            if job.detail:
                draw_text(column, context, job.detail, "TIME")

        if state.message:
            draw_text(layout, context, state.message, "ERROR" if state.message_is_error else "INFO")
        if state.failures:
            _draw_failures(layout, context, state)


_MOST_FAILURES = 8
_BESIDE_TITLE = 160
"""What a sidebar's panel has beside the name in such a row, in pixels at a scale of 1."""


def _draw_failures(layout: bpy.types.UILayout, context: bpy.types.Context, state: Any) -> None:
    """A row for each variation that could not be had, with a button that fetches what is missing
    of its session.
    """
    under_way = {job.key for job in state.jobs}
    points = round(text_points(context), 1)
    room = round(context.region.width - _BESIDE_TITLE * context.preferences.system.ui_scale)
    for failure in state.failures[:_MOST_FAILURES]:
        column = layout.column(align=True)
        row = column.row(align=True)
        row.label(text=_ending(failure.title, room, points), translate=False, icon="CANCEL")
        row = row.row(align=True)
        row.alignment = "RIGHT"
        row.enabled = failure.session_id not in under_way
        row.operator_context = "INVOKE_DEFAULT"
        row.operator(
            "csm_retopo.import_session", text="Retry", icon="FILE_REFRESH"
        ).session_id = failure.session_id
        if failure.reason not in state.message:  # it need not be said twice
            draw_text(column, context, failure.reason, "BLANK1")
    if (more := len(state.failures) - _MOST_FAILURES) > 0:
        layout.label(text=iface_("And {} more").format(more), translate=False)


@functools.lru_cache(maxsize=64)
def _ending(title: str, room: int, points: float) -> str:
    """As much of a name as there is room for. What tells variations apart is at its end."""
    shown = title
    while text_width(shown, points) > room and len(title) > 1:
        title = title[1:]
        shown = f"...{title.lstrip()}"
    return shown


def _draw_trouble(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Say what keeps the service from being used, with a button that leads to its setting."""
    try:
        sessions.find_service()
    except ConfigurationError as error:
        box = layout.box().column()
        draw_text(box, context, error.text, "INFO", in_box=True)
        if sessions.needs_online_access():
            box.operator("screen.userpref_show", text="Open System Preferences").section = "SYSTEM"
        else:
            show = box.operator("preferences.addon_show", text="Open Add-on Preferences")
            show.module = base_package


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_PT_import,))
