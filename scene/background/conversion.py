# SPDX-License-Identifier: GPL-3.0-or-later
"""An OBJ or a GLB becomes one checked, measured mesh in a .blend of its own.

Made to run in a background Blender, where a hang is a time-out and a crash is one failed file. It
runs in the artist's Blender just as well when no process can be started: it works in a scene of
its own, and removes all that it made.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ...api import mesh_files
from ...api.cache import Cache
from ...api.errors import CacheError, ConversionFailed, DamagedFile
from ...api.files import TEMPORARY_SUFFIX
from ..libraries import ORIGIN
from ..measure.metrics import SCALED_JACOBIAN_ATTRIBUTE
from ..models import ConvertedMesh, ConvertRequest, converted_mesh, to_json

log = logging.getLogger(__name__)

CONVERTER_VERSION = 3
"""Raise it when the same file would give another mesh or other metrics."""


def notes_for(file_sha256: str) -> dict[str, Any]:
    """What a cached .blend must have been made from and by, to be used again."""
    return {
        "converter": CONVERTER_VERSION,
        "blender": bpy.app.version_string,
        "file_sha256": file_sha256,
    }


def find_converted(
    cache: Cache, request: ConvertRequest, notes: dict[str, Any]
) -> ConvertedMesh | None:
    """The .blend that was made of the same file before, if it is still whole.

    Reads the file: not for the main thread. It touches no bpy.
    """
    found = cache.find(Path(request.blend), notes)
    if found is None:
        return None
    try:
        return converted_mesh({**found.notes["result"], "blend": request.blend})
    except (KeyError, TypeError, ValueError):
        return None


def convert(cache: Cache, request: ConvertRequest) -> ConvertedMesh:
    """Read `request.path` with Blender's importer and write the mesh to `request.blend`.

    On the main thread. Raises DamagedFile, ConversionFailed and CacheError.
    """
    from ..measure.measuring import measure

    path = Path(request.path)
    warnings: list[str] = []
    with _scratch_scene():
        read = _read_glb if path.suffix.lower() == ".glb" else _read_obj
        mesh = read(path, request.file_sha256, warnings)
        lower, upper = _bounds(mesh)
        measured = measure(mesh)
        metrics = measured.metrics
        if metrics["loose_vertices"] or metrics["loose_edges"]:
            warnings.append("it has vertices or edges without a face: the file may be incomplete")
        if metrics["quads"]:
            attribute = mesh.attributes.new(SCALED_JACOBIAN_ATTRIBUTE, "FLOAT", "FACE")
            attribute.data.foreach_set("value", measured.scaled_jacobians)
        mesh.name = "mesh"
        result = ConvertedMesh(
            request.blend, request.file_sha256, lower, upper, metrics, tuple(warnings)
        )
        write_blend(cache, mesh, result)
    return result


def _read_obj(path: Path, sha256: str, warnings: list[str]) -> bpy.types.Mesh:
    text = mesh_files.read_obj(path)
    _require_same(text.sha256, sha256)
    # The importer opens what `mtllib` names, and a .mtl of the same stem beside the file. So it is
    # given a copy without the one, in a folder without the other.
    with _copied(text.data, "mesh.obj") as copy, _as_conversion_failed():
        bpy.ops.wm.obj_import(
            filepath=str(copy),
            use_split_objects=False,
            use_split_groups=False,
            validate_meshes=True,
        )
    mesh = _joined_mesh()
    if not _compare_faces(mesh, text.faces, warnings) and len(mesh.vertices) < text.vertices:
        # The importer leaves them out.
        unused = text.vertices - len(mesh.vertices)
        warnings.append(f"{unused:,} of its vertices belong to no face: the file may be incomplete")
    return mesh


def _read_glb(path: Path, sha256: str, warnings: list[str]) -> bpy.types.Mesh:
    glb = mesh_files.read_glb(path)
    _require_same(glb.sha256, sha256)
    # What was checked, not what may have taken its place since.
    with _copied(glb.data, "mesh.glb") as copy, _as_conversion_failed():
        bpy.ops.import_scene.gltf(filepath=str(copy), merge_vertices=True)
    mesh = _joined_mesh()
    _compare_faces(mesh, glb.faces, warnings)
    if glb.left_out:
        reasons = "; ".join(dict.fromkeys(glb.left_out))
        warnings.append(f"textures that were left out: {len(glb.left_out)} ({reasons})")
    return mesh


def _require_same(sha256: str, expected: str) -> None:
    """Raise DamagedFile if the file isn't the one that the request names."""
    if sha256 != expected:
        raise DamagedFile("it was changed while it was read")


