# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of meshes, all of a session from the same camera. Made to run in a background Blender:
the open file is replaced.

What a picture shows is worked out here, down to the light: a mesh that carries its colors, and
among its faces a ribbon for each edge, which looks at the camera and is some share of a pixel wide.
So the renderer only has to show flat colors; Workbench and Cycles give the same picture, without
noise, and an edge is a real edge: that of a polygon, not of a triangle that it is drawn with.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ...api import image_files
from ...api.errors import CsmError
from ..compare.colors import BANDS, NEUTRAL, RAMP, Color
from ..libraries import load_mesh
from ..measure.metrics import DEVIATION_ATTRIBUTE
from .models import Engine, PictureKind, Pictures, RenderRequest, View

Floats = NDArray[numpy.float32]
Ints = NDArray[numpy.int32]

PICTURE_SIZE = 720
"""The longer side of a picture, in pixels."""
QUALITY = 92
"""Of a picture's compression."""

WIRE_FACE_LIMIT = 200_000
"""A mesh of more faces is drawn without its edges: there would be more of them than pixels."""
NO_WIRE = "shown without its edges, which are too many to draw"

_LOOK_ALONG = Vector((-0.52, 1.0, -0.36)).normalized()
"""From the front, somewhat from the right and from above."""
_MARGIN = 1.05
_FLATTEST, _TALLEST = 1.6, 0.7
"""Width to height of a picture, at most and at least."""

_SAMPLES = 8
_COLORS = "csm_retopo_picture"
_CLAY = numpy.array((0.79, 0.81, 0.84), dtype=numpy.float32)
_WIRE = (0.07, 0.075, 0.09)
_WIRE_WIDTH = (0.3, 1.1)
"""In pixels, at least and at most."""
_WIRE_SHARE = 0.08
"""How wide an edge is, as a share of the mean length of the edges."""
_LIFT = 2.5
"""How much nearer to the camera than the mesh its edges are, in pixels: a ribbon is flat, and must
not sink into a surface that slopes."""

# Towards each light, in the camera's frame (right, up, to the camera), and how bright it is (sRGB).
_AMBIENT = 0.17
_LIGHTS = (((-0.45, 0.62, 0.64), 0.62), ((0.82, 0.1, 0.56), 0.18))
_SKY = 0.12


def survey(blends: Sequence[str]) -> View:
    """The view that shows the meshes of all these files whole. Raises CsmError."""
    axes = _camera_axes()
    lower, upper = numpy.full(3, numpy.inf), numpy.full(3, -numpy.inf)
    for blend in blends:
        points = _positions(_load(blend)).astype(numpy.float64) @ axes.T
        if len(points):
            lower = numpy.minimum(lower, points.min(axis=0))
            upper = numpy.maximum(upper, points.max(axis=0))
        start_empty()
    if not numpy.isfinite(lower).all():
        lower, upper = numpy.full(3, -0.5), numpy.full(3, 0.5)
    width, height, depth = (upper - lower).tolist()
    # A point or a line has no size, but its picture must have one.
    smallest = (max(width, height, depth) or 1.0) * 0.05
    width, height = max(width, smallest) * _MARGIN, max(height, smallest) * _MARGIN
    width, height = max(width, height * _TALLEST), max(height, width / _FLATTEST)
    x, y, z = ((lower + upper) / 2 @ axes).tolist()
    return View((x, y, z), width, height, max(depth, smallest))


def draw(request: RenderRequest) -> Pictures:
    """Make the pictures of a mesh, into `request.folder`. Raises CsmError."""
    start_empty()
    mesh = _load(request.blend)
    picture = _Picture(mesh, request)
    files: dict[str, str] = {PictureKind.MESH: picture.render(PictureKind.MESH, picture.clay())}
    if request.deviation_limit is not None:
        colors = _deviation_colors(mesh, request.deviation_limit)
        if colors is not None:
            files[PictureKind.DEVIATION] = picture.render(PictureKind.DEVIATION, colors)
    if request.preview and (preview := _shrink_preview(request)):
        files[PictureKind.PREVIEW] = preview
    return Pictures(
        files, picture.width, picture.height, notes=() if picture.has_wire else (NO_WIRE,)
    )


