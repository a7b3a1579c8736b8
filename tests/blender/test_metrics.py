# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of meshes whose numbers are known, and of random ones counted in another way."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import bmesh
import bpy
import numpy as np
import pytest
from meshes import CUBE_FACES, CUBE_VERTICES, Point, grid, make, random_mesh, remeshed

from bl_ext.user_default.csm_retopo.scene.measure import components, measuring, mesh_arrays, metrics

NOTHING = {
    "vertices": 0,
    "edges": 0,
    "faces": 0,
    "triangles": 0,
    "quads": 0,
    "ngons": 0,
    "triangle_count": 0,
    "quad_ratio": None,
    "boundary_edges": 0,
    "non_manifold_edges": 0,
    "loose_vertices": 0,
    "loose_edges": 0,
    "components": 0,
    "inconsistent_edges": 0,
    "degenerate_faces": 0,
    "poles_3": 0,
    "poles_5": 0,
    "poles_6_plus": 0,
    "loops_closed": 0,
    "loops_open": 0,
    "loop_length_mean": None,
    "spirals": 0,
    "scaled_jacobian_min": None,
    "scaled_jacobian_mean": None,
    "edge_length_min": None,
    "edge_length_mean": None,
    "edge_length_max": None,
    "area": 0.0,
    "bbox_diagonal": 0.0,
    "has_uv": False,
    **dict.fromkeys(metrics.DEVIATION_KEYS),
}


def measured(*args: Any) -> dict[str, Any]:
    """Measure a mesh made by `make`, and check what holds for every mesh."""
    mesh = args[0] if isinstance(args[0], bpy.types.Mesh) else make(*args)
    measurement = measuring.measure(mesh)
    values = measurement.metrics
    assert list(values) == list(metrics.METRICS)
    assert {type(value) for value in values.values()} <= {int, float, bool, type(None)}
    json.dumps(values, allow_nan=False)
    assert values["faces"] == values["triangles"] + values["quads"] + values["ngons"]
    assert measurement.scaled_jacobians.shape == (values["faces"],)
    return values


def expect(values: dict[str, Any], **expected: Any) -> None:
    """Compare with what is expected; what isn't given is as of no mesh at all."""
    compare(values, {**NOTHING, **expected}, rel=1e-6)


def compare(values: dict[str, Any], expected: dict[str, Any], rel: float) -> None:
    for key, value in expected.items():
        exact = value is None or isinstance(value, int)
        assert values[key] == (value if exact else pytest.approx(value, rel=rel, abs=1e-12)), key


CUBE = {
    "vertices": 8,
    "edges": 12,
    "faces": 6,
    "quads": 6,
    "triangle_count": 12,
    "quad_ratio": 1.0,
    "components": 1,
    "poles_3": 8,
    "loops_open": 12,
    "loop_length_mean": 1.0,
    "scaled_jacobian_min": 1.0,
    "scaled_jacobian_mean": 1.0,
    "edge_length_min": 1.0,
    "edge_length_mean": 1.0,
    "edge_length_max": 1.0,
    "area": 6.0,
    "bbox_diagonal": math.sqrt(3),
}


def test_descriptions() -> None:
    assert list(metrics.METRICS) == list(NOTHING)
    for key, metric in metrics.METRICS.items():
        assert metric.key == key
        assert metric.label[0].isupper() or metric.label[0].isdigit()
        assert all(word[0].isupper() for word in metric.label.split() if word[0].isalpha())
        assert metric.description[0].isupper()
        assert not metric.description.endswith(".")
    assert len({metric.label for metric in metrics.METRICS.values()}) == len(metrics.METRICS)


def test_kinds_fit_the_values() -> None:
    values = measured(CUBE_VERTICES, CUBE_FACES)
    types = {"count": int, "flag": bool}
    for key, metric in metrics.METRICS.items():
        if key not in metrics.DEVIATION_KEYS:
            assert type(values[key]) is types.get(metric.kind, float)


def test_empty_mesh() -> None:
    assert measured([]) == NOTHING


def test_only_vertices() -> None:
    values = measured([(0, 0, 0), (3, 4, 0)])
    expect(values, vertices=2, loose_vertices=2, bbox_diagonal=5.0)


