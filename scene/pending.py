# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes and preview images that are in the open file already and wait to be placed.

Bringing one in takes milliseconds; all at once they would hold Blender up. So each comes in a step
of its own, used by nothing and found by a custom property, and is placed together with the others.
What an undo takes away in between is brought in again. Main thread only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import bpy

from ..api.errors import CsmError
from ..api.recent import Picture
from ..api.texts import Text
from . import preview_files
from .libraries import load_mesh, remove_meshes
from .models import PlannedMesh, Preview

_PENDING = "csm_retopo_pending"


def bring_mesh(session_id: str, planned: PlannedMesh) -> bpy.types.Mesh:
    """Bring the mesh in, unless it waits already. Raises CsmError for a .blend that is gone."""
    key = _key(session_id, planned.index, planned.mesh.file_sha256)
    waiting = (mesh for mesh in bpy.data.meshes if mesh.get(_PENDING) == key)
    if (mesh := next(waiting, None)) is None:
        mesh = _append(planned)
        mesh[_PENDING] = key
    return mesh


def bring_preview(session_id: str, index: int, preview: Preview) -> bpy.types.Image:
    """Bring a variation's preview image in, packed, unless it waits already.

    Raises OSError for a file that is gone, or isn't what it was when it was checked.
    """
    key = _key(session_id, index, preview.sha256)
    waiting = (image for image in bpy.data.images if image.get(_PENDING) == key)
    if (image := next(waiting, None)) is None:
        image = _load(preview)
        image[_PENDING] = key
    return image


def take_mesh(session_id: str, planned: PlannedMesh) -> bpy.types.Mesh:
    """The mesh, which waits no longer. Raises as `bring_mesh`."""
    mesh = bring_mesh(session_id, planned)
    del mesh[_PENDING]
    return mesh


def take_preview(session_id: str, index: int, preview: Preview) -> bpy.types.Image:
    """The preview image, which waits no longer. Raises as `bring_preview`."""
    image = bring_preview(session_id, index, preview)
    del image[_PENDING]
    return image


def discard(session_id: str) -> None:
    """Remove what of the session still waits."""
    prefix = f"{session_id}/"
    remove_meshes([each for each in bpy.data.meshes if each.get(_PENDING, "").startswith(prefix)])
    bpy.data.batch_remove(
        [each for each in bpy.data.images if each.get(_PENDING, "").startswith(prefix)]
    )


def _key(session_id: str, index: int, sha256: str) -> str:
    return f"{session_id}/{index}/{sha256}"


def _append(planned: PlannedMesh) -> bpy.types.Mesh:
    mesh = load_mesh(planned.mesh.blend, planned.mesh.file_sha256)
    if mesh is None:
        # The cache was cleared or written by another Blender, or its disk taken away, since the
        # mesh was converted.
        raise CsmError(
            Text("The converted mesh of {} is gone: import the session again", planned.name)
        )
    mesh.name = planned.name
    return mesh


def _load(preview: Preview) -> bpy.types.Image:
    """The image, packed, under a name of ours: a path into the cache would tell the user's name."""
    path = Path(preview.path)
    file = Picture.of(path, preview.sha256)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != preview.sha256:
        raise OSError("changed since it was checked")
    preview_files.remember(file)
    name = path.name
    # In 5.2, the first image that a session of Blender loads from a path takes 40 ms.
    image = bpy.data.images.new(name, 1, 1)
    image.source = "FILE"
    image.pack(data=data, data_len=len(data))
    image.filepath_raw = f"//{name}"
    for packed in image.packed_files:
        packed.filepath = image.filepath_raw
    return image
