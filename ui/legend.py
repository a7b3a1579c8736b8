# SPDX-License-Identifier: GPL-3.0-or-later
"""What the colors on the variations mean, in the lower left of every 3D view that shows them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..scene.compare.coloring import shown_legend
from ..scene.compare.colors import Color, Legend
from . import overlay
from .overlay import Box, Rgba

# In the height of the interface's text.
_LINE = 1.45
_BAND = 0.75
_SWATCH = 1.5
_GAP = 0.6
_PADDING = 0.9
_MARGIN = 1.3
_SMALL = 0.92

_handle: object | None = None


@dataclass(frozen=True)
class _Text:
    text: str
    x: float
    y: float
    points: float
    color: Rgba


@dataclass(frozen=True)
class _Picture:
    """A legend in pixels from its lower left."""

    width: float
    height: float
    boxes: tuple[tuple[Box, Rgba], ...]
    texts: tuple[_Text, ...]


def right_edge(context: bpy.types.Context) -> float:
    """Where the legend ends in the context's region, in its pixels; 0 where it isn't shown."""
    placed = _place(context)
    return placed[1] + placed[0].width if placed else 0.0


def _draw() -> None:
    placed = _place(bpy.context)
    if placed is None:
        return
    picture, x, y = placed
    overlay.fill([((x + a, y + b, x + c, y + d), color) for (a, b, c, d), color in picture.boxes])
    for each in picture.texts:
        overlay.write(each.text, x + each.x, y + each.y, each.points, each.color)


def _place(context: bpy.types.Context) -> tuple[_Picture, float, float] | None:
    """The legend and where its lower left is, None if it isn't to be shown."""
    scene, area, region = context.scene, context.area, context.region
    if scene is None or scene.csm_retopo.colors == "NONE" or area is None or region is None:
        return None
    space = context.space_data
    if not isinstance(space, bpy.types.SpaceView3D) or not space.overlay.show_overlays:
        return None
    legend = shown_legend(scene)
    if legend is None:
        return None
    points = overlay.text_points(context)
    picture = _compose(legend, points, bpy.app.translations.locale)
    left, right, bottom = overlay.free_room(area, region, beside_hud=False)
    margin = _MARGIN * points
    if picture.width + 2 * margin > right - left or picture.height + 2 * margin > (
        region.height - bottom
    ):
        return None  # the view is too small for it
    return picture, round(left + margin), round(bottom + margin)


@functools.lru_cache(maxsize=16)
def _compose(legend: Legend, points: float, _locale: str) -> _Picture:
    """Put it together, from below, in the language of this locale."""
    padding, swatch, line = (round(each * points) for each in (_PADDING, _SWATCH, _LINE))
    small = _SMALL * points
    beside = padding + swatch + _GAP * points
    boxes: list[tuple[Box, Rgba]] = []
    texts: list[_Text] = []
    y = padding
    if legend.neutral:
        boxes.append(_swatch(padding, y, swatch, line, legend.neutral[0]))
        texts.append(_Text(iface_(legend.neutral[1]), beside, y + 0.3 * line, small, overlay.TEXT))
        y += line + padding // 2
    if legend.is_ramp:
        band = round(_BAND * points)
        y += round(0.3 * points)  # the lowest text stands half below its band
        for color, text in legend.entries:
            boxes.append(((padding, y, padding + swatch, y + band), (*color, 1.0)))
            if text:
                texts.append(_Text(text, beside, y - 0.36 * small, small, overlay.TEXT))
            y += band
        y += padding // 2
    else:
        for color, text in reversed(legend.entries):
            boxes.append(_swatch(padding, y, swatch, line, color))
            texts.append(_Text(iface_(text), beside, y + 0.3 * line, small, overlay.TEXT))
            y += line
    if unit := iface_(legend.unit):
        texts.append(_Text(unit, padding, y + 0.3 * line, small, overlay.FAINT_TEXT))
        y += line
    texts.append(_Text(iface_(legend.title), padding, y + 0.3 * line, points, overlay.TEXT))
    y += line + padding // 2
    width = max(each.x + overlay.text_width(each.text, each.points) for each in texts) + padding
    boxes.insert(0, ((0, 0, width, y), overlay.BACKGROUND))
    return _Picture(width, y, tuple(boxes), tuple(texts))


def _swatch(x: float, y: float, width: float, line: float, color: Color) -> tuple[Box, Rgba]:
    edge = 0.15 * line
    return (x, y + edge, x + width, y + line - edge), (*color, 1.0)


def register() -> None:
    """Be ready to draw; without a window there is nothing to draw on."""
    global _handle
    if not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    """Draw no more."""
    global _handle
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None
