# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes out of the .blend files of the cache."""

from __future__ import annotations

import bpy

_USERS_FIRST = {"MESH": 0, "MATERIAL": 1}


ORIGIN = "csm_retopo_made_from"
"""The custom property of a mesh in the cache that holds the hash of the file it was made of."""


def load_mesh(blend: str, file_sha256: str = "") -> bpy.types.Mesh | None:
    """The mesh of a .blend that holds one, with its materials; None if it is gone, or made of
    another file than the one with this hash. Main thread.

    Linked, then made local: what Blender appends remembers in every saved .blend which file it came
    from, and a path into the cache tells the user's name.
    """
    try:
        with bpy.data.libraries.load(blend, link=True) as (available, wanted):
            wanted.meshes = available.meshes[:1]
    except OSError:
        return None
    mesh = wanted.meshes[0] if wanted.meshes else None
    if mesh is None:
        return None
    library = mesh.library
    # What is still used by something linked would be made local as a copy: users come first.
    linked = library.users_id if mesh.materials else (mesh,)
    for each in sorted(linked, key=lambda each: _USERS_FIRST.get(each.id_type, 2)):
        each.make_local()
    bpy.data.libraries.remove(library)
    origin = mesh.pop(ORIGIN, "")
    if file_sha256 and origin != file_sha256:  # another Blender has replaced it
        remove_meshes([mesh])
        return None
    return mesh


def remove_meshes(meshes: list[bpy.types.Mesh]) -> None:
    """Remove them, with the materials, images and node groups that came with them and that nobody
    else uses. Main thread.
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
