# SPDX-License-Identifier: GPL-3.0-or-later
"""Colors on the variations' surfaces, switched on and off.

Nothing of the artist's is touched: colors are a geometry nodes modifier at the end of a variation's
stack, which gives faces other materials in the evaluated mesh only. Switched off, the modifiers,
their node tree and the materials are removed. All variations of a scene share a node tree, which
holds the scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from ..measure.metrics import COVERAGE_ATTRIBUTE, DEVIATION_ATTRIBUTE, SCALED_JACOBIAN_ATTRIBUTE
from ..rows import find_rows
from . import colors as meaning
from .colors import Color, Colors, Legend, Scale

MODIFIER = "CSM Retopo Colors"

_MARK = "csm_retopo_colors"
"""A custom property by which node trees and materials are known as ours, whatever their names. A
tree's says for which scene it is made and what it shows; a material's, its color."""

_LIMIT_NODE = "Limit"
_POLE_RADIUS = 0.38
"""Of the mean edge length."""
_MISSING = -1.0
"""What stands for a value that isn't there; values are 0 at best, give or take a rounding."""


def refresh(scene: bpy.types.Scene) -> None:
    """Make the variations show what `Scene.csm_retopo` says. Next to nothing is done when that is
    nothing and was. Main thread; no operator runs and no undo step is pushed.
    """
    settings = scene.csm_retopo
    if settings.colors == Colors.NONE:
        if any(_is_ours(tree) for tree in bpy.data.node_groups):
            _take_off(scene, keep=None)
            _remove_unused()
        return
    rows = find_rows(scene)
    scale = meaning.find_scale(rows, settings.color_limit)
    tree = _ensure_tree(scene, Colors(settings.colors), scale)
    _take_off(scene, keep=tree)
    for row in rows:
        for obj in row.variations.values():
            if obj.library is None:
                _put_on(obj, tree)
    _remove_unused()


def shown_legend(scene: bpy.types.Scene) -> Legend | None:
    """The legend of what the scene's variations show, None when that is nothing.

    For a draw handler: it reads the scale from the node tree and looks at no object.
    """
    shown = scene.csm_retopo.colors
    if shown == Colors.NONE:
        return None
    # A scene that was renamed or copied shows what was made for another name.
    tree = _find_tree(scene.name, shown) or _find_tree(None, shown)
    if tree is None:
        return None
    mark = tree[_MARK]
    return meaning.legend(Colors(shown), Scale(mark["limit"], mark["diagonal"] or None))


def take_off(obj: bpy.types.Object) -> None:
    """Remove the colors from this object alone. Main thread."""
    for modifier in _our_modifiers(obj):
        obj.modifiers.remove(modifier)


def _put_on(obj: bpy.types.Object, tree: bpy.types.NodeTree) -> None:
    if any(modifier.node_group == tree for modifier in _nodes_modifiers(obj)):
        return
    active = obj.modifiers.active
    modifier: Any = obj.modifiers.new(MODIFIER, "NODES")
    modifier.node_group = tree
    modifier.show_in_editmode = False
    modifier.show_expanded = False
    if active is not None:
        obj.modifiers.active = active


def _take_off(scene: bpy.types.Scene, keep: bpy.types.NodeTree | None) -> None:
    """Remove the scene's colors, but for those of `keep`, from its objects and from those that
    have left it.
    """
    here = set(scene.objects)
    for obj in bpy.data.objects:
        if obj.library is not None:
            continue
        for modifier in _our_modifiers(obj):
            tree = modifier.node_group
            is_of_scene = tree is None or obj in here or tree[_MARK]["scene"] == scene.name
            if is_of_scene and (tree is None or tree != keep):
                obj.modifiers.remove(modifier)


def _remove_unused() -> None:
    # Materials after the trees, which use them.
    for blocks in (bpy.data.node_groups, bpy.data.materials):
        bpy.data.batch_remove([each for each in blocks if _is_ours(each) and each.users == 0])


def _is_ours(block: bpy.types.ID) -> bool:
    return block.get(_MARK) is not None


