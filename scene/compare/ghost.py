# SPDX-License-Identifier: GPL-3.0-or-later
"""The source as a ghost: a translucent skin over the variation that is looked at.

A geometry nodes modifier does it, so that the artist's mesh and materials stay as they are. Blender
can show a translucent material in Solid shading as well as in a render.
"""

from __future__ import annotations

from typing import Any

import bpy

GHOST = "CSM Retopo Ghost"
"""What the modifier, its node group and its material are called."""

_COLOR = (0.15, 0.55, 1.0, 0.25)
_THICKNESS = 0.005
"""As a share of the source's diagonal."""


def set_ghost(obj: bpy.types.Object, is_ghost: bool) -> None:
    """Make the object translucent, or what it was. Main thread."""
    modifier: Any = obj.modifiers.get(GHOST)
    if (modifier is not None) == is_ghost:
        return
    if is_ghost:
        active = obj.modifiers.active
        modifier = obj.modifiers.new(GHOST, "NODES")
        modifier.node_group = _nodes()
        modifier.show_expanded = False
        if active is not None:
            obj.modifiers.active = active
    else:
        obj.modifiers.remove(modifier)
        remove_unused()


def remove_unused() -> None:
    """Remove what ghosts are made of, unless there is one. Main thread."""
    # The material after the nodes, which use it.
    for blocks in (bpy.data.node_groups, bpy.data.materials):
        block: Any = blocks.get(GHOST)
        if block is not None and block.users == 0:
            blocks.remove(block)


def _nodes() -> Any:
    """Nodes that give all faces the ghost's material and blow the mesh up by a little: it lies over
    the variation like a skin, instead of breaking through it in a thousand places.
    """
    tree: Any = bpy.data.node_groups.get(GHOST)
    if tree is not None:
        return tree
    tree = bpy.data.node_groups.new(GHOST, "GeometryNodeTree")  # type: ignore[arg-type]
    tree.is_modifier = True
    for in_out in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=in_out, socket_type="NodeSocketGeometry")
    start, box, diagonal, thickness, normal, offset, move, paint, finish = (
        tree.nodes.new(kind)
        for kind in (
            "NodeGroupInput",
            "GeometryNodeBoundBox",
            "ShaderNodeVectorMath",
            "ShaderNodeMath",
            "GeometryNodeInputNormal",
            "ShaderNodeVectorMath",
            "GeometryNodeSetPosition",
            "GeometryNodeSetMaterial",
            "NodeGroupOutput",
        )
    )
    diagonal.operation = "DISTANCE"
    thickness.operation = "MULTIPLY"
    thickness.inputs[1].default_value = _THICKNESS
    offset.operation = "SCALE"
    paint.inputs["Material"].default_value = _material()
    for output, socket in (
        (start.outputs["Geometry"], box.inputs["Geometry"]),
        (box.outputs["Min"], diagonal.inputs[0]),
        (box.outputs["Max"], diagonal.inputs[1]),
        (diagonal.outputs["Value"], thickness.inputs[0]),
        (normal.outputs["Normal"], offset.inputs[0]),
        (thickness.outputs[0], offset.inputs["Scale"]),
        (start.outputs["Geometry"], move.inputs["Geometry"]),
        (offset.outputs["Vector"], move.inputs["Offset"]),
        (move.outputs["Geometry"], paint.inputs["Geometry"]),
        (paint.outputs["Geometry"], finish.inputs["Geometry"]),
    ):
        tree.links.new(output, socket)
    return tree


def _material() -> Any:
    material: Any = bpy.data.materials.get(GHOST)
    if material is None:
        material = bpy.data.materials.new(GHOST)
        material.diffuse_color = _COLOR
        material.roughness = 1.0
        if material.node_tree is None:
            material.use_nodes = True
        material.surface_render_method = "BLENDED"
        material.use_backface_culling = True
        shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
        shader.inputs["Base Color"].default_value = (*_COLOR[:3], 1.0)
        shader.inputs["Alpha"].default_value = _COLOR[3]
    return material
