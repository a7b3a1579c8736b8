# SPDX-License-Identifier: GPL-3.0-or-later
"""Colors and wires on the variations: what each face shows, and that nothing of it stays."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from mathutils import Vector
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.scene import rows
from bl_ext.user_default.csm_retopo.scene.compare import coloring, colors, display
from bl_ext.user_default.csm_retopo.scene.measure.metrics import (
    COVERAGE_ATTRIBUTE,
    DEVIATION_ATTRIBUTE,
    SCALED_JACOBIAN_ATTRIBUTE,
)

__all__ = ["nothing_left"]

SESSION = "SESSION_1747336753_6390509"
KINDS = ("FACE_TYPES", "POLES", "QUAD_SHAPE", "DEVIATION", "COVERAGE")

# A triangle, a quad and a pentagon beside each other.
MIXED = (
    [(int(x), int(y), 0) for x, y in "00 10 01 20 21 11 30 41 32".split()],
    [(0, 1, 2), (1, 3, 4, 5), (3, 6, 7, 8, 4)],
)


def settings() -> Any:
    return bpy.context.scene.csm_retopo


def add(
    shape: tuple[Sequence[Any], Sequence[Any]],
    index: int = 0,
    *,
    role: str = "VARIATION",
    session_id: str = SESSION,
    metrics: dict[str, Any] | None = None,
    **attributes: Iterable[float],
) -> bpy.types.Object:
    """A mesh of a session, with attributes of its faces."""
    collection = bpy.data.collections.get(session_id)
    if collection is None:
        collection = bpy.data.collections.new(session_id)
        bpy.context.scene.collection.children.link(collection)
        collection.csm_retopo.session_id = session_id
    name = f"{role.title()} {index}"
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(shape[0], [], shape[1])
    for attribute, values in attributes.items():
        layer = mesh.attributes.new(attribute, "FLOAT", "FACE")
        layer.data.foreach_set("value", list(values))
    obj = bpy.data.objects.new(name, mesh)
    collection.objects.link(obj)
    carried = obj.csm_retopo
    carried.role, carried.session_id, carried.index = role, session_id, index
    carried.metrics = json.dumps(metrics or {})
    return obj


def grid(side: int) -> tuple[list[Any], list[Any]]:
    """A grid of side x side quads."""
    row = side + 1
    points = [(x, y, 0.0) for y in range(row) for x in range(row)]
    quads = [
        (first, first + 1, first + 1 + row, first + row)
        for y in range(side)
        for first in range(y * row, y * row + side)
    ]
    return points, quads


def fan(edges: int) -> tuple[list[Any], list[Any]]:
    """So many triangles around a vertex at the origin."""
    angles = [2 * math.pi * number / edges for number in range(edges)]
    rim = [(math.cos(angle), math.sin(angle), 0.0) for angle in angles]
    return [(0, 0, 0), *rim], [(0, 1 + n, 1 + (n + 1) % edges) for n in range(edges)]


def evaluated(obj: bpy.types.Object) -> bpy.types.Mesh:
    bpy.context.view_layer.update()
    return obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data


def shown(obj: bpy.types.Object) -> list[str]:
    """The name of the material of each face, as it is drawn, without what all begin with."""
    mesh = evaluated(obj)
    found = [mesh.materials[face.material_index] for face in mesh.polygons]
    return [each.name.removeprefix("CSM Retopo ") if each else "" for each in found]


def bands(obj: bpy.types.Object) -> list[int | None]:
    """Which band each face shows, None for the neutral color."""
    names = shown(obj)
    return [int(n.removeprefix("Band ")) - 1 if n.startswith("Band") else None for n in names]


def contents() -> dict[str, Any]:
    """Everything in the file that colors and wires could change."""
    found: dict[str, Any] = {}
    for kind in ("objects", "meshes", "materials", "node_groups", "collections", "images"):
        found[kind] = sorted(each.name for each in getattr(bpy.data, kind))
    for obj in bpy.data.objects:
        if obj.type == "MESH":
            mesh = obj.data
            found[f"of {obj.name}"] = (
                [(each.name, each.type) for each in obj.modifiers],
                obj.modifiers.active.name if obj.modifiers.active else None,
                [slot.name for slot in obj.material_slots],
                [face.material_index for face in mesh.polygons],
                sorted(mesh.attributes.keys()),
                (obj.show_wire, obj.show_all_edges, obj.display_type),
                obj.csm_retopo.wires_before,
            )
    return found


def test_face_types_also_after_an_edit() -> None:
    obj = add(MIXED)
    settings().colors = "FACE_TYPES"
    assert shown(obj) == ["Triangle", "Quad", "N-Gon"]
    obj.data.clear_geometry()
    obj.data.from_pydata(MIXED[0], [], [MIXED[1][1], MIXED[1][0]])
    assert shown(obj) == ["Quad", "Triangle"]


@pytest.mark.parametrize(
    ("edges", "name"), [(3, "3 Edges"), (5, "5 Edges"), (6, "6 or More"), (9, "6 or More")]
)
def test_a_pole_is_marked_where_it_is(edges: int, name: str) -> None:
    obj = add(fan(edges))
    settings().colors = "POLES"
    mesh = evaluated(obj)
    marks = [
        [mesh.vertices[corner].co.copy() for corner in face.vertices]
        for face, material in zip(mesh.polygons, shown(obj), strict=True)
        if material == name
    ]
    assert shown(obj).count("Surface") == edges
    assert len(marks) == len(mesh.polygons) - edges > 0
    # Its middle is at the pole, and it is smaller than the faces.
    corners = [corner for mark in marks for corner in mark]
    assert sum(corners, Vector()).length / len(corners) < 1e-5
    assert 0.05 < max(corner.length for corner in corners) < 0.6


def test_regular_rim_and_non_manifold_vertices_are_no_poles() -> None:
    flat = add(grid(3), 0)  # rims and vertices of four edges only
    four = add(fan(4), 1)
    points, faces = fan(5)
    fin = add(([*points, (0, 0, 1)], [*faces, (0, 1, 6)]), 2)  # an edge of three faces
    settings().colors = "POLES"
    for obj in (flat, four, fin):
        assert set(shown(obj)) == {"Surface"}


def test_quad_shape_from_the_worst_to_the_best() -> None:
    values = [1.0000001, 0.97, 0.5, 0.01, 0.0, -0.7, math.nan]
    points = [(x, y, 0) for x in range(len(values) + 1) for y in range(2)]
    faces: list[Any] = [(2 * n, 2 * n + 2, 2 * n + 3, 2 * n + 1) for n in range(len(values))]
    # A value where there is no quad any more, as an edit leaves it, says nothing.
    faces.append((0, 1, 2))
    obj = add((points, faces), **{SCALED_JACOBIAN_ATTRIBUTE: [*values, 0.5]})
    settings().colors = "QUAD_SHAPE"
    assert bands(obj) == [0, 0, 7, 14, 15, 15, None, None]


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [("DEVIATION", DEVIATION_ATTRIBUTE), ("COVERAGE", COVERAGE_ATTRIBUTE)],
)
def test_distances_on_one_scale_for_all(kind: str, attribute: str) -> None:
    add(grid(1), -1, role="SOURCE", metrics={"bbox_diagonal": 2.0})
    shares = [0.0, 0.0009, 0.0011, 0.0149, 0.0151, 1.0]
    strip = (
        [(x, y, 0) for x in range(len(shares) + 1) for y in range(2)],
        [(2 * n, 2 * n + 2, 2 * n + 3, 2 * n + 1) for n in range(len(shares))],
    )
    # Of all, the largest is 0.015 of the diagonal.
    small = {"deviation_max": 0.01, "deviation_rms": 0.1, "coverage_max": 0.02}
    large = {"deviation_max": 0.03, "deviation_rms": 0.1, "coverage_max": 0.001}
    ours = [
        add(strip, 0, metrics=small, **{attribute: shares}),
        add(strip, 1, metrics=large, **{attribute: shares}),
    ]
    without = add(strip, 2, metrics={"deviation_max": None})
    settings().colors = kind
    for obj in ours:
        assert bands(obj) == [0, 0, 1, 14, 15, 15]
    assert bands(without) == [None] * len(shares)
    settings().color_limit = 15.0
    assert bands(ours[0]) == [0, 0, 0, 1, 1, 15]


def test_the_scale_forgives_strays_but_not_all() -> None:
    add(grid(1), -1, role="SOURCE", metrics={"bbox_diagonal": 10.0})
    add(grid(1), 0, metrics={"deviation_max": 5.0, "deviation_rms": 0.1, "coverage_max": 4.0})
    found = rows.find_rows(bpy.context.scene)
    assert colors.find_scale(found).limit == pytest.approx(0.04)
    assert colors.find_scale(found).diagonal == 10.0
    assert colors.find_scale(found, 2.5).limit == pytest.approx(0.025)
    # A session of another size: scene units would mean two things.
    add(grid(1), -1, role="SOURCE", session_id="SESSION_2", metrics={"bbox_diagonal": 1.0})
    other = {"deviation_max": 0.02, "deviation_rms": 0.02, "coverage_max": 0.01}
    add(grid(1), 0, session_id="SESSION_2", metrics=other)
    both = colors.find_scale(rows.find_rows(bpy.context.scene))
    assert both.limit == pytest.approx(0.08)
    assert both.diagonal is None


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"deviation_max": None, "deviation_rms": None, "coverage_max": None},
        {"deviation_max": 0.0, "deviation_rms": 0.0, "coverage_max": 0.0},
        {"deviation_max": "far", "bbox_diagonal": math.nan},
    ],
)
@pytest.mark.parametrize("source", [{}, {"bbox_diagonal": 0.0}, {"bbox_diagonal": 1.0}])
def test_a_scale_of_nothing(metrics: dict[str, Any], source: dict[str, Any]) -> None:
    add(([], []), -1, role="SOURCE", metrics=source)
    add(([], []), 0, metrics=metrics)
    for kind in KINDS:
        settings().colors = kind
        bpy.context.view_layer.update()
        legend = coloring.shown_legend(bpy.context.scene)
        assert legend is not None and legend.entries


def test_without_its_source_a_variation_keeps_its_scale() -> None:
    source = add(grid(1), -1, role="SOURCE", metrics={"bbox_diagonal": 4.0})
    metrics = {"deviation_max": 0.4, "deviation_rms": 1.0, "coverage_max": 0.2}
    add(grid(1), 0, metrics={**metrics, "hausdorff": 0.4, "hausdorff_relative": 0.1})
    before = colors.find_scale(rows.find_rows(bpy.context.scene))
    bpy.data.objects.remove(source)
    after = colors.find_scale(rows.find_rows(bpy.context.scene))
    assert after.limit == pytest.approx(before.limit) == pytest.approx(0.1)
    assert after.diagonal == pytest.approx(4.0)


def test_the_legend_says_what_the_materials_show() -> None:
    add(grid(1), -1, role="SOURCE", metrics={"bbox_diagonal": 2.0})
    metrics = {"deviation_max": 0.03, "deviation_rms": 1.0, "coverage_max": 0.02}
    values = {DEVIATION_ATTRIBUTE: [0.1], COVERAGE_ATTRIBUTE: [0.1]}
    add(grid(1), 0, metrics=metrics, **values, **{SCALED_JACOBIAN_ATTRIBUTE: [-1.0]})
    for kind in KINDS:
        settings().colors = kind
        legend = coloring.shown_legend(bpy.context.scene)
        assert legend is not None
        assert legend.title == colors.TITLES[kind]
        screen = [sessions_color(color) for color, _ in legend.entries]
        for material in bpy.data.materials:
            base = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
            rendered = tuple(base.inputs["Base Color"].default_value)
            assert rendered == pytest.approx(tuple(material.diffuse_color))
        drawn = [tuple(each.diffuse_color[:3]) for each in bpy.data.materials]
        for color in screen:
            assert any(color == pytest.approx(each, abs=1e-5) for each in drawn)
    # 1.5 % of the diagonal of 2.
    assert [text for _, text in legend.entries if text][-1] == "≥ 1.5 % · 0.03"
    settings().colors = "NONE"
    assert coloring.shown_legend(bpy.context.scene) is None


def sessions_color(color: Sequence[float]) -> list[float]:
    """An sRGB color as Blender keeps it."""
    from mathutils import Color

    return list(Color(color).from_srgb_to_scene_linear())


def test_off_leaves_everything_as_it_was() -> None:
    material = bpy.data.materials.new("Artist's")
    plain = add(MIXED, 0)
    painted = add(MIXED, 1)
    painted.data.materials.append(material)
    by_object = add(MIXED, 2)
    by_object.data.materials.append(None)
    by_object.material_slots[0].link = "OBJECT"
    by_object.material_slots[0].material = material
    modified = add(grid(2), 3)
    modified.modifiers.new("Thick", "SOLIDIFY")
    modified.modifiers.new("Smooth", "SMOOTH")
    modified.modifiers.active = modified.modifiers["Thick"]
    source = add(MIXED, -1, role="SOURCE")
    before = contents()
    for kind in (*KINDS, "DEVIATION"):
        settings().colors = kind
        bpy.context.view_layer.update()
        assert not source.modifiers
        assert [slot.material for slot in painted.material_slots] == [material]
        assert len(bpy.data.node_groups) == 1
    settings().colors = "FACE_TYPES"
    for obj in (plain, painted, by_object):
        assert shown(obj) == ["Triangle", "Quad", "N-Gon"]
    settings().colors = "NONE"
    assert contents() == before


def test_the_operators_do_the_same() -> None:
    obj = add(MIXED)
    before = contents()
    assert bpy.ops.csm_retopo.show_colors(colors="FACE_TYPES") == {"FINISHED"}
    assert shown(obj) == ["Triangle", "Quad", "N-Gon"]
    assert bpy.ops.csm_retopo.show_wireframe() == {"FINISHED"}
    assert obj.show_wire
    bpy.ops.csm_retopo.show_colors(colors="NONE")
    bpy.ops.csm_retopo.show_wireframe(show=False)
    assert contents() == before


def test_wires_come_and_go() -> None:
    plain = add(grid(1), 0)
    wired = add(grid(1), 1)
    wired.show_wire = True
    source = add(grid(1), -1, role="SOURCE")
    before = contents()
    settings().wireframe = True
    settings().wireframe = True
    assert all(each.show_wire and each.show_all_edges for each in (plain, wired))
    assert not source.show_wire
    settings().wireframe = False
    assert contents() == before
    assert not plain.csm_retopo.is_property_set("wires_before")


def test_in_another_scene_nothing_changes() -> None:
    here = add(MIXED)
    there = bpy.data.scenes.new("There")
    collection = bpy.data.collections.new("SESSION_2")
    there.collection.children.link(collection)
    collection.csm_retopo.session_id = "SESSION_2"
    other = add(MIXED, 0, session_id="SESSION_2")
    settings().colors = "FACE_TYPES"
    assert not other.modifiers
    there.csm_retopo.colors = "QUAD_SHAPE"
    assert shown(here) == ["Triangle", "Quad", "N-Gon"]
    settings().colors = "NONE"
    assert not here.modifiers
    assert [each.name for each in other.modifiers] == [coloring.MODIFIER]
    there.name = "Renamed"
    there.csm_retopo.colors = "NONE"
    assert not other.modifiers
    assert not bpy.data.node_groups and not bpy.data.materials


def test_what_a_later_import_places_is_shown_like_the_others(tmp_path: Path) -> None:
    settings().colors = "FACE_TYPES"
    settings().wireframe = True
    folder = sessions.new_folder(tmp_path / "folder")
    bpy.ops.csm_retopo.import_folder(directory=str(folder))
    for obj in objects("VARIATION"):
        assert shown(obj) == ["Quad"] * 6
        assert obj.show_wire
    (source,) = objects("SOURCE")
    assert not source.modifiers and not source.show_wire
    settings().colors = "NONE"
    settings().wireframe = False
    assert not any(obj.modifiers or obj.show_wire for obj in objects("VARIATION"))
    assert not bpy.data.node_groups


def test_saved_and_loaded(tmp_path: Path) -> None:
    obj = add(MIXED)
    before = contents()
    settings().colors = "FACE_TYPES"
    settings().wireframe = True
    path = str(tmp_path / "colored.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    (obj,) = objects("VARIATION")
    assert shown(obj) == ["Triangle", "Quad", "N-Gon"]
    assert coloring.shown_legend(bpy.context.scene) is not None
    settings().colors = "NONE"
    settings().wireframe = False
    assert contents() == before


def test_each_switch_is_an_undo_step() -> None:
    add(MIXED)
    bpy.ops.ed.undo_push(message="Begin")
    states = [contents()]
    steps: list[tuple[Any, dict[str, Any]]] = [
        (bpy.ops.csm_retopo.show_colors, {"colors": "FACE_TYPES"}),
        (bpy.ops.csm_retopo.show_colors, {"colors": "POLES"}),
        (bpy.ops.csm_retopo.show_wireframe, {"show": True}),
        (bpy.ops.csm_retopo.show_colors, {"colors": "NONE"}),
    ]
    for operator, properties in steps:
        operator(**properties)
        bpy.ops.ed.undo_push(message="Step")  # a script's call makes none of its own
        states.append(contents())
    for state in reversed(states[:-1]):
        bpy.ops.ed.undo()
        assert contents() == state
    for state in states[1:]:
        bpy.ops.ed.redo()
        assert contents() == state


def test_a_copy_loses_its_colors_with_the_others() -> None:
    obj = add(MIXED)
    settings().colors = "FACE_TYPES"
    copy = obj.copy()
    bpy.context.scene.collection.objects.link(copy)
    settings().colors = "NONE"
    assert not copy.modifiers and not obj.modifiers


def test_what_left_the_scene_loses_its_colors_too() -> None:
    obj = add(MIXED)
    settings().colors = "FACE_TYPES"
    bpy.data.collections[SESSION].objects.unlink(obj)
    obj.use_fake_user = True
    settings().colors = "NONE"
    assert not obj.modifiers
    assert not bpy.data.node_groups


def test_an_artists_own_materials_and_nodes_of_these_names_stay() -> None:
    add(MIXED)
    material = bpy.data.materials.new("CSM Retopo Quad")
    group = bpy.data.node_groups.new("CSM Retopo Face Types", "GeometryNodeTree")
    settings().colors = "FACE_TYPES"
    settings().colors = "NONE"
    assert list(bpy.data.materials) == [material]
    assert list(bpy.data.node_groups) == [group]


def test_a_removed_modifier_comes_back_with_the_next_refresh() -> None:
    obj = add(MIXED)
    settings().colors = "FACE_TYPES"
    obj.modifiers.clear()
    display.refresh(bpy.context.scene)
    assert shown(obj) == ["Triangle", "Quad", "N-Gon"]


def test_a_scene_of_another_name_has_its_legend() -> None:
    obj = add(MIXED, **{DEVIATION_ATTRIBUTE: (0.0, 0.1, 0.2)})
    settings().colors = "DEVIATION"
    legend = coloring.shown_legend(bpy.context.scene)
    bpy.context.scene.name = "Another"
    assert coloring.shown_legend(bpy.context.scene) == legend is not None
    settings().color_limit = 10
    assert coloring.shown_legend(bpy.context.scene) != legend
    assert len(obj.modifiers) == len(bpy.data.node_groups) == 1
    copy = bpy.context.scene.copy()
    assert coloring.shown_legend(copy) == coloring.shown_legend(bpy.context.scene)


def test_nothing_is_left_where_the_nodes_were_removed_by_hand() -> None:
    obj = add(MIXED)
    settings().colors = "FACE_TYPES"
    bpy.data.node_groups.remove(bpy.data.node_groups[0])
    settings().colors = "POLES"
    assert len(obj.modifiers) == 1
    settings().colors = "NONE"
    assert not obj.modifiers
    assert not bpy.data.materials


def test_what_left_the_scene_loses_its_wires_too() -> None:
    obj = add(MIXED)
    settings().wireframe = True
    bpy.context.scene.collection.children.unlink(bpy.data.collections[SESSION])
    settings().wireframe = False
    assert not obj.show_wire
    assert obj.csm_retopo.wires_before == -1


def test_all_goes_when_the_extension_is_disabled(
    run_blender: Callable[..., str], archive: Path
) -> None:
    run_blender(
        """
import sys

import bpy
import lifecycle

lifecycle.install(sys.argv[1])
bpy.ops.wm.read_homefile(use_empty=True)
bpy.ops.csm_retopo.import_sample()
materials = set(bpy.data.materials)
bpy.context.scene.csm_retopo.colors = "DEVIATION"
bpy.context.scene.csm_retopo.wireframe = True
bpy.ops.preferences.addon_disable(module=lifecycle.MODULE)
assert not any(obj.modifiers or obj.show_wire for obj in bpy.data.objects)
assert not bpy.data.node_groups
assert set(bpy.data.materials) == materials
lifecycle.check_nothing_left()
""",
        archive,
    )


def test_blender_can_be_quit_with_colors_on(run_blender: Callable[..., str], archive: Path) -> None:
    printed = run_blender(
        """
import sys

import bpy
import lifecycle

lifecycle.install(sys.argv[1])
bpy.ops.csm_retopo.import_sample()
bpy.context.scene.csm_retopo.colors = "POLES"
bpy.context.view_layer.update()
print("Colored")
""",
        archive,
    )
    assert "Colored" in printed
    assert "Traceback" not in printed
