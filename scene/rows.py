# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions that a scene holds, and the objects of each. Nothing here changes a scene.

Objects are found by what they carry, each time anew: undo and file load kill references.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy

from .models import Role

TYPES = {
    Role.SOURCE: "MESH",
    Role.VARIATION: "MESH",
    Role.PREVIEW: "EMPTY",
    Role.LABEL: "FONT",
}
"""What an object of each role is. One that the artist has converted to another type is no part of
the session any more."""


@dataclass
class Row:
    """A session's objects: the source, if it is there, and the others by their index.

    A copy that the artist made of an object is not among them: the first by name is the one.
    """

    collection: bpy.types.Collection
    source: bpy.types.Object | None = None
    variations: dict[int, bpy.types.Object] = field(default_factory=dict)
    previews: dict[int, bpy.types.Object] = field(default_factory=dict)
    labels: dict[int, bpy.types.Object] = field(default_factory=dict)
    """The source's label has index -1."""

    @property
    def session_id(self) -> str:
        """The session's ID."""
        return self.collection.csm_retopo.session_id

    @property
    def meshes(self) -> list[bpy.types.Object]:
        """The source, if it is there, then the variations in their order."""
        return [*([self.source] if self.source else []), *self.variations.values()]

    @property
    def extras(self) -> list[bpy.types.Object]:
        """Previews and labels."""
        return [*self.previews.values(), *self.labels.values()]


def session_collections(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections of the scene that hold a session, each once, however often it is linked."""
    found = dict.fromkeys(scene.collection.children_recursive)
    return [each for each in found if each.csm_retopo.session_id]


def find_rows(scene: bpy.types.Scene) -> list[Row]:
    """The scene's sessions in the order of their collections. Main thread."""
    return [find_row(each) for each in session_collections(scene)]


def find_row(collection: bpy.types.Collection) -> Row:
    """What a session's collection holds of the session. Main thread."""
    row = Row(collection)
    session_id = row.session_id
    found = []
    for obj in collection.all_objects:
        carried = obj.csm_retopo
        role = carried.role
        if role != "NONE" and obj.type == TYPES[role] and carried.session_id == session_id:
            found.append((carried.index, obj.name, role, obj))
    found.sort(key=lambda each: each[:2])
    for index, _, role, obj in found:
        match role:
            case Role.SOURCE:
                row.source = row.source or obj
            case Role.VARIATION:
                row.variations.setdefault(index, obj)
            case Role.PREVIEW:
                row.previews.setdefault(index, obj)
            case Role.LABEL:
                row.labels.setdefault(index, obj)
    return row


def same_input(rows: list[Row], row: Row) -> list[Row]:
    """The rows whose sessions retopologise the same input mesh as this one, which is among them."""
    asset_id = row.collection.csm_retopo.input_asset_id
    if not asset_id:
        return [row]
    return [each for each in rows if each.collection.csm_retopo.input_asset_id == asset_id]
