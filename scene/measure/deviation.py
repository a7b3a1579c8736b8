# SPDX-License-Identifier: GPL-3.0-or-later
"""How far two surfaces are apart: the distances behind deviation, coverage and Hausdorff distance.

The nearest points are found by Blender's own proximity node, which runs in parallel on a BVH that
it keeps with the mesh: ten times as fast as Python asking `mathutils.bvhtree` point by point. The
node tree and the objects it needs are in a scene of their own.

numpy is imported with this module. Main thread only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..models import Vector3
from .mesh_arrays import read_attribute
from .metrics import DEVIATION_KEYS, MetricValue

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Ints = npt.NDArray[np.int32]

SURFACE_SAMPLES = 50_000
"""Points per surface, besides its vertices."""

FRAME_TOLERANCE = 0.1
"""How far two bounding boxes of one frame may be apart, as a share of the source's diagonal."""

_SEED = 0


@dataclass(frozen=True)
class Deviation:
    """What a comparison with the source tells of a mesh of F faces.

    `metrics` has the keys of DEVIATION_KEYS. The others hold for each face, as shares of the
    source's diagonal: `deviation`, the largest distance to the source of any of its samples, and
    `coverage`, the largest distance to the mesh of any sample of the source that is nearest to that
    face. Both are (F,).
    """

    metrics: dict[str, MetricValue]
    deviation: Floats
    coverage: Floats


@dataclass(frozen=True)
class Samples:
    """Points of a surface, and the face that each lies on.

    First each vertex that has a face, then points spread evenly over the surface.
    """

    points: Floats
    """(N, 3), scene units."""
    vertices: Ints
    """(V,): which vertices the first V points are."""
    faces: Ints
    """(N - V,): which faces the other points lie on."""


def same_frame(
    lower: Vector3, upper: Vector3, source_lower: Vector3, source_upper: Vector3
) -> bool:
    """Whether a mesh stands where its source stands and is as large: whether the corners of their
    bounding boxes are within FRAME_TOLERANCE of each other. False if the source is but a point.
    """
    allowed = FRAME_TOLERANCE * math.dist(source_lower, source_upper)
    apart = (math.dist(lower, source_lower), math.dist(upper, source_upper))
    return allowed > 0 and all(each <= allowed for each in apart)


