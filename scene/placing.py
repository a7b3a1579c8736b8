# SPDX-License-Identifier: GPL-3.0-or-later
"""A session's row in a scene: mesh objects, previews, labels, in a collection of their own.

Everything goes through `bpy.data`: no operator runs, so the artist's mode, selection, active object
and active collection stay as they are. What an earlier import placed is found by what it carries
and brought up to date.
"""

from __future__ import annotations

import json
from pathlib import Path

import bpy
from mathutils import Vector

from ..api.errors import CsmError
from .layout import (
    Facing,
    LabelPlace,
    PreviewPlace,
    Slot,
    label_text,
    lay_out,
    row_size,
    row_start,
)
from .models import PlannedMesh, Role, RowPlan

_PENDING = "csm_retopo_pending"
"""Custom property of a mesh that was appended and waits to be placed."""

_Key = tuple[str, int]
"""Role and index: what an object of a session is found by."""

_USERS_FIRST = {"MESH": 0, "MATERIAL": 1}

_TYPES = {
    Role.SOURCE: "MESH",
    Role.VARIATION: "MESH",
    Role.PREVIEW: "EMPTY",
    Role.LABEL: "FONT",
}


def append(scene: bpy.types.Scene, plan: RowPlan, planned: PlannedMesh) -> None:
    """Append a mesh of the plan, unless the scene has it already.

    It waits, used by nothing, for `place`. Main thread. Raises CsmError for a .blend that is gone.
    """
    have = _session_objects(scene, plan.session_id)
    if not _is_up_to_date(have.get((planned.role, planned.index)), planned):
        _append(planned, plan.session_id)


def discard_pending(session_id: str) -> None:
    """Remove what `append` left waiting. Main thread."""
    prefix = _pending_prefix(session_id)
    _remove_meshes([each for each in bpy.data.meshes if each.get(_PENDING, "").startswith(prefix)])


def place(scene: bpy.types.Scene, plan: RowPlan, facing: Facing) -> list[str]:
    """Put the row into the scene, or bring the one that is there up to date.

    Returns warnings. Main thread; all at once, so that it can be one undo step. Raises CsmError
    for a .blend that is gone.
    """
    collection = _session_collection(scene, plan)
    have = _session_objects(scene, plan.session_id)
    slots = lay_out(plan, facing, 0.0)
    shift = _row_shift(scene, plan, slots, have)

    pending = {key: mesh for mesh in bpy.data.meshes if (key := mesh.get(_PENDING))}

    warnings: list[str] = []
    for planned, slot in zip(plan.meshes, slots, strict=True):
        obj = have.get((planned.role, planned.index))
        if obj is None:
            mesh = _take_mesh(pending, planned, plan.session_id)
            obj = bpy.data.objects.new(planned.name, mesh)
            collection.objects.link(obj)
            obj.location = Vector(slot.location) + shift
            _adopt(obj, have.get((Role.PREVIEW, planned.index)), slot.preview, slot)
            _adopt(obj, have.get((Role.LABEL, planned.index)), slot.label, slot)
        elif not _is_up_to_date(obj, planned):
            if obj.mode != "OBJECT":
                warnings.append(f"{planned.name} is being edited and was left as it is")
                continue
            old = obj.data
            obj.data = _take_mesh(pending, planned, plan.session_id)
            if old.users == 0:
                _remove_meshes([old])
        _mark(obj, plan, planned, planned.role)
        obj.csm_retopo.metrics = json.dumps(planned.mesh.metrics)
        if planned.preview is not None and slot.preview is not None:
            try:
                _place_preview(collection, obj, plan, planned, slot, slot.preview, facing, have)
            except RuntimeError:
                warnings.append(f"{planned.name} has no preview image: it can't be read")
        _place_label(collection, obj, plan, planned, slot, facing, have)
    discard_pending(plan.session_id)
    return warnings


