# SPDX-License-Identifier: GPL-3.0-or-later
"""Take out of the file what an undo step may still refer to.

It is not freed. An undo reads a block that has changed into new memory and then finds what it
refers to by old addresses: if the new memory lies where something was freed since, Blender (4.2 to
5.2) takes one for the other, and loses a collection or crashes. What nobody uses stays in memory,
as with Blender's own deletion of a mesh object, and is left out when the file is saved.

Main thread, Object Mode.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy

STAND_IN = "CSM Retopo Nothing"
"""What objects that were taken out show instead of their data."""

_REMOVED = "CSM Retopo Removed"


def take_out(objects: Iterable[bpy.types.Object]) -> None:
    """Take the objects out of every collection. Their names are free again, and so are those of
    their data unless something else uses it. What the artist has parented to one of them stays
    where it is.
    """
    doomed = set(objects)
    for child in bpy.data.objects:
        if child.parent in doomed and child not in doomed and child.is_editable:
            where = child.matrix_world.copy()
            child.parent = None
            child.matrix_world = where
    for obj in doomed:
        for collection in obj.users_collection:
            collection.objects.unlink(obj)
        obj.parent = None
        free_name(obj)
        data: Any = obj.data
        if data is not None:
            # Blender saves what an object uses even if it doesn't save the object.
            obj.data = _stand_in(data)
            if data.users == 0:
                free_name(data)


def take_out_collections(collections: Iterable[bpy.types.Collection]) -> None:
    """Take the collections out of every scene and collection."""
    for collection in collections:
        everywhere = [*bpy.data.collections, *(scene.collection for scene in bpy.data.scenes)]
        for parent in everywhere:
            if collection.name in parent.children:
                parent.children.unlink(collection)
        free_name(collection)


def free_name(block: bpy.types.ID) -> None:
    """Let another block have the name of this one, which nobody uses any more."""
    block.name = _REMOVED


def _stand_in(data: Any) -> Any:
    """Something small of the same type; nothing in place of an image."""
    if isinstance(data, bpy.types.Mesh):
        return bpy.data.meshes.get(STAND_IN) or bpy.data.meshes.new(STAND_IN)
    if isinstance(data, bpy.types.TextCurve):
        return bpy.data.curves.get(STAND_IN) or bpy.data.curves.new(STAND_IN, "FONT")
    return None