def test_only_loose_edges() -> None:
    values = measured([(0, 0, 0), (3, 4, 0), (3, 4, 1)], [], [(0, 1), (1, 2)])
    expect(
        values,
        vertices=3,
        edges=2,
        loose_edges=2,
        edge_length_min=1.0,
        edge_length_mean=3.0,
        edge_length_max=5.0,
        bbox_diagonal=math.sqrt(26),
    )


def test_one_triangle() -> None:
    values = measured([(0, 0, 0), (3, 0, 0), (0, 4, 0)], [(0, 1, 2)])
    expect(
        values,
        vertices=3,
        edges=3,
        faces=1,
        triangles=1,
        triangle_count=1,
        quad_ratio=0.0,
        boundary_edges=3,
        components=1,
        edge_length_min=3.0,
        edge_length_mean=4.0,
        edge_length_max=5.0,
        area=6.0,
        bbox_diagonal=5.0,
    )


def test_cube() -> None:
    expect(measured(CUBE_VERTICES, CUBE_FACES), **CUBE)


def test_cube_with_a_flipped_face() -> None:
    faces = [CUBE_FACES[0][::-1], *CUBE_FACES[1:]]
    expect(measured(CUBE_VERTICES, faces), **{**CUBE, "inconsistent_edges": 4})


def test_cube_turned_inside_out_is_consistent() -> None:
    expect(measured(CUBE_VERTICES, [face[::-1] for face in CUBE_FACES]), **CUBE)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e6, 1e15])
def test_scale_changes_sizes_only(scale: float) -> None:
    vertices = [[scale * coordinate for coordinate in vertex] for vertex in CUBE_VERTICES]
    values = measured(vertices, CUBE_FACES)
    for key, value in CUBE.items():
        factor = {"length": scale, "area": scale * scale}.get(metrics.METRICS[key].kind, 1)
        assert values[key] == pytest.approx(value * factor, rel=1e-6)


def test_place_changes_nothing() -> None:
    vertices = [[coordinate + 100_000 for coordinate in vertex] for vertex in CUBE_VERTICES]
    expect(measured(vertices, CUBE_FACES), **CUBE)


def test_open_grid() -> None:
    values = measured(*grid(5, 3))
    expect(
        values,
        vertices=24,
        edges=38,
        faces=15,
        quads=15,
        triangle_count=30,
        quad_ratio=1.0,
        boundary_edges=16,
        components=1,
        loops_open=6,
        loop_length_mean=22 / 6,
        scaled_jacobian_min=1.0,
        scaled_jacobian_mean=1.0,
        edge_length_min=1.0,
        edge_length_mean=1.0,
        edge_length_max=1.0,
        area=15.0,
        bbox_diagonal=math.sqrt(34),
    )


def test_moebius_strip() -> None:
    count = 24
    vertices = []
    for step in range(count):
        around, turn = math.tau * step / count, math.pi * step / count
        for side in (-0.3, 0.3):
            radius = 1 + side * math.cos(turn)
            vertices.append(
                (radius * math.cos(around), radius * math.sin(around), side * math.sin(turn))
            )
    faces = [[2 * step, 2 * step + 1, 2 * step + 3, 2 * step + 2] for step in range(count - 1)]
    faces.append([2 * count - 2, 2 * count - 1, 0, 1])
    values = measured(vertices, faces)
    assert values["boundary_edges"] == 2 * count
    assert values["edges"] == 3 * count
    assert values["components"] == 1
    # However its faces are turned, a surface of one side can't be made consistent.
    assert values["inconsistent_edges"] == 1
    assert values["non_manifold_edges"] == 0


def test_two_components() -> None:
    vertices, faces = grid(2, 2)
    more_vertices, more_faces = grid(3, 1, x=10)
    faces = faces + [[index + len(vertices) for index in face] for face in more_faces]
    vertices = vertices + more_vertices
    assert measured(vertices, faces)["components"] == 2
    # An edge between them joins them, a way round a vertex of no face doesn't.
    assert measured(vertices, faces, [(0, 9)])["components"] == 1
    values = measured([*vertices, (5, 5, 5)], faces, [(0, len(vertices)), (len(vertices), 9)])
    assert values["components"] == 2
    assert values["loose_edges"] == 2
    assert values["loose_vertices"] == 0


