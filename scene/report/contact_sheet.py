# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a report in a grid, with a name and the key numbers under each: one PNG.

Made to run in a background Blender: the open file is replaced. The pictures are laid side by side
as they are; their texts are rendered, all in one go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ...api.errors import CsmError
from ..measure.metrics import value_text
from .models import Engine, PictureKind, Report, ReportMesh
from .rendering import add_camera, render, set_colors, show_flat, start_empty

Pixels = NDArray[numpy.float32]
"""(height, width, channels), sRGB, the lowest row first as in Blender."""

_LONGEST = 4096
"""Of the sheet, in pixels: with many variations, their pictures are made smaller."""
_SHAPE = 1.6
"""Width to height that the sheet comes near to."""

# In pixels of a sheet whose pictures are in full size.
_MARGIN = 44
_GAP = 28
_HEAD = 150
_CAPTION = 104
_NAME_SIZE = 33
_NUMBERS_SIZE = 27
_TITLE_SIZE = 52

_GROUND = (0.078, 0.086, 0.102)
_WELL = (0.165, 0.18, 0.205)
_BRIGHT = (0.91, 0.92, 0.93)
_DIM = (0.62, 0.65, 0.70)
_TROUBLE = (0.94, 0.64, 0.46)


@dataclass(frozen=True)
class _Line:
    """A line of text in a strip: how far its baseline is below the strip's top, how large."""

    text: str
    below: float
    size: float
    color: tuple[float, float, float]


