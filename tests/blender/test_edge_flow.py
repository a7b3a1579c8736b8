# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge loops of meshes whose loops are known, and of random ones walked along with bmesh."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import bmesh
import bpy
import pytest
from meshes import CUBE_FACES, CUBE_VERTICES, Point, grid, make, random_mesh, remeshed

from bl_ext.user_default.csm_retopo.scene.measure import measuring

KEYS = ("loops_closed", "loops_open", "loop_length_mean", "spirals")


def flow(mesh: bpy.types.Mesh) -> dict[str, Any]:
    metrics = measuring.measure(mesh).metrics
    return {key: metrics[key] for key in KEYS}


def expected(
    closed: Sequence[int] = (), opened: Sequence[int] = (), spirals: int = 0
) -> dict[str, Any]:
    """The metrics of loops of these lengths, in edges."""
    lengths = [*closed, *opened]
    return {
        "loops_closed": len(closed),
        "loops_open": len(opened),
        "loop_length_mean": pytest.approx(sum(lengths) / len(lengths)) if lengths else None,
        "spirals": spirals,
    }


def wrapped(columns: int, rows: int, name: Any) -> bpy.types.Mesh:
    """A mesh of columns x rows quads, where corners that `name` gives one name are one vertex.

    `name` maps a column and a row, from 0 to their numbers, to anything.
    """
    numbers: dict[Any, int] = {}
    faces = [
        [
            numbers.setdefault(name(*corner), len(numbers))
            for corner in (
                (column, row),
                (column + 1, row),
                (column + 1, row + 1),
                (column, row + 1),
            )
        ]
        for row in range(rows)
        for column in range(columns)
    ]
    # Where the vertices are makes no difference.
    return make([(number, number % 7, 0) for number in range(len(numbers))], faces)


def tube(columns: int, rows: int, shift: int = 0) -> bpy.types.Mesh:
    """An open tube: each row goes on as the one `shift` further on when it has come round."""

    def name(column: int, row: int) -> tuple[int, int]:
        return (0, row + shift) if column == columns else (column, row)

    return wrapped(columns, rows, name)


def torus(columns: int, rows: int, shift: int = 0) -> bpy.types.Mesh:
    """Such a tube, whose last row is the first one, too."""

    def name(column: int, row: int) -> tuple[int, int]:
        return (0, (row + shift) % rows) if column == columns else (column, row % rows)

    return wrapped(columns, rows, name)


def moebius_strip(columns: int, rows: int) -> bpy.types.Mesh:
    return wrapped(
        columns, rows, lambda column, row: (0, rows - row) if column == columns else (column, row)
    )


def fan(patches: int, side: int) -> bpy.types.Mesh:
    """Patches of side x side quads round a vertex that all of them share."""
    numbers: dict[Any, int] = {}

    def vertex(patch: int, u: int, v: int) -> int:
        if u == 0:
            # On the edge to the next patch.
            patch, u, v = (patch + 1) % patches, v, 0
        name = "middle" if u == v == 0 else (patch, u, v)
        return numbers.setdefault(name, len(numbers))

    faces = [
        [vertex(patch, u + p, v + q) for p, q in ((0, 0), (1, 0), (1, 1), (0, 1))]
        for patch in range(patches)
        for u in range(side)
        for v in range(side)
    ]
    return make([(number, 0, 0) for number in range(len(numbers))], faces)


def data(mesh: bpy.types.Mesh) -> tuple[list[Point], list[list[int]]]:
    """The vertices and faces that a mesh is made of."""
    return (
        [tuple(vertex.co) for vertex in mesh.vertices],
        [list(face.vertices) for face in mesh.polygons],
    )


def apart(
    *parts: tuple[Sequence[Point], Iterable[Sequence[int]]],
) -> tuple[list[Point], list[list[int]]]:
    vertices: list[Point] = []
    faces = []
    for more_vertices, more_faces in parts:
        faces += [[len(vertices) + index for index in face] for face in more_faces]
        vertices += more_vertices
    return vertices, faces


def test_nothing_to_follow() -> None:
    assert flow(make([])) == expected()
    assert flow(make([(0, 0, 0), (1, 0, 0)])) == expected()
    assert flow(make([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [], [(0, 1), (1, 2)])) == expected()
    # One face has nothing but a border.
    assert flow(make([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [range(4)])) == expected()


def test_cube() -> None:
    assert flow(make(CUBE_VERTICES, CUBE_FACES)) == expected(opened=[1] * 12)


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (1, 6), (2, 2), (7, 4)])
def test_open_grid(columns: int, rows: int) -> None:
    loops = [columns] * (rows - 1) + [rows] * (columns - 1)
    assert flow(make(*grid(columns, rows))) == expected(opened=loops)


