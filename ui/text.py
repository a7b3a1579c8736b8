# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in as many lines as the width asks for: Blender's labels have one and cut it off."""

from __future__ import annotations

import functools
from typing import Any

import blf
import bpy

from ..scene.texts import told

_BESIDE_TEXT = 62
"""What a sidebar's panel needs beside its text, at a scale of 1: tabs and margins."""
_ICON = 20
_BOX = 12


def draw_text(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    text: str,
    icon: Any,
    *,
    in_box: bool = False,
) -> None:
    """Draw `text` as a paragraph with an icon at its head, in a sidebar."""
    scale = context.preferences.system.ui_scale
    room = context.region.width - (_BESIDE_TEXT + _ICON + (_BOX if in_box else 0)) * scale
    points = context.preferences.ui_styles[0].widget.points * scale
    column = layout.column(align=True)
    column.scale_y = 0.85
    for number, line in enumerate(wrap(told(text), max(round(room), 60), round(points, 1))):
        column.label(text=line, translate=False, icon="BLANK1" if number else icon)


@functools.lru_cache(maxsize=64)
def wrap(text: str, room: int, points: float) -> tuple[str, ...]:
    """`text` in lines of at most `room` pixels in the interface's font of this size."""
    # Measuring takes longer than all the rest of a panel; texts and widths rarely change.
    blf.size(0, points)
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if _width(longer) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        while _width(word) > room:
            cut = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or _width(word[:n]) <= room)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return (*lines, line) if line else tuple(lines)


def _width(text: str) -> float:
    return blf.dimensions(0, text)[0]