class SourceSurface:
    """A source's surface, made ready to compare several meshes with it.

    Main thread. It adds a scene, objects and node trees to the open file until `close`. The mesh
    must be in no collection that is changed meanwhile, and have a face.
    """

    def __init__(self, mesh: bpy.types.Mesh, samples: int = SURFACE_SAMPLES) -> None:
        self._samples = samples
        self._scene = bpy.data.scenes.new("csm_retopo deviation")
        self._mesh = mesh
        self._surface = self._link("source", mesh)
        self._points = sample(mesh, samples).points
        self._diagonal = _diagonal(mesh)

    def close(self) -> None:
        """Remove what was added. The mesh stays."""
        objects = list(self._scene.objects)
        bpy.data.scenes.remove(self._scene)
        bpy.data.batch_remove(objects)

    def compare(self, mesh: bpy.types.Mesh) -> Deviation:
        """Measure the distances between a mesh with faces and the source, both ways.

        From every vertex with a face and from points spread evenly over the surface to the nearest
        point of the other surface; mean and root mean square are over all of these samples, as in
        Metro (Cignoni, Rocchini, Scopigno: "Metro: Measuring Error on Simplified Surfaces",
        Computer Graphics Forum 17, 1998), the maxima give the Hausdorff distance.
        """
        samples = sample(mesh, self._samples)
        surface = self._link("variation", mesh)
        try:
            to_source = self._nearest(samples.points, self._surface).distances
            to_mesh = self._nearest(self._points, surface, with_faces=True)
            deviation = _highest_per_face(mesh, samples, to_source)
            coverage = np.full(len(mesh.polygons), -1, np.float32)
            np.maximum.at(coverage, to_mesh.faces, to_mesh.distances)
            bare = np.flatnonzero(coverage < 0)
            if len(bare):
                # Nothing sampled of the source is nearest to these faces. What of the source is
                # nearest to their centres tells how well it is covered there.
                centers = np.empty(3 * len(mesh.polygons), np.float32)
                mesh.polygons.foreach_get("center", centers)
                near = self._nearest(
                    centers.reshape(-1, 3)[bare], self._surface, with_positions=True
                ).positions
                coverage[bare] = self._nearest(near, surface).distances
        finally:
            bpy.data.objects.remove(surface)
        scale = np.float32(1 / self._diagonal)
        return Deviation(
            _metrics(to_source, to_mesh.distances, self._diagonal),
            deviation * scale,
            coverage * scale,
        )

    def _link(self, name: str, mesh: bpy.types.Mesh) -> bpy.types.Object:
        obj = bpy.data.objects.new(f"csm_retopo {name}", mesh)
        self._scene.collection.objects.link(obj)
        return obj

    def _nearest(
        self,
        points: Floats,
        surface: bpy.types.Object,
        *,
        with_faces: bool = False,
        with_positions: bool = False,
    ) -> _Nearest:
        """The nearest point of the surface for each of the points (N, 3)."""
        mesh = bpy.data.meshes.new("csm_retopo points")
        mesh.vertices.add(len(points))
        mesh.attributes["position"].data.foreach_set("vector", points.ravel())
        obj = self._link("points", mesh)
        tree = _proximity_tree(surface, with_faces=with_faces, with_positions=with_positions)
        try:
            modifier: Any = obj.modifiers.new("nearest", "NODES")
            modifier.node_group = tree
            view_layer = self._scene.view_layers[0]
            view_layer.update()
            depsgraph = view_layer.depsgraph
            assert depsgraph is not None
            found = obj.evaluated_get(depsgraph).data.attributes
            distances = np.empty(len(points), np.float32)
            found["distance"].data.foreach_get("value", distances)
            faces = np.empty(len(points) if with_faces else 0, np.int32)
            if with_faces:
                found["face"].data.foreach_get("value", faces)
            positions = np.empty((len(points) if with_positions else 0, 3), np.float32)
            if with_positions:
                found["nearest"].data.foreach_get("vector", positions.reshape(-1))
            return _Nearest(distances, faces, positions)
        finally:
            bpy.data.objects.remove(obj)
            bpy.data.node_groups.remove(tree)
            bpy.data.meshes.remove(mesh)


@dataclass(frozen=True)
class _Nearest:
    """What is nearest to N points: how far it is (N,), and, where asked for, on which face (N,)
    and where (N, 3).
    """

    distances: Floats
    faces: Ints
    positions: Floats


def sample(mesh: bpy.types.Mesh, count: int = SURFACE_SAMPLES) -> Samples:
    """The vertices of a mesh that have a face, and `count` points on its surface, the same each
    time: none if it has no area.

    The points are spread by systematic sampling: the triangles are laid end to end by area, the
    line so made is cut into equal pieces, and each piece gives one point at random; inside the
    triangle it is uniform (Osada, Funkhouser, Chazelle, Dobkin: "Shape Distributions", ACM
    Transactions on Graphics 21, 2002, section 4.2).
    """
    positions = _positions(mesh)
    corners = _corner_vertices(mesh)
    has_face = np.zeros(len(positions), bool)
    has_face[corners] = True
    vertices = np.flatnonzero(has_face).astype(np.int32)
    if not count:
        return Samples(positions[vertices], vertices, np.empty(0, np.int32))

    triangles, triangle_faces = _triangles(mesh, corners)
    a, b, c = (positions[triangles[:, corner]].astype(np.float64) for corner in range(3))
    ends = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    if not len(ends) or not ends[-1] > 0:
        return Samples(positions[vertices], vertices, np.empty(0, np.int32))
    random = np.random.default_rng(_SEED)
    places = (np.arange(count) + random.random(count)) * (ends[-1] / count)
    chosen = np.minimum(np.searchsorted(ends, places, side="right"), len(ends) - 1)
    root, v = np.sqrt(random.random((count, 1))), random.random((count, 1))
    spread = (1 - root) * a[chosen] + root * (1 - v) * b[chosen] + root * v * c[chosen]
    points = np.concatenate([positions[vertices], spread.astype(np.float32)])
    return Samples(points, vertices, triangle_faces[chosen])


