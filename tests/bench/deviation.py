# SPDX-License-Identifier: GPL-3.0-or-later
"""The distances between a variation and its source, beside MeshLab's and beside a Python loop.

In Blender, `measured` does it the extension's way and leaves the meshes for MeshLab. As a program
it has MeshLab do it: `deviation.py MESHES SAMPLES ROUNDS`, where pymeshlab is installed.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import bpy

    Array = np.ndarray[Any, np.dtype[Any]]

VARIATION_ROWS = 63
"""A globe of 63 x 126 quads: 7,938."""
SOURCE_ROWS = 224
"""A globe of 224 x 448 quads, each cut in two: 200,704 triangles."""


def measured(meshes: str, rounds: int) -> dict[str, Any]:
    """Measure both ways, at the vertices only and with as many points on the surfaces as the
    source has vertices. Writes the meshes' triangles to the file `meshes`.
    """
    from contenders import MODULE

    ours = importlib.import_module(f"{MODULE}.scene.measure.deviation")
    variation = _globe("variation", VARIATION_ROWS, triangles=False)
    source = _globe("source", SOURCE_ROWS, triangles=True)
    samples = len(source.vertices)
    np.savez(meshes, **_triangles("variation", variation), **_triangles("source", source))
    result: dict[str, Any] = {
        "variation_faces": len(variation.polygons),
        "source_faces": len(source.polygons),
        "samples": samples,
    }
    for name, count in (("vertices", 0), ("surface", samples)):
        times_s = []
        for _ in range(rounds):
            start = time.perf_counter()
            surface = ours.SourceSurface(source, count)
            found = surface.compare(variation)
            times_s.append(time.perf_counter() - start)
            surface.close()
        result[name] = {"times_s": times_s, "metrics": found.metrics}
    result["loop_s"] = [_loop(variation, source) for _ in range(rounds)]
    return result


def _loop(variation: bpy.types.Mesh, source: bpy.types.Mesh) -> float:
    """What add-ons do: ask a BVH point by point, here at the vertices only. Returns seconds."""
    from mathutils.bvhtree import BVHTree

    start = time.perf_counter()
    for here, there in ((variation, source), (source, variation)):
        vertices = [each.co for each in there.vertices]
        tree = BVHTree.FromPolygons(vertices, [each.vertices[:] for each in there.polygons])
        distances = [tree.find_nearest(each.co)[3] for each in here.vertices]
        sum(distances) / len(distances)
        max(distances)
    return time.perf_counter() - start


def _globe(name: str, rows: int, *, triangles: bool) -> bpy.types.Mesh:
    """A globe with bumps, open at its poles: `rows` x 2 `rows` quads, or each of them in two."""
    import bpy

    columns = 2 * rows
    south, east = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, rows + 1),
        np.linspace(0, 2 * np.pi, columns, endpoint=False),
        indexing="ij",
    )
    radius = 1 + 0.05 * np.sin(9 * south) * np.cos(7 * east)
    x, y = np.sin(south) * np.cos(east), np.sin(south) * np.sin(east)
    positions = radius[..., np.newaxis] * np.stack([x, y, np.cos(south)], axis=-1)
    row, column = np.arange(rows)[:, np.newaxis], np.arange(columns)
    following = (column + 1) % columns
    upper, lower = row * columns, (row + 1) * columns
    corners = [upper + column, lower + column, lower + following, upper + following]
    faces = np.stack(corners, axis=-1).reshape(-1, 4)
    if triangles:
        faces = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(positions.reshape(-1, 3).tolist(), [], faces.tolist())
    mesh.update(calc_edges=True)
    return mesh


def _triangles(name: str, mesh: bpy.types.Mesh) -> dict[str, Array]:
    mesh.calc_loop_triangles()
    triangles = np.empty((len(mesh.loop_triangles), 3), np.int32)
    mesh.loop_triangles.foreach_get("vertices", triangles.reshape(-1))
    positions = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", positions.reshape(-1))
    return {f"{name}_positions": positions.astype(float), f"{name}_triangles": triangles}


def meshlab(meshes: str, samples: int, rounds: int) -> dict[str, Any]:
    """The same by MeshLab's filter, with as many points each time."""
    import pymeshlab

    stored = np.load(meshes)
    result: dict[str, Any] = {}
    for name in ("vertices", "surface"):
        times_s, metrics = [], {}
        for _ in range(rounds):
            # A new set each time: it could keep what it needs for searching.
            together = pymeshlab.MeshSet()
            for mesh in ("variation", "source"):
                arrays = (stored[f"{mesh}_positions"], stored[f"{mesh}_triangles"])
                together.add_mesh(pymeshlab.Mesh(*arrays), mesh)
            start = time.perf_counter()
            for kind, sampled, target in (("deviation", 0, 1), ("coverage", 1, 0)):
                found = together.get_hausdorff_distance(
                    sampledmesh=sampled,
                    targetmesh=target,
                    samplevert=True,
                    sampleedge=False,
                    sampleface=name == "surface",
                    samplenum=samples,
                    maxdist=pymeshlab.PercentageValue(100),
                )
                for of, theirs in (("mean", "mean"), ("rms", "RMS"), ("max", "max")):
                    metrics[f"{kind}_{of}"] = found[theirs]
                metrics[f"{kind}_points"] = found["n_samples"]
            times_s.append(time.perf_counter() - start)
        result[name] = {"times_s": times_s, "metrics": metrics}
    return result


if __name__ == "__main__":
    print(json.dumps(meshlab(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