def test_bow_tie_vertex() -> None:
    vertices = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 1, 0), (2, 2, 0), (1, 2, 0)]
    values = measured(vertices, [(0, 1, 2, 3), (2, 4, 5, 6)])
    assert values["components"] == 1
    assert values["boundary_edges"] == 8
    assert values["poles_3"] == values["poles_5"] == values["poles_6_plus"] == 0


def test_two_cubes_that_share_a_vertex() -> None:
    vertices = CUBE_VERTICES + [[coordinate + 1 for coordinate in v] for v in CUBE_VERTICES[1:]]
    faces = CUBE_FACES + [[7 + index for index in face] for face in CUBE_FACES]
    values = measured(vertices, faces)
    assert (values["vertices"], values["components"]) == (15, 1)
    assert (values["poles_3"], values["poles_6_plus"]) == (14, 1)


def test_poles() -> None:
    # A double pyramid over a polygon has two tips of as many edges, and a rim of four each.
    for corners, key in ((3, "poles_3"), (4, None), (5, "poles_5"), (6, "poles_6_plus")):
        rim = [math.tau * corner / corners for corner in range(corners)]
        vertices = [(math.cos(angle), math.sin(angle), 0) for angle in rim]
        vertices += [(0, 0, 1), (0, 0, -1)]
        faces = []
        for corner in range(corners):
            following = (corner + 1) % corners
            faces += [(corner, following, corners), (following, corner, corners + 1)]
        values = measured(vertices, faces)
        poles = {name: values[name] for name in ("poles_3", "poles_5", "poles_6_plus")}
        assert poles == {name: 2 if name == key else 0 for name in poles}
        assert values["quad_ratio"] == 0
        # A missing face puts its three corners on the boundary.
        open_values = measured(vertices, faces[1:])
        assert sum(open_values[name] for name in poles) == (1 if key else 0)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], 1.0),
        ([(0, 0, 0), (5, 0, 0), (5, 1, 0), (0, 1, 0)], 1.0),
        # A rhombus of 60 and 120 degrees.
        ([(0, 0, 0), (2, 0, 0), (3, math.sqrt(3), 0), (1, math.sqrt(3), 0)], math.sqrt(3) / 2),
        # Not flat: seen along its own normal.
        ([(0, 0, 0), (1, 0, 0), (1, 1, 1), (0, 1, 0)], math.sqrt(2 / 3)),
        # A reflex angle.
        ([(0, 0, 0), (2, 0, 0), (0.5, 0.5, 0), (0, 2, 0)], -0.8),
        # A straight angle.
        ([(0, 0, 0), (2, 0, 0), (1, 1, 0), (0, 2, 0)], 0.0),
        # It crosses itself: into a smaller and a larger part, then into equal ones.
        ([(0, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0)], -math.sqrt(0.5)),
        ([(0, 0, 0), (1, 1, 0), (1, 0, 0), (0, 1, 0)], 0.0),
        # Two corners in one place, all on a line, all in one place.
        ([(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 0)], 0.0),
        ([(0, 0, 0), (0, 0, 0), (1, 1, 0), (0, 1, 0)], 0.0),
        ([(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)], 0.0),
        ([(1, 2, 3)] * 4, 0.0),
    ],
)
def test_scaled_jacobian(corners: list[Point], expected: float) -> None:
    # Neither the first corner nor the side that it is seen from make a difference.
    for turn in range(4):
        for face in ([0, 1, 2, 3], [3, 2, 1, 0]):
            values = measured(corners[turn:] + corners[:turn], [face])
            assert values["scaled_jacobian_min"] == pytest.approx(expected, abs=1e-7)
            assert values["scaled_jacobian_mean"] == values["scaled_jacobian_min"]


def test_scaled_jacobian_is_over_quads_only() -> None:
    vertices = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (3, 0, 0), (2, 1, 0)]
    values = measured(vertices, [(0, 1, 2, 3), (1, 4, 2), (4, 5, 6, 2)])
    assert values["quad_ratio"] == pytest.approx(2 / 3)
    assert values["scaled_jacobian_min"] == pytest.approx(math.sqrt(0.5))
    assert values["scaled_jacobian_mean"] == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_scaled_jacobian_of_each_face() -> None:
    vertices = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (3, 0, 0), (2, 1, 0)]
    mesh = make(vertices, [(0, 1, 2, 3), (1, 4, 2), (4, 5, 6, 2)])
    jacobians = measuring.measure(mesh).scaled_jacobians
    assert jacobians.dtype == np.float32
    assert jacobians == pytest.approx([1, math.nan, math.sqrt(0.5)], nan_ok=True)


