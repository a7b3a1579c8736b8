# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's list of the sessions that the scene holds, with their preview images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from ..scene import pages, rows
from ..scene.compare.table import short_titles
from . import changes, thumbnails
from .overlay import text_points, text_width
from .pages import draw_pages

_BESIDE_SESSION = 120
"""What a sidebar's panel has beside a session's text, in pixels at a scale of 1: tabs, margins and
buttons.
"""
_BESIDE_GALLERY = 46
"""The same beside the pictures."""
_UNIT = 20
"""A layout's unit of width, in pixels at a scale of 1."""
_SMALLEST, _LARGEST = 8.0, 12.0
"""How large a picture is, in these units. Blender's previews have 256 pixels, and nobody sees a
mesh's edges in less than half of that.
"""
_GAP = 0.2


class CSM_RETOPO_PT_sessions(bpy.types.Panel):
    """The imported sessions of this scene, the newest first, with their preview images"""

    bl_label = "Sessions"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Retopo"
    bl_order = 3

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the scene has any."""
        # Blender asks each panel before it lays the region out, be it folded or in another tab.
        thumbnails.begin(context.region)
        return bool(rows.session_collections(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        state = context.window_manager.csm_retopo
        lines = _lines(context)
        page = pages.within(state.sessions_page, len(lines), pages.SESSIONS)
        first = page * pages.SESSIONS
        last = min(first + pages.SESSIONS, len(lines))
        column = self.layout.column(align=True)
        for number in range(first, last):
            line = lines[number]
            chosen = state.galleries.get(line.session_id)
            is_shown = number == 0 if chosen is None else chosen.is_shown
            _draw_session(column, line, is_shown)
            if is_shown:
                _draw_gallery(column, context, line)
        if len(lines) > pages.SESSIONS:
            draw_pages(self.layout, "SESSIONS", first, last, len(lines), last < len(lines))


def _draw_session(layout: bpy.types.UILayout, line: _Line, is_shown: bool) -> None:
    """A session's line: what folds its gallery, what it is, and its tools, a button without text
    each. One more button is one more `row.operator` at the end, and its width in _BESIDE_SESSION.
    """
    session_id = line.session_id
    row = layout.row(align=True)
    fold = row.operator(
        "csm_retopo.show_previews",
        text="",
        icon="DOWNARROW_HLT" if is_shown else "RIGHTARROW",
        emboss=False,
    )
    fold.session_id = session_id
    if is_shown:
        fold.show = False
    row.label(text=line.text, translate=False)
    row.operator(
        "csm_retopo.select", text="", icon="ZOOM_SELECTED", emboss=False
    ).session_id = session_id
    if not line.has_input:
        row = row.row(align=True)
        row.enabled = False
    row.operator(
        "csm_retopo.request_another", text="", icon="ADD", emboss=False
    ).session_id = session_id


def _draw_gallery(layout: bpy.types.UILayout, context: bpy.types.Context, line: _Line) -> None:
    """The previews of a session's variations, with as many beside each other as there is room for.
    The active variation's name is marked.
    """
    region = context.region
    room = region.width / context.preferences.system.ui_scale - _BESIDE_GALLERY
    columns = max(int(room / _UNIT / (_SMALLEST + _GAP)), 1)
    size = min(room / _UNIT / columns - _GAP, _LARGEST)
    active = context.active_object
    active_name = active.name if active is not None else ""
    grid = layout.grid_flow(row_major=True, columns=columns, even_columns=True, align=False)
    collection = bpy.data.collections.get(line.collection_name)
    # Blender looks at one after the other: a file has many more than a session.
    objects: Any = collection.all_objects if collection is not None else {}
    for each in _pictures(context.scene, line):
        cell = grid.column(align=True)
        preview = objects.get(each.preview_name)
        image = preview.data if preview is not None else None
        if isinstance(image, bpy.types.Image):
            icon = thumbnails.preview_icon(region, cell, image, preview.csm_retopo.file_sha256)
            cell.template_icon(icon_value=icon, scale=size)
        else:
            empty = cell.row()
            empty.scale_y = size
            empty.alignment = "CENTER"
            empty.label(text="", icon="IMAGE_DATA")
        cell.operator(
            "csm_retopo.select",
            text=each.title,
            translate=False,
            depress=each.object_name == active_name,
        ).object_name = each.object_name


@dataclass(frozen=True)
class _Line:
    """A session as it is listed. The collection's name finds it, unless it is deleted or renamed
    meanwhile.
    """

    session_id: str
    collection_name: str
    text: str
    has_input: bool


@dataclass(frozen=True)
class _Picture:
    """A variation in a gallery. Names find the objects, unless they are deleted or renamed
    meanwhile.
    """

    object_name: str
    preview_name: str
    title: str


# Found anew only when something has changed: redraws are many, and changes few.
_known_lines: dict[tuple[str, float, float], list[_Line]] = {}
_known_pictures: dict[tuple[str, str], list[_Picture]] = {}


def _lines(context: bpy.types.Context) -> list[_Line]:
    """The scene's sessions, the newest first."""
    points = text_points(context)
    room = context.region.width - _BESIDE_SESSION * context.preferences.system.ui_scale
    key = (context.scene.name, points, room)
    if key not in _known_lines:
        collections = reversed(rows.session_collections(context.scene))
        _known_lines[key] = [_line(each, points, room) for each in collections]
    return _known_lines[key]


def _line(collection: bpy.types.Collection, points: float, room: float) -> _Line:
    carried = collection.csm_retopo
    parts = [carried.session_id.removeprefix("SESSION_"), carried.model, carried.created_at[:10]]
    text = " · ".join(each for each in parts if each)
    if text_width(text, points) > room:
        # The ID begins with the time, too.
        text = " · ".join(each for each in parts[:2] if each)
    return _Line(carried.session_id, collection.name, text, bool(carried.input_asset_id))


def _pictures(scene: bpy.types.Scene, line: _Line) -> list[_Picture]:
    """What the session's gallery shows."""
    key = (scene.name, line.collection_name)
    if key not in _known_pictures:
        collection = bpy.data.collections.get(line.collection_name)
        row = rows.find_row(collection) if collection is not None else None
        _known_pictures[key] = [] if row is None else list(_find_pictures(row))
    return _known_pictures[key]


def _find_pictures(row: rows.Row) -> Iterator[_Picture]:
    names = [obj.name for obj in row.variations.values()]
    titles = short_titles(names, may_be_numbered=True)
    for index, name, (title, _) in zip(row.variations, names, titles, strict=True):
        preview = row.previews.get(index)
        yield _Picture(name, preview.name if preview is not None else "", title)


@bpy.app.handlers.persistent
def _forget(*_: object) -> None:
    """Something in the file has changed, who knows what."""
    _known_lines.clear()
    _known_pictures.clear()


_register, _unregister = bpy.utils.register_classes_factory((CSM_RETOPO_PT_sessions,))


def register() -> None:
    """Show the panel, and look out for changes."""
    _register()
    changes.watch(_forget)


def unregister() -> None:
    """Take it away again."""
    changes.unwatch(_forget)
    _forget()
    _unregister()