def session_collections(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections of the scene that hold a session."""
    return [each for each in scene.collection.children_recursive if each.csm_retopo.session_id]


def _row_shift(
    scene: bpy.types.Scene,
    plan: RowPlan,
    slots: list[Slot],
    have: dict[_Key, bpy.types.Object],
) -> Vector:
    """What to add to the slots: where the artist moved the row to, or behind the other rows."""
    size = row_size(plan)
    shifts: dict[tuple[float, ...], list[Vector]] = {}
    for planned, slot in zip(plan.meshes, slots, strict=True):
        obj = have.get((planned.role, planned.index))
        if obj is not None:
            # matrix_world lags behind until the next evaluation.
            here = obj.matrix_world.translation if obj.parent else obj.location
            shift = here - Vector(slot.location)
            shifts.setdefault(tuple(round(each / size, 3) for each in shift), []).append(shift)
    if shifts:
        # A single mesh that the artist put elsewhere doesn't take the row with it.
        return max(shifts.values(), key=len)[0]
    return Vector((0.0, row_start(plan, _occupied_back(scene)), 0.0))


def _occupied_back(scene: bpy.types.Scene) -> float | None:
    """The largest Y that any placed session reaches, or None if none is there."""
    backs = [
        obj.location.y + max(corner[1] for corner in obj.bound_box)
        for obj in scene.objects
        if obj.csm_retopo.role in (Role.SOURCE, Role.VARIATION)
    ]
    return max(backs, default=None)


def _session_objects(scene: bpy.types.Scene, session_id: str) -> dict[_Key, bpy.types.Object]:
    """The session's objects in the scene. A copy that the artist made is not among them: the
    first of the same role and index, by name, is the one. Nor is what became of an object that
    the artist has converted to another type.
    """
    found: dict[_Key, bpy.types.Object] = {}
    ours = [obj for obj in scene.objects if obj.csm_retopo.session_id == session_id]
    for obj in sorted(ours, key=lambda obj: obj.name):
        carried = obj.csm_retopo
        if obj.type == _TYPES.get(carried.role):
            found.setdefault((carried.role, carried.index), obj)
    return found


def _session_collection(scene: bpy.types.Scene, plan: RowPlan) -> bpy.types.Collection:
    for collection in session_collections(scene):
        if collection.csm_retopo.session_id == plan.session_id:
            break
    else:
        collection = bpy.data.collections.new(plan.session_id)
        scene.collection.children.link(collection)
    carried = collection.csm_retopo
    carried.session_id = plan.session_id
    carried.created_at = plan.created_at
    carried.model = plan.model
    carried.quads = bool(plan.quads)
    carried.input_asset_id = plan.input_asset_id
    return collection


def _is_up_to_date(obj: bpy.types.Object | None, planned: PlannedMesh) -> bool:
    return obj is not None and obj.csm_retopo.file_sha256 == planned.mesh.file_sha256


def _pending_prefix(session_id: str) -> str:
    return f"{session_id}/"


def _pending_key(planned: PlannedMesh, session_id: str) -> str:
    return f"{_pending_prefix(session_id)}{planned.index}/{planned.mesh.file_sha256}"


def _append(planned: PlannedMesh, session_id: str) -> bpy.types.Mesh:
    # Linked, then made local: what Blender appends remembers in every saved .blend which file it
    # came from, and a path into the cache tells the user's name.
    try:
        with bpy.data.libraries.load(planned.mesh.blend, link=True) as (available, wanted):
            wanted.meshes = available.meshes[:1]
    except OSError:
        wanted = None
    mesh = wanted.meshes[0] if wanted and wanted.meshes else None
    if mesh is None:
        # The cache was cleared, or its disk taken away, since the mesh was converted.
        raise CsmError(f"The converted mesh of {planned.name} is gone: import the session again")
    library = mesh.library
    # What is still used by something linked would be made local as a copy: users come first.
    linked = library.users_id if mesh.materials else (mesh,)
    for each in sorted(linked, key=lambda each: _USERS_FIRST.get(each.id_type, 2)):
        each.make_local()
    bpy.data.libraries.remove(library)
    mesh.name = planned.name
    mesh[_PENDING] = _pending_key(planned, session_id)
    return mesh


def _take_mesh(
    pending: dict[str, bpy.types.Mesh], planned: PlannedMesh, session_id: str
) -> bpy.types.Mesh:
    """The mesh that `append` appended; appended now if an undo took it away since."""
    mesh = pending.pop(_pending_key(planned, session_id), None) or _append(planned, session_id)
    del mesh[_PENDING]
    return mesh


def _remove_meshes(meshes: list[bpy.types.Mesh]) -> None:
    """Remove them, with the materials, images and node groups that came with them and that nobody
    else uses.
    """
    materials = {material for mesh in meshes for material in mesh.materials if material}
    bpy.data.batch_remove(meshes)
    unused = [material for material in materials if material.users == 0]
    parts = {
        part
        for material in unused
        if material.node_tree
        for node in material.node_tree.nodes
        for part in (getattr(node, "image", None), getattr(node, "node_tree", None))
        if part
    }
    bpy.data.batch_remove(unused)
    bpy.data.batch_remove([part for part in parts if part.users == 0])


def _mark(obj: bpy.types.Object, plan: RowPlan, planned: PlannedMesh, role: Role) -> None:
    carried = obj.csm_retopo
    carried.role = role
    carried.session_id = plan.session_id
    carried.asset_id = planned.asset_id
    carried.index = planned.index
    if role in (Role.VARIATION, Role.SOURCE):
        carried.file_sha256 = planned.mesh.file_sha256


def _attach(
    child: bpy.types.Object,
    parent: bpy.types.Object,
    at: PreviewPlace | LabelPlace,
    slot: Slot,
) -> None:
    """Make it follow the mesh, from where the slot would have it."""
    child.parent = parent
    child.location = Vector(at.location) - Vector(slot.location)


def _adopt(
    parent: bpy.types.Object,
    child: bpy.types.Object | None,
    at: PreviewPlace | LabelPlace | None,
    slot: Slot,
) -> None:
    """Attach what lost its place when the mesh that it followed was deleted."""
    if child is not None and child.parent is None and at is not None:
        _attach(child, parent, at, slot)


def _place_preview(
    collection: bpy.types.Collection,
    mesh_object: bpy.types.Object,
    plan: RowPlan,
    planned: PlannedMesh,
    slot: Slot,
    at: PreviewPlace,
    facing: Facing,
    have: dict[_Key, bpy.types.Object],
) -> None:
    assert planned.preview is not None
    obj = have.get((Role.PREVIEW, planned.index))
    if obj is not None and obj.csm_retopo.file_sha256 == planned.preview.sha256:
        return
    image = bpy.data.images.load(planned.preview.path, check_existing=False)
    image.name = f"{planned.name} Preview"
    try:
        image.pack()
    except RuntimeError:
        bpy.data.images.remove(image)
        raise
    # The bytes are in the .blend now; a path into the cache would only tell the user's name.
    image.filepath_raw = f"//{Path(planned.preview.path).name}"
    for packed in image.packed_files:
        packed.filepath = image.filepath_raw
    if obj is None:
        obj = bpy.data.objects.new(f"{planned.name} Preview", None)
        obj.empty_display_type = "IMAGE"
        obj.empty_image_offset = (-0.5, -0.5)
        obj.use_empty_image_alpha = False
        obj.empty_display_size = at.size
        obj.rotation_euler = facing.rotation
        collection.objects.link(obj)
        _attach(obj, mesh_object, at, slot)
    old = obj.data
    obj.data = image
    if old is not None and old.users == 0:
        bpy.data.images.remove(old)
    _mark(obj, plan, planned, Role.PREVIEW)
    obj.csm_retopo.file_sha256 = planned.preview.sha256


def _place_label(
    collection: bpy.types.Collection,
    mesh_object: bpy.types.Object,
    plan: RowPlan,
    planned: PlannedMesh,
    slot: Slot,
    facing: Facing,
    have: dict[_Key, bpy.types.Object],
) -> None:
    obj = have.get((Role.LABEL, planned.index))
    if obj is None:
        obj = _new_label(f"{planned.name} Label", slot.label, facing)
        collection.objects.link(obj)
        _attach(obj, mesh_object, slot.label, slot)
    if obj.mode == "OBJECT":
        obj.data.body = label_text(planned)
    _mark(obj, plan, planned, Role.LABEL)


def _new_label(name: str, at: LabelPlace, facing: Facing) -> bpy.types.Object:
    curve = bpy.data.curves.new(name, "FONT")
    curve.align_x = "CENTER"
    curve.align_y = "TOP"
    curve.size = at.text_size
    obj = bpy.data.objects.new(name, curve)
    obj.rotation_euler = facing.rotation
    return obj
