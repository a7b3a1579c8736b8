# SPDX-License-Identifier: GPL-3.0-or-later
"""A session's row in a scene: mesh objects, previews, labels, in a collection of their own.

Everything goes through `bpy.data`: no operator runs, so the artist's mode, selection, active object
and active collection stay as they are. What an earlier import placed is found by what it carries
and brought up to date.
"""

from __future__ import annotations

import json

import bpy
from mathutils import Vector

from . import pending
from .compare import display
from .layout import (
    Facing,
    LabelPlace,
    PreviewPlace,
    RowShape,
    Slot,
    label_text,
    lay_out,
    row_start,
    shape_row,
)
from .models import Arrangement, PlannedMesh, Preview, PreviewSide, Role, RowPlan
from .removal import free_name
from .rows import TYPES, session_collections

_LABEL_MATERIAL = "CSM Retopo Label"

_Key = tuple[str, int]
"""Role and index: what an object of a session is found by."""


def bring_mesh(scene: bpy.types.Scene, session_id: str, planned: PlannedMesh) -> None:
    """Have the mesh wait for `place`, unless the scene has it already.

    Main thread. Raises CsmError for a .blend that is gone.
    """
    obj = _session_objects(scene, session_id).get((planned.role, planned.index))
    if not _has_mesh(obj, planned):
        pending.bring_mesh(session_id, planned)


def bring_preview(scene: bpy.types.Scene, session_id: str, index: int, preview: Preview) -> None:
    """Have the preview image wait for `place`, unless the scene has it already.

    Main thread. Raises OSError for a file that is gone.
    """
    obj = _session_objects(scene, session_id).get((Role.PREVIEW, index))
    if not _has_preview(obj, preview):
        pending.bring_preview(session_id, index, preview)


def place(
    scene: bpy.types.Scene, plan: RowPlan, facing: Facing, arrangement: Arrangement
) -> list[str]:
    """Put the row into the scene, or bring the one that is there up to date: that one keeps the
    facing and the arrangement that it was begun with.

    Returns warnings. Main thread; all at once, so that it can be one undo step. Raises CsmError
    for a .blend that is gone; then the scene is as it was.
    """
    for planned in plan.meshes:
        bring_mesh(scene, plan.session_id, planned)
    row = _Row(scene, plan, facing, arrangement)
    warnings = [
        warning
        for planned, slot in zip(plan.meshes, row.slots, strict=True)
        if (warning := row.place(planned, slot))
    ]
    pending.discard(plan.session_id)
    display.refresh(scene)
    return warnings