class _Picture:
    """A mesh made ready to be drawn, in a scene of its own."""

    def __init__(self, mesh: bpy.types.Mesh, request: RenderRequest) -> None:
        self._request = request
        self._mesh = mesh
        self._loops = len(mesh.loops)
        view = request.view
        per_pixel = max(view.width, view.height) / PICTURE_SIZE
        self.width = max(round(view.width / per_pixel), 1)
        self.height = max(round(view.height / per_pixel), 1)
        self.has_wire = len(mesh.polygons) <= WIRE_FACE_LIMIT
        self._axes = _camera_axes().astype(numpy.float32)
        self._drawn = self._draw_mesh(per_pixel)
        self._scene = _new_scene(
            self._drawn, view, self.width, self.height, request.engine or find_engine()
        )

    def clay(self) -> Floats:
        """The color of every corner as a lump of clay would show it: sRGB, (loops, 3)."""
        mesh = self._mesh
        normals = _get(mesh.corner_normals, "vector", self._loops, 3) @ self._axes.T
        # Both sides are lit: which one is out is for the metrics to tell.
        sizes = _get(mesh.polygons, "loop_total", len(mesh.polygons), dtype=numpy.int32)
        facing = _get(mesh.polygon_normals, "vector", len(mesh.polygons), 3) @ self._axes[2]
        signs = numpy.where(facing < 0, -1.0, 1.0).astype(numpy.float32)
        normals *= numpy.repeat(signs, sizes)[:, None]
        brightness = numpy.full(self._loops, _AMBIENT, dtype=numpy.float32)
        for direction, strength in _LIGHTS:
            towards = numpy.array(direction, dtype=numpy.float32) / math.hypot(*direction)
            brightness += strength * numpy.clip(normals @ towards, 0.0, 1.0)
        brightness += _SKY * (0.5 + 0.5 * normals[:, 1])
        return numpy.clip(brightness, 0.0, 1.0)[:, None] * _CLAY

    def render(self, kind: PictureKind, colors: Floats) -> str:
        """Draw it with these colors of its corners (sRGB) and return the file."""
        filled = numpy.tile(numpy.array(_WIRE, dtype=numpy.float32), (len(self._drawn.loops), 1))
        filled[: self._loops] = colors
        set_colors(self._drawn, filled)
        settings = self._scene.render.image_settings
        path = _picture_path(self._request, kind, _set_format(settings))
        render(self._scene, path)
        return str(path)

    def _draw_mesh(self, per_pixel: float) -> bpy.types.Mesh:
        """The mesh's faces and a ribbon for each of its edges, as one mesh."""
        mesh = self._mesh
        points = _positions(mesh)
        corners = _get(mesh.loops, "vertex_index", self._loops, dtype=numpy.int32)
        starts = _get(mesh.polygons, "loop_start", len(mesh.polygons), dtype=numpy.int32)
        if self.has_wire:
            ribbons = self._ribbons(points, per_pixel)
            count = len(ribbons)
            corners = numpy.concatenate(
                [corners, len(points) + numpy.arange(4 * count, dtype=numpy.int32)]
            )
            starts = numpy.concatenate(
                [starts, self._loops + 4 * numpy.arange(count, dtype=numpy.int32)]
            )
            points = numpy.concatenate([points, ribbons.reshape(-1, 3)])
        drawn = bpy.data.meshes.new("picture")
        drawn.vertices.add(len(points))
        drawn.vertices.foreach_set("co", points.ravel())
        drawn.loops.add(len(corners))
        drawn.loops.foreach_set("vertex_index", corners)
        drawn.polygons.add(len(starts))
        drawn.polygons.foreach_set("loop_start", starts)
        drawn.update(calc_edges=True)
        return drawn

    def _ribbons(self, points: Floats, per_pixel: float) -> Floats:
        """Four corners for each edge that the camera doesn't see end on: (ribbons, 4, 3)."""
        mesh = self._mesh
        edges = _get(mesh.edges, "vertices", len(mesh.edges), 2, dtype=numpy.int32)
        start, end = points[edges[:, 0]], points[edges[:, 1]]
        right, up, back = self._axes
        across = numpy.stack([(end - start) @ right, (end - start) @ up], axis=1)
        lengths = numpy.hypot(across[:, 0], across[:, 1])
        seen = lengths > per_pixel * 1e-3
        start, end, lengths = start[seen], end[seen], lengths[seen]
        if not len(lengths):
            return numpy.empty((0, 4, 3), dtype=numpy.float32)
        x, y = (across[seen] / lengths[:, None]).T[:, :, None]
        thin, thick = _WIRE_WIDTH
        pixels = float(lengths.mean()) / per_pixel
        half = min(max(pixels * _WIRE_SHARE, thin), thick) * per_pixel / 2
        # A little longer than the edge, so that ribbons meet without a gap.
        along = (x * right + y * up) * half
        aside = (x * up - y * right) * half
        lift = back * (_LIFT * per_pixel)
        corners = (start - along - aside, end + along - aside, end + along + aside)
        return numpy.stack([*corners, start - along + aside], axis=1).astype(numpy.float32) + lift