def _our_modifiers(obj: bpy.types.Object) -> list[Any]:
    """Those with a tree of ours, and those whose tree somebody has removed."""
    return [
        modifier
        for modifier in _nodes_modifiers(obj)
        if (
            modifier.name.startswith(MODIFIER)
            if modifier.node_group is None
            else _is_ours(modifier.node_group)
        )
    ]


def _nodes_modifiers(obj: bpy.types.Object) -> Iterator[Any]:
    return (modifier for modifier in obj.modifiers if modifier.type == "NODES")


def _find_tree(scene_name: str | None, shown: str) -> bpy.types.NodeTree | None:
    """The tree for these colors that was made for a scene of this name, or for any."""
    for tree in bpy.data.node_groups:
        mark = tree.get(_MARK)
        if mark is None or mark["colors"] != shown:
            continue
        if scene_name is None or mark["scene"] == scene_name:
            return tree
    return None


def _ensure_tree(scene: bpy.types.Scene, shown: Colors, scale: Scale) -> bpy.types.NodeTree:
    """The scene's tree for these colors, with this scale."""
    mark = {
        "scene": scene.name,
        "colors": str(shown),
        "limit": scale.limit,
        "diagonal": scale.diagonal or 0.0,
    }
    tree = _find_tree(scene.name, shown)
    if tree is None:
        tree = _Builder(f"CSM Retopo {meaning.TITLES[shown]}").build(shown)
    elif tree[_MARK].to_dict() == mark:
        return tree
    tree[_MARK] = mark
    if (node := tree.nodes.get(_LIMIT_NODE)) is not None:
        node.outputs[0].default_value = scale.limit
    return tree


_Socket = bpy.types.NodeSocket


