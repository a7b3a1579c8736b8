# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences."""

from __future__ import annotations

import os
from typing import Any

import bpy
from bpy.props import FloatProperty, StringProperty

from .. import __package__ as base_package


class CSM_RETOPO_AP_preferences(bpy.types.AddonPreferences):
    """Key, address and cache."""

    bl_idname = base_package

    api_key: StringProperty(
        name="API Key",
        description="The key of your CSM account. It is stored as plain text in Blender's "
        "preferences file; the variable CSM_API_KEY comes first and is stored nowhere",
        subtype="PASSWORD",
    )
    api_url: StringProperty(
        name="Service Address",
        description="Only if your studio reaches the service under another address than "
        "https://api.csm.ai. The variable CSM_API_URL comes first",
    )
    cache_limit_gb: FloatProperty(
        name="Cache Limit",
        description="The sessions that were used least recently are removed from the cache when "
        "it grows over this many gigabytes",
        default=4.0,
        min=0.1,
        soft_max=100.0,
        precision=1,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw them."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(self, "api_key")
        _draw_note(column, "Stored as plain text in your preferences", "UNLOCKED")
        if "CSM_API_KEY" in os.environ:
            _draw_note(column, "CSM_API_KEY is set and comes first", "INFO")
        column.prop(self, "api_url", placeholder="https://api.csm.ai")
        if "CSM_API_URL" in os.environ:
            _draw_note(column, "CSM_API_URL is set and comes first", "INFO")
        row = layout.row(align=True)
        row.prop(self, "cache_limit_gb", text="Cache Limit (GB)")
        row.operator("csm_retopo.clear_cache", icon="TRASH")


def _draw_note(layout: bpy.types.UILayout, text: str, icon: Any) -> None:
    """A line under a field, that begins where the field does."""
    split = layout.split(factor=0.4)
    split.active = False
    split.label()
    split.label(text=text, icon=icon)


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_AP_preferences,))
