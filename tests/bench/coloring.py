# SPDX-License-Identifier: GPL-3.0-or-later
"""What switching colors on takes, in a scene full of variations."""

from __future__ import annotations

import json
import time
from typing import Any

import bpy
import contenders
import numpy as np
import sessions

SESSION_ID = "SESSION_1747336753_0000005"
ATTRIBUTES = ("csm_scaled_jacobian", "csm_deviation", "csm_coverage")


def measured(variations: int, faces: int, triangles_share: float, rounds: int) -> dict[str, Any]:
    """Seconds until the scene is evaluated with the colors, for each kind, `rounds` times.

    The variations are wavy grids of `faces` faces, of which `triangles_share` are triangles; where
    there are any, there are poles.
    """
    contenders._enable()
    bpy.ops.wm.read_homefile(use_empty=True)
    collection = bpy.data.collections.new(SESSION_ID)
    bpy.context.scene.collection.children.link(collection)
    collection.csm_retopo.session_id = SESSION_ID
    for index in range(variations):
        mesh = _mesh(faces, triangles_share, np.random.default_rng(index))
        obj = bpy.data.objects.new(mesh.name, mesh)
        collection.objects.link(obj)
        carried = obj.csm_retopo
        carried.role, carried.session_id, carried.index = "VARIATION", SESSION_ID, index
        distances = {"deviation_max": 0.02, "deviation_rms": 0.005, "coverage_max": 0.02}
        metrics = {**distances, "hausdorff": 0.02, "hausdorff_relative": 0.01}
        carried.metrics = json.dumps(metrics)
    layer = bpy.context.view_layer
    layer.update()
    settings = bpy.context.scene.csm_retopo
    kinds = [each.identifier for each in settings.bl_rna.properties["colors"].enum_items]
    times: dict[str, list[float]] = {kind: [] for kind in kinds if kind != "NONE"}
    for _ in range(rounds):
        for kind, taken in times.items():
            settings.colors = "NONE"
            layer.update()
            start = time.perf_counter()
            settings.colors = kind
            layer.update()
            taken.append(time.perf_counter() - start)
    return {"faces": contenders._faces(), "times_s": times}


def _mesh(faces: int, triangles_share: float, random: np.random.Generator) -> bpy.types.Mesh:
    # A quad that is cut in two makes a face more.
    cut = round(faces * triangles_share / 2)
    columns, rows = sessions._grid(faces - cut)
    quads = sessions._corners(columns, rows)
    is_cut = np.zeros(len(quads), dtype=bool)
    is_cut[random.permutation(len(quads))[:cut]] = True
    halves = np.concatenate([quads[is_cut][:, [0, 1, 2]], quads[is_cut][:, [0, 2, 3]]])
    mesh = bpy.data.meshes.new("Wavy")
    positions = sessions._wavy(columns, rows, random)
    mesh.from_pydata(positions.tolist(), [], [*quads[~is_cut].tolist(), *halves.tolist()])
    mesh.uv_layers.new(name="UVMap")
    for name in ATTRIBUTES:
        layer = mesh.attributes.new(name, "FLOAT", "FACE")
        layer.data.foreach_set("value", random.uniform(0.0, 0.01, len(mesh.polygons)))
    return mesh