@pytest.mark.parametrize("corners", [5, 7, 100])
def test_ngon(corners: int) -> None:
    angles = [math.tau * corner / corners for corner in range(corners)]
    vertices = [(math.cos(angle), math.sin(angle), 100) for angle in angles]
    values = measured(vertices, [range(corners)])
    assert (values["ngons"], values["triangle_count"]) == (1, corners - 2)
    assert values["boundary_edges"] == corners
    assert values["area"] == pytest.approx(corners / 2 * math.sin(math.tau / corners))
    assert values["scaled_jacobian_min"] is None


def test_concave_faces() -> None:
    vertices = [(0, 0, 0), (2, 0, 0), (2, 1, 0), (1, 1, 0), (1, 2, 0), (0, 2, 0)]
    assert measured(vertices, [range(6)])["area"] == pytest.approx(3)
    arrow = [(0, 0, 0), (2, 0, 0), (0.5, 0.5, 0), (0, 2, 0)]
    assert measured(arrow, [range(4)])["area"] == pytest.approx(1)


def test_faces_of_all_sizes() -> None:
    """Each face's area is found again in its place, whatever its neighbours' sizes."""
    generator = random.Random(3)
    vertices: list[Point] = []
    faces = []
    areas = []
    for _ in range(500):
        corners = generator.choice((3, 4, 5, 6, 20))
        size = generator.uniform(0.1, 2)
        faces.append(range(len(vertices), len(vertices) + corners))
        for corner in range(corners):
            angle = math.tau * corner / corners
            vertices.append((size * math.cos(angle), size * math.sin(angle), len(faces)))
        areas.append(size * size * corners / 2 * math.sin(math.tau / corners))
    arrays = mesh_arrays.read_arrays(make(vertices, faces))
    assert measuring.face_shapes(arrays)[0] == pytest.approx(areas, rel=1e-5)
    jacobians = measuring.face_shapes(arrays)[1]
    for face, jacobian in zip(faces, jacobians, strict=True):
        assert jacobian == pytest.approx(1) if len(face) == 4 else math.isnan(jacobian)


def test_loose_vertex_and_edge() -> None:
    vertices = [*CUBE_VERTICES, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (0.2, 0.2, 0.7)]
    values = measured(vertices, CUBE_FACES, [(9, 10)])
    expected = {"vertices": 11, "edges": 13, "loose_vertices": 1, "loose_edges": 1}
    lengths = {"edge_length_min": 0.5, "edge_length_mean": 12.5 / 13}
    expect(values, **{**CUBE, **expected, **lengths})


def test_loose_edge_at_a_vertex_takes_it_off_the_inside() -> None:
    values = measured([*CUBE_VERTICES, (2, 2, 2)], CUBE_FACES, [(7, 8)])
    assert values["poles_3"] == 7
    assert values["components"] == 1


def test_non_manifold_fin() -> None:
    vertices, faces = grid(2, 1)
    values = measured([*vertices, (1, 0, 1), (1, 1, 1)], [*faces, (1, 6, 7, 4)])
    assert values["non_manifold_edges"] == 1
    assert values["boundary_edges"] == 9
    assert values["inconsistent_edges"] == 0
    assert values["components"] == 1


def test_degenerate_faces() -> None:
    vertices, faces = grid(2, 1)
    line = [*vertices, (0, 2, 0), (1, 2, 0), (2, 2, 0)]
    values = measured(line, [*faces, (6, 7, 8)])
    assert values["degenerate_faces"] == 1
    assert values["area"] == pytest.approx(2)
    # The diagonal is close to 1e6, which makes anything below an area of 1 degenerate.
    wide = [(0, 0, 0), (1e6, 0, 0), (0, 1, 0), (5, 0, 0), (5, 1, 0), (8, 0, 0)]
    values = measured(wide, [(0, 1, 2), (0, 3, 4, 2), (3, 5, 4)])
    assert values["degenerate_faces"] == 0
    values = measured([(0, 0, 0), (1e6, 0, 0), (0, 1, 0), (1, 0, 0)], [(0, 1, 2), (0, 3, 2)])
    assert values["degenerate_faces"] == 1


