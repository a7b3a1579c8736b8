# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences."""

from __future__ import annotations

import os
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import __package__ as base_package
from . import tab


def _rename_tab(chosen: CSM_RETOPO_AP_preferences, _context: bpy.types.Context) -> None:
    tab.rename(chosen.tab_name)


class CSM_RETOPO_AP_preferences(bpy.types.AddonPreferences):
    """Service, import, layout, interface and cache."""

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
    wait_for_running: BoolProperty(
        name="Wait for Running Sessions",
        description="Import a session that is still running on the service as soon as it is "
        "ready, its variations one by one. Blender stays usable meanwhile",
        default=True,
    )
    wait_limit_min: IntProperty(
        name="Wait at Most",
        description="After this many minutes, a session that is still running is not waited for "
        "any longer. Without Wait for Running Sessions, none is waited for at all",
        default=120,
        min=1,
        soft_max=600,
    )
    when_ready: EnumProperty(
        name="Place",
        description="When an import that is ready is placed in the scene",
        items=(
            (
                "OBJECT_MODE",
                "In Object Mode",
                "By itself, as soon as nothing is being edited, sculpted or painted",
            ),
            ("AT_ONCE", "At Once", "By itself, in any mode; mode and selection stay"),
            ("ASK", "When Asked", "Not before you press Place in the sidebar"),
        ),
        default="OBJECT_MODE",
    )
    default_folder: StringProperty(
        name="Default Folder",
        description="Where the file browser begins when a session's folder is chosen. Left empty, "
        "where it was last",
        subtype="DIR_PATH",
    )
    drop_meshes: BoolProperty(
        name="Sessions From Dropped OBJ Files",
        description="Offer to import the whole session when OBJ files of its folder are dropped on "
        "a 3D view. Blender then asks at each drop of an OBJ whether it is meant",
        default=True,
    )
    preview_place: EnumProperty(
        name="Previews",
        description="Where a variation's preview image stands. Sessions that are in a scene stay "
        "as they are",
        items=(
            ("BESIDE", "Beside", "At the right of the mesh"),
            ("BELOW", "Below", "Under the mesh, as you look at it"),
            ("ABOVE", "Above", "Over the mesh, as you look at it"),
        ),
        default="BESIDE",
    )
    spacing: FloatProperty(
        name="Spacing",
        description="How far apart variations and rows stand: 1 for the usual distance, 0 for "
        "none. Sessions that are in a scene stay as they are",
        default=1.0,
        min=0.0,
        soft_max=5.0,
        max=100.0,
        step=10,
        precision=2,
    )
    labels: BoolProperty(
        name="Labels",
        description="Write name, faces and the share of quads under each mesh. Labels that are in "
        "a scene stay",
        default=True,
    )
    tab_name: StringProperty(
        name="Tab Name",
        description="The sidebar's tab that holds the add-on's panels. Another add-on's name puts "
        "them into its tab",
        default=tab.DEFAULT_NAME,
        update=_rename_tab,
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

        group = _draw_group(layout, "Service")
        group.prop(self, "api_key")
        _draw_note(group, "Stored as plain text in your preferences", "UNLOCKED")
        if "CSM_API_KEY" in os.environ:
            _draw_note(group, "CSM_API_KEY is set and comes first", "INFO")
        group.prop(self, "api_url", placeholder="https://api.csm.ai")
        if "CSM_API_URL" in os.environ:
            _draw_note(group, "CSM_API_URL is set and comes first", "INFO")

        group = _draw_group(layout, "Import")
        group.prop(self, "wait_for_running")
        row = group.row()
        row.enabled = self.wait_for_running
        row.prop(self, "wait_limit_min", text="Wait at Most (Minutes)")
        group.prop(self, "when_ready")
        group.prop(self, "default_folder")
        group.prop(self, "drop_meshes")

        group = _draw_group(layout, "Layout")
        group.row().prop(self, "preview_place", expand=True)
        group.prop(self, "spacing")
        group.prop(self, "labels")

        group = _draw_group(layout, "Interface")
        group.prop(self, "tab_name")

        group = _draw_group(layout, "Cache")
        row = group.row(align=True)
        row.prop(self, "cache_limit_gb", text="Limit (GB)")
        row.operator("csm_retopo.clear_cache", icon="TRASH")


def _draw_group(layout: bpy.types.UILayout, title: str) -> bpy.types.UILayout:
    """A heading, and the column for what is under it."""
    layout.label(text=title)
    return layout.column()


def _draw_note(layout: bpy.types.UILayout, text: str, icon: Any) -> None:
    """A line under a field, that begins where the field does."""
    split = layout.split(factor=0.4)
    split.active = False
    split.label()
    split.label(text=text, icon=icon)


_register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_AP_preferences,))


def register() -> None:
    """Make them known to Blender, and heed the tab's name before any panel is shown."""
    _register()
    addon = bpy.context.preferences.addons.get(base_package)
    if addon is not None:
        tab.rename(addon.preferences.tab_name)
