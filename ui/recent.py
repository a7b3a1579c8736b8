# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's list of the sessions in the cache."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..api.recent import RecentSession
from ..scene import recents
from . import thumbnails
from .pages import draw_pages
from .text import draw_text

_UNIT = 20
"""A layout's unit of width, in pixels at a scale of 1."""
_PICTURE = 3.0
"""How large a thumbnail is, in these units."""
_BESIDE_TEXT = 6.5
"""What a sidebar's panel has beside the text of a session, in these units: tabs, margins and the
thumbnail.
"""


class CSM_RETOPO_PT_recent(bpy.types.Panel):
    """Sessions that were fetched before and are still in the cache, the latest used first"""

    bl_label = "Recent"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Retopo"
    bl_parent_id = "CSM_RETOPO_PT_import"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        state = context.window_manager.csm_retopo
        text = state.recent_filter
        page = recents.shown(state.recent_page, text)
        if page is None:
            layout.label(text="Reading the cache", icon="TIME")
            return
        if page.problem:
            draw_text(layout, context, page.problem, "ERROR")
            return
        if text or page.first or page.has_more:
            layout.prop(state, "recent_filter", text="", icon="VIEWZOOM", placeholder="Filter")
        if not page.sessions:
            nothing = "Nothing matches the filter" if text else "Nothing was fetched yet"
            draw_text(layout, context, nothing, "INFO")
            return
        running = {job.key for job in state.jobs}
        column = layout.column()
        region = context.region
        width = region.width / (_UNIT * context.preferences.system.ui_scale) - _BESIDE_TEXT
        for session in page.sessions:
            _draw_session(column, region, session, width, session.session_id in running)
        if page.first or page.has_more:
            last = page.first + len(page.sessions)
            draw_pages(layout, "RECENT", page.first, last, None, page.has_more)


def _draw_session(
    layout: bpy.types.UILayout,
    region: bpy.types.Region,
    session: RecentSession,
    width: float,
    is_running: bool,
) -> None:
    row = layout.row()
    picture = row.column()
    picture.ui_units_x = _PICTURE
    if session.preview is None:
        picture.scale_y = _PICTURE
        picture.label(text="", icon="IMAGE_DATA")
    else:
        icon = thumbnails.file_icon(region, session.preview)
        picture.template_icon(icon_value=icon, scale=_PICTURE)
    lines = row.column(align=True)
    # Columns share the room as their widths do: the thumbnail is to have no more than it needs.
    lines.ui_units_x = max(width, _PICTURE)
    button = lines
    if is_running:
        button = lines.row(align=True)
        button.enabled = False
    button.operator(
        "csm_retopo.import_cached",
        text=session.session_id.removeprefix("SESSION_"),
        translate=False,
    ).session_id = session.session_id
    facts = lines.column(align=True)
    facts.scale_y = 0.85
    facts.active = False
    told = " · ".join(each for each in (session.model, session.created_at[:10]) if each)
    facts.label(text=told, translate=False)
    facts.label(text=_amount(session), translate=False)


def _amount(session: RecentSession) -> str:
    if session.available < session.variations:
        return iface_("{:d} of {:d} variations").format(session.available, session.variations)
    if session.variations == 1:
        return iface_("1 variation")
    return iface_("{:d} variations").format(session.variations)


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_PT_recent,))