def write_sheet(report: Report, path: Path, folder: Path) -> None:
    """Write the sheet to `path`; `folder` is for what is made on the way.

    Raises CsmError, and OSError for a picture that is gone.
    """
    meshes = _shown(report)
    if not meshes:
        raise CsmError("there is nothing to put on the contact sheet")
    full_width = max(each.width for each in report.sessions)
    full_height = max(each.height for each in report.sessions)
    columns, rows, shrink = _grid(len(meshes), full_width, full_height)
    cell_width, cell_height = full_width // shrink, full_height // shrink
    margin, gap, head, caption = (
        max(round(each / shrink), 1) for each in (_MARGIN, _GAP, _HEAD, _CAPTION)
    )
    width = 2 * margin + columns * cell_width + (columns - 1) * gap
    height = head + margin + rows * (cell_height + caption) + (rows - 1) * gap
    sheet = _filled(height, width, _GROUND)

    strips = [_head_lines(report), *(_caption_lines(each) for each in meshes)]
    texts = _render_texts(strips, cell_width, [head] + [caption] * len(meshes), shrink, folder)
    _lay(sheet, texts[0], margin, height - head)
    for number, mesh in enumerate(meshes):
        left = margin + number % columns * (cell_width + gap)
        top = head + number // columns * (cell_height + caption + gap)
        low = height - top - cell_height
        sheet[low : low + cell_height, left : left + cell_width] = _WELL
        if (picture := mesh.pictures.get(PictureKind.MESH)) is not None:
            drawn = _smaller(_read(Path(picture)), shrink)[:cell_height, :cell_width]
            spare_height, spare_width = cell_height - len(drawn), cell_width - len(drawn[0])
            _lay(sheet, drawn, left + spare_width // 2, low + spare_height // 2)
        _lay(sheet, texts[number + 1], left, low - caption)
    _write(sheet, path)


def _shown(report: Report) -> list[ReportMesh]:
    """What is on the sheet: the source of several sessions once."""
    shown = []
    sources = set()
    for session in report.sessions:
        for mesh in session.meshes:
            if mesh.is_source:
                if session.input_key in sources or mesh.error is not None:
                    continue
                sources.add(session.input_key)
            shown.append(mesh)
    return shown


def _grid(count: int, width: int, height: int) -> tuple[int, int, int]:
    """Columns, rows, and by how much the pictures are made smaller."""
    cell_width, cell_height = width + _GAP, height + _CAPTION + _GAP
    columns = round(math.sqrt(count * _SHAPE * cell_height / cell_width))
    columns = min(max(columns, 1), count)
    rows = math.ceil(count / columns)
    columns = math.ceil(count / rows)
    longest = max(columns * cell_width, rows * cell_height + _HEAD) + 2 * _MARGIN
    return columns, rows, max(math.ceil(longest / _LONGEST), 1)


def _head_lines(report: Report) -> list[_Line]:
    sessions = ", ".join(each.session_id for each in report.sessions)
    return [
        _Line(report.title, 0.5 * _HEAD, _TITLE_SIZE, _BRIGHT),
        _Line(sessions, 0.76 * _HEAD, _NUMBERS_SIZE, _DIM),
    ]


def _caption_lines(mesh: ReportMesh) -> list[_Line]:
    metrics = mesh.metrics
    if mesh.error is not None:
        second = _Line(mesh.error, 0.8 * _CAPTION, _NUMBERS_SIZE, _TROUBLE)
    else:
        facts = ["Source"] if mesh.is_source else []
        facts.append(f"{value_text('faces', metrics.get('faces'))} faces")
        if not mesh.is_source:
            facts.append(f"{value_text('quad_ratio', metrics.get('quad_ratio'))} quads")
            error = value_text("hausdorff_relative", metrics.get("hausdorff_relative"))
            facts.append(f"max error {error}")
        second = _Line(" · ".join(facts), 0.8 * _CAPTION, _NUMBERS_SIZE, _DIM)
    return [_Line(mesh.name, 0.42 * _CAPTION, _NAME_SIZE, _BRIGHT), second]


def _render_texts(
    strips: Sequence[Sequence[_Line]],
    width: int,
    heights: Sequence[int],
    shrink: int,
    folder: Path,
) -> list[Pixels]:
    """A picture of every strip of text, with its transparency: rendered one below the other."""
    start_empty()
    scene = bpy.context.scene
    total = sum(heights)
    meshes = []
    top = float(total)
    for lines, height in zip(strips, heights, strict=True):
        for line in lines:
            mesh = _text_mesh(line, width, shrink)
            obj = bpy.data.objects.new("text", mesh)
            obj.location = (0.0, top - line.below / shrink, 0.0)
            scene.collection.objects.link(obj)
            meshes.append(mesh)
        top -= height
    place = Matrix.Translation(Vector((width / 2, total / 2, 10.0)))
    add_camera(scene, place, max(width, total), 100.0)
    # With few pixels to draw, it is all the same which renderer does; this one never crashes.
    show_flat(scene, meshes, width, total, Engine.CYCLES)
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    path = folder / "texts.png"
    render(scene, path)
    pixels = _read(path)
    ends = total - numpy.cumsum(heights)
    return [pixels[end : end + height] for end, height in zip(ends, heights, strict=True)]


def _text_mesh(line: _Line, width: float, shrink: int) -> bpy.types.Mesh:
    """The line as a mesh whose corners carry its color, in pixels, cut where there is no room."""
    curve = bpy.data.curves.new("text", "FONT")
    curve.size = line.size / shrink
    obj = bpy.data.objects.new("text", curve)
    bpy.context.scene.collection.objects.link(obj)
    text = " ".join(line.text.split())[:200]
    shown = text
    while True:
        curve.body = shown
        bpy.context.view_layer.update()
        depsgraph = bpy.context.evaluated_depsgraph_get()
        mesh = bpy.data.meshes.new_from_object(obj.evaluated_get(depsgraph), depsgraph=depsgraph)
        reach = max((vertex.co.x for vertex in mesh.vertices), default=0.0)
        if reach <= width or not text:
            break
        # At least one letter less each time.
        text = text[: min(int(len(text) * width / reach), len(text) - 1)]
        shown = f"{text.rstrip()}…"
    bpy.data.objects.remove(obj)
    color = numpy.array(line.color, dtype=numpy.float32)
    set_colors(mesh, numpy.tile(color, (len(mesh.loops), 1)))
    return mesh


def _read(path: Path) -> Pixels:
    image: Any = bpy.data.images.load(str(path))
    width, height = image.size
    if not (width and height):
        raise CsmError("one of its pictures can't be read")
    pixels = numpy.empty(width * height * image.channels, dtype=numpy.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(height, width, image.channels)
    bpy.data.images.remove(image)
    return pixels


def _smaller(pixels: Pixels, factor: int) -> Pixels:
    """Every square of factor x factor pixels as one, the mean of what it shows."""
    if factor == 1:
        return pixels
    height, width = (each // factor * factor for each in pixels.shape[:2])
    weighted = pixels[:height, :width].copy()
    weighted[..., :3] *= weighted[..., 3:]
    parts = weighted.reshape(height // factor, factor, width // factor, factor, 4)
    mean: Pixels = parts.mean(axis=(1, 3), dtype=numpy.float32)
    mean[..., :3] /= numpy.maximum(mean[..., 3:], 1e-6)
    return mean


def _filled(height: int, width: int, color: tuple[float, float, float]) -> Pixels:
    return numpy.tile(numpy.array(color, dtype=numpy.float32), (height, width, 1))


def _lay(sheet: Pixels, pixels: Pixels, left: int, low: int) -> None:
    """Lay a picture with its transparency over the sheet."""
    height, width = pixels.shape[:2]
    ground = sheet[low : low + height, left : left + width]
    alpha = pixels[..., 3:]
    ground += (pixels[..., :3] - ground) * alpha


def _write(sheet: Pixels, path: Path) -> None:
    height, width = sheet.shape[:2]
    image: Any = bpy.data.images.new("sheet", width, height, alpha=False)
    pixels = numpy.ones((height, width, 4), dtype=numpy.float32)
    pixels[..., :3] = sheet
    image.pixels.foreach_set(pixels.ravel())
    image.file_format = "PNG"
    try:
        image.save(filepath=str(path))
    except RuntimeError:
        raise CsmError("make room on the disk, or check the folder's permissions") from None
