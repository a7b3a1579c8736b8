# SPDX-License-Identifier: GPL-3.0-or-later
"""How the edges flow: the edge loops of a mesh, with numpy, no Python code running per element.

numpy is imported with this module: import the module when something is to be measured, not when
Blender starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .components import connected_components

if TYPE_CHECKING:
    import numpy.typing as npt

    from .mesh_arrays import MeshArrays

    Bools = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class EdgeFlow:
    """The edge loops of a mesh."""

    closed: int
    open: int
    spirals: int
    length_mean: float | None
    """Edges per loop; None without any."""


def edge_flow(arrays: MeshArrays, edge_faces: Ints, regular: Bools) -> EdgeFlow:
    """Follow the edge loops of a mesh with E edges and V vertices.

    `edge_faces` is the number of faces of each edge: (E,). `regular` says which vertices lie
    inside the surface and have four edges: (V,).

    A loop goes straight on at every regular vertex: from an edge to the opposite one, with which it
    shares no corner of a face there. It ends at a pole, at a border, and where the surface is not
    manifold. Every edge with exactly two faces is part of one loop, which may be of that edge
    alone; other edges are part of none.

    A loop, closed or open, is a spiral if two different edges of it are opposite sides of one quad:
    it runs beside itself, along both sides of a strip of quads (a polychord, in Daniels, Silva,
    Shepherd, Cohen: "Quadrilateral Mesh Simplification", ACM Transactions on Graphics 27, 2008). In
    a tube each row of which, having come round, goes on as the next row, all rows are one loop, a
    spiral. Bommes, Lempfer, Kobbelt ("Global Structure Optimization of Quadrilateral Meshes",
    Computer Graphics Forum 30, 2011) call such configurations helices, and show that they harm the
    overall structure of a quad mesh. The idea to look for them is from there; what counts as one
    is defined here, by what a modeller sees beside an edge: rows that go on as the next but one
    are two loops, each between the turns of the other, and no spiral.
    """
    edges = len(edge_faces)
    a, b = _links(arrays, regular)
    surface = edge_faces == 2
    nodes, labels = connected_components(edges, a, b)
    lengths = np.bincount(labels[surface], minlength=nodes)
    links = np.bincount(labels.take(a), minlength=nodes)
    # At most two links an edge: a component is a cycle or a path.
    exists = lengths > 0
    loops = int(np.count_nonzero(exists))
    closed = int(np.count_nonzero(exists & (links == lengths)))
    return EdgeFlow(
        closed=closed,
        open=loops - closed,
        spirals=_count_spirals(arrays, labels),
        length_mean=int(lengths.sum()) / loops if loops else None,
    )


def _links(arrays: MeshArrays, regular: Bools) -> tuple[Ints, Ints]:
    """Return the pairs of edges that are opposite at a regular vertex, each once: (L,), (L,)."""
    # One corner of each vertex, no matter which, with the two edges that meet there.
    vertices = np.flatnonzero(regular)
    corners = _corners_of(arrays, vertices)
    middle, left = arrays.corner_edges.take(corners), _edges_before(arrays, corners)

    # The edge opposite to the left one is beside the middle one, too, in its other face, which may
    # go round the other way.
    across = _corners_across(arrays, corners)
    leaves = arrays.corner_vertices.take(across) == vertices
    right = _edges_after(arrays, across)
    right[leaves] = _edges_before(arrays, across[leaves])

    # What is left over of the vertex's four edges is opposite to the middle one.
    last = _edge_sums(arrays, vertices) - left - middle - right

    # Two faces that lie on each other have both edges in common there: no way leads straight on.
    fan = (left != right) & (left != middle) & (right != middle)
    if not fan.all():
        left, right, middle, last = left[fan], right[fan], middle[fan], last[fan]
    return np.concatenate((left, middle)), np.concatenate((right, last))


# Arrays with a number per corner of the mesh are large, and memory that is new to the process is
# slow: each of these functions gives its own back before the next one needs some.


def _corners_of(arrays: MeshArrays, vertices: Ints) -> Ints:
    """Return some corner of each vertex; they must have one."""
    found = np.empty(arrays.positions.shape[1], np.intp)
    found[arrays.corner_vertices] = np.arange(len(arrays.corner_vertices))
    return found.take(vertices)


def _corners_across(arrays: MeshArrays, corners: Ints) -> Ints:
    """Return the corners that have the same edges as these, in the edges' other faces.

    The edge of a corner is that to the next corner; here it must have two faces.
    """
    numbers = np.arange(len(arrays.corner_edges), dtype=np.float64)
    sums = np.bincount(arrays.corner_edges, numbers, minlength=arrays.edge_vertices.shape[1])
    return sums.take(arrays.corner_edges.take(corners)).astype(np.intp) - corners


def _edges_before(arrays: MeshArrays, corners: Ints) -> Ints:
    """Return the edges that lead to these corners in their faces."""
    edges = np.roll(arrays.corner_edges, 1)
    lasts = arrays.face_starts + arrays.face_sizes - 1
    edges[arrays.face_starts] = arrays.corner_edges[lasts]
    return edges.take(corners)


def _edges_after(arrays: MeshArrays, corners: Ints) -> Ints:
    """Return the edges that lead on from the corners next to these in their faces."""
    edges = np.roll(arrays.corner_edges, -1)
    lasts = arrays.face_starts + arrays.face_sizes - 1
    edges[lasts] = arrays.corner_edges[arrays.face_starts]
    return edges.take(corners)


def _edge_sums(arrays: MeshArrays, vertices: Ints) -> Ints:
    """Return the sum of the numbers of the edges of each vertex."""
    numbers = np.arange(arrays.edge_vertices.shape[1], dtype=np.float64)
    total = arrays.positions.shape[1]
    sums = np.bincount(arrays.edge_vertices[0], numbers, minlength=total)
    sums += np.bincount(arrays.edge_vertices[1], numbers, minlength=total)
    return sums.take(vertices).astype(np.intp)


def _count_spirals(arrays: MeshArrays, labels: Ints) -> int:
    """Return how many loops have two edges that are opposite sides of a quad.

    `labels` are the loops of the edges, where an edge that is part of none has a label of its own:
    (E,).
    """
    starts = arrays.face_starts[arrays.face_sizes == 4]
    spirals = np.zeros(len(labels), bool)
    for side in (0, 1):
        loops = labels.take(arrays.corner_edges.take(starts + side))
        beside = loops == labels.take(arrays.corner_edges.take(starts + side + 2))
        spirals[loops[beside]] = True
    return int(np.count_nonzero(spirals))