@contextlib.contextmanager
def _copied(data: bytes | bytearray, name: str) -> Iterator[Path]:
    """A file of the data, in a folder of its own. Raises CacheError."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="csm-retopo-mesh-"))
            copy = Path(folder) / name
            copy.write_bytes(data)
        except OSError as error:
            log.warning("no temporary copy: %s", error.strerror)
            raise CacheError(
                "it could not be copied to the folder for temporary files: make room on the disk"
            ) from None
        yield copy


def _compare_faces(mesh: bpy.types.Mesh, written: int, warnings: list[str]) -> bool:
    """Warn if the mesh is a part of what is written in the file; return whether it is."""
    missing = written - len(mesh.polygons)
    if missing > 0:
        warnings.append(f"{missing:,} of its {written:,} faces are invalid and were left out")
    return missing > 0


def _joined_mesh() -> bpy.types.Mesh:
    """All meshes of the scratch scene as one, as they stand in it, with no transform left."""
    scene = bpy.context.scene
    depsgraph = bpy.context.evaluated_depsgraph_get()
    meshes = []
    for obj in [each for each in scene.objects if each.type == "MESH"]:
        evaluated = obj.evaluated_get(depsgraph)
        mesh = bpy.data.meshes.new_from_object(
            evaluated, preserve_all_data_layers=True, depsgraph=depsgraph
        )
        mesh.transform(evaluated.matrix_world)
        if evaluated.matrix_world.determinant() < 0:
            mesh.flip_normals()
        if mesh.polygons:
            meshes.append(mesh)
    if not meshes:
        raise ConversionFailed("Blender's importer found no face in it")
    if len(meshes) == 1:
        return meshes[0]
    objects = []
    for mesh in meshes:
        joined = bpy.data.objects.new("part", mesh)
        scene.collection.objects.link(joined)
        objects.append(joined)
    with bpy.context.temp_override(
        active_object=objects[0], selected_editable_objects=objects, selected_objects=objects
    ):
        bpy.ops.object.join()
    return objects[0].data


def _bounds(mesh: bpy.types.Mesh) -> tuple[Any, Any]:
    """The corners of its bounding box. Raises DamagedFile if a coordinate is no number."""
    import numpy

    positions = numpy.empty(len(mesh.vertices) * 3, dtype=numpy.float32)
    mesh.vertices.foreach_get("co", positions)
    if not numpy.isfinite(positions).all():
        raise DamagedFile("it has a coordinate that is not a number")
    positions = positions.reshape(-1, 3)
    return tuple(positions.min(axis=0).tolist()), tuple(positions.max(axis=0).tolist())


def write_blend(cache: Cache, mesh: bpy.types.Mesh, result: ConvertedMesh) -> None:
    """Write the mesh to `result.blend`, which appears whole or not at all, and record the result.

    Main thread. Raises CacheError.
    """
    path = Path(result.blend)
    mesh[ORIGIN] = result.file_sha256
    name = ""
    try:
        with _as_cache_error():
            handle, name = tempfile.mkstemp(
                prefix=f"{path.name}.",
                suffix=TEMPORARY_SUFFIX,
                dir=cache.folder(path.parent.name),
            )
            os.close(handle)
            bpy.data.libraries.write(name, {mesh}, compress=False)
            with open(name, "r+b") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            # The file stays until the new one takes its place: another Blender may be loading it.
            cache.distrust(path)
            os.replace(name, path)
    except BaseException:
        # Blender writes to `...@` first.
        for left in (name, f"{name}@") if name else ():
            with contextlib.suppress(OSError):
                os.unlink(left)
        raise
    fields = to_json(result)
    cache.keep(path, sha256, {**notes_for(result.file_sha256), "result": fields})


@contextlib.contextmanager
def _as_cache_error() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        log.warning("%s", error)
        raise CacheError(
            "its mesh could not be written to the cache: make room on the disk, or check the "
            "folder's permissions"
        ) from None


@contextlib.contextmanager
def _scratch_scene() -> Iterator[None]:
    """A scene of its own to import into. All data made inside is removed at the end."""
    before = set(bpy.data.user_map())
    scene = bpy.data.scenes.new("csm_retopo conversion")
    try:
        with bpy.context.temp_override(
            scene=scene, view_layer=scene.view_layers[0], collection=scene.collection
        ):
            yield
    finally:
        made = set(bpy.data.user_map()) - before
        # Shape keys go with their mesh.
        bpy.data.batch_remove([each for each in made if each.id_type != "KEY"])


@contextlib.contextmanager
def _as_conversion_failed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "MemoryError" in str(error):
            raise ConversionFailed("there is not enough memory for it") from None
        # The place in Blender's code is a path of this machine.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith("Location:")]
        said = lines[-1].removeprefix("Error: ") if lines else "no reason given"
        raise ConversionFailed(f"Blender's importer refuses it: {said}") from None