@pytest.mark.parametrize(("columns", "rows"), [(3, 3), (5, 4), (16, 9)])
def test_torus(columns: int, rows: int) -> None:
    assert flow(torus(columns, rows)) == expected(closed=[columns] * rows + [rows] * columns)


@pytest.mark.parametrize(("columns", "rows"), [(3, 1), (3, 2), (12, 5)])
def test_tube(columns: int, rows: int) -> None:
    """Rings inside, lines from border to border."""
    loops = expected(closed=[columns] * (rows - 1), opened=[rows] * columns)
    assert flow(tube(columns, rows)) == loops


def test_tube_with_caps() -> None:
    """The lines end at the rims, where three edges meet at each vertex."""
    columns, rows = 8, 3
    vertices = [
        (math.cos(math.tau * column / columns), math.sin(math.tau * column / columns), row)
        for row in range(rows + 1)
        for column in range(columns)
    ]
    faces: list[Sequence[int]] = [
        [
            row * columns + column,
            row * columns + (column + 1) % columns,
            (row + 1) * columns + (column + 1) % columns,
            (row + 1) * columns + column,
        ]
        for row in range(rows)
        for column in range(columns)
    ]
    faces += [range(columns - 1, -1, -1), range(rows * columns, (rows + 1) * columns)]
    # Each edge of a rim is by itself.
    loops = expected(closed=[columns] * 2, opened=[rows] * columns + [1] * (2 * columns))
    assert flow(make(vertices, faces)) == loops


def test_spiralled_tube() -> None:
    """The spiral, and the lines from border to border, of which that at the seam is shorter."""
    loops = expected(opened=[9 * 5, 5] + [6] * 8, spirals=1)
    assert flow(tube(9, 6, shift=1)) == loops
    # Two that wind side by side are beside each other, and not beside themselves.
    values = flow(tube(9, 6, shift=2))
    assert (values["loops_open"], values["spirals"]) == (2 + 9, 0)


@pytest.mark.parametrize("turn", range(4))
def test_spiral_whichever_corner_comes_first(turn: int) -> None:
    vertices, faces = data(tube(9, 6, shift=1))
    turned = [face[turn:] + face[:turn] for face in faces]
    assert flow(make(vertices, turned))["spirals"] == 1


def test_two_spirals() -> None:
    """Each in a tube of its own, the one left-handed, the other right-handed."""
    both = apart(data(tube(9, 6, shift=1)), data(tube(9, 6, shift=-1)))
    assert flow(make(*both))["spirals"] == 2


def test_spiral_beside_other_faces_than_quads() -> None:
    """It runs along both sides of pentagons, each with one more vertex on its way across."""
    vertices, faces = data(tube(8, 6, shift=1))
    more: dict[tuple[int, int], int] = {}
    for column in range(8):
        for row in range(6):
            face = faces[row * 8 + column]
            # The left side of every other face, which is the right one of the faces between.
            upper, lower = (face[3], face[0]) if column % 2 == 0 else (face[1], face[2])
            ends = min(upper, lower), max(upper, lower)
            number = more.setdefault(ends, len(vertices) + len(more))
            face.insert(4 if column % 2 == 0 else 2, number)
    values = flow(make([*vertices, *[(0, 0, 1)] * len(more)], faces))
    assert values["loops_open"] > 8
    assert values["loop_length_mean"] > 2
    assert values["spirals"] == 0


