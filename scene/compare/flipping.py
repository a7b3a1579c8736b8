# SPDX-License-Identifier: GPL-3.0-or-later
"""Flip in place: the variations of one input mesh laid over each other, one of them shown.

The mode is a state of the scene, no running operator: it is undone, saved and loaded like anything
else, and whoever shows or steps it reads it from the scene each time. Nothing that it does touches
where an object stands: a variation lies over the source by a constraint, so that without it all is
back in the row to the last bit. What an object looked like before (hidden, selectable, locked,
selected) is remembered on the object itself, where renaming, undo and other objects' deletion
can't part them.

Everything here goes through `bpy.data`, on the main thread, with the scene in Object Mode.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import bpy

from ..measure.metrics import NOTHING, value_text
from ..models import Metrics, Role
from ..rows import Row, find_row, session_collections
from .ghost import remove_unused, set_ghost

CONSTRAINT = "CSM Retopo Flip"
"""The constraint that lays a variation over the source."""
_POLES = ("poles_3", "poles_5", "poles_6_plus")


def is_on(scene: bpy.types.Scene) -> bool:
    """Whether the scene is flipped through."""
    return scene.csm_retopo.flip.is_on


def group_of(scene: bpy.types.Scene, session_id: str) -> list[Row]:
    """The session's row and those of the same input mesh, in the scene's order; empty if the scene
    has no such session.
    """
    collections = session_collections(scene)
    asset_ids = [
        each.csm_retopo.input_asset_id
        for each in collections
        if each.csm_retopo.session_id == session_id
    ]
    return [
        find_row(each)
        for each in collections
        if each.csm_retopo.session_id == session_id
        or (each.csm_retopo.input_asset_id and each.csm_retopo.input_asset_id in asset_ids)
    ]


def find_place(group: list[Row], session_id: str) -> bpy.types.Object | None:
    """The object whose place is that of the common frame: the source of the session, else of
    another of its group, else the session's first variation, else any. None for an empty group.
    """
    own_first = sorted(group, key=lambda row: row.session_id != session_id)
    sources = [row.source for row in own_first if row.source]
    variations = [obj for row in own_first for obj in row.variations.values()]
    return next(iter(sources + variations), None)


def flipped(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The variations that are flipped through, in their order; those that can't be seen at all,
    since their collection is hidden, are not among them.
    """
    return _variations(scene, group_of(scene, scene.csm_retopo.flip.session_id))


