# SPDX-License-Identifier: GPL-3.0-or-later
"""A converted variation is compared with its converted source, for the metrics that need both.

Made to run in a background Blender, as `conversion` is. Main thread.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import bpy

from ...api.cache import Cache
from ...api.errors import ConversionFailed
from ..libraries import load_mesh, remove_meshes
from ..measure.metrics import (
    COMPARED_ATTRIBUTES,
    DEVIATION_KEYS,
    MetricValue,
    remove_attributes,
)
from ..models import CompareRequest, ConvertedMesh
from .conversion import write_blend

if TYPE_CHECKING:
    from ..measure.deviation import SourceSurface

OTHER_FRAME = (
    "it stands elsewhere than the source, or is of another size: its deviation was not measured"
)
NOT_FINITE = "not all of its coordinates are numbers: its deviation was not measured"
OTHER_SCALE = "it is too small or too large to be compared: its deviation was not measured"

_DIAGONALS = (1e-5, 1e9)
"""Of a source, in scene units. Blender finds what is nearest with fourth powers of lengths as
32-bit floats: far outside of these, all of its answers are wrong.
"""


class Comparer:
    """Compares variations with sources, and keeps the source of the last one for the next.

    Main thread. What it keeps is in the open file until `close`.
    """

    def __init__(self) -> None:
        self._source_blend = ""
        self._source_sha256 = ""
        self._mesh: bpy.types.Mesh | None = None
        self._surface: SourceSurface | None = None

    def compare(self, cache: Cache, request: CompareRequest) -> ConvertedMesh:
        """Measure, and write the mesh with the attributes of its faces to its .blend again.

        If variation and source don't share a frame, nothing is measured and a warning says so; the
        mesh is never moved or scaled to fit. Raises ConversionFailed and CacheError.
        """
        problem = _problem(request.mesh, request.source)
        variation = load_mesh(request.mesh.blend, request.mesh.file_sha256)
        if variation is None:
            raise ConversionFailed("its converted mesh is gone: import the session again")
        try:
            values: dict[str, MetricValue] = dict.fromkeys(DEVIATION_KEYS)
            remove_attributes(variation, COMPARED_ATTRIBUTES)
            if problem is None:
                found = self._surface_of(request.source).compare(variation)
                values = found.metrics
                for name, numbers in zip(
                    COMPARED_ATTRIBUTES, (found.deviation, found.coverage), strict=True
                ):
                    attribute = variation.attributes.new(name, "FLOAT", "FACE")
                    attribute.data.foreach_set("value", numbers)
            warnings = [
                each
                for each in request.mesh.warnings
                if each not in (OTHER_FRAME, NOT_FINITE, OTHER_SCALE)
            ]
            result = dataclasses.replace(
                request.mesh,
                metrics={**request.mesh.metrics, **values},
                warnings=(*warnings, *([problem] if problem else [])),
                source_sha256=request.source.file_sha256,
            )
            variation.name = "mesh"
            write_blend(cache, variation, result)
        finally:
            remove_meshes([variation])
        return result

    def close(self) -> None:
        """Take what it keeps out of the open file."""
        if self._surface is not None:
            self._surface.close()
        if self._mesh is not None:
            remove_meshes([self._mesh])
        self._surface = None
        self._mesh = None

    def _surface_of(self, source: ConvertedMesh) -> SourceSurface:
        from ..measure.deviation import SourceSurface

        key = (source.blend, source.file_sha256)
        if self._surface is None or key != (self._source_blend, self._source_sha256):
            self.close()
            self._source_blend, self._source_sha256 = key
            self._mesh = load_mesh(source.blend, source.file_sha256)
            if self._mesh is None:
                raise ConversionFailed("the source's converted mesh is gone")
            self._surface = SourceSurface(self._mesh)
        return self._surface


def _problem(mesh: ConvertedMesh, source: ConvertedMesh) -> str | None:
    """Why the two can't be compared."""
    from ..measure.deviation import same_frame

    corners = (mesh.lower, mesh.upper, source.lower, source.upper)
    if not all(math.isfinite(each) for corner in corners for each in corner):
        return NOT_FINITE
    if not same_frame(*corners):
        return OTHER_FRAME
    smallest, largest = _DIAGONALS
    if not smallest <= math.dist(source.lower, source.upper) <= largest:
        return OTHER_SCALE
    return None
