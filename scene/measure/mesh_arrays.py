# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh as numpy arrays, read in one go.

numpy is imported with this module: import the module when something is to be measured, not when
Blender starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import bpy
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]

# Elements per step: small enough that a step's temporary arrays stay in the processor's cache,
# large enough that numpy's cost per call doesn't show.
BLOCK = 1 << 14


@dataclass(frozen=True)
class MeshArrays:
    """A mesh as arrays, for V vertices, E edges, F faces and C face corners."""

    positions: Floats
    """(3, V), scene units: all X, then all Y, then all Z."""
    edge_vertices: Ints
    """(2, E): the two ends of each edge."""
    corner_vertices: Ints
    """(C,): the vertex of each corner, face after face."""
    corner_edges: Ints
    """(C,): the edge from each corner to the next one of its face."""
    face_starts: Ints
    """(F,): the first corner of each face."""
    face_sizes: Ints
    """(F,): how many corners each face has."""


def read_arrays(mesh: bpy.types.Mesh) -> MeshArrays:
    """Read a mesh. Main thread only; the mesh must not be in Edit Mode."""
    vertices, edges, corners = len(mesh.vertices), len(mesh.edges), len(mesh.loops)
    face_starts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_start", face_starts)
    starts = face_starts.astype(np.intp)
    # What is read is given back before the next is: memory new to the process is slow.
    return MeshArrays(
        # One contiguous array a coordinate makes the gathers below several times as fast as rows.
        positions=np.ascontiguousarray(
            read_attribute(mesh, "position", "vector", (vertices, 3), np.float32).T,
            dtype=np.float64,
        ),
        edge_vertices=np.ascontiguousarray(
            read_attribute(mesh, ".edge_verts", "value", (edges, 2), np.int32).T, dtype=np.intp
        ),
        corner_vertices=read_attribute(mesh, ".corner_vert", "value", (corners,), np.int32).astype(
            np.intp
        ),
        corner_edges=read_attribute(mesh, ".corner_edge", "value", (corners,), np.int32).astype(
            np.intp
        ),
        face_starts=starts,
        # Faces lie one after the other without gaps (they are stored as offsets).
        face_sizes=np.diff(starts, append=corners),
    )


def read_attribute(
    mesh: bpy.types.Mesh, name: str, value: str, shape: tuple[int, ...], dtype: type[Any]
) -> npt.NDArray[Any]:
    """Read a built-in attribute of this shape. Main thread.

    The named attributes are copied in one piece: under a millisecond for four million corners,
    where `mesh.loops.foreach_get` takes over 100. A mesh without elements lacks them.
    """
    values = np.empty(math.prod(shape), dtype)
    if values.size:
        mesh.attributes[name].data.foreach_get(value, values)
    return values.reshape(shape)


def blocks(count: int) -> Iterator[slice]:
    """Yield slices that cover `count` elements."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))
