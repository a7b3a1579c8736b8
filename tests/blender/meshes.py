# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes to measure: some whose numbers are known, some at random."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import bmesh
import bpy

Point = Sequence[float]

CUBE_VERTICES = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
CUBE_FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def make(
    vertices: Iterable[Point],
    faces: Iterable[Sequence[int]] = (),
    edges: Iterable[Sequence[int]] = (),
) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new("test")
    mesh.from_pydata(list(vertices), list(edges), list(faces))
    mesh.update(calc_edges=True)
    return mesh


def grid(columns: int, rows: int, x: float = 0) -> tuple[list[Point], list[list[int]]]:
    """A flat grid of unit squares."""
    width = columns + 1
    vertices = [(x + column, row, 0) for row in range(rows + 1) for column in range(width)]
    faces = [
        [first, first + 1, first + 1 + width, first + width]
        for row in range(rows)
        for first in range(row * width, row * width + columns)
    ]
    return vertices, faces


def random_mesh(seed: int) -> bpy.types.Mesh:
    """Faces of any size between vertices near each other, in a tangle."""
    generator = random.Random(seed)
    count = generator.randint(5, 200)
    vertices = [[generator.gauss(0, 1) for _ in range(3)] for _ in range(count)]
    faces = []
    for _ in range(generator.randint(1, count)):
        first = generator.randrange(count)
        near = [(first + step) % count for step in range(min(count, 12))]
        faces.append(
            generator.sample(near, min(len(near), generator.choice((3, 3, 4, 4, 4, 5, 8))))
        )
    edges = [generator.sample(range(count), 2) for _ in range(generator.randint(0, 5))]
    mesh = make(vertices, faces, edges)
    mesh.validate()
    return mesh


def remeshed(seed: int) -> bpy.types.Mesh:
    """A surface as a retopology has it: subdivided, bent, with holes and flipped faces."""
    generator = random.Random(seed)
    made = bmesh.new()
    bmesh.ops.create_cube(made, size=2)
    bmesh.ops.subdivide_edges(made, edges=made.edges[:], cuts=5, use_grid_fill=True)
    for vertex in made.verts:
        vertex.co = vertex.co.normalized() * generator.uniform(0.9, 1.1)
    some = generator.sample(made.faces[:], 20)
    bmesh.ops.triangulate(made, faces=some[:8])
    bmesh.ops.delete(made, geom=some[8:14], context="FACES")
    bmesh.ops.reverse_faces(made, faces=some[14:])
    mesh = bpy.data.meshes.new("test")
    made.to_mesh(mesh)
    made.free()
    return mesh