def shown(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The variation that is shown; None where the mode is off or where it has been deleted."""
    return shown_of(scene, flipped(scene)) if is_on(scene) else None


def shown_of(scene: bpy.types.Scene, variations: list[bpy.types.Object]) -> bpy.types.Object | None:
    """The one of `flipped` that is shown; None where it has been deleted."""
    key = scene.csm_retopo.flip.shown
    return next((obj for obj in variations if _key(obj) == key), None)


def begin(scene: bpy.types.Scene, session_id: str, first: bpy.types.Object | None = None) -> bool:
    """Lay the variations of this session's group over each other and show `first`, or else the
    session's first. Returns whether there is any that can be shown.
    """
    end(scene)
    variations = _variations(scene, group_of(scene, session_id))
    own = [obj for obj in variations if obj.csm_retopo.session_id == session_id]
    if not variations:
        return False
    if first not in variations:
        first = (own or variations)[0]
    flip = scene.csm_retopo.flip
    flip.is_on = True
    flip.session_id = session_id
    flip.shown = _key(first)
    flip.previous = _key(variations[(variations.index(first) + 1) % len(variations)])
    arrange(scene)
    return True


def show(scene: bpy.types.Scene, obj: bpy.types.Object) -> None:
    """Show this variation of those that are flipped through."""
    flip = scene.csm_retopo.flip
    if _key(obj) != flip.shown:
        flip.previous, flip.shown = flip.shown, _key(obj)
    arrange(scene)


def step(scene: bpy.types.Scene, by: int) -> None:
    """Show the variation so many further on, after the last the first."""
    flip = scene.csm_retopo.flip
    variations = flipped(scene)
    keys = [_key(obj) for obj in variations]
    if not keys:
        end(scene)
    elif flip.shown in keys:
        show(scene, variations[(keys.index(flip.shown) + by) % len(keys)])
    else:
        # The one that was shown has been deleted, and what came after it has moved up.
        following = min(flip.place, len(keys))
        show(scene, variations[(following + by - (by > 0)) % len(keys)])


def swap(scene: bpy.types.Scene) -> None:
    """Show the variation that was shown before, if it is still there, else the next."""
    previous = scene.csm_retopo.flip.previous
    for obj in flipped(scene):
        if _key(obj) == previous:
            show(scene, obj)
            return
    step(scene, 1)


def arrange(scene: bpy.types.Scene) -> None:
    """Make the scene what the state of the mode says. What has been imported since takes part from
    now on, what has been deleted is missed by nobody.
    """
    flip = scene.csm_retopo.flip
    if not flip.is_on:
        return
    group = group_of(scene, flip.session_id)
    place = find_place(group, flip.session_id)
    variations = _variations(scene, group)
    if place is None or not variations:
        end(scene)
        return
    keys = [_key(obj) for obj in variations]
    if flip.shown not in keys:
        flip.shown = keys[min(flip.place, len(keys) - 1)]
    flip.place = keys.index(flip.shown)

    for obj in _editable(group):
        _remember(scene, obj)
        role = obj.csm_retopo.role
        is_ghost = obj == place and role == Role.SOURCE and flip.show_ghost
        set_ghost(obj, is_ghost)
        if role == Role.VARIATION:
            _lay_over(obj, place)
        if is_ghost or (role == Role.VARIATION and _key(obj) == flip.shown):
            _reveal(scene, obj, is_selectable=not is_ghost)
        else:
            _hide(scene, obj)


def end(scene: bpy.types.Scene) -> None:
    """Bring everything back to the row. Nothing is done where the mode is off."""
    flip = scene.csm_retopo.flip
    if not flip.is_on:
        return
    for obj in bpy.data.objects:
        if not (obj.csm_retopo.flip.is_in and obj.is_editable):
            continue
        # What the artist has taken out of every scene may come back some day.
        if obj.name in scene.objects or not obj.users_scene:
            _restore(scene, obj)
    remove_unused()  # of a source that was deleted meanwhile
    for name in ("is_on", "session_id", "shown", "previous", "place"):
        flip.property_unset(name)


def layers_of(scene: bpy.types.Scene, obj: bpy.types.Object) -> list[bpy.types.ViewLayer]:
    """The view layers that the object is in."""
    return [layer for layer in scene.view_layers if layer.objects.get(obj.name) == obj]


def key_numbers(metrics: Metrics) -> tuple[str, str, str, str]:
    """What tells most about a variation: triangles, quads, poles and the largest error."""
    poles = [value for key in _POLES if isinstance(value := metrics.get(key), int)]
    error = value_text("hausdorff_relative", metrics.get("hausdorff_relative"))
    quads = metrics.get("quad_ratio")
    return (
        f"{value_text('triangle_count', metrics.get('triangle_count'))} triangles",
        f"{NOTHING if quads is None else value_text('quad_ratio', quads)} quads",
        f"{value_text('poles_3', sum(poles)) if poles else NOTHING} poles",
        f"{error} max error",
    )


def _key(obj: bpy.types.Object) -> str:
    """What a variation is found by, whatever it is called."""
    carried = obj.csm_retopo
    return f"{carried.session_id}/{carried.index}"


def _variations(scene: bpy.types.Scene, group: list[Row]) -> list[bpy.types.Object]:
    collections = {row.collection for row in group}
    visible = {
        obj
        for layer in scene.view_layers
        for obj in _visible_objects(layer.layer_collection, collections)
    }
    return [
        obj
        for row in group
        for obj in row.variations.values()
        if obj in visible and obj.is_editable
    ]


def _visible_objects(
    layer: bpy.types.LayerCollection,
    collections: set[bpy.types.Collection],
    *,
    is_within: bool = False,
) -> Iterator[bpy.types.Object]:
    """What is in these collections, or collections in them, unless that is hidden or excluded."""
    if layer.exclude or not layer.is_visible:
        return
    collection = layer.collection
    is_within = is_within or collection in collections
    if is_within:
        yield from collection.objects
    for child in layer.children:
        yield from _visible_objects(child, collections, is_within=is_within)


def _editable(group: list[Row]) -> list[bpy.types.Object]:
    return [obj for row in group for obj in row.meshes + row.extras if obj.is_editable]


def _remember(scene: bpy.types.Scene, obj: bpy.types.Object) -> None:
    before = obj.csm_retopo.flip
    if before.is_in:
        return
    before.is_in = True
    before.hide_viewport = obj.hide_viewport
    before.hide_render = obj.hide_render
    before.hide_select = obj.hide_select
    before.locks = (*obj.lock_location, *obj.lock_rotation, *obj.lock_scale)
    layers = layers_of(scene, obj)
    before.hidden_in = json.dumps([each.name for each in layers if obj.hide_get(view_layer=each)])


def _restore(scene: bpy.types.Scene, obj: bpy.types.Object) -> None:
    before = obj.csm_retopo.flip
    if (constraint := obj.constraints.get(CONSTRAINT)) is not None:
        obj.constraints.remove(constraint)
    set_ghost(obj, False)
    _reveal(scene, obj)
    obj.lock_location = before.locks[0:3]
    obj.lock_rotation = before.locks[3:6]
    obj.lock_scale = before.locks[6:9]
    hidden_in = json.loads(before.hidden_in)
    for layer in layers_of(scene, obj):
        obj.hide_set(layer.name in hidden_in, view_layer=layer)
    obj.hide_viewport = before.hide_viewport
    obj.hide_render = before.hide_render
    obj.hide_select = before.hide_select
    for name in ("is_in", "hide_viewport", "hide_render", "hide_select", "locks"):
        before.property_unset(name)
    for name in ("hidden_in", "selected_in"):
        before.property_unset(name)


def _lay_over(obj: bpy.types.Object, place: bpy.types.Object) -> None:
    """Have the object lie where `place` does, whatever its parents are."""
    constraint: Any = obj.constraints.get(CONSTRAINT)
    if obj == place:
        if constraint is not None:
            obj.constraints.remove(constraint)
    else:
        if constraint is None:
            active = obj.constraints.active
            constraint = obj.constraints.new("COPY_TRANSFORMS")
            constraint.name = CONSTRAINT
            constraint.show_expanded = False
            if active is not None:
                obj.constraints.active = active
        if constraint.target != place:
            constraint.target = place
    # Held by the constraint, it would be moved without being seen to move.
    obj.lock_location = obj.lock_rotation = obj.lock_scale = (True, True, True)


def _hide(scene: bpy.types.Scene, obj: bpy.types.Object) -> None:
    """Out of the view and the render. Not by the eye: Show Hidden Objects would show them all."""
    if not obj.hide_viewport:
        # Blender deselects what it hides.
        selected = [each.name for each in layers_of(scene, obj) if obj.select_get(view_layer=each)]
        obj.csm_retopo.flip.selected_in = json.dumps(selected)
        obj.hide_viewport = True
    if not obj.hide_render:
        obj.hide_render = True


def _reveal(scene: bpy.types.Scene, obj: bpy.types.Object, *, is_selectable: bool = True) -> None:
    """Into the view and the render, selected if it was when it was hidden."""
    before = obj.csm_retopo.flip
    if not is_selectable and not obj.hide_viewport and not obj.hide_select:
        selected = [each.name for each in layers_of(scene, obj) if obj.select_get(view_layer=each)]
        before.selected_in = json.dumps(selected)
    for name, value in (
        ("hide_viewport", False),
        ("hide_render", False),
        ("hide_select", not is_selectable),
    ):
        if getattr(obj, name) != value:
            setattr(obj, name, value)
    selected_in = json.loads(before.selected_in)
    for layer in layers_of(scene, obj):
        if obj.hide_get(view_layer=layer):
            obj.hide_set(False, view_layer=layer)
        if is_selectable and layer.name in selected_in:
            obj.select_set(True, view_layer=layer)
    if is_selectable:
        before.property_unset("selected_in")