class _Row:
    """A session's row in a scene while it is placed."""

    def __init__(
        self, scene: bpy.types.Scene, plan: RowPlan, facing: Facing, arrangement: Arrangement
    ) -> None:
        self._plan = plan
        self._have = _session_objects(scene, plan.session_id)
        self._collection = _session_collection(scene, plan)
        stands = any(role in (Role.SOURCE, Role.VARIATION) for role, _ in self._have)
        if not (stands and self._collection.csm_retopo.row.pitch > 0):
            _write_shape(self._collection, shape_row(plan, facing, arrangement))
        shape = _read_shape(self._collection)
        self._rotation = shape.facing.rotation
        self._with_labels = arrangement.labels
        self.slots = lay_out(plan, shape)
        self._shift = _row_shift(scene, plan, shape, self.slots, self._have)

    def place(self, planned: PlannedMesh, slot: Slot) -> str | None:
        """Place or update a mesh, its preview and its label. Returns a warning, if there is one."""
        obj = self._have.get((planned.role, planned.index))
        if obj is None:
            obj = self._new_mesh_object(planned, slot)
        elif not _has_mesh(obj, planned):
            if obj.mode != "OBJECT":
                return f"{planned.name} is being edited and was left as it is"
            old = obj.data
            obj.data = pending.take_mesh(self._plan.session_id, planned)
            if old.users == 0:
                free_name(old)
        self._mark(obj, planned, planned.role)
        obj.csm_retopo.file_sha256 = planned.mesh.file_sha256
        obj.csm_retopo.metrics = json.dumps(planned.mesh.metrics)
        self._place_label(obj, planned, slot)
        if planned.preview is not None and slot.preview is not None:
            try:
                self._place_preview(obj, planned, planned.preview, slot, slot.preview)
            except OSError:
                return f"{planned.name} has no preview image: it can't be read"
        return None

    def _new_mesh_object(self, planned: PlannedMesh, slot: Slot) -> bpy.types.Object:
        mesh = pending.take_mesh(self._plan.session_id, planned)
        obj = bpy.data.objects.new(planned.name, mesh)
        self._collection.objects.link(obj)
        obj.location = Vector(slot.location) + self._shift
        # What followed the mesh before it was deleted has lost its place.
        for role, at in ((Role.PREVIEW, slot.preview), (Role.LABEL, slot.label)):
            left = self._have.get((role, planned.index))
            if left is not None and left.parent is None and at is not None:
                self._attach(left, obj, at, slot)
        return obj

    def _place_preview(
        self,
        mesh_object: bpy.types.Object,
        planned: PlannedMesh,
        preview: Preview,
        slot: Slot,
        at: PreviewPlace,
    ) -> None:
        obj = self._have.get((Role.PREVIEW, planned.index))
        if _has_preview(obj, preview):
            return
        name = f"{planned.name} Preview"
        image = pending.take_preview(self._plan.session_id, planned.index, preview)
        image.name = name
        if obj is None:
            obj = bpy.data.objects.new(name, None)
            obj.empty_display_type = "IMAGE"
            obj.use_empty_image_alpha = False
            obj.empty_display_size = max(at.width, at.height)
            obj.rotation_euler = self._rotation
            self._collection.objects.link(obj)
            self._attach(obj, mesh_object, at, slot)
        old = obj.data
        obj.data = image
        if old is not None and old.users == 0:
            free_name(old)
        self._mark(obj, planned, Role.PREVIEW)
        obj.csm_retopo.file_sha256 = preview.sha256

    def _place_label(self, mesh_object: bpy.types.Object, planned: PlannedMesh, slot: Slot) -> None:
        obj = self._have.get((Role.LABEL, planned.index))
        if obj is None:
            if not self._with_labels:
                return
            name = f"{planned.name} Label"
            curve = bpy.data.curves.new(name, "FONT")
            curve.align_x = "CENTER"
            curve.align_y = "TOP"
            curve.size = slot.label.text_size
            curve.materials.append(_label_material())
            obj = bpy.data.objects.new(name, curve)
            obj.rotation_euler = self._rotation
            self._collection.objects.link(obj)
            self._attach(obj, mesh_object, slot.label, slot)
        if obj.mode == "OBJECT":
            obj.data.body = label_text(planned)
        self._mark(obj, planned, Role.LABEL)

    def _attach(
        self,
        child: bpy.types.Object,
        parent: bpy.types.Object,
        at: PreviewPlace | LabelPlace,
        slot: Slot,
    ) -> None:
        """Make it follow the mesh, from where the slot would have it.

        Its origin stays as near to the mesh's as can be, with the picture or text drawn aside:
        Blender draws a line between the origins of a parent and its child.
        """
        turn = child.rotation_euler.to_matrix()
        right, up, out = turn.transposed() @ (Vector(at.location) - Vector(slot.location))
        child.parent = parent
        child.location = turn @ Vector((0.0, 0.0, out))
        if isinstance(at, PreviewPlace):
            child.empty_image_offset = (right / at.width - 0.5, up / at.height - 0.5)
        else:
            child.data.offset_x = right
            child.data.offset_y = up

    def _mark(self, obj: bpy.types.Object, planned: PlannedMesh, role: Role) -> None:
        carried = obj.csm_retopo
        carried.role = role
        carried.session_id = self._plan.session_id
        carried.asset_id = planned.asset_id
        carried.index = planned.index


def _write_shape(collection: bpy.types.Collection, shape: RowShape) -> None:
    kept = collection.csm_retopo.row
    kept.facing = shape.facing.name
    kept.preview_place = shape.preview_side
    kept.spacing = shape.spacing
    kept.unit = shape.unit
    kept.pitch = shape.pitch


def _read_shape(collection: bpy.types.Collection) -> RowShape:
    """The shape that the row was begun with, in the precision that Blender keeps it in."""
    kept = collection.csm_retopo.row
    return RowShape(
        Facing[kept.facing],
        PreviewSide(kept.preview_place),
        kept.spacing,
        kept.unit,
        kept.pitch,
    )


