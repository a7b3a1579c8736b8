# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep one variation: it becomes an object like any other, at the source's place.

Main thread, Object Mode, no operator runs. The caller makes one undo step of it.
"""

from __future__ import annotations

import array
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
from mathutils.bvhtree import BVHTree

from ...api.errors import CsmError
from ...api.texts import Text
from ..assets import marking
from ..measure.metrics import remove_attributes
from ..models import Role
from ..removal import free_name, take_out, take_out_collections
from ..rows import Row
from . import coloring, display, flipping

_TEMPORARY = "CSM Retopo Transfer"
_MOST_UV_MAPS = 8
"""That a mesh of Blender's can have."""


class Others(enum.StrEnum):
    """What becomes of the other variations, the source, the previews and the labels."""

    HIDE = "HIDE"
    DELETE = "DELETE"
    LEAVE = "LEAVE"


@dataclass(frozen=True)
class Wishes:
    """How the result is to be."""

    name: str
    others: Others = Others.HIDE
    transfer_uvs: bool = False
    transfer_normals: bool = False
    transfer_materials: bool = False
    mark_asset: bool = False

    @property
    def transfers(self) -> bool:
        """Whether anything is to come from the source."""
        return self.transfer_uvs or self.transfer_normals or self.transfer_materials


def find_chosen(context: bpy.types.Context) -> bpy.types.Object | None:
    """The variation that is shown while flipping, else the active one."""
    obj = flipping.shown(context.scene) or context.active_object
    return obj if obj is not None and is_variation(obj) else None


def is_variation(obj: bpy.types.Object) -> bool:
    """Whether it can be kept."""
    return obj.type == "MESH" and obj.csm_retopo.role == Role.VARIATION


def default_name(scene: bpy.types.Scene, obj: bpy.types.Object) -> str:
    """What the result is called unless the artist says otherwise."""
    source = find_source(scene, obj)
    return obj.name if source is None else f"{source.name} Retopo"


def find_source(scene: bpy.types.Scene, obj: bpy.types.Object) -> bpy.types.Object | None:
    """The source that this variation was made from, if it is in the scene."""
    session_id = obj.csm_retopo.session_id
    place = flipping.find_place(flipping.group_of(scene, session_id), session_id)
    return place if place is not None and place.csm_retopo.role == Role.SOURCE else None


def keep(
    scene: bpy.types.Scene,
    view_layer: bpy.types.ViewLayer,
    obj: bpy.types.Object,
    wishes: Wishes,
) -> None:
    """Make this variation the result, selected and active. Flipping ends.

    Raises CsmError, before anything has changed, when that can't be.
    """
    source = find_source(scene, obj)
    _check(obj, source, wishes)
    flipping.end(scene)
    session_id = obj.csm_retopo.session_id
    group = flipping.group_of(scene, session_id)
    place = flipping.find_place(group, session_id)

    view_layer.update()
    if place is not None and place != obj:
        obj.matrix_world = place.matrix_world.copy()
    if obj.data.users > 1:
        # What else shows this mesh stays as it is.
        obj.data = obj.data.copy()
    if source is not None and wishes.transfers:
        _transfer(obj, source, wishes)
    if wishes.mark_asset:
        marking.mark(obj, _preview_image(group, obj))
    _become_ordinary(scene, group, obj)
    _put_aside(scene, group, obj, wishes.others)
    obj.name = wishes.name
    obj.data.name = wishes.name
    obj.hide_viewport = obj.hide_render = False
    for layer in flipping.layers_of(scene, obj):
        obj.hide_set(False, view_layer=layer)
    for each in list(view_layer.objects.selected):
        each.select_set(False, view_layer=view_layer)
    if view_layer.objects.get(obj.name) == obj:
        obj.select_set(True, view_layer=view_layer)
        view_layer.objects.active = obj


def _check(obj: bpy.types.Object, source: bpy.types.Object | None, wishes: Wishes) -> None:
    if not (obj.is_editable and obj.data.is_editable):
        raise CsmError(Text("{} is linked from another file: make it local first", obj.name))
    if obj.mode != "OBJECT":
        raise CsmError(
            Text("{} is being edited: leave the current mode for Object Mode first", obj.name)
        )
    if not wishes.name:
        raise CsmError("Give the result a name")
    if wishes.transfers and source is None:
        raise CsmError("The source is not in the scene: there is nothing to transfer from")
    if (wishes.transfer_uvs or wishes.transfer_normals) and obj.data.shape_keys:
        raise CsmError(
            Text("{} has shape keys, which a transfer of UVs or normals would lose", obj.name)
        )
    if wishes.transfer_uvs and source is not None:
        names = {*obj.data.uv_layers.keys(), *source.data.uv_layers.keys()}
        if len(names) > _MOST_UV_MAPS:
            raise CsmError(Text("{} can't have more than {} UV maps", obj.name, _MOST_UV_MAPS))


def _transfer(obj: bpy.types.Object, source: bpy.types.Object, wishes: Wishes) -> None:
    """Bring over what is wished for from what lies nearest in the frame that both share."""
    kinds = set()
    if wishes.transfer_uvs:
        kinds.add("UV")
        _make_uv_layers(obj.data, source.data)
    if wishes.transfer_normals:
        kinds.add("CUSTOM_NORMAL")
    if not (obj.data.polygons and source.data.polygons):
        kinds.clear()
    with _staged(obj, source, kinds) as (copy, depsgraph):
        if kinds:
            old = obj.data
            obj.data = bpy.data.meshes.new_from_object(
                copy.evaluated_get(depsgraph), preserve_all_data_layers=True, depsgraph=depsgraph
            )
            copy.data = obj.data
            if old.users == 0:
                free_name(old)
        if wishes.transfer_materials:
            _transfer_materials(obj, source, depsgraph)