def _deviation_colors(mesh: bpy.types.Mesh, limit: float) -> Floats | None:
    """The color of every corner by how far its face lies from the source: sRGB, (loops, 3); None
    for a mesh that was compared with none.
    """
    attribute = mesh.attributes.get(DEVIATION_ATTRIBUTE)
    faces = len(mesh.polygons)
    if attribute is None or attribute.domain != "FACE" or attribute.data_type != "FLOAT":
        return None
    values = _get(attribute.data, "value", faces)
    known = numpy.isfinite(values)
    steps = numpy.where(known, values, 0.0) / limit * (BANDS - 1)
    bands = numpy.clip(steps, 0, BANDS - 1).astype(numpy.int32)
    bands[~known] = BANDS
    palette: list[Color] = [*RAMP, NEUTRAL]
    sizes = _get(mesh.polygons, "loop_total", faces, dtype=numpy.int32)
    return numpy.repeat(numpy.array(palette, dtype=numpy.float32)[bands], sizes, axis=0)


def _shrink_preview(request: RenderRequest) -> str | None:
    """The preview image, no larger than a picture; None if it can't be read."""
    try:
        # It is of whatever .blend is open, so it can be anything.
        image_files.check_image(Path(request.preview).read_bytes())
    except (OSError, CsmError):
        return None
    try:
        image = bpy.data.images.load(request.preview)
    except RuntimeError:
        return None
    width, height = image.size
    if not (width and height):
        return None
    factor = PICTURE_SIZE / max(width, height)
    if factor < 1:
        image.scale(max(round(width * factor), 1), max(round(height * factor), 1))
    settings = bpy.context.scene.render.image_settings
    path = _picture_path(request, PictureKind.PREVIEW, _set_format(settings))
    try:
        # Not with `save`, which copies the file as it is, with all that is hidden in it.
        image.save_render(str(path), scene=bpy.context.scene)
    except RuntimeError:
        return None
    return str(path)


def _picture_path(request: RenderRequest, kind: PictureKind, suffix: str) -> Path:
    return Path(request.folder) / f"{request.name}_{kind.lower()}{suffix}"


def _new_scene(
    drawn: bpy.types.Mesh, view: View, width: int, height: int, engine: str
) -> bpy.types.Scene:
    """A scene in which the drawn mesh is seen in this view."""
    scene = bpy.context.scene
    scene.collection.objects.link(bpy.data.objects.new("picture", drawn))
    right, up, back = _camera_axes()
    turn = Matrix((right, up, back)).transposed().to_4x4()
    distance = max(view.width, view.height) + view.depth
    place = Matrix.Translation(Vector(view.center) + Vector(back) * distance) @ turn
    add_camera(scene, place, max(view.width, view.height), distance * 3)
    show_flat(scene, [drawn], width, height, engine)
    return scene


def set_colors(mesh: bpy.types.Mesh, colors: Floats) -> None:
    """Have the mesh carry these colors of its corners (sRGB): (loops, 3)."""
    attribute = mesh.color_attributes.get(_COLORS)
    if attribute is None:
        attribute = mesh.color_attributes.new(_COLORS, "FLOAT_COLOR", "CORNER")
        mesh.color_attributes.active_color = attribute
    values = numpy.ones((len(mesh.loops), 4), dtype=numpy.float32)
    values[:, :3] = _linear(colors)
    attribute.data.foreach_set("color", values.ravel())
    mesh.update()


def render(scene: bpy.types.Scene, path: Path) -> None:
    """Render the scene into a file. Raises CsmError."""
    scene.render.filepath = str(path)
    try:
        bpy.ops.render.render(write_still=True)
    except RuntimeError as error:
        raise CsmError(f"its picture could not be made: {_reason(error)}") from None
    if not path.is_file():
        raise CsmError("its picture could not be written: make room on the disk")


def add_camera(scene: bpy.types.Scene, place: Matrix, size: float, reach: float) -> None:
    """An orthographic camera that sees `size` scene units along a picture's longer side."""
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.type = "ORTHO"
    camera.data.ortho_scale = size
    camera.data.clip_start = reach * 1e-4
    camera.data.clip_end = reach
    camera.matrix_world = place
    scene.collection.objects.link(camera)
    scene.camera = camera


