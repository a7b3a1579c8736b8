# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances between surfaces that are known, and between random ones computed in another way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import bpy
import numpy as np
import pytest

from bl_ext.user_default.csm_retopo.scene.measure import deviation, metrics

Points = np.ndarray
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def make(vertices: Iterable[Sequence[float]], faces: Iterable[Sequence[int]]) -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new("test")
    mesh.from_pydata([tuple(each) for each in vertices], [], [tuple(each) for each in faces])
    mesh.update(calc_edges=True)
    return mesh


def grid(columns: int, rows: int, height: float = 0.0) -> bpy.types.Mesh:
    """A flat sheet of unit quads."""
    vertices = [(x, y, height) for y in range(rows + 1) for x in range(columns + 1)]
    width = columns + 1
    corners = [y * width + x for y in range(rows) for x in range(columns)]
    return make(vertices, [(a, a + 1, a + 1 + width, a + width) for a in corners])


def box(half: float, center: Sequence[float] = (0.0, 0.0, 0.0)) -> bpy.types.Mesh:
    signs = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    vertices = [
        [place + half * sign for place, sign in zip(center, corner, strict=True)]
        for corner in signs
    ]
    return make(vertices, QUADS)


def soup(seed: int, triangles: int) -> bpy.types.Mesh:
    """Triangles anywhere in the unit cube."""
    vertices = np.random.default_rng(seed).random((3 * triangles, 3))
    return make(vertices.tolist(), np.arange(3 * triangles).reshape(-1, 3).tolist())


def compared(
    mesh: bpy.types.Mesh, source: bpy.types.Mesh, samples: int = deviation.SURFACE_SAMPLES
) -> deviation.Deviation:
    surface = deviation.SourceSurface(source, samples)
    try:
        found = surface.compare(mesh)
    finally:
        surface.close()
    assert list(found.metrics) == list(metrics.DEVIATION_KEYS)
    assert all(type(each) is float for each in found.metrics.values())
    assert found.deviation.shape == found.coverage.shape == (len(mesh.polygons),)
    assert found.deviation.min() >= 0 and found.coverage.min() >= 0
    return found


@pytest.fixture(autouse=True)
def nothing_left_in_the_file() -> Iterator[None]:
    yield
    assert len(bpy.data.scenes) == 1
    assert not bpy.data.node_groups
    assert not bpy.data.objects
    assert {each.name.partition(".")[0] for each in bpy.data.meshes} <= {"test"}


def nearest_distances(points: Points, triangles: Points) -> Points:
    """The distance from each point (N, 3) to the nearest of the triangles (T, 3, 3), by brute
    force: the least of the distances to the plane, where its foot is inside, and to the sides.
    """
    best = np.full(len(points), np.inf)
    for corners in triangles:
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= np.linalg.norm(normal)
        inside = np.ones(len(points), bool)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            side = end - start
            along = np.clip((points - start) @ side / (side @ side), 0, 1)[:, np.newaxis]
            best = np.minimum(best, np.linalg.norm(points - start - along * side, axis=1))
            inside &= (points - start) @ np.cross(normal, side) >= 0
        above = np.abs((points - corners[0]) @ normal)
        best = np.where(inside, np.minimum(best, above), best)
    return best


def test_parallel_sheets() -> None:
    found = compared(grid(6, 4, 0.25), grid(6, 4))
    assert all(
        found.metrics[f"{kind}_{of}"] == pytest.approx(0.25, rel=1e-5)
        for kind in ("deviation", "coverage")
        for of in ("mean", "rms", "max")
    )
    assert found.metrics["hausdorff"] == pytest.approx(0.25, rel=1e-5)
    share = 0.25 / math.hypot(6, 4)
    assert found.metrics["hausdorff_relative"] == pytest.approx(share, rel=1e-5)
    assert found.deviation == pytest.approx(np.full(24, share), rel=1e-4)
    assert found.coverage == pytest.approx(np.full(24, share), rel=1e-4)


def test_a_mesh_and_itself() -> None:
    found = compared(box(1.0), box(1.0))
    assert found.metrics["hausdorff"] == pytest.approx(0.0, abs=1e-6)
    assert found.metrics["deviation_mean"] == pytest.approx(0.0, abs=1e-6)


def test_a_box_in_a_box() -> None:
    found = compared(box(1.2), box(1.0))
    # The corners are farthest off; from inside, the way out is the same everywhere.
    assert found.metrics["deviation_max"] == pytest.approx(0.2 * math.sqrt(3), rel=1e-5)
    for of in ("mean", "rms", "max"):
        assert found.metrics[f"coverage_{of}"] == pytest.approx(0.2, rel=1e-5)
    assert found.metrics["hausdorff"] == found.metrics["deviation_max"]
    diagonal = 2 * math.sqrt(3)
    assert found.deviation == pytest.approx(np.full(6, 0.2 * math.sqrt(3) / diagonal), rel=1e-5)


