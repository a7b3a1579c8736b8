# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of a mesh, beside Blender's import of it and beside the loops over a bmesh with which
add-ons find the same.
"""

from __future__ import annotations

import importlib
import math
import time
from typing import Any

import bmesh
import bpy
import contenders
from mathutils import Vector
from mathutils.geometry import area_tri


def measured(path: str, loops_first: bool) -> dict[str, Any]:
    """An OBJ imported, then measured by the extension and with bmesh, once each."""
    contenders._enable()
    measuring = importlib.import_module(f"{contenders.MODULE}.scene.measure.measuring")
    start = time.perf_counter()
    bpy.ops.wm.obj_import(filepath=path)
    import_s = time.perf_counter() - start
    mesh = bpy.context.object.data

    functions = {
        "ours": lambda: measuring.measure(mesh).metrics,
        "bmesh": lambda: _with_bmesh(mesh),
    }
    results, times_s = {}, {}
    for name in reversed(functions) if loops_first else functions:
        start = time.perf_counter()
        results[name] = functions[name]()
        times_s[name] = time.perf_counter() - start

    values, theirs = results["ours"], results["bmesh"]
    ours = {key: value for key, value in values.items() if value is not None}
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"{ours.keys() ^ theirs.keys()} has one only")
    for key, value in theirs.items():
        # A bmesh measures in single precision.
        if not math.isclose(value, ours[key], rel_tol=1e-3):
            raise RuntimeError(f"{key} is {ours[key]}, and {value} with bmesh")
    return {
        "faces": ours["faces"],
        "import_s": import_s,
        "measure_s": times_s["ours"],
        "bmesh_s": times_s["bmesh"],
    }


def _with_bmesh(mesh: bpy.types.Mesh) -> dict[str, float]:
    """What add-ons do: one loop over the faces, one over the edges, one over the vertices, a flood
    fill for the pieces, a walk along each edge loop. It takes for granted that there are quads, and
    that the faces agree on which side is out.
    """
    made = bmesh.new()
    made.from_mesh(mesh)

    bounds = [
        [axis(vertex.co[i] for vertex in made.verts) for i in range(3)] for axis in (min, max)
    ]
    diagonal = math.dist(*bounds)

    triangles = quads = triangle_count = degenerate = 0
    area = jacobians = 0.0
    worst = 1.0
    for face in made.faces:
        corners = face.verts
        count = len(corners)
        triangles += count == 3
        triangle_count += count - 2
        face_area = face.calc_area()
        degenerate += face_area < 1e-12 * diagonal**2
        area += face_area
        if count == 4:
            quads += 1
            jacobian = _scaled_jacobian(*(corner.co for corner in corners))
            jacobians += jacobian
            worst = min(worst, jacobian)

    boundary = non_manifold = loose_edges = inconsistent = 0
    total, shortest, longest = 0.0, math.inf, 0.0
    for edge in made.edges:
        faces = len(edge.link_faces)
        boundary += faces == 1
        non_manifold += faces > 2
        loose_edges += faces == 0
        inconsistent += faces == 2 and not edge.is_contiguous
        length = edge.calc_length()
        total += length
        shortest = min(shortest, length)
        longest = max(longest, length)

    poles = [0] * 7
    loose_vertices = 0
    regular = bytearray(len(made.verts))
    for vertex in made.verts:
        edges = vertex.link_edges
        valence = len(edges)
        loose_vertices += valence == 0
        if valence and all(len(edge.link_faces) == 2 for edge in edges):
            poles[min(valence, 6)] += 1
            regular[vertex.index] = valence == 4

    loops, closed = _walk_loops(made, regular)
    number = max(loops, default=-1) + 1
    spirals = set()
    for face in made.faces:
        if len(face.loops) == 4:
            a, b, c, d = (loops[corner.edge.index] for corner in face.loops)
            if a == c >= 0:
                spirals.add(a)
            if b == d >= 0:
                spirals.add(b)
    values = {
        "vertices": len(made.verts),
        "edges": len(made.edges),
        "faces": len(made.faces),
        "triangles": triangles,
        "quads": quads,
        "ngons": len(made.faces) - triangles - quads,
        "triangle_count": triangle_count,
        "quad_ratio": quads / len(made.faces),
        "boundary_edges": boundary,
        "non_manifold_edges": non_manifold,
        "loose_vertices": loose_vertices,
        "loose_edges": loose_edges,
        "components": _flood(made),
        "inconsistent_edges": inconsistent,
        "degenerate_faces": degenerate,
        "poles_3": poles[3],
        "poles_5": poles[5],
        "poles_6_plus": poles[6],
        "loops_closed": closed,
        "loops_open": number - closed,
        "loop_length_mean": sum(loop >= 0 for loop in loops) / number,
        "spirals": len(spirals),
        "scaled_jacobian_min": worst,
        "scaled_jacobian_mean": jacobians / quads,
        "edge_length_min": shortest,
        "edge_length_mean": total / len(made.edges),
        "edge_length_max": longest,
        "area": area,
        "bbox_diagonal": diagonal,
        "has_uv": _has_uv(made),
    }
    made.free()
    return values


def _scaled_jacobian(a: Vector, b: Vector, c: Vector, d: Vector) -> float:
    """The smallest sine of a quad's angles, seen along its normal."""
    normal = (c - a).cross(d - b).normalized()
    sides = [(b - a).normalized(), (c - b).normalized(), (d - c).normalized(), (a - d).normalized()]
    return min(normal.dot(sides[i - 1].cross(sides[i])) for i in range(4))


def _has_uv(made: bmesh.types.BMesh) -> bool:
    """Whether a face has an area in a UV map."""
    return any(
        area_tri(*(corner[layer].uv for corner in face.loops[:3])) > 0
        for layer in made.loops.layers.uv.values()
        for face in made.faces
    )


def _flood(made: bmesh.types.BMesh) -> int:
    """The number of pieces."""
    seen = bytearray(len(made.verts))
    pieces = 0
    for first in made.verts:
        if seen[first.index]:
            continue
        pieces += 1
        seen[first.index] = True
        stack = [first]
        while stack:
            vertex = stack.pop()
            for edge in vertex.link_edges:
                other = edge.other_vert(vertex)
                if not seen[other.index]:
                    seen[other.index] = True
                    stack.append(other)
    return pieces


def _walk_loops(made: bmesh.types.BMesh, regular: bytearray) -> tuple[list[int], int]:
    """The loop of each edge, by number, -1 for none; and how many of them are closed."""
    loops = [-1] * len(made.edges)
    number = closed = 0
    for edge in made.edges:
        if loops[edge.index] >= 0 or len(edge.link_loops) != 2:
            continue
        loops[edge.index] = number
        came_back = False
        # The two corners look along the edge in opposite directions.
        for corner in edge.link_loops:
            ahead = corner.link_loop_next
            while regular[ahead.vert.index] and not came_back:
                here = ahead.link_loop_radial_next.link_loop_next
                came_back = here.edge is edge
                loops[here.edge.index] = number
                ahead = here.link_loop_next
        closed += came_back
        number += 1
    return loops, closed