@contextmanager
def _staged(
    obj: bpy.types.Object, source: bpy.types.Object, kinds: set[str]
) -> Iterator[tuple[bpy.types.Object, bpy.types.Depsgraph]]:
    """A copy of the object with Blender's data transfer from the source, evaluated in a scene of
    its own: the artist's has more in it, and modifiers of the object are no part of the result.
    """
    stage = bpy.data.scenes.new(_TEMPORARY)
    copy = bpy.data.objects.new(_TEMPORARY, obj.data)
    try:
        stage.collection.objects.link(copy)
        modifier: Any = copy.modifiers.new(_TEMPORARY, "DATA_TRANSFER")
        modifier.object = source
        # Their meshes share a frame, wherever the objects stand.
        modifier.use_object_transform = False
        modifier.use_loop_data = bool(kinds)
        modifier.data_types_loops = kinds
        modifier.loop_mapping = "POLYINTERP_NEAREST"
        modifier.layers_uv_select_src = "ALL"
        modifier.layers_uv_select_dst = "NAME"
        layer = stage.view_layers[0]
        layer.update()
        depsgraph = layer.depsgraph
        assert depsgraph is not None
        yield copy, depsgraph
    finally:
        bpy.data.objects.remove(copy)
        bpy.data.scenes.remove(stage)


def _make_uv_layers(mesh: bpy.types.Mesh, source: bpy.types.Mesh) -> None:
    """Have the source's UV maps by name: Blender's data transfer fills, but makes none."""
    for layer in source.uv_layers:
        own = mesh.uv_layers.get(layer.name) or mesh.uv_layers.new(name=layer.name, do_init=False)
        if layer.active_render:
            own.active_render = True
            mesh.uv_layers.active = own


def _transfer_materials(
    obj: bpy.types.Object, source: bpy.types.Object, depsgraph: bpy.types.Depsgraph
) -> None:
    """Give the object the source's slots, and each face the slot of the nearest face there."""
    mesh = obj.data
    mesh.materials.clear()
    for slot in source.material_slots:
        mesh.materials.append(slot.material)
    for slot in obj.material_slots:
        slot.link = "DATA"

    # Materials can come from the source's modifiers, so it is what they make that is looked at.
    evaluated = source.evaluated_get(depsgraph)
    faces = evaluated.data.polygons
    source_slots = array.array("i", bytes(4 * len(faces)))
    faces.foreach_get("material_index", source_slots)
    slots = array.array("i", bytes(4 * len(mesh.polygons)))
    if len(set(source_slots)) > 1:
        tree: Any = BVHTree.FromObject(evaluated, depsgraph)
        for number, face in enumerate(mesh.polygons):
            nearest = tree.find_nearest(face.center)[2]
            slots[number] = source_slots[nearest] if nearest is not None else 0
    elif source_slots:
        slots = array.array("i", source_slots[:1] * len(slots))
    mesh.polygons.foreach_set("material_index", slots)
    mesh.update()


def _preview_image(group: list[Row], obj: bpy.types.Object) -> bpy.types.Image | None:
    carried = obj.csm_retopo
    for row in group:
        if row.session_id == carried.session_id and carried.index in row.previews:
            return row.previews[carried.index].data
    return None


def _become_ordinary(scene: bpy.types.Scene, group: list[Row], obj: bpy.types.Object) -> None:
    """Take everything of ours off it, so that no import finds it, nor anything else of ours."""
    coloring.take_off(obj)
    display.restore_wires(obj)
    remove_attributes(obj.data)
    session_id = obj.csm_retopo.session_id
    for name in ("role", "session_id", "asset_id", "index", "file_sha256", "metrics"):
        obj.csm_retopo.property_unset(name)
    # None if the artist has taken the objects out of the session's collection and deleted that.
    for collection in [row.collection for row in group if row.session_id == session_id]:
        if obj.name in collection.objects:
            # The session's collection can be hidden or deleted now.
            for parent in _parents(scene, collection):
                if obj.name not in parent.objects:
                    parent.objects.link(obj)
            collection.objects.unlink(obj)


def _parents(
    scene: bpy.types.Scene, collection: bpy.types.Collection
) -> list[bpy.types.Collection]:
    """The collections of the scene that the collection is in."""
    everywhere = [scene.collection, *scene.collection.children_recursive]
    return [each for each in everywhere if collection.name in each.children]


def _put_aside(
    scene: bpy.types.Scene, group: list[Row], kept: bpy.types.Object, others: Others
) -> None:
    """Hide or remove what is left of the group. The label and preview that stood beside the kept
    one go in any case: they would follow it out of the row.
    """
    objects = [obj for row in group for obj in row.meshes + row.extras if obj != kept]
    objects = [obj for obj in objects if obj.is_editable]
    own = [obj for obj in objects if obj.parent == kept]
    if others == Others.HIDE:
        for obj in objects:
            obj.hide_render = True
            for layer in flipping.layers_of(scene, obj):
                obj.hide_set(True, view_layer=layer)
    removed = objects if others == Others.DELETE else own
    for obj in removed:
        coloring.take_off(obj)
    take_out(removed)
    if others == Others.DELETE:
        empty = [row.collection for row in group if not row.collection.all_objects]
        take_out_collections([each for each in empty if not each.children])
    coloring.refresh(scene)