def test_faces_of_no_area_are_degenerate_without_an_extent() -> None:
    values = measured([(1, 1, 1)] * 7, [(0, 1, 2), (2, 3, 4, 5), (0, 2, 4, 5, 6)])
    assert values["degenerate_faces"] == 3
    assert values["area"] == 0.0
    assert values["bbox_diagonal"] == 0.0
    assert values["edge_length_max"] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(bad: float) -> None:
    mesh = make(CUBE_VERTICES, CUBE_FACES)
    # Setting `co` would clamp it.
    positions = np.array(CUBE_VERTICES, np.float32)
    positions[3, 1] = bad
    mesh.attributes["position"].data.foreach_set("vector", positions.ravel())
    values = measured(mesh)
    assert values["area"] is None
    assert values["bbox_diagonal"] is None
    assert values["edge_length_max"] is None
    assert values["components"] == 1
    assert values["poles_3"] == 8


def set_uv(mesh: bpy.types.Mesh, values: Iterable[Sequence[float]]) -> None:
    flat = np.array(list(values), np.float32).ravel()
    mesh.uv_layers.new().uv.foreach_set("vector", flat)


def test_has_uv() -> None:
    mesh = make(*grid(4, 4))
    corners = len(mesh.loops)
    assert measured(mesh)["has_uv"] is False
    set_uv(mesh, [(0.25, 0.75)] * corners)
    assert measured(mesh)["has_uv"] is False
    # On a line.
    set_uv(mesh, [(corner / corners, 0.5) for corner in range(corners)])
    assert measured(mesh)["has_uv"] is False
    # One face in the last of several maps is enough, mirrored too.
    square = [(0, 0), (0, 1), (1, 1), (1, 0)]
    set_uv(mesh, [(0, 0)] * (corners - 4) + square)
    assert measured(mesh)["has_uv"] is True


def test_has_uv_of_a_mesh_without_faces() -> None:
    mesh = make([(0, 0, 0), (1, 0, 0)], [], [(0, 1)])
    mesh.uv_layers.new()
    assert measured(mesh)["has_uv"] is False


def test_has_uv_counts_faces_on_both_sides() -> None:
    """Areas of opposite sign don't cancel each other out."""
    mesh = make(*grid(2, 1))
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    set_uv(mesh, square + square[::-1])
    assert measured(mesh)["has_uv"] is True


def test_mesh_larger_than_a_block() -> None:
    columns, rows = 300, 200
    values = measured(*grid(columns, rows))
    assert values["faces"] == columns * rows > 3 * mesh_arrays.BLOCK
    assert values["area"] == pytest.approx(columns * rows)
    assert values["boundary_edges"] == 2 * (columns + rows)
    assert values["components"] == 1
    assert (values["edge_length_min"], values["edge_length_max"]) == (1.0, 1.0)


