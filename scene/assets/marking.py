# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects become assets that look like their preview image and tell their numbers. Main thread."""

from __future__ import annotations

import array
from collections.abc import Iterable
from typing import Any

import bpy

from ..compare.flipping import key_numbers
from ..models import Metrics
from ..properties import read_metrics
from ..rows import find_rows
from .catalogs import catalog_id

PREVIEW_SIDE = 256
"""The longer side of an asset's preview image, in pixels."""

_AUTHOR = "Common Sense Machines"
_MOST_QUADS = 0.5


def mark(obj: bpy.types.Object, image: bpy.types.Image | None, tags: Iterable[str] = ()) -> None:
    """Make a variation an asset, described by its numbers, that looks like its preview image."""
    numbers = ", ".join(key_numbers(read_metrics(obj)))
    session_id = obj.csm_retopo.session_id
    obj.asset_mark()
    asset: Any = obj.asset_data
    asset.description = f"{numbers}. Retopology from {session_id}"
    for tag in ("Retopology", *tags):
        asset.tags.new(tag, skip_if_exists=True)
    if image is not None and min(image.size) > 0:
        _set_preview(obj.preview_ensure(), image)
    elif not bpy.app.background:
        obj.asset_generate_preview()


def mark_variations(scene: bpy.types.Scene, indices: Iterable[int], *, as_best: bool) -> None:
    """Make these variations of the scene's sessions assets, each in its session's catalog.

    `as_best` tells that a rule has chosen them.
    """
    wanted = set(indices)
    for row in find_rows(scene):
        model = row.collection.csm_retopo.model
        for index, obj in row.variations.items():
            if index not in wanted:
                continue
            tags = [row.session_id, _kind_of_faces(read_metrics(obj))]
            tags += [model.capitalize()] if model else []
            tags += ["Best"] if as_best else []
            preview = row.previews.get(index)
            mark(obj, preview.data if preview is not None else None, tags)
            asset: Any = obj.asset_data
            asset.author = _AUTHOR
            asset.catalog_id = catalog_id(row.session_id)


def _kind_of_faces(metrics: Metrics) -> str:
    """What a mesh is made of, as a tag."""
    faces = metrics.get("faces")
    if metrics.get("quads") == faces:
        return "Quads"
    if metrics.get("triangles") == faces:
        return "Triangles"
    return "Mostly Quads" if (metrics.get("quad_ratio") or 0) > _MOST_QUADS else "Mixed Faces"


def _set_preview(preview: Any, image: bpy.types.Image) -> None:
    width, height = image.size
    factor = min(PREVIEW_SIDE / max(width, height), 1.0)
    small: Any = image.copy()
    try:
        small.scale(max(round(width * factor), 1), max(round(height * factor), 1))
        pixels = array.array("f", bytes(4 * 4 * small.size[0] * small.size[1]))
        small.pixels.foreach_get(pixels)
        preview.image_size = small.size[:]
        preview.image_pixels_float.foreach_set(pixels)
    finally:
        bpy.data.images.remove(small)