def _highest_per_face(mesh: bpy.types.Mesh, samples: Samples, distances: Floats) -> Floats:
    """The largest distance of the samples at each face's corners and on it: (F,)."""
    at_vertices = np.zeros(len(mesh.vertices), np.float32)
    at_vertices[samples.vertices] = distances[: len(samples.vertices)]
    starts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    highest = np.maximum.reduceat(at_vertices[_corner_vertices(mesh)], starts)
    np.maximum.at(highest, samples.faces, distances[len(samples.vertices) :])
    return highest


def _metrics(to_source: Floats, to_mesh: Floats, diagonal: float) -> dict[str, MetricValue]:
    values: list[float] = []
    for distances in (to_source, to_mesh):
        exact = distances.astype(np.float64)
        values += [exact.mean(), math.sqrt(np.square(exact).mean()), exact.max()]
    hausdorff = max(values[2], values[5])
    return dict(
        zip(
            DEVIATION_KEYS,
            [float(each) for each in (*values, hausdorff, hausdorff / diagonal)],
            strict=True,
        )
    )


def _diagonal(mesh: bpy.types.Mesh) -> float:
    positions = _positions(mesh)
    return math.dist(positions.min(axis=0).tolist(), positions.max(axis=0).tolist())


def _positions(mesh: bpy.types.Mesh) -> Floats:
    """The vertices: (V, 3)."""
    return read_attribute(mesh, "position", "vector", (len(mesh.vertices), 3), np.float32)


def _corner_vertices(mesh: bpy.types.Mesh) -> Ints:
    """The vertex of each face corner: (C,)."""
    return read_attribute(mesh, ".corner_vert", "value", (len(mesh.loops),), np.int32)


def _triangles(mesh: bpy.types.Mesh, corner_vertices: Ints) -> tuple[Ints, Ints]:
    """The triangles that Blender makes of the faces: their vertices (T, 3), and faces (T,)."""
    mesh.calc_loop_triangles()
    faces = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangle_polygons.foreach_get("value", faces)
    if len(corner_vertices) == 3 * len(mesh.polygons) == 3 * len(faces):
        return corner_vertices.reshape(-1, 3), faces  # reading them takes a while
    corners = np.empty((len(faces), 3), np.int32)
    mesh.loop_triangles.foreach_get("loops", corners.reshape(-1))
    return corner_vertices[corners], faces


def _proximity_tree(surface: bpy.types.Object, *, with_faces: bool, with_positions: bool) -> Any:
    """Nodes that give each point the attributes `distance`, `face` and `nearest`.

    The surface is named in the tree itself: how a modifier's inputs are set differs between
    versions of Blender.
    """
    groups: Any = bpy.data.node_groups
    tree = groups.new("csm_retopo nearest", "GeometryNodeTree")
    for in_out in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=in_out, socket_type="NodeSocketGeometry")
    link = tree.links.new
    geometry = tree.nodes.new("NodeGroupInput").outputs[0]

    info = tree.nodes.new("GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = surface
    proximity = tree.nodes.new("GeometryNodeProximity")
    proximity.target_element = "FACES"
    link(info.outputs["Geometry"], proximity.inputs[0])
    wanted = [("distance", "FLOAT", proximity.outputs["Distance"])]
    if with_positions:
        wanted.append(("nearest", "FLOAT_VECTOR", proximity.outputs["Position"]))
    if with_faces:
        index = tree.nodes.new("GeometryNodeFieldOnDomain")
        index.data_type = "INT"
        index.domain = "FACE"
        link(tree.nodes.new("GeometryNodeInputIndex").outputs[0], index.inputs[0])
        face = tree.nodes.new("GeometryNodeSampleNearestSurface")
        face.data_type = "INT"
        link(info.outputs["Geometry"], face.inputs["Mesh"])
        link(index.outputs[0], face.inputs["Value"])
        wanted.append(("face", "INT", face.outputs["Value"]))
    for name, data_type, value in wanted:
        store = tree.nodes.new("GeometryNodeStoreNamedAttribute")
        store.data_type = data_type
        store.domain = "POINT"
        store.inputs["Name"].default_value = name
        link(geometry, store.inputs["Geometry"])
        link(value, _enabled(store.inputs, "Value"))
        geometry = store.outputs[0]
    link(geometry, tree.nodes.new("NodeGroupOutput").inputs[0])
    return tree


def _enabled(sockets: Iterable[Any], name: str) -> Any:
    """The socket in use of several of this name."""
    return next(each for each in sockets if each.name == name and each.enabled)
