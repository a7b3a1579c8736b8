# SPDX-License-Identifier: GPL-3.0-or-later
"""A session's preview images made small, side by side in one file, for lists of many sessions."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import bpy
import numpy
from numpy.typing import NDArray

from ...api.files import replacing
from ..models import Preview, RowPlan

CELL_PX = 96
"""Of a variation's square in the strip: the first is that of the variation with index 0."""
MOST = 64
"""Variations beyond have no thumbnail."""

_QUALITY = 60


def write(plan: RowPlan, path: Path) -> None:
    """Write the strip as WebP, unless no variation has a preview image. It appears whole or not at
    all. Main thread. Raises OSError and RuntimeError.
    """
    previews = {
        each.index: each.preview
        for each in plan.meshes
        if each.preview is not None and 0 <= each.index < MOST
    }
    if not previews:
        return
    width = (1 + max(previews)) * CELL_PX
    strip = numpy.zeros((CELL_PX, width, 4), dtype=numpy.float32)
    for index, preview in previews.items():
        with contextlib.suppress(RuntimeError):  # one that can't be read has none
            small = _small(preview)
            top = (CELL_PX - len(small)) // 2
            left = index * CELL_PX + (CELL_PX - len(small[0])) // 2
            strip[top : top + len(small), left : left + len(small[0])] = small
    image = bpy.data.images.new("Thumbnails", width, CELL_PX, alpha=True)
    try:
        _pixels(image).foreach_set(strip.ravel())
        image.file_format = "WEBP"
        with replacing(path) as temporary:
            image.save(filepath=str(temporary), quality=_QUALITY)
    finally:
        bpy.data.images.remove(image)


def _small(preview: Preview) -> NDArray[numpy.float32]:
    """Its pixels (height, width, 4), which fit a cell. Raises RuntimeError."""
    image = bpy.data.images.load(preview.path)
    try:
        scale = CELL_PX / max(*image.size, 1)
        width, height = (max(round(side * scale), 1) for side in image.size)
        image.scale(width, height)
        pixels = numpy.empty(width * height * 4, dtype=numpy.float32)
        _pixels(image).foreach_get(pixels)
    finally:
        bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)


def _pixels(image: bpy.types.Image) -> Any:
    return image.pixels  # a property of one float, as the stubs have it
