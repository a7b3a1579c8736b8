# SPDX-License-Identifier: GPL-3.0-or-later
"""Text and colors over a 3D view, clear of its toolbar and sidebar."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import blf
import bpy
import gpu
from gpu_extras.batch import batch_for_shader

FONT = 0
BACKGROUND = (0.05, 0.05, 0.05, 0.8)
TEXT = (0.95, 0.95, 0.95, 1.0)
FAINT_TEXT = (0.7, 0.7, 0.7, 1.0)

Rgba = tuple[float, float, float, float]
Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in a region's pixels."""


def text_points(context: bpy.types.Context) -> float:
    """The size of the interface's text, in pixels."""
    return context.preferences.ui_styles[0].widget.points * context.preferences.system.ui_scale


def free_room(
    area: bpy.types.Area, region: bpy.types.Region, *, beside_hud: bool = True
) -> tuple[float, float, float]:
    """Left, right and lower end of what other regions leave of this one, in its pixels. In the
    lower left there can be the last operator's settings, too: what is beside them needn't care.
    """
    left, right, bottom = region.x, region.x + region.width, region.y
    for other in area.regions:
        if other.type == "WINDOW" or other.width <= 1 or other.height <= 1:
            continue
        if other.type == "TOOLS" and other.alignment == "LEFT":
            left = max(left, other.x + other.width)
        elif other.type == "UI" and other.alignment == "RIGHT":
            right = min(right, other.x)
        elif other.type == "HUD":
            bottom = bottom if beside_hud else max(bottom, other.y + other.height)
        elif other.alignment == "BOTTOM":
            bottom = max(bottom, other.y + other.height)
    return left - region.x, right - region.x, bottom - region.y


def fill(boxes: Sequence[tuple[Box, Rgba]]) -> None:
    """Fill rectangles, each with its color (sRGB)."""
    positions: list[tuple[float, float]] = []
    colors: list[Rgba] = []
    indices: list[tuple[int, int, int]] = []
    for (left, bottom, right, top), color in boxes:
        first = len(positions)
        positions += [(left, bottom), (right, bottom), (left, top), (right, top)]
        colors += [color] * 4
        indices += [(first, first + 1, first + 2), (first + 2, first + 1, first + 3)]
    shader: Any = gpu.shader.from_builtin("FLAT_COLOR")  # type: ignore[func-returns-value]
    batch = batch_for_shader(shader, "TRIS", {"pos": positions, "color": colors}, indices=indices)
    gpu.state.blend_set("ALPHA")
    batch.draw(shader)
    gpu.state.blend_set("NONE")


def write(text: str, x: float, y: float, points: float, color: Rgba) -> None:
    """Write a line whose letters stand at this height."""
    blf.size(FONT, points)
    blf.color(FONT, *color)
    blf.position(FONT, round(x), round(y), 0)
    blf.draw(FONT, text)


@functools.lru_cache(maxsize=256)
def text_width(text: str, points: float) -> float:
    """How wide a line is, in pixels."""
    blf.size(FONT, points)
    return blf.dimensions(FONT, text)[0]