def show_flat(
    scene: Any,
    meshes: Sequence[bpy.types.Mesh],
    width: int,
    height: int,
    engine: str,
) -> None:
    """Have the scene rendered in this size, with the colors that its meshes carry (`set_colors`)
    and no light, on a transparent ground.
    """
    render = scene.render
    render.resolution_x, render.resolution_y = width, height
    render.resolution_percentage = 100
    render.film_transparent = True
    render.dither_intensity = 0.0
    scene.display_settings.display_device = "sRGB"
    scene.view_settings.view_transform = "Standard"
    if engine == Engine.WORKBENCH:
        render.engine = "BLENDER_WORKBENCH"
        scene.display.render_aa = "8"
        shading = scene.display.shading
        shading.light = "FLAT"
        shading.color_type = "VERTEX"
        shading.show_object_outline = False
        shading.show_cavity = False
        shading.show_shadows = False
        return
    render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = _SAMPLES
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    scene.cycles.max_bounces = 0
    material = _flat_material()
    for mesh in meshes:
        mesh.materials.append(material)


def _flat_material() -> bpy.types.Material:
    """A material that shows the colors that its mesh carries, whatever the light."""
    material = bpy.data.materials.new("picture")
    if material.node_tree is None:  # before 5.0, a new material has no nodes
        material.use_nodes = True
    tree: Any = material.node_tree
    tree.nodes.clear()
    colors = tree.nodes.new("ShaderNodeAttribute")
    colors.attribute_name = _COLORS
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(colors.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def find_engine() -> Engine:
    """The renderer that will do here: Workbench needs a graphics context."""
    return Engine.WORKBENCH if _has_graphics() else Engine.CYCLES


@functools.cache
def _has_graphics() -> bool:
    """Whether this Blender can have a graphics context.

    On Linux without one, Blender doesn't say so but ends at once. It asks EGL for one, and so does
    this.
    """
    if sys.platform != "linux":
        return True
    try:
        egl = ctypes.CDLL("libEGL.so.1")
        egl.eglGetDisplay.restype = ctypes.c_void_p
        egl.eglGetDisplay.argtypes = [ctypes.c_void_p]
        egl.eglInitialize.argtypes = [ctypes.c_void_p] * 3
        display = egl.eglGetDisplay(None)
        return bool(display and egl.eglInitialize(display, None, None))
    except (OSError, AttributeError):
        return False


def _set_format(settings: Any) -> str:
    """Choose the file format; returns the file's suffix."""
    settings.file_format, suffix = _format()
    settings.color_mode = "RGBA"
    settings.quality = QUALITY
    return suffix


@functools.cache
def _format() -> tuple[Any, str]:
    """WebP, which every browser knows and which is a fifth of the size, or PNG from a Blender that
    was built without.
    """
    settings = bpy.context.scene.render.image_settings
    with contextlib.suppress(TypeError):
        settings.file_format = "WEBP"
        return "WEBP", ".webp"
    return "PNG", ".png"


def start_empty() -> None:
    """Replace the open file by one with an empty scene."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


def _load(blend: str) -> bpy.types.Mesh:
    mesh = load_mesh(blend)
    if mesh is None:
        raise CsmError("its mesh is gone")
    return mesh


def _camera_axes() -> NDArray[numpy.float64]:
    """The camera's right, up and back as rows."""
    turn = _LOOK_ALONG.to_track_quat("-Z", "Y").to_matrix()
    return numpy.array(turn.transposed(), dtype=numpy.float64)


def _positions(mesh: bpy.types.Mesh) -> Floats:
    return _get(mesh.vertices, "co", len(mesh.vertices), 3)


def _get(
    collection: Any, name: str, count: int, width: int = 1, dtype: type = numpy.float32
) -> NDArray[Any]:
    """A property of every item: (count,), or (count, width) where each has several numbers."""
    values: NDArray[Any] = numpy.empty(count * width, dtype=dtype)
    collection.foreach_get(name, values)
    return values.reshape(count, width) if width > 1 else values


def _linear(colors: NDArray[Any]) -> Floats:
    """The linear light that Blender reckons with, of sRGB."""
    low = colors / 12.92
    high = ((colors + 0.055) / 1.055) ** 2.4
    return numpy.where(colors <= 0.04045, low, high).astype(numpy.float32)


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "no reason given"