class _Builder:
    """Makes a node tree: geometry comes in, and goes out with our materials."""

    def __init__(self, name: str) -> None:
        groups: Any = bpy.data.node_groups
        self._tree = groups.new(name, "GeometryNodeTree")
        for direction in ("INPUT", "OUTPUT"):
            self._tree.interface.new_socket(
                "Geometry", in_out=direction, socket_type="NodeSocketGeometry"
            )
        self._tree.is_modifier = True
        self._materials = {
            material[_MARK]: material for material in bpy.data.materials if _is_ours(material)
        }

    def build(self, shown: Colors) -> bpy.types.NodeTree:
        """The tree for these colors."""
        mesh = self._node("NodeGroupInput").outputs[0]
        match shown:
            case Colors.FACE_TYPES:
                mesh = self._face_types(mesh)
            case Colors.POLES:
                mesh = self._poles(mesh)
            case Colors.QUAD_SHAPE:
                quality = self._attribute(SCALED_JACOBIAN_ATTRIBUTE, missing=2.0)
                badness = self._math("SUBTRACT", 1.0, quality)
                is_quad = self._compare("EQUAL", self._corners(), 4)
                badness = self._switch(is_quad, _MISSING, badness)
                mesh = self._ramp(mesh, badness)
            case Colors.DEVIATION | Colors.COVERAGE:
                is_deviation = shown == Colors.DEVIATION
                name = DEVIATION_ATTRIBUTE if is_deviation else COVERAGE_ATTRIBUTE
                limit = self._node("ShaderNodeValue")
                limit.name = limit.label = _LIMIT_NODE
                share = self._attribute(name, missing=_MISSING)
                badness = self._math("DIVIDE", share, limit.outputs[0])
                mesh = self._ramp(mesh, badness)
        self._link(mesh, self._node("NodeGroupOutput").inputs[0])
        return self._tree

    def _face_types(self, mesh: _Socket) -> _Socket:
        triangle, quad, ngon = meaning.FACE_TYPES.items()
        corners = self._corners()
        mesh = self._paint(mesh, triangle)
        mesh = self._paint(mesh, quad, self._compare("EQUAL", corners, 4))
        return self._paint(mesh, ngon, self._compare("GREATER_THAN", corners, 4))

    def _poles(self, mesh: _Socket) -> _Socket:
        """A neutral surface, and a small solid at every pole: at a vertex whose edges all have
        exactly two faces, by how many these are.
        """
        edges = self._node("GeometryNodeInputMeshVertexNeighbors").outputs["Vertex Count"]
        faces = self._node("GeometryNodeInputMeshEdgeNeighbors").outputs["Face Count"]
        # From edges to vertices, Blender's "true" means at one of the edges or more.
        at_edge = self._node("GeometryNodeFieldOnDomain", data_type="BOOLEAN", domain="EDGE")
        self._link(self._compare("NOT_EQUAL", faces, 2), at_edge.inputs[0])
        is_inside = self._bool("NOT", at_edge.outputs[0])
        is_three = self._compare("EQUAL", edges, 3)
        is_five_or_more = self._compare("GREATER_EQUAL", edges, 5)
        is_pole = self._bool("AND", is_inside, self._bool("OR", is_three, is_five_or_more))
        kind = self._math("ADD", is_five_or_more, self._compare("GREATER_EQUAL", edges, 6))

        # Every solid would have all that the mesh has at its vertices.
        captured = self._node("GeometryNodeCaptureAttribute")
        captured.capture_items.new("FLOAT", "Kind")
        self._link(self._without_attributes(mesh), captured.inputs[0])
        self._link(kind, captured.inputs["Kind"])
        points = self._node("GeometryNodeMeshToPoints")
        self._link(captured.outputs[0], points.inputs["Mesh"])
        self._link(is_pole, points.inputs["Selection"])

        radius = self._math("MULTIPLY", self._mean_edge(mesh), _POLE_RADIUS)
        solids = []
        for color in meaning.POLES.items():
            solid = self._node("GeometryNodeGeometryToInstance")
            self._link(self._paint(self._octahedron(radius), color), solid.inputs[0])
            solids.append(solid.outputs[0])
        on_points = self._node("GeometryNodeInstanceOnPoints")
        self._link(points.outputs[0], on_points.inputs["Points"])
        self._link(self._join(solids), on_points.inputs["Instance"])
        on_points.inputs["Pick Instance"].default_value = True
        self._link(captured.outputs["Kind"], on_points.inputs["Instance Index"])
        realized = self._node("GeometryNodeRealizeInstances")
        self._link(on_points.outputs[0], realized.inputs[0])
        return self._join([self._paint(mesh, ("Surface", meaning.NEUTRAL)), realized.outputs[0]])

    def _mean_edge(self, mesh: _Socket) -> _Socket:
        ends = self._node("GeometryNodeInputMeshEdgeVertices")
        length = self._node("ShaderNodeVectorMath", operation="DISTANCE")
        self._link(ends.outputs["Position 1"], length.inputs[0])
        self._link(ends.outputs["Position 2"], length.inputs[1])
        mean = self._node("GeometryNodeAttributeStatistic", data_type="FLOAT", domain="EDGE")
        self._link(mesh, mean.inputs["Geometry"])
        self._link(length.outputs["Value"], mean.inputs["Attribute"])
        return mean.outputs["Mean"]

    def _join(self, parts: list[_Socket]) -> _Socket:
        """The parts in this order."""
        node = self._node("GeometryNodeJoinGeometry")
        # Links to one socket count from the last.
        for part in reversed(parts):
            self._link(part, node.inputs[0])
        return node.outputs[0]

    def _without_attributes(self, mesh: _Socket) -> _Socket:
        node = self._node("GeometryNodeRemoveAttribute")
        if hasattr(node, "pattern_mode"):
            node.pattern_mode = "WILDCARD"
        else:  # Blender 5 has it as a socket
            node.inputs["Pattern Mode"].default_value = "Wildcard"
        node.inputs["Name"].default_value = "*"
        self._link(mesh, node.inputs["Geometry"])
        return node.outputs["Geometry"]

    def _octahedron(self, radius: _Socket) -> _Socket:
        node = self._node("GeometryNodeMeshUVSphere")
        node.inputs["Segments"].default_value = 4
        node.inputs["Rings"].default_value = 2
        self._link(radius, node.inputs["Radius"])
        return node.outputs["Mesh"]

    def _ramp(self, mesh: _Socket, badness: _Socket) -> _Socket:
        """Bands for what is 0 at best and 1 at the scale's end; neutral for `_MISSING` and NaN."""
        mesh = self._paint(mesh, ("No Value", meaning.NEUTRAL))
        for band, color in enumerate(meaning.RAMP):
            start = band / (meaning.BANDS - 1) if band else _MISSING / 2
            is_in = self._compare("GREATER_EQUAL", badness, start)
            mesh = self._paint(mesh, (f"Band {band + 1}", color), is_in)
        return mesh

    def _paint(
        self, mesh: _Socket, color: tuple[str, Color], selection: _Socket | None = None
    ) -> _Socket:
        """Give the faces the material of a named color."""
        node = self._node("GeometryNodeSetMaterial")
        node.inputs["Material"].default_value = self._material(*color)
        self._link(mesh, node.inputs["Geometry"])
        if selection is not None:
            self._link(selection, node.inputs["Selection"])
        return node.outputs["Geometry"]

    def _material(self, name: str, color: Color) -> bpy.types.Material:
        code = f"{name} {color}"
        if code not in self._materials:
            self._materials[code] = _new_material(f"CSM Retopo {name}", color)
            self._materials[code][_MARK] = code
        return self._materials[code]

    def _corners(self) -> _Socket:
        return self._node("GeometryNodeInputMeshFaceNeighbors").outputs["Vertex Count"]

    def _attribute(self, name: str, missing: float) -> _Socket:
        node = self._node("GeometryNodeInputNamedAttribute", data_type="FLOAT")
        node.inputs["Name"].default_value = name
        return self._switch(node.outputs["Exists"], missing, node.outputs["Attribute"])

    def _switch(self, condition: _Socket, if_not: float, if_so: _Socket) -> _Socket:
        node = self._node("GeometryNodeSwitch", input_type="FLOAT")
        self._link(condition, node.inputs["Switch"])
        node.inputs["False"].default_value = if_not
        self._link(if_so, node.inputs["True"])
        return node.outputs["Output"]

    def _math(self, operation: str, *values: _Socket | float) -> _Socket:
        node = self._node("ShaderNodeMath", operation=operation)
        self._feed(node, values)
        return node.outputs[0]

    def _bool(self, operation: str, *values: _Socket) -> _Socket:
        node = self._node("FunctionNodeBooleanMath", operation=operation)
        self._feed(node, values)
        return node.outputs[0]

    def _compare(self, operation: str, value: _Socket, number: float) -> _Socket:
        node = self._node("FunctionNodeCompare", data_type="FLOAT", operation=operation)
        self._feed(node, (value, float(number)))
        return node.outputs[0]

    def _feed(self, node: Any, values: tuple[_Socket | float, ...]) -> None:
        for socket, value in zip(node.inputs, values, strict=False):
            if isinstance(value, float):
                socket.default_value = value
            else:
                self._link(value, socket)

    def _node(self, kind: str, **settings: str) -> Any:
        node = self._tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        return node

    def _link(self, output: _Socket, socket: _Socket) -> None:
        self._tree.links.new(output, socket)


def _new_material(name: str, color: Color) -> bpy.types.Material:
    """A matt one, the same in Solid shading and in a render."""
    material: Any = bpy.data.materials.new(name)
    linear = (*(_linear(each) for each in color), 1.0)
    material.diffuse_color = linear
    material.roughness = 1.0
    material.specular_intensity = 0.0
    if material.node_tree is None:
        material.use_nodes = True
    for node in material.node_tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            node.inputs["Base Color"].default_value = linear
            node.inputs["Roughness"].default_value = 1.0
            node.inputs["Specular IOR Level"].default_value = 0.0
    return material


def _linear(value: float) -> float:
    """A component of an sRGB color as Blender computes with it (IEC 61966-2-1)."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
