# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's comparison of all variations: colors, wires, and the table of their metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..scene import pages, rows
from ..scene.compare import table
from ..scene.measure.metrics import METRICS, Metric, MetricValue, value_text
from . import changes
from .overlay import text_points, text_width
from .pages import draw_pages
from .text import draw_text

_BEST = "★"
_PERCENT = ("ratio", "relative")
"""Kinds of metrics whose column says it once, in its heading."""
_GROUP_COLUMNS = 3
_PADDING = 0.7
"""What a cell needs beside its text, in the text's height."""
_LEAST_NAMES = 0.2
"""How much of the table's width the names have at least."""
_UNIT = 20
"""A layout's unit of width, in pixels at a scale of 1."""
_BESIDE_TABLE = 46
"""What a sidebar's panel has beside a table, in pixels at a scale of 1: tabs and margins."""


class CSM_RETOPO_PT_compare(bpy.types.Panel):
    """All variations of the scene beside each other"""

    bl_label = "Compare"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Retopo"
    bl_order = 1

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the scene has any session."""
        return bool(rows.session_collections(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        layout = self.layout
        settings = context.scene.csm_retopo
        _draw_display(layout, context, settings)
        layout.prop(settings, "triangle_budget")
        page = _find_page(context)
        _draw_table(layout, page, context.preferences.system.ui_scale)
        if page.count > len(page.lines):
            last = page.first + len(page.lines)
            draw_pages(layout, "TABLE", page.first, last, page.count, last < page.count)
        row = layout.row(align=True)
        row.popover("CSM_RETOPO_PT_columns")
        row.operator_context = "INVOKE_DEFAULT"
        row.operator("csm_retopo.export_table", text="Export", icon="EXPORT")
        row.operator("csm_retopo.write_report", text="Report", icon="DOCUMENTS")


class CSM_RETOPO_PT_columns(bpy.types.Panel):
    """Which metrics the table shows"""

    bl_label = "Columns"
    bl_space_type = "VIEW_3D"
    bl_region_type = "WINDOW"
    bl_options = {"INSTANCED"}
    bl_ui_units_x = 26

    def draw(self, context: bpy.types.Context) -> None:
        """Draw it."""
        shown = {column.key for column in table.shown_columns(context.scene.csm_retopo.columns)}
        named = {key for _, keys in table.GROUPS for key in keys}
        others = tuple(key for key in METRICS if key not in named)
        side_by_side = self.layout.row()
        columns = [side_by_side.column(align=True) for _ in range(_GROUP_COLUMNS)]
        heights = [0] * _GROUP_COLUMNS
        for title, keys in (*table.GROUPS, ("Distance From the Source", others)):
            lowest = heights.index(min(heights))
            heights[lowest] += len(keys) + 2
            column = columns[lowest]
            column.label(text=title)
            for key in keys:
                row = column.row()
                row.alignment = "LEFT"
                row.operator(
                    "csm_retopo.toggle_column",
                    text=METRICS[key].label,
                    icon="CHECKBOX_HLT" if key in shown else "CHECKBOX_DEHLT",
                    emboss=False,
                ).column = key
            column.separator()


def _draw_display(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.prop(settings, "colors", text="", icon="COLOR")
    row.prop(settings, "wireframe", text="", icon="SHADING_WIRE")
    if settings.colors in ("DEVIATION", "COVERAGE"):
        column.prop(settings, "color_limit", text="Limit % (0: Automatic)")
    space = context.space_data
    if settings.colors == "NONE" or not isinstance(space, bpy.types.SpaceView3D):
        return
    shading = space.shading
    if shading.type == "SOLID" and shading.color_type not in ("MATERIAL", "TEXTURE"):
        draw_text(column, context, "To see these colors, set the view's color to Material", "INFO")
        column.prop(shading, "color_type", text="")


def _draw_table(layout: bpy.types.UILayout, page: _Page, scale: float) -> None:
    columns = _columns(layout, page.widths, scale)
    names = next(columns)
    heading = names.row()
    heading.active = False
    heading.label(text="Variation")
    for line, title in zip(page.lines, page.titles, strict=True):
        # A layout takes time: a cell has one of its own only where it must.
        cell = names.row(align=True)
        cell.alignment = "LEFT"
        if line.is_over:
            cell.alert = True
        is_selected = line.is_selected
        cell.operator(
            "csm_retopo.select",
            text=title,
            translate=False,
            emboss=is_selected,
            depress=is_selected,
        ).object_name = line.object_name
    for metric, text, texts, column in zip(
        page.columns, page.headings, page.texts, columns, strict=True
    ):
        heading = column.row(align=True)
        heading.alignment = "RIGHT"
        key = metric.key
        heading.operator("csm_retopo.sort_table", text=text, emboss=False).column = key
        for line, text in zip(page.lines, texts, strict=True):
            cell = column.row(align=True)
            cell.alignment = "RIGHT"
            if line.is_over and key == "triangle_count":
                cell.alert = True
            button = cell.operator("csm_retopo.select", text=text, emboss=False)
            button.object_name = line.object_name
            button.metric = key


def _columns(
    layout: bpy.types.UILayout, widths: tuple[float, ...], scale: float
) -> Iterator[bpy.types.UILayout]:
    """Columns that share the room as these widths do, in pixels."""
    # Of one row: between the parts of a split, Blender leaves a gap that nothing closes.
    row = layout.row(align=True)
    for width in widths:
        column = row.column(align=True)
        column.ui_units_x = width / (_UNIT * scale)
        yield column


@dataclass(frozen=True)
class _Page:
    """What is shown of the table, ready to be drawn: lines from `first` on, of `count`; heading and
    texts of each of the columns; and how wide those are, the names' before them.
    """

    columns: tuple[Metric, ...]
    lines: tuple[table.Line, ...]
    first: int
    count: int
    titles: list[str]
    headings: list[str]
    texts: list[list[str]]
    widths: tuple[float, ...]


_page: _Page | None = None
_page_key: tuple[object, ...] = ()


def _find_page(context: bpy.types.Context) -> _Page:
    """The page to show, made anew only when something has changed: redraws are many, and changes
    few.
    """
    global _page, _page_key
    scene = context.scene
    settings = scene.csm_retopo
    number = context.window_manager.csm_retopo.table_page
    points = text_points(context)
    key = (
        *(scene.name, context.view_layer.name, number, points, context.region.width),
        bpy.app.translations.locale,
        *(settings.columns, settings.sort_by, settings.sort_descending, settings.triangle_budget),
    )
    if _page is None or _page_key != key:
        room = context.region.width - _BESIDE_TABLE * context.preferences.system.ui_scale
        _page = _make_page(table.read_table(scene), settings, number, points, room)
        _page_key = key
    return _page


def _make_page(shown: table.Table, settings: Any, number: int, points: float, room: float) -> _Page:
    first = pages.within(number, len(shown.lines), pages.TABLE_LINES) * pages.TABLE_LINES
    lines = shown.lines[first : first + pages.TABLE_LINES]
    texts = [
        [_text(metric.key, line.metrics.get(metric.key), best) for line in lines]
        for metric, best in zip(shown.columns, shown.best, strict=True)
    ]
    headings = [_heading(metric, settings) for metric in shown.columns]
    headed = [[heading, *each] for heading, each in zip(headings, texts, strict=True)]
    long, short = [line.title for line in lines], [line.short_title for line in lines]
    # What is cut short where there is little room: first names, then headings, never a number.
    for titles, columns in ((long, headed), (short, headed), (short, texts)):
        widths = _widths([titles, *columns], points)
        if sum(widths) <= room:
            break
    names = min(widths[0], max(room - sum(widths[1:]), _LEAST_NAMES * room))
    widths = (names, *widths[1:])
    return _Page(shown.columns, lines, first, len(shown.lines), titles, headings, texts, widths)


def _widths(columns: list[list[str]], points: float) -> tuple[float, ...]:
    """How wide each column has to be for its texts, in pixels."""
    padding = _PADDING * points
    return tuple(
        padding + max((text_width(text, points) for text in texts), default=0.0)
        for texts in columns
    )


def _heading(metric: Metric, settings: Any) -> str:
    heading = iface_(metric.heading)
    text = f"{heading}%" if metric.kind in _PERCENT else heading
    if settings.sort_by != metric.key:
        return text
    return f"{'↓' if settings.sort_descending else '↑'}{text}"


def _text(key: str, value: MetricValue, best: MetricValue) -> str:
    text = value_text(key, value)
    if METRICS[key].kind in _PERCENT:
        text = text.removesuffix(" %")
    return f"{_BEST}{text}" if best is not None and value == best else text


@bpy.app.handlers.persistent
def _forget(*_: object) -> None:
    """Something in the file has changed, who knows what."""
    global _page
    _page = None


_register, _unregister = bpy.utils.register_classes_factory(
    (CSM_RETOPO_PT_compare, CSM_RETOPO_PT_columns)
)


def register() -> None:
    """Show the panel, and look out for changes."""
    _register()
    changes.watch(_forget)


def unregister() -> None:
    """Take it away again."""
    changes.unwatch(_forget)
    _forget()
    _unregister()