def union_find(nodes: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Return the root of each node, as the textbook has it."""
    parents = list(range(nodes))

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for a, b in edges:
        parents[root(a)] = root(b)
    return [root(node) for node in range(nodes)]


def shapes(nodes: int) -> dict[str, list[tuple[int, int]]]:
    generator = random.Random(nodes)
    shuffled = generator.sample(range(nodes), nodes)
    zigzag = [node // 2 if node % 2 else nodes - 1 - node // 2 for node in range(nodes)]
    return {
        "none": [],
        "path": list(pairwise(range(nodes))),
        "path the other way": list(pairwise(range(nodes - 1, -1, -1))),
        "shuffled path": list(pairwise(shuffled)),
        "zigzag": list(pairwise(zigzag)),
        "star of the first": [(0, node) for node in range(1, nodes)],
        "star of the last": [(nodes - 1, node) for node in range(nodes - 1)],
        "broken path": [pair for pair in pairwise(shuffled) if generator.random() < 0.9],
        "few": [tuple(generator.sample(range(nodes), 2)) for _ in range(nodes // 3)],
        "many": [tuple(generator.sample(range(nodes), 2)) for _ in range(2 * nodes)],
        "to oneself": [(node, node) for node in range(nodes)],
    }


@pytest.mark.parametrize("nodes", [2, 3, 10, 5000])
def test_components_of_all_shapes(nodes: int) -> None:
    for name, edges in shapes(nodes).items():
        a, b = np.array(edges, np.intp).reshape(-1, 2).T
        roots = union_find(nodes, edges)
        count, labels = components.connected_components(nodes, a, b)
        assert count == len(set(roots)), name
        assert set(labels.tolist()) == set(range(count)), name
        # One label for each root, and one root for each label.
        assert len(set(zip(roots, labels.tolist(), strict=True))) == count, name


def sub(a: Point, b: Point) -> Point:
    return [p - q for p, q in zip(a, b, strict=True)]


def cross(a: Point, b: Point) -> Point:
    return [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]


def newell(points: list[Point]) -> Point:
    total = [0.0, 0.0, 0.0]
    for a, b in zip(points, points[1:] + points[:1], strict=True):
        total = [t + c for t, c in zip(total, cross(a, b), strict=True)]
    return total


def slow_jacobian(points: list[Point]) -> float:
    normal = newell(points)
    length = math.hypot(*normal)
    sines = []
    for corner in range(4):
        ahead = sub(points[(corner + 1) % 4], points[corner])
        behind = sub(points[corner - 1], points[corner])
        height = sum(n * c for n, c in zip(normal, cross(ahead, behind), strict=True)) / length
        sines.append(height / math.hypot(*ahead) / math.hypot(*behind))
    return min(sines)


def slowly_measured(mesh: bpy.types.Mesh) -> dict[str, Any]:
    made = bmesh.new()
    made.from_mesh(mesh)
    made.verts.ensure_lookup_table()
    corners = [len(face.verts) for face in made.faces]
    by_faces = [len(edge.link_faces) for edge in made.edges]
    lengths = [math.dist(edge.verts[0].co, edge.verts[1].co) for edge in made.edges]
    points = [[list(vertex.co) for vertex in face.verts] for face in made.faces]
    jacobians = [slow_jacobian(quad) for quad in points if len(quad) == 4]
    areas = [math.hypot(*newell(face)) / 2 for face in points]
    inside = [
        len(vertex.link_edges)
        for vertex in made.verts
        if vertex.link_edges and all(len(edge.link_faces) == 2 for edge in vertex.link_edges)
    ]
    of_faces = [vertex for vertex in made.verts if vertex.link_faces]
    joined = [
        tuple(vertex.index for vertex in edge.verts)
        for edge in made.edges
        if all(vertex.link_faces for vertex in edge.verts)
    ]
    diagonal = math.hypot(
        *(max(values) - min(values) for values in zip(*(v.co for v in made.verts), strict=True))
    )
    result = {
        "vertices": len(made.verts),
        "edges": len(made.edges),
        "faces": len(made.faces),
        "triangles": corners.count(3),
        "quads": corners.count(4),
        "ngons": sum(count > 4 for count in corners),
        "triangle_count": sum(count - 2 for count in corners),
        "quad_ratio": corners.count(4) / len(corners),
        "boundary_edges": by_faces.count(1),
        "non_manifold_edges": sum(count > 2 for count in by_faces),
        "loose_vertices": sum(not vertex.link_edges for vertex in made.verts),
        "loose_edges": by_faces.count(0),
        "components": len(set(union_find(len(made.verts), joined)))
        - len(made.verts)
        + len(of_faces),
        "inconsistent_edges": sum(
            len(edge.link_loops) == 2 and edge.link_loops[0].vert is edge.link_loops[1].vert
            for edge in made.edges
        ),
        "degenerate_faces": sum(area < 1e-12 * diagonal**2 for area in areas),
        "poles_3": inside.count(3),
        "poles_5": inside.count(5),
        "poles_6_plus": sum(valence >= 6 for valence in inside),
        "scaled_jacobian_min": min(jacobians, default=None),
        "scaled_jacobian_mean": sum(jacobians) / len(jacobians) if jacobians else None,
        "edge_length_min": min(lengths),
        "edge_length_mean": sum(lengths) / len(lengths),
        "edge_length_max": max(lengths),
        "area": sum(areas),
        "bbox_diagonal": diagonal,
        "has_uv": False,
    }
    made.free()
    return result


@pytest.mark.parametrize("kind", [random_mesh, remeshed])
@pytest.mark.parametrize("seed", range(12))
def test_random_meshes(kind: Any, seed: int) -> None:
    mesh = kind(seed)
    values = measured(mesh)
    compare(values, slowly_measured(mesh), rel=1e-9)
    if kind is remeshed:
        assert values["inconsistent_edges"] > 0
        assert values["boundary_edges"] > 0
        assert values["poles_3"] > 0