def _row_shift(
    scene: bpy.types.Scene,
    plan: RowPlan,
    shape: RowShape,
    slots: list[Slot],
    have: dict[_Key, bpy.types.Object],
) -> Vector:
    """What to add to the slots: where the artist moved the row to, or behind the other rows."""
    shifts: dict[tuple[float, ...], list[Vector]] = {}
    for planned, slot in zip(plan.meshes, slots, strict=True):
        obj = have.get((planned.role, planned.index))
        if obj is not None:
            # matrix_world lags behind until the next evaluation.
            here = obj.matrix_world.translation if obj.parent else obj.location
            shift = here - Vector(slot.location)
            rounded = tuple(round(each / shape.unit, 3) for each in shift)
            shifts.setdefault(rounded, []).append(shift)
    if shifts:
        # A single mesh that the artist put elsewhere doesn't take the row with it.
        return max(shifts.values(), key=len)[0]
    return Vector((0.0, row_start(plan, shape, slots, _occupied_back(scene)), 0.0))


def _occupied_back(scene: bpy.types.Scene) -> float | None:
    """The largest Y that any placed session reaches, or None if none is there."""
    backs = []
    for obj in scene.objects:
        role = obj.csm_retopo.role
        if role in (Role.SOURCE, Role.VARIATION):
            backs.append(obj.location.y + max(corner[1] for corner in obj.bound_box))
        elif role == Role.PREVIEW and obj.type == "EMPTY" and obj.data is not None and obj.parent:
            backs.append(obj.parent.location.y + _preview_back(obj))
    return max(backs, default=None)


def _preview_back(obj: bpy.types.Object) -> float:
    """The largest Y that an image reaches, from its parent's origin."""
    across, high = obj.data.size
    # Its longer side is the empty's size; its offset, in shares of its sides, is from the origin.
    scale = obj.empty_display_size / max(across, high, 1)
    left, low = obj.empty_image_offset
    corners = [
        Vector((x * across * scale, y * high * scale, 0.0))
        for x in (left, left + 1)
        for y in (low, low + 1)
    ]
    return max((obj.matrix_basis @ corner).y for corner in corners)


def _session_objects(scene: bpy.types.Scene, session_id: str) -> dict[_Key, bpy.types.Object]:
    """The session's objects in the scene; none if the scene doesn't have the session, but at most
    assets of it. A copy that the artist made is not among them: the first of the same role and
    index is the one, by name, and what is in the session's collection comes before what is not.
    Nor is what became of an object that the artist has converted to another type.
    """
    collection = _find_collection(scene, session_id)
    if collection is None:
        return {}
    inside = set(collection.all_objects)
    found: dict[_Key, bpy.types.Object] = {}
    ours = [obj for obj in scene.objects if obj.csm_retopo.session_id == session_id]
    for obj in sorted(ours, key=lambda obj: (obj not in inside, obj.name)):
        carried = obj.csm_retopo
        if obj.type == TYPES.get(carried.role):
            found.setdefault((carried.role, carried.index), obj)
    return found


def _find_collection(scene: bpy.types.Scene, session_id: str) -> bpy.types.Collection | None:
    for collection in session_collections(scene):
        if collection.csm_retopo.session_id == session_id:
            return collection
    return None


def _session_collection(scene: bpy.types.Scene, plan: RowPlan) -> bpy.types.Collection:
    collection = _find_collection(scene, plan.session_id)
    if collection is None:
        collection = bpy.data.collections.new(plan.session_id)
        scene.collection.children.link(collection)
    carried = collection.csm_retopo
    carried.session_id = plan.session_id
    carried.created_at = plan.created_at
    carried.model = plan.model
    carried.quads = bool(plan.quads)
    carried.input_asset_id = plan.input_asset_id
    return collection


def _has_mesh(obj: bpy.types.Object | None, planned: PlannedMesh) -> bool:
    return obj is not None and obj.csm_retopo.file_sha256 == planned.mesh.file_sha256


def _has_preview(obj: bpy.types.Object | None, preview: Preview) -> bool:
    return obj is not None and obj.csm_retopo.file_sha256 == preview.sha256


def _label_material() -> bpy.types.Material:
    """A white that stands out against the viewport, one for all labels."""
    material = bpy.data.materials.get(_LABEL_MATERIAL)
    if material is None:
        material = bpy.data.materials.new(_LABEL_MATERIAL)
        material.diffuse_color = (1.0, 1.0, 1.0, 1.0)
        material.roughness = 1.0
        material.specular_intensity = 0.0
    return material
