# SPDX-License-Identifier: GPL-3.0-or-later
"""How the variations are shown while they are compared: their colors, and their wires."""

from __future__ import annotations

import bpy

from ..rows import find_rows
from . import coloring

_WIRE = 1
_ALL_EDGES = 2


def refresh(scene: bpy.types.Scene) -> None:
    """Make the scene's variations, those that have just come in among them, look as the scene's
    settings say. Next to nothing is done when all is off. Main thread.
    """
    coloring.refresh(scene)
    if scene.csm_retopo.wireframe:
        refresh_wireframe(scene)


def refresh_wireframe(scene: bpy.types.Scene) -> None:
    """Show or hide the variations' wires. What the artist had set returns when they are hidden."""
    if scene.csm_retopo.wireframe:
        for row in find_rows(scene):
            for obj in row.variations.values():
                _show_wires(obj)
    else:
        for obj in bpy.data.objects:
            # What the artist has taken out of every scene may come back some day.
            if obj.name in scene.objects or not obj.users_scene:
                restore_wires(obj)


def _show_wires(obj: bpy.types.Object) -> None:
    carried = obj.csm_retopo
    if obj.library is not None or carried.wires_before >= 0:
        return
    carried.wires_before = _WIRE * obj.show_wire + _ALL_EDGES * obj.show_all_edges
    obj.show_wire = True
    obj.show_all_edges = True


def restore_wires(obj: bpy.types.Object) -> None:
    """Show of the object's wires what the artist had set, if it was us who changed it."""
    before = obj.csm_retopo.wires_before
    if before < 0 or obj.library is not None:
        return
    obj.show_wire = bool(before & _WIRE)
    obj.show_all_edges = bool(before & _ALL_EDGES)
    obj.csm_retopo.property_unset("wires_before")