def test_lost_detail_shows_where_it_was() -> None:
    source = grid(8, 8)
    top = next(each.index for each in source.vertices if each.co[:2] == (6.0, 2.0))
    source.vertices[top].co.z = 3.0
    found = compared(grid(8, 8), source)
    assert found.metrics["coverage_max"] == pytest.approx(3.0)
    assert found.metrics["hausdorff"] == pytest.approx(3.0)
    assert found.metrics["deviation_max"] < 1.0
    around = [row * 8 + column for row in (1, 2) for column in (5, 6)]
    share = 3.0 / math.sqrt(64 + 64 + 9)
    # The tip is above the corner of four faces: one of them is its nearest.
    assert found.coverage[around].max() == pytest.approx(share, rel=1e-5)
    others = np.delete(found.coverage, around)
    assert others.max() < 0.2 * share


def test_what_is_too_much_shows_where_it_is() -> None:
    mesh = grid(8, 8)
    top = next(each.index for each in mesh.vertices if each.co[:2] == (6.0, 2.0))
    mesh.vertices[top].co.z = 3.0
    found = compared(mesh, grid(8, 8))
    around = [row * 8 + column for row in (1, 2) for column in (5, 6)]
    share = 3.0 / math.hypot(8, 8)
    assert found.deviation[around] == pytest.approx(np.full(4, share), rel=1e-5)
    assert np.delete(found.deviation, around) == pytest.approx(np.zeros(60), abs=1e-6)


@pytest.mark.parametrize("samples", [0, 400])
def test_random_surfaces(samples: int) -> None:
    mesh, source = soup(1, 60), soup(2, 90)
    found = compared(mesh, source, samples)
    for kind, here, there in (("deviation", mesh, source), ("coverage", source, mesh)):
        points = deviation.sample(here, samples).points.astype(np.float64)
        corners = np.array([each.co for each in there.vertices]).reshape(-1, 3, 3)
        distances = nearest_distances(points, corners)
        expected = {
            "mean": distances.mean(),
            "rms": math.sqrt((distances**2).mean()),
            "max": distances.max(),
        }
        for of, value in expected.items():
            assert found.metrics[f"{kind}_{of}"] == pytest.approx(value, rel=1e-4), (kind, of)


def test_samples_are_spread_by_area_and_always_the_same() -> None:
    mesh = make(
        [(0, 0, 0), (1, 0, 0), (0, 1, 0), (5, 0, 0), (8, 0, 0), (8, 1, 0), (5, 1, 0), (9, 9, 9)],
        [(0, 1, 2), (3, 4, 5, 6)],
    )
    samples = deviation.sample(mesh, 7000)
    assert samples.vertices.tolist() == list(range(7))  # not the loose one
    assert len(samples.points) == 7007
    on_small = samples.points[7:][samples.faces == 0]
    assert len(on_small) == pytest.approx(1000, abs=1)  # 0.5 of an area of 3.5
    assert (on_small[:, :2] >= 0).all() and (on_small[:, 0] + on_small[:, 1] <= 1 + 1e-6).all()
    assert on_small.mean(axis=0) == pytest.approx([1 / 3, 1 / 3, 0], abs=0.03)
    on_large = samples.points[7:][samples.faces == 1]
    assert on_large.mean(axis=0) == pytest.approx([6.5, 0.5, 0], abs=0.05)
    assert np.array_equal(deviation.sample(mesh, 7000).points, samples.points)


def test_faces_with_many_corners() -> None:
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    disc = [(math.cos(turn), math.sin(turn), 0.0) for turn in turns]
    raised = [(x, y, 0.5) for x, y, _ in disc]
    found = compared(make(raised, [range(100)]), make(disc, [range(100)]))
    assert found.metrics["hausdorff"] == pytest.approx(0.5, rel=1e-5)


def test_a_mesh_far_finer_than_the_samples_has_a_value_on_every_face() -> None:
    found = compared(grid(40, 40, 0.5), grid(2, 2), samples=10)
    assert (found.coverage > 0).all()


def test_a_mesh_without_area() -> None:
    line = make([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(0, 1, 2)])
    found = compared(line, grid(2, 2, 1.0))
    assert found.metrics["deviation_max"] == pytest.approx(1.0, rel=1e-5)


def test_which_boxes_share_a_frame() -> None:
    source = ((0.0, 0.0, 0.0), (3.0, 4.0, 0.0))  # diagonal 5: half a unit is allowed
    assert deviation.same_frame(*source, *source)
    assert deviation.same_frame((0.4, 0.0, 0.0), (3.4, 4.0, 0.0), *source)
    assert not deviation.same_frame((0.6, 0.0, 0.0), (3.6, 4.0, 0.0), *source)
    assert not deviation.same_frame((0.0, 0.0, 0.0), (6.0, 8.0, 0.0), *source)
    assert not deviation.same_frame((0.0, 0.0, 0.0), (3.0, math.nan, 0.0), *source)
    point = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    assert not deviation.same_frame(*point, *point)
