# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep: one variation becomes the result, with each of its options."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.scene import removal
from bl_ext.user_default.csm_retopo.scene.compare import flipping

__all__ = ["nothing_left"]

keep = bpy.ops.csm_retopo.keep
flip = bpy.ops.csm_retopo.flip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of a source and three variations."""
    return sessions.new_folder(tmp_path_factory.mktemp("first"), 3)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another session of the same input mesh, with two variations."""
    return sessions.new_folder(tmp_path_factory.mktemp("second"), 2)


def place(folder: Path) -> str:
    assert bpy.ops.csm_retopo.import_folder(directory=str(folder)) == {"FINISHED"}
    bpy.context.view_layer.update()
    return json.loads((folder / "session.json").read_text())["_id"]


def visible() -> list[str]:
    bpy.context.view_layer.update()
    return sorted(obj.name for obj in bpy.context.scene.objects if obj.visible_get())


def saved_orphans() -> list[str]:
    """What a saved file holds of objects and their data though nobody uses it. Opens that file."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/kept.blend"
        bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
        bpy.ops.wm.open_mainfile(filepath=path)
    kinds = {"OBJECT", "COLLECTION", "MESH", "CURVE", "IMAGE", "NODETREE"}
    return sorted(
        block.name
        for block in bpy.data.user_map()
        if block.users == 0 and block.id_type in kinds and block.name != removal.STAND_IN
    )


def whole() -> dict[str, Any]:
    """The file, as far as keeping could change it."""
    bpy.context.view_layer.update()
    active = bpy.context.view_layer.objects.active
    return {
        "data": sorted(f"{each.id_type} {each.name}" for each in bpy.data.user_map()),
        "active": active and active.name,
        **{
            obj.name: (
                tuple(map(tuple, obj.matrix_basis)),
                obj.data and obj.data.name,
                obj.hide_get(),
                (obj.hide_viewport, obj.hide_render, obj.select_get()),
                (obj.csm_retopo.role, obj.csm_retopo.session_id, obj.csm_retopo.index),
                [each.name for each in obj.users_collection],
                [slot.material and slot.material.name for slot in obj.material_slots],
                obj.parent and obj.parent.name,
                obj.asset_data and obj.asset_data.description,
                [each.name for each in obj.data.attributes] if obj.type == "MESH" else [],
                obj.constraints.keys(),
                obj.modifiers.keys(),
            )
            for obj in bpy.context.scene.objects
        },
    }


def result() -> bpy.types.Object:
    return bpy.context.view_layer.objects.active


def paint_source() -> bpy.types.Object:
    """Give the source a material on its upper faces and another on the rest."""
    (source,) = objects("SOURCE")
    for name in ("Lower", "Upper"):
        source.data.materials.append(bpy.data.materials.new(name))
    for face in source.data.polygons:
        face.material_index = int(face.normal.z > 0.5)
    return source


def uv_area(mesh: bpy.types.Mesh, name: str) -> float:
    uvs = [tuple(each.vector) for each in mesh.uv_layers[name].uv]
    area = 0.0
    for face in mesh.polygons:
        corners = [uvs[each] for each in face.loop_indices]
        for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True):
            area += abs(x * next_y - next_x * y) / 2
    return area


def test_the_result_stands_at_the_sources_place(folder: Path) -> None:
    session_id = place(folder)
    (source,) = objects("SOURCE")
    source.location = (1 / 3, 2.0, -0.7)
    two = objects("VARIATION")[1]
    # Its own preview and label stand beside it, and will have nothing to stand beside any more.
    gone = {two.name, f"{two.name} Label", f"{two.name} Preview"}
    others = {obj.name for obj in bpy.context.scene.objects} - gone
    assert keep(object_name=two.name, name="Hero") == {"FINISHED"}
    assert (result().name, result().data.name) == ("Hero", "Hero")
    assert tuple(result().location) == tuple(source.location)
    assert result().csm_retopo.role == "NONE"
    assert result().csm_retopo.session_id == ""
    assert not [each.name for each in result().data.attributes if each.name.startswith("csm_")]
    assert [each.name for each in result().users_collection] == [bpy.context.scene.collection.name]
    assert visible() == ["Hero"]
    assert bpy.context.view_layer.objects.selected[:] == [result()]
    hidden = bpy.data.collections[session_id].objects
    assert {obj.name for obj in hidden} == others
    assert all(obj.hide_get() and obj.hide_render and not obj.hide_viewport for obj in hidden)
    assert not result().hide_render
    assert not result().children
    assert not saved_orphans()


def test_by_default_it_is_the_active_one_named_after_the_source(folder: Path) -> None:
    place(folder)
    bpy.context.view_layer.objects.active = objects("VARIATION")[2]
    keep()
    assert result().name == "Box Retopo"
    assert len(result().data.vertices) == 8


def test_the_one_flipped_to_is_kept(folder: Path, second: Path) -> None:
    place(folder)
    other = place(second)
    flip(session_id=other)
    bpy.ops.csm_retopo.flip_step()
    chosen = flipping.shown(bpy.context.scene).data
    keep(name="Hero", others="HIDE")
    assert result().data == chosen
    assert not flipping.is_on(bpy.context.scene)
    assert not result().constraints and not any(result().lock_location)
    assert visible() == ["Hero"]


def test_the_others_are_deleted_with_their_data(folder: Path, second: Path) -> None:
    place(folder)
    place(second)
    bpy.context.scene.csm_retopo.flip.show_ghost = True
    bpy.context.scene.csm_retopo.colors = "FACE_TYPES"
    bpy.context.scene.csm_retopo.wireframe = True
    flip()
    keep(name="Hero", others="DELETE")
    assert not result().modifiers and not result().show_wire
    bpy.context.scene.csm_retopo.colors = "NONE"
    bpy.context.scene.csm_retopo.wireframe = False
    assert [obj.name for obj in bpy.context.scene.objects] == ["Hero"]
    assert not saved_orphans()
    assert [obj.name for obj in bpy.data.objects] == ["Hero"]


def test_the_others_are_left(folder: Path) -> None:
    place(folder)
    before = whole()
    one = objects("VARIATION")[0].name
    keep(object_name=one, name="Hero", others="LEAVE")
    now = whole()
    gone = {name for name in before if now.get(name) != before[name]}
    assert gone == {"data", "active", one, f"{one} Label", f"{one} Preview"}
    assert not saved_orphans()


def test_one_that_was_hidden_is_seen(folder: Path) -> None:
    place(folder)
    two = objects("VARIATION")[1]
    two.hide_set(True)
    two.hide_render = two.hide_viewport = True
    keep(object_name=two.name, name="Hero")
    assert visible() == ["Hero"]
    assert not result().hide_render


def test_what_an_artist_has_parented_stays_where_it_is(folder: Path) -> None:
    place(folder)
    one, two, _ = objects("VARIATION")
    hat = bpy.data.objects.new("Hat", None)
    bpy.context.scene.collection.objects.link(hat)
    hat.parent = two
    bpy.context.view_layer.update()
    where = hat.matrix_world.copy()
    keep(object_name=one.name, others="DELETE")
    bpy.context.view_layer.update()
    assert hat.matrix_world == where


@pytest.mark.parametrize("others", ["HIDE", "DELETE", "LEAVE"])
def test_a_later_import_places_the_variation_again(folder: Path, others: str) -> None:
    place(folder)
    row = {obj.csm_retopo.index: tuple(obj.location) for obj in objects("VARIATION")}
    keep(object_name=objects("VARIATION")[1].name, name="Hero", others=others)
    hero = result()
    mesh, where = hero.data, tuple(hero.location)
    place(folder)
    assert len(objects("VARIATION")) == 3
    assert hero not in objects("VARIATION")
    assert (hero.name, hero.data, tuple(hero.location)) == ("Hero", mesh, where)
    assert hero.csm_retopo.role == "NONE"
    assert tuple(objects("VARIATION")[1].location) == row[1]
    assert [each.csm_retopo.index for each in objects("PREVIEW")] == [0, 1, 2]
    assert [each.csm_retopo.index for each in objects("LABEL")] == [-1, 0, 1, 2]
    assert not saved_orphans()


def test_uv_maps_are_transferred(folder: Path) -> None:
    place(folder)
    (source,) = objects("SOURCE")
    while source.data.uv_layers:
        source.data.uv_layers.remove(source.data.uv_layers[0])
    for name in ("Map", "Light"):
        layer = source.data.uv_layers.new(name=name)
        for corner in source.data.loops:
            x, y, z = source.data.vertices[corner.vertex_index].co
            layer.uv[corner.index].vector = (x + 0.3 * y, z + 0.2 * y)
    one = objects("VARIATION")[0]
    # What the artist has put on it is no part of its mesh.
    one.modifiers.new("Subdivision", "SUBSURF")
    keep(object_name=one.name, transfer_uvs=True)
    mesh = result().data
    assert [layer.name for layer in mesh.uv_layers] == ["Map", "Light"]
    for layer in mesh.uv_layers:
        assert uv_area(mesh, layer.name) == pytest.approx(uv_area(source.data, layer.name), rel=0.2)
    assert len(mesh.polygons) == 6
    assert result().modifiers.keys() == ["Subdivision"]
    assert mesh.name == "Box Retopo"
    assert not saved_orphans()


def test_normals_are_transferred(folder: Path) -> None:
    place(folder)
    (source,) = objects("SOURCE")
    source.data.normals_split_custom_set_from_vertices(
        [vertex.co.normalized() for vertex in source.data.vertices]
    )
    one = objects("VARIATION")[0]
    flat = [tuple(each.vector) for each in one.data.corner_normals]
    keep(object_name=one.name, transfer_normals=True)
    mesh = result().data
    assert mesh.has_custom_normals
    changed = 0
    for loop, corner, before in zip(mesh.loops, mesh.corner_normals, flat, strict=True):
        vertex = mesh.vertices[loop.vertex_index].co
        if vertex.length > 0.1:
            assert corner.vector.dot(vertex.normalized()) == pytest.approx(1, abs=0.02)
            changed += tuple(corner.vector) != before
    assert changed
    assert not saved_orphans()


def test_each_face_gets_the_material_of_the_nearest(folder: Path) -> None:
    place(folder)
    paint_source()
    keep(object_name=objects("VARIATION")[0].name, transfer_materials=True, others="DELETE")
    mesh = result().data
    names = {face.index: mesh.materials[face.material_index].name for face in mesh.polygons}
    assert names == {
        face.index: "Upper" if face.normal.z > 0.5 else "Lower" for face in mesh.polygons
    }
    assert sorted(names.values()) == ["Lower"] * 5 + ["Upper"]
    assert not saved_orphans()


def test_a_single_material_goes_to_all_faces(folder: Path) -> None:
    place(folder)
    (source,) = objects("SOURCE")
    source.data.materials.append(bpy.data.materials.new("Clay"))
    # Of the object instead of its mesh, as an artist may have it.
    source.material_slots[0].link = "OBJECT"
    source.material_slots[0].material = bpy.data.materials.new("Gold")
    keep(object_name=objects("VARIATION")[0].name, transfer_materials=True, transfer_uvs=True)
    assert result().data.materials.keys() == ["Gold"]
    assert uv_area(result().data, "UVMap") > 0


def test_an_asset_has_a_picture_and_numbers(folder: Path) -> None:
    session_id = place(folder)
    keep(object_name=objects("VARIATION")[1].name, mark_asset=True, others="DELETE")
    asset = result().asset_data
    assert "12 triangles" in asset.description and session_id in asset.description
    preview = result().preview
    assert tuple(preview.image_size) == (9, 8)
    assert {round(each, 1) for each in preview.image_pixels_float} == {0.5, 1.0}
    assert not saved_orphans()


def test_one_undo_step_brings_everything_back(folder: Path, second: Path) -> None:
    place(folder)
    place(second)
    paint_source_of_all()
    for state in ("row", "flipping"):
        if state == "flipping":
            flip()
        bpy.ops.ed.undo_push(message="Before")
        before = whole()
        keep(
            "EXEC_DEFAULT",
            True,
            object_name=objects("VARIATION")[1].name,
            name="Hero",
            others="DELETE",
            transfer_uvs=True,
            transfer_normals=True,
            transfer_materials=True,
            mark_asset=True,
        )
        after = whole()
        assert "Hero" in after
        bpy.ops.ed.undo()
        assert whole() == before
        bpy.ops.ed.redo()
        assert whole() == after
        assert result().preview.image_size[0] > 0
        bpy.ops.ed.undo()
        assert whole() == before


def test_nothing_that_an_undo_brings_back_is_freed(folder: Path, second: Path) -> None:
    # Blender's undo mixes up what it reads with what was freed: rarely, but then it crashes.
    place(folder)
    place(second)
    paint_source_of_all()
    before = {block.session_uid for block in bpy.data.user_map()}
    keep(
        object_name=objects("VARIATION")[1].name,
        others="DELETE",
        transfer_uvs=True,
        transfer_normals=True,
        transfer_materials=True,
        mark_asset=True,
    )
    assert before <= {block.session_uid for block in bpy.data.user_map()}


def paint_source_of_all() -> None:
    for source in objects("SOURCE"):
        source.data.materials.append(bpy.data.materials.new("Paint"))


def test_without_a_source(folder: Path) -> None:
    place(folder)
    bpy.data.objects.remove(objects("SOURCE")[0])
    one, two, _ = objects("VARIATION")
    for option in ("transfer_uvs", "transfer_normals", "transfer_materials"):
        before = whole()
        with pytest.raises(RuntimeError, match="source is not in the scene"):
            keep(object_name=two.name, **{option: True})
        assert whole() == before
    where = tuple(one.location)
    keep(object_name=two.name)
    assert result().name == "Box retopo 2"
    assert tuple(result().location) == where


def test_reasons_and_errors(folder: Path) -> None:
    assert not keep.poll()
    place(folder)
    before = whole()
    with pytest.raises(RuntimeError, match="No variation is chosen: make one active"):
        keep()
    for name in (objects("SOURCE")[0].name, objects("LABEL")[1].name, "Nobody"):
        with pytest.raises(RuntimeError, match=f"{name} is no variation"):
            keep(object_name=name)
    one = objects("VARIATION")[0]
    one.shape_key_add(name="Basis")
    with pytest.raises(RuntimeError, match="shape keys"):
        keep(object_name=one.name, transfer_uvs=True)
    one.shape_key_clear()
    assert whole() == before
    bpy.context.view_layer.objects.active = one
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="Object Mode"):
        keep()
    bpy.ops.object.mode_set(mode="OBJECT")


def test_one_that_is_linked_can_not_be_kept(folder: Path, tmp_path: Path) -> None:
    session_id = place(folder)
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.collections = [session_id]
    bpy.context.scene.collection.children.link(bpy.data.collections[session_id])
    before = whole()
    with pytest.raises(RuntimeError, match="linked from another file"):
        keep(object_name=objects("VARIATION")[0].name)
    with pytest.raises(RuntimeError, match="linked"):
        flip()
    assert whole() == before


def test_a_variation_alone_and_one_without_faces(tmp_path: Path) -> None:
    place(sessions.new_folder(tmp_path / "one", 1))
    one = objects("VARIATION")[0]
    one.data.clear_geometry()
    one.csm_retopo.metrics = "{}"
    keep(
        object_name=one.name,
        transfer_uvs=True,
        transfer_normals=True,
        transfer_materials=True,
        mark_asset=True,
        others="DELETE",
    )
    assert result().asset_data.description.startswith("- triangles, - quads")
    assert not saved_orphans()


def test_what_shares_its_mesh_stays_as_it_is(folder: Path) -> None:
    place(folder)
    paint_source()
    one = objects("VARIATION")[0]
    one.data.materials.append(bpy.data.materials.new("Own"))
    other = bpy.data.objects.new("Other", one.data)
    bpy.context.scene.collection.objects.link(other)
    name, attributes = one.data.name, one.data.attributes.keys()
    keep(object_name=one.name, name="Hero", transfer_materials=True)
    assert [each.name for each in result().data.materials] == ["Lower", "Upper"]
    assert other.data.name == name
    assert other.data.attributes.keys() == attributes
    assert [each.name for each in other.data.materials] == ["Own"]


def test_too_many_uv_maps_change_nothing(folder: Path) -> None:
    place(folder)
    one = objects("VARIATION")[0]
    for number in range(8):
        one.data.uv_layers.new(name=f"Own {number}")
    flip()
    before = whole()
    with pytest.raises(RuntimeError, match="more than 8 UV maps"):
        keep(object_name=one.name, transfer_uvs=True)
    assert whole() == before
    assert flipping.is_on(bpy.context.scene)


def test_one_whose_sessions_collection_is_gone(folder: Path, second: Path) -> None:
    session_id = place(folder)
    place(second)
    collection = bpy.data.collections[session_id]
    for obj in collection.objects:
        bpy.context.scene.collection.objects.link(obj)
    bpy.data.collections.remove(collection)
    one = objects("VARIATION", session_id)[0]
    assert keep(object_name=one.name, name="Hero") == {"FINISHED"}
    assert result().name == "Hero"
    assert result().csm_retopo.role == "NONE"
    assert objects("VARIATION", session_id)[0].visible_get()
