# SPDX-License-Identifier: GPL-3.0-or-later
"""Flip and keep: their section of the sidebar, their keys, and what the views say meanwhile."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..scene import rows
from ..scene.compare import flipping, keeping, table
from ..scene.properties import read_metrics
from . import legend, overlay

# Where the pointer is in the view, and where it is over the sidebar. Blender asks both before its
# keymap "3D View": there, the arrow keys would have changed the frame already.
_KEYMAPS = ("Object Mode", "Frames")
_KEYS: tuple[tuple[str, Any, dict[str, int]], ...] = (
    ("csm_retopo.flip_step", "RIGHT_ARROW", {"step": 1}),
    ("csm_retopo.flip_step", "LEFT_ARROW", {"step": -1}),
    ("csm_retopo.flip_swap", "DOWN_ARROW", {}),
    ("csm_retopo.flip_end", "ESC", {}),
)
_HINT = "← → Flip     ↓ A/B     Esc Back to the Row"

_LINES = (
    (1.5, (1.0, 1.0, 1.0, 1.0)),
    (1.1, overlay.TEXT),
    (0.95, overlay.FAINT_TEXT),
)
"""Size and color of name, numbers and keys. Sizes are in the height of the interface's text."""
_LINE = 1.5
_PADDING = 0.9
_MARGIN = 1.6

_keymap_items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []
_handle: object | None = None


class CSM_RETOPO_PT_flip(bpy.types.Panel):
    """Flip through the variations in place, and keep one"""

    bl_label = "Flip and Keep"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Retopo"
    bl_order = 2

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the scene has any session."""
        return bool(rows.session_collections(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        scene = context.scene
        state = scene.csm_retopo.flip
        column = layout.column(align=True)
        row = column.row(align=True)
        row.scale_y = 1.4
        if state.is_on:
            row.operator("csm_retopo.flip_end", icon="LOOP_BACK", depress=True)
        else:
            row.operator_context = "INVOKE_DEFAULT"
            row.operator("csm_retopo.flip", icon="RENDERLAYERS")
        row = column.row(align=True)
        row.operator("csm_retopo.flip_step", text="Previous").step = -1
        row.operator("csm_retopo.flip_swap")
        row.operator("csm_retopo.flip_step", text="Next").step = 1
        chosen = context.active_object
        if state.is_on:
            variations = flipping.flipped(scene)
            shown = flipping.shown_of(scene, variations)
            _draw_list(layout, scene, variations, shown)
            chosen = shown or chosen
        layout.prop(state, "show_ghost")
        row = layout.row()
        # The tooltip says why, if it is grey.
        row.enabled = chosen is not None and keeping.is_variation(chosen)
        row.operator("csm_retopo.keep", text="Keep...", icon="CHECKMARK")


def _draw_list(
    layout: bpy.types.UILayout,
    scene: bpy.types.Scene,
    variations: list[bpy.types.Object],
    shown: bpy.types.Object | None,
) -> None:
    column = layout.column(align=True)
    names = [obj.name for obj in variations]
    tags = _tags(scene, variations)
    titles = table.short_titles(names, may_be_numbered=len(tags) > 1)
    for obj, (title, _) in zip(variations, titles, strict=True):
        cell = column.row(align=True)
        cell.alignment = "LEFT"
        is_shown = obj == shown
        cell.operator(
            "csm_retopo.flip_show",
            text=f"{title} {tags[obj.csm_retopo.session_id]}",
            translate=False,
            icon="HIDE_OFF" if is_shown else "HIDE_ON",
            emboss=is_shown,
            depress=is_shown,
        ).object_name = obj.name


def _tags(scene: bpy.types.Scene, variations: list[bpy.types.Object]) -> dict[str, str]:
    """By session ID, what tells the sessions that are flipped through apart."""
    ids = {obj.csm_retopo.session_id for obj in variations}
    collections = rows.session_collections(scene)
    group = [rows.Row(each) for each in collections if each.csm_retopo.session_id in ids]
    return table.session_tags(group)


def _draw_text() -> None:
    """Say what is shown, in the middle of the lower edge of the view."""
    context = bpy.context
    scene, area, region, space = context.scene, context.area, context.region, context.space_data
    if scene is None or not flipping.is_on(scene) or area is None or region is None:
        return
    if not (isinstance(space, bpy.types.SpaceView3D) and space.overlay.show_overlays):
        return
    variations = flipping.flipped(scene)
    obj = flipping.shown_of(scene, variations)
    texts = [iface_("Deleted"), "", iface_(_HINT)]
    if obj is not None:
        tag = _tags(scene, variations)[obj.csm_retopo.session_id]
        place = iface_("{:d} of {:d}").format(variations.index(obj) + 1, len(variations))
        texts[0] = "  ·  ".join(each for each in (obj.name, tag, place) if each)
        texts[1] = "  ·  ".join(flipping.key_numbers(read_metrics(obj)))
    left, right, bottom = overlay.free_room(area, region)
    left = max(left, legend.right_edge(context))
    points = overlay.text_points(context)
    # In a small view it is written smaller rather than cut off.
    points *= min(1.0, (right - left) / (_width(texts, points) + 2 * _MARGIN * points))
    if points >= 1:
        _draw_at(texts, (left + right) / 2, bottom + _MARGIN * points, points)


def _width(texts: list[str], points: float) -> float:
    widths = [
        overlay.text_width(text, size * points)
        for text, (size, _) in zip(texts, _LINES, strict=True)
    ]
    return max(widths) + 2 * _PADDING * points


def _draw_at(texts: list[str], middle: float, bottom: float, points: float) -> None:
    """The lines, centered, on a dark ground that makes them readable on anything."""
    padding = _PADDING * points
    half = _width(texts, points) / 2
    y = bottom + sum(_LINE * size * points for size, _ in _LINES) + padding
    overlay.fill([((middle - half, bottom, middle + half, y + padding), overlay.BACKGROUND)])
    for text, (size, color) in zip(texts, _LINES, strict=True):
        letters = size * points
        y -= _LINE * letters
        x = middle - overlay.text_width(text, letters) / 2
        overlay.write(text, x, y + 0.4 * letters, letters, color)


_register, _unregister = bpy.utils.register_classes_factory((CSM_RETOPO_PT_flip,))


def register() -> None:
    """Show the panel; have keys and text ready for when the mode is on."""
    global _handle
    _register()
    if not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw_text, (), "WINDOW", "POST_PIXEL")
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is None:
        return  # in the background
    for keymap in [configuration.keymaps.new(name=name) for name in _KEYMAPS]:
        for operator, key, properties in _KEYS:
            item = keymap.keymap_items.new(operator, key, "PRESS", repeat=key != "ESC")
            for name, value in properties.items():
                setattr(item.properties, name, value)
            _keymap_items.append((keymap, item))


def unregister() -> None:
    """Take it all away again."""
    global _handle
    for keymap, item in _keymap_items:
        keymap.keymap_items.remove(item)
    _keymap_items.clear()
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None
    _unregister()
