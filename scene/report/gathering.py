# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report needs of a scene, written to a folder: its meshes and preview images.

A file at a time, since an artist may be at work in that scene. Main thread only.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator
from pathlib import Path

import bpy

from ...api.errors import CsmError
from ..compare.colors import Color, Colors, find_scale, legend
from ..properties import read_metrics
from ..rows import Row, find_rows
from .models import Report, ReportLegend, ReportMesh, ReportSession


def gather(scene_name: str, folder: Path) -> Generator[None, None, Report]:
    """The report of the scene's sessions, still without pictures. A file is written per step.

    What is deleted on the way is left out. Raises CsmError.
    """
    report = _begin(_scene(scene_name))
    sessions: list[ReportSession] = []
    for session in report.sessions:
        meshes: list[ReportMesh] = []
        for mesh in session.meshes:
            yield
            number = f"{len(sessions)}_{len(meshes)}"
            # Looked up each time: between two steps the artist can do anything.
            row = _find_row(scene_name, session.session_id)
            if row is not None and (obj := _mesh_object(row, mesh.index)) is not None:
                blend = folder / f"mesh_{number}.blend"
                _write_mesh(obj, blend)
                preview = _write_preview(row, mesh.index, folder / f"preview_{number}")
                meshes.append(dataclasses.replace(mesh, blend=str(blend), preview=preview))
        sessions.append(dataclasses.replace(session, meshes=tuple(meshes)))
    return dataclasses.replace(report, sessions=tuple(sessions))


def _begin(scene: bpy.types.Scene) -> Report:
    """What can be told without the meshes."""
    rows = find_rows(scene)
    if not any(row.variations for row in rows):
        raise CsmError("There is nothing to report: import a session first")
    scale = find_scale(rows, scene.csm_retopo.color_limit)
    found = legend(Colors.DEVIATION, scale)
    entries = tuple((_css(color), text) for color, text in found.entries)
    return Report(
        tuple(_session(row) for row in rows),
        ReportLegend(found.title, found.unit, entries),
        scale.limit,
    )


def _session(row: Row) -> ReportSession:
    carried = row.collection.csm_retopo
    return ReportSession(
        carried.session_id,
        carried.created_at,
        carried.model,
        carried.input_asset_id,
        tuple(
            ReportMesh(-1 if obj == row.source else obj.csm_retopo.index, obj.name, _metrics(obj))
            for obj in row.meshes
        ),
    )


def _metrics(obj: bpy.types.Object) -> dict[str, int | float | bool | None]:
    return dict(read_metrics(obj))


def _scene(name: str) -> bpy.types.Scene:
    scene = bpy.data.scenes.get(name)
    if scene is None:
        raise CsmError(f"The scene {name} is gone")
    return scene


def _find_row(scene_name: str, session_id: str) -> Row | None:
    rows = find_rows(_scene(scene_name))
    return next((row for row in rows if row.session_id == session_id), None)


def _mesh_object(row: Row, index: int) -> bpy.types.Object | None:
    return row.source if index < 0 else row.variations.get(index)


def _write_mesh(obj: bpy.types.Object, path: Path) -> None:
    """The mesh in a .blend of its own, without its materials and their images."""
    mesh = obj.data.copy()
    try:
        mesh.materials.clear()
        bpy.data.libraries.write(str(path), {mesh}, compress=False)
    except RuntimeError:
        raise CsmError("There is no room for the report's temporary files: make some") from None
    finally:
        bpy.data.meshes.remove(mesh)


def _write_preview(row: Row, index: int, path: Path) -> str:
    """The variation's preview image as a file; "" if there is none."""
    empty = row.previews.get(index)
    image = empty.data if empty is not None else None
    if image is None:
        return ""
    if image.packed_file is not None:
        with contextlib.suppress(OSError):
            path.write_bytes(image.packed_file.data)
            return str(path)
        return ""
    file = bpy.path.abspath(image.filepath)
    return file if Path(file).is_file() else ""


def _css(color: Color) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in color)