@pytest.mark.parametrize("shift", [1, 2, 3, 5])
def test_spiralled_torus(shift: int) -> None:
    columns, rows = 5, 6
    windings = math.gcd(shift, rows)
    closed = [columns * rows // windings] * windings + [rows] * columns
    spirals = 1 if windings == 1 else 0
    assert flow(torus(columns, rows, shift)) == expected(closed=closed, spirals=spirals)


def test_moebius_strip() -> None:
    count = 10
    assert flow(moebius_strip(count, 1)) == expected(opened=[1] * count)
    assert flow(moebius_strip(count, 2)) == expected(closed=[count], opened=[2] * count)
    # The lines on both sides of the middle are one, which has itself beside it all the way.
    loops = expected(closed=[2 * count], opened=[3] * count, spirals=1)
    assert flow(moebius_strip(count, 3)) == loops


@pytest.mark.parametrize("patches", [3, 5, 6])
def test_pole(patches: int) -> None:
    """As many lines end at the pole, the others pass by on one side of it."""
    side = 4
    loops = [side] * patches + [2 * side] * (patches * (side - 1))
    assert flow(fan(patches, side)) == expected(opened=loops)


def test_vertex_of_four_edges_is_passed() -> None:
    assert flow(fan(4, 4)) == expected(opened=[8] * 14)


def test_triangles() -> None:
    """Six edges meet inside, so that no edge goes on; where it is four, they do."""
    vertices, quads = grid(5, 4)
    faces = [face for a, b, c, d in quads for face in ([a, b, c], [a, c, d])]
    inside = 5 * 3 + 4 * 4 + 5 * 4
    assert flow(make(vertices, faces)) == expected(opened=[1] * inside)
    octahedron = [
        [first, second, third] for first in (0, 1) for second in (2, 3) for third in (4, 5)
    ]
    assert flow(make([(index, 0, 0) for index in range(6)], octahedron)) == expected(closed=[4] * 3)


def test_pieces_add_up() -> None:
    vertices, faces = apart((CUBE_VERTICES, CUBE_FACES), grid(3, 2))
    assert flow(make(vertices, faces)) == expected(opened=[1] * 12 + [3, 2, 2])


def test_loose_edge_ends_the_loops_at_its_vertex() -> None:
    vertices, faces = grid(2, 2)
    assert flow(make(vertices, faces)) == expected(opened=[2, 2])
    assert flow(make([*vertices, (1, 1, 1)], faces, [(4, 9)])) == expected(opened=[1] * 4)
    assert flow(make([*vertices, (1, 1, 1)], faces)) == expected(opened=[2, 2])


def test_non_manifold_edge_ends_the_loops() -> None:
    vertices, faces = grid(4, 2)
    fin = ([*vertices, (1, 0, 1), (1, 1, 1)], [*faces, (1, 15, 16, 6)])
    # The line at the fin's foot is cut in two, half of it gone; the one across it is cut.
    assert flow(make(*fin)) == expected(opened=[1, 1, 3, 2, 2])


def test_bow_tie_vertices() -> None:
    vertices, faces = grid(2, 2)
    other = [[index + 8 for index in face] for face in faces]
    touching = [*vertices, *((x + 2, y + 2, 0) for x, y, _ in vertices[1:])]
    assert flow(make(touching, faces + other)) == expected(opened=[2] * 4)
    # Two cubes in a vertex, which is then one of six edges.
    vertices = CUBE_VERTICES + [(x + 1, y + 1, z + 1) for x, y, z in CUBE_VERTICES[1:]]
    faces = [list(face) for face in CUBE_FACES]
    faces += [[index + 7 for index in face] for face in faces]
    assert flow(make(vertices, faces)) == expected(opened=[1] * 24)


def test_pillows_in_a_vertex() -> None:
    """It has four edges of two faces each, and yet no way leads straight on."""
    for order in ((0, 1, 2, 3, 4, 5, 6), (3, 1, 0, 2, 4, 6, 5), (6, 5, 4, 3, 2, 1, 0)):
        a, b, c, d, e, f, g = order
        faces = [[a, b, c, d], [d, c, b, a], [a, e, f, g], [g, f, e, a]]
        vertices = [(index, index * index, 0) for index in range(7)]
        assert flow(make(vertices, faces)) == expected(opened=[1] * 8)


def test_face_that_is_there_twice() -> None:
    vertices, faces = grid(3, 3)
    # Four edges with three faces each, and none of the others can go on.
    assert flow(make(vertices, [*faces, faces[4]])) == expected(opened=[1] * 8)
    assert flow(make(vertices, [*faces, faces[4][::-1]])) == expected(opened=[1] * 8)


def rounded(seed: int) -> bpy.types.Mesh:
    """Quads only, with poles of all kinds: polygons cut twice from the middle to their sides."""
    generator = random.Random(seed)
    made = bmesh.new()
    bmesh.ops.create_icosphere(made, subdivisions=1, radius=1)
    bmesh.ops.dissolve_edges(made, edges=generator.sample(made.edges[:], 6))
    for _ in range(2):
        middles = {face: made.verts.new(face.calc_center_median()) for face in made.faces}
        halves = {
            edge: made.verts.new((edge.verts[0].co + edge.verts[1].co) / 2) for edge in made.edges
        }
        for face, middle in middles.items():
            for loop in face.loops:
                before = halves[loop.link_loop_prev.edge]
                made.faces.new((before, loop.vert, halves[loop.edge], middle))
        bmesh.ops.delete(made, geom=list(middles), context="FACES_ONLY")
        bmesh.ops.delete(made, geom=list(halves), context="EDGES_FACES")
    holes = generator.sample(made.faces[:], generator.randint(0, 5))
    bmesh.ops.delete(made, geom=holes, context="FACES")
    mesh = bpy.data.meshes.new("test")
    made.to_mesh(mesh)
    made.free()
    return mesh


def spiralled(seed: int) -> bpy.types.Mesh:
    """A twisted torus with some of its faces missing, split or turned over."""
    generator = random.Random(seed)
    columns, rows = generator.randint(3, 12), generator.randint(3, 12)
    mesh = torus(columns, rows, generator.randint(0, rows))
    made = bmesh.new()
    made.from_mesh(mesh)
    some = generator.sample(made.faces[:], 5)
    bmesh.ops.triangulate(made, faces=some[:1])
    bmesh.ops.delete(made, geom=some[1 : generator.randint(1, 3)], context="FACES")
    bmesh.ops.reverse_faces(made, faces=some[3:])
    made.to_mesh(mesh)
    made.free()
    return mesh


def shuffled(mesh: bpy.types.Mesh, seed: int) -> bpy.types.Mesh:
    """The same surface with its vertices and faces in another order, some faces turned over."""
    generator = random.Random(seed)
    numbers = generator.sample(range(len(mesh.vertices)), len(mesh.vertices))
    vertices = [(0.0, 0.0, 0.0)] * len(numbers)
    for vertex, number in zip(mesh.vertices, numbers, strict=True):
        vertices[number] = tuple(vertex.co)
    faces = []
    for face in mesh.polygons:
        corners = [numbers[index] for index in face.vertices]
        start = generator.randrange(len(corners))
        corners = corners[start:] + corners[:start]
        faces.append(corners[:: generator.choice((1, -1))])
    generator.shuffle(faces)
    edges = [[numbers[index] for index in edge.vertices] for edge in mesh.edges if edge.is_loose]
    return make(vertices, faces, edges)


def walked(mesh: bpy.types.Mesh) -> dict[str, Any]:
    """Walk along each loop in turn."""
    made = bmesh.new()
    made.from_mesh(mesh)
    loops: dict[Any, int] = {}
    closed, opened = [], []
    for edge in made.edges:
        if edge in loops or len(edge.link_faces) != 2:
            continue
        number = len(closed) + len(opened)
        loop = {edge}
        came_back = False
        for vertex in edge.verts:
            here, at = edge, vertex
            while not came_back and (ahead := opposite(here, at)) is not None:
                came_back = ahead is edge
                here, at = ahead, ahead.other_vert(at)
                loop.add(here)
        (closed if came_back else opened).append(len(loop))
        loops.update(dict.fromkeys(loop, number))
    spirals = set()
    for face in made.faces:
        edges = [corner.edge for corner in face.loops]
        for a, b in (edges[::2], edges[1::2]) if len(edges) == 4 else ():
            if a is not b and a in loops and loops[a] == loops.get(b):
                spirals.add(loops[a])
    made.free()
    return expected(closed, opened, len(spirals))


def opposite(edge: Any, vertex: Any) -> Any:
    """The edge that goes on straight at a vertex, if there is one."""
    around = list(vertex.link_edges)
    if len(around) != 4 or any(len(each.link_faces) != 2 for each in around):
        return None
    faces = set(edge.link_faces)
    across = [each for each in around if not faces.intersection(each.link_faces)]
    return across[0] if len(across) == 1 else None


@pytest.mark.parametrize("kind", [random_mesh, remeshed, rounded, spiralled])
@pytest.mark.parametrize("seed", range(12))
def test_random_meshes(kind: Any, seed: int) -> None:
    mesh = kind(seed)
    values = walked(mesh)
    assert flow(mesh) == values
    if kind is rounded:
        assert values["loop_length_mean"] != 1
    # Neither the order of things nor which side the faces show has anything to do with it.
    assert flow(shuffled(mesh, seed)) == values


def test_random_spirals_are_of_both_sorts() -> None:
    assert {flow(spiralled(seed))["spirals"] for seed in range(12)} >= {0, 1}
