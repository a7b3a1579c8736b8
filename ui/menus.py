# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on in Blender's own menus, where F3 finds it, too."""

from __future__ import annotations

from typing import Any

import bpy


class CSM_RETOPO_MT_retopology(bpy.types.Menu):
    """All that the add-on does, but for what needs a choice that only the sidebar offers"""

    bl_label = "Retopology"

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("csm_retopo.import_session", icon="IMPORT")
        layout.operator("csm_retopo.import_folder", icon="FILE_FOLDER")
        layout.operator("csm_retopo.import_sample", icon="MESH_MONKEY")
        layout.operator("csm_retopo.request_another")
        layout.operator("csm_retopo.place", text="Place What Is Ready")
        layout.operator("csm_retopo.cancel", text="Cancel All Imports", icon="CANCEL")
        layout.operator("csm_retopo.clear_cache", icon="TRASH")
        layout.separator()
        layout.operator_menu_enum("csm_retopo.show_colors", "colors", icon="COLOR")
        layout.operator("csm_retopo.show_wireframe", icon="SHADING_WIRE")
        layout.operator("csm_retopo.export_table", icon="EXPORT")
        layout.operator("csm_retopo.write_report", icon="DOCUMENTS")
        layout.separator()
        layout.operator("csm_retopo.flip", icon="RENDERLAYERS")
        layout.operator("csm_retopo.flip_step").step = 1
        layout.operator("csm_retopo.flip_step", text="Previous Variation").step = -1
        layout.operator("csm_retopo.flip_swap", text="Swap With Previous (A/B)")
        layout.operator("csm_retopo.flip_end", icon="LOOP_BACK")
        layout.separator()
        layout.operator("csm_retopo.copy_numbers", icon="COPYDOWN")
        layout.operator("csm_retopo.keep", text="Keep Variation...", icon="CHECKMARK")


def _draw_import(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.operator("csm_retopo.import_file", text="CSM Retopology Session")


def _draw_object(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.separator()
    menu.layout.menu(CSM_RETOPO_MT_retopology.__name__)


def _draw_view(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    # Other modes have no menu Object, and F3 finds only what is in some menu.
    if context.mode != "OBJECT":
        _draw_object(menu, context)


def _draw_button(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    """What can be done with a variation, for buttons of ours that name one."""
    button = getattr(context, "button_operator", None)
    if button is None or not button.bl_rna.identifier.startswith("CSM_RETOPO_OT_"):
        return
    obj = context.scene.objects.get(getattr(button, "object_name", ""))
    if obj is None or obj.csm_retopo.role != "VARIATION":
        return
    layout = menu.layout
    layout.operator_context = "INVOKE_DEFAULT"
    layout.separator()
    layout.label(text=obj.name, translate=False)
    select = layout.operator("csm_retopo.select", icon="ZOOM_SELECTED")
    select.object_name = obj.name
    flip = layout.operator("csm_retopo.flip", text="Flip to It", icon="RENDERLAYERS")
    flip.object_name = obj.name
    keep = layout.operator("csm_retopo.keep", text="Keep...", icon="CHECKMARK")
    keep.object_name = obj.name
    copy = layout.operator("csm_retopo.copy_numbers", icon="COPYDOWN")
    copy.object_name = obj.name
    select = layout.operator("csm_retopo.select", text="Select Session")
    select.session_id = obj.csm_retopo.session_id


_register, _unregister = bpy.utils.register_classes_factory((CSM_RETOPO_MT_retopology,))


def _entries() -> tuple[tuple[Any, Any], ...]:
    # Not as a constant: the types are there once Blender has started.
    types = bpy.types
    return (
        (types.TOPBAR_MT_file_import, _draw_import),
        (types.VIEW3D_MT_object, _draw_object),
        (types.VIEW3D_MT_view, _draw_view),
        (types.UI_MT_button_context_menu, _draw_button),
    )


def register() -> None:
    """Add to the menus."""
    _register()
    for menu, draw in _entries():
        menu.append(draw)


def unregister() -> None:
    """Take it out of them again."""
    for menu, draw in _entries():
        menu.remove(draw)
    _unregister()
