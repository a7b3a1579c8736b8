# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the scene after an import, after another one, and after what an artist does."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import bpy
import pytest
import sessions
from sessions import box, nothing_left, objects

from bl_ext.user_default.csm_retopo.api.cache import Cache
from bl_ext.user_default.csm_retopo.api.errors import CsmError
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene import pending, targets
from bl_ext.user_default.csm_retopo.scene.background import converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing, facing_of_view
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
from bl_ext.user_default.csm_retopo.scene.properties import read_metrics
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget, WhenReady

__all__ = ["nothing_left"]

Folder = Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A session of a source and three variations; from the second import on, it is cached."""
    return sessions.new_folder(tmp_path_factory.mktemp("first"), 3)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return sessions.new_folder(tmp_path_factory.mktemp("other"), 2)


def place(folder: Path) -> str:
    """Import the folder as a script does; returns the session's ID."""
    assert bpy.ops.csm_retopo.import_folder(directory=str(folder)) == {"FINISHED"}
    return json.loads((folder / "session.json").read_text())["_id"]


def locations() -> dict[str, tuple[float, ...]]:
    bpy.context.view_layer.update()
    return {
        each.name: tuple(round(place, 5) for place in each.matrix_world.translation)
        for each in bpy.context.scene.objects
    }


def data_blocks() -> dict[str, int]:
    """How many are used: what nobody uses isn't saved."""
    kinds = ("objects", "meshes", "curves", "collections")
    return {
        **{kind: sum(each.users > 0 for each in getattr(bpy.data, kind)) for kind in kinds},
        "libraries": len(bpy.data.libraries),
    }


def test_a_collection_holds_the_session(folder: Folder) -> None:
    session_id = place(folder)
    collection = bpy.context.scene.collection.children[session_id]
    assert set(collection.objects) == set(bpy.context.scene.objects)
    assert len(collection.objects) == 1 + 3 + 3 + 4
    carried = collection.csm_retopo
    assert carried.session_id == session_id
    assert carried.created_at == "2025-05-15T19:19:13.720Z"
    assert (carried.model, carried.quads) == ("swift", True)
    assert carried.input_asset_id == "ASSET_IN"


def test_objects_carry_what_they_are(folder: Folder) -> None:
    session_id = place(folder)
    (source,) = objects("SOURCE")
    assert (source.name, source.csm_retopo.index) == ("Box", -1)
    assert source.csm_retopo.asset_id == "ASSET_IN"
    assert read_metrics(source)["triangles"] == 12
    for role in ("VARIATION", "PREVIEW"):
        assert [each.csm_retopo.index for each in objects(role)] == [0, 1, 2]
        assert [each.csm_retopo.asset_id for each in objects(role)] == [
            *("ASSET_0", "ASSET_1", "ASSET_2")
        ]
    assert [each.csm_retopo.index for each in objects("LABEL")] == [-1, 0, 1, 2]
    assert {each.csm_retopo.session_id for each in bpy.context.scene.objects} == {session_id}
    names = [each.name for each in objects("VARIATION")]
    assert names == ["Box retopo 1", "Box retopo 2", "Box retopo 3"]
    assert [each.data.name for each in objects("VARIATION")] == names
    assert read_metrics(objects("VARIATION")[0])["faces"] == 6


def test_the_row_runs_along_x_and_the_source_stands_first(folder: Folder) -> None:
    place(folder)
    (source,) = objects("SOURCE")
    assert tuple(source.location) == (0.0, 0.0, 0.0)
    for each in [source, *objects("VARIATION")]:
        assert tuple(each.rotation_euler) == (0.0, 0.0, 0.0)
        assert tuple(each.scale) == (1.0, 1.0, 1.0)
        # The frame is common: moved to the source's place, a variation lies over it.
        assert tuple(each.location)[1:] == (0.0, 0.0)
    assert box(source)[1:] == [pytest.approx((-3, 0), abs=1e-5), pytest.approx((0, 2), abs=1e-5)]
    row = [source, *objects("VARIATION")]
    assert [each.csm_retopo.index for each in sorted(row, key=lambda o: o.location.x)] == [
        *(-1, 0, 1, 2)
    ]
    extents = [box(source)[0]]
    for mesh, preview in zip(objects("VARIATION"), objects("PREVIEW"), strict=True):
        extents += [box(mesh)[0], preview_extent(preview)]
    for before, after in pairwise(extents):
        assert before[1] < after[0]


def preview_extent(preview: bpy.types.Object, axis: int = 0) -> tuple[float, float]:
    """What an image takes up along X or Z, seen from the front.

    Its longer side is the empty's size; its offset, in shares of its sides, is from the origin.
    """
    side = 0 if axis == 0 else 1
    size = preview.empty_display_size * preview.data.size[side] / max(preview.data.size)
    low = preview.matrix_world.translation[axis] + preview.empty_image_offset[side] * size
    return low, low + size


def test_previews_are_packed_beside_their_mesh_and_as_high(folder: Folder) -> None:
    place(folder)
    for mesh, preview in zip(objects("VARIATION"), objects("PREVIEW"), strict=True):
        image = preview.data
        assert preview.empty_display_type == "IMAGE"
        assert preview.parent == mesh
        assert image.packed_file is not None
        assert tuple(image.size) == (8 + mesh.csm_retopo.index, 8)
        assert image.filepath == f"//retopo_render_{mesh.csm_retopo.index}.png"
        assert {each.filepath for each in image.packed_files} == {image.filepath}
        assert preview_extent(preview, axis=2) == pytest.approx(box(mesh)[2], abs=1e-4)
        # Or else Blender draws a line from one origin to the other.
        assert preview.location.length < mesh.dimensions.length


def test_labels_tell_name_faces_and_share_of_quads(folder: Folder) -> None:
    place(folder)
    source, first, *_ = objects("LABEL")
    assert source.data.body == "Box\nSource · 12 faces"
    assert first.data.body == "Box retopo 1\n6 faces · 100 % quads"
    assert first.parent == objects("VARIATION")[0]
    assert box(first)[2][1] < box(objects("VARIATION")[0])[2][0]


@pytest.mark.parametrize("letter", ["W", "m", "漢", "i", "@", "Ж"])
def test_long_names_stay_out_of_the_next_slot(wide: Folder, letter: str, tmp_path: Path) -> None:
    document = json.loads((wide / "session.json").read_text())
    document["input"]["mesh"]["name"] = letter * 60
    for mesh in document["output"]["meshes"]:
        mesh["name"] = letter * 60
    files = {path.name: path.read_bytes() for path in wide.iterdir() if path.suffix != ".json"}
    place(sessions.write_folder(tmp_path / "named", document, files))
    for before, after in pairwise([box(label)[0] for label in objects("LABEL")]):
        assert before[1] < after[0]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return sessions.new_folder(tmp_path_factory.mktemp("wide"), 2)


def test_another_session_stands_behind(folder: Folder, other: Folder) -> None:
    first, second = place(folder), place(other)
    back = max(box(each)[1][1] for each in bpy.context.scene.objects if role_in(each, first))
    front = min(box(each)[1][0] for each in bpy.context.scene.objects if role_in(each, second))
    assert front > back
    assert objects("SOURCE", second)[0].location.x == 0.0
    assert [each.name for each in bpy.context.scene.collection.children] == [first, second]


def role_in(each: bpy.types.Object, session_id: str) -> bool:
    return each.csm_retopo.session_id == session_id


def test_twice_makes_no_doubles_and_moves_nothing(folder: Folder, other: Folder) -> None:
    place(folder)
    place(other)
    objects("VARIATION")[1].location.z += 5
    blocks, before = data_blocks(), locations()
    place(folder)
    place(other)
    assert data_blocks() == blocks
    assert locations() == before
    assert blocks["libraries"] == 0


def test_what_was_deleted_comes_back_to_its_slot(folder: Folder) -> None:
    place(folder)
    before = locations()
    for role in ("VARIATION", "PREVIEW", "LABEL"):
        for each in objects(role)[1:2]:
            bpy.data.objects.remove(each)
    place(folder)
    assert locations() == before


def test_a_row_that_was_moved_stays_there(folder: Folder, other: Folder) -> None:
    session_id = place(folder)
    place(other)
    for each in bpy.context.scene.objects:
        if role_in(each, session_id) and each.parent is None:
            each.location += type(each.location)((100.0, 20.0, 3.0))
    # One of the row, taken out of it, doesn't take the row with it.
    objects("SOURCE", session_id)[0].location = (-50.0, 0.0, 0.0)
    before = locations()
    bpy.data.objects.remove(objects("VARIATION", session_id)[1])
    place(folder)
    after = locations()
    assert after.pop("Box retopo 2") == before.pop("Box retopo 2")
    assert after == {name: at for name, at in before.items() if name in after}


def test_renamed_objects_are_found_again(folder: Folder) -> None:
    place(folder)
    for number, each in enumerate(bpy.context.scene.objects):
        each.name = f"Thing {number}"
    bpy.context.scene.collection.children[0].name = "My Row"
    blocks = data_blocks()
    place(folder)
    assert data_blocks() == blocks
    assert objects("VARIATION")[0].name.startswith("Thing")


def test_copies_and_conversions_of_the_artist_are_left_alone(folder: Folder) -> None:
    place(folder)
    mesh, label = objects("VARIATION")[0], objects("LABEL")[1]
    copy = mesh.copy()
    copy.location.x += 50
    bpy.context.scene.collection.objects.link(copy)
    bpy.context.view_layer.objects.active = label
    label.select_set(True)
    bpy.ops.object.convert(target="MESH")
    blocks = data_blocks()
    place(folder)
    assert copy.location.x == pytest.approx(mesh.location.x + 50)
    # The label that became a mesh is the artist's; a new one takes its place.
    assert label.type == "MESH"
    assert data_blocks()["objects"] == blocks["objects"] + 1
    place(folder)
    assert data_blocks()["objects"] == blocks["objects"] + 1


def test_an_edited_mesh_is_not_overwritten(folder: Folder) -> None:
    place(folder)
    mesh = objects("VARIATION")[0].data
    mesh.vertices[0].co.x = -0.25
    place(folder)
    assert objects("VARIATION")[0].data == mesh
    assert mesh.vertices[0].co.x == -0.25


@pytest.fixture
def changing(tmp_path: Path) -> tuple[Folder, Callable[[], None]]:
    """A session folder, and what exchanges a mesh, the source and an image in it."""
    folder = sessions.new_folder(
        tmp_path / "changing", 2, mesh_glb=sessions.glb((1, 2, 3), texture=sessions.png())
    )

    def change() -> None:
        (folder / "retopo_mesh_0.obj").write_bytes(sessions.obj((1, 2, 3), after="f 1 2 8"))
        (folder / "retopo_render_0.png").write_bytes(sessions.png(9, 9))
        glb = sessions.glb((1, 2, 3.1), texture=sessions.png(4, 4))
        (folder / "mesh.glb").write_bytes(glb)

    return folder, change


def test_a_changed_file_updates_what_is_there(
    changing: tuple[Folder, Callable[[], None]],
) -> None:
    folder, change = changing
    place(folder)
    variation, preview = objects("VARIATION")[0], objects("PREVIEW")[0]
    objects("SOURCE")[0].location.x = -7.0
    blocks, before = data_blocks(), locations()
    change()
    place(folder)
    assert objects("VARIATION")[0] == variation
    assert len(variation.data.polygons) == 7
    assert read_metrics(variation)["faces"] == 7
    assert objects("LABEL")[1].data.body.endswith("7 faces · 85.7 % quads")
    assert tuple(preview.data.size) == (9, 9)
    (image,) = [each for each in bpy.data.images if tuple(each.size) == (4, 4)]
    assert image.users == 1
    assert data_blocks() == blocks
    assert locations() == before


def test_an_object_in_edit_mode_is_left_alone(changing: tuple[Folder, Callable[[], None]]) -> None:
    folder, change = changing
    place(folder)
    variation = objects("VARIATION")[0]
    bpy.context.view_layer.objects.active = variation
    bpy.ops.object.mode_set(mode="EDIT")
    mesh = variation.data
    change()
    blocks = data_blocks()
    place(folder)
    assert variation.mode == "EDIT"
    assert variation.data == mesh
    assert len(mesh.polygons) == 6
    assert data_blocks() == blocks
    message = bpy.context.window_manager.csm_retopo.message
    assert f"{variation.name} is being edited and was left as it is" in message
    bpy.ops.object.mode_set(mode="OBJECT")
    place(folder)
    assert len(variation.data.polygons) == 7


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT", "SCULPT", "VERTEX_PAINT"])
def test_the_artist_is_not_disturbed(folder: Folder, mode: str) -> None:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.mesh.primitive_cube_add()
    active = bpy.context.object
    collection = bpy.data.collections.new("Mine")
    bpy.context.scene.collection.children.link(collection)
    view_layer = bpy.context.view_layer
    view_layer.active_layer_collection = view_layer.layer_collection.children["Mine"]
    bpy.ops.object.mode_set(mode=mode)
    elsewhere = bpy.data.scenes.new("Elsewhere")
    place(folder)
    assert bpy.context.object == active
    assert active.mode == mode
    assert list(view_layer.objects.selected) == [active]
    assert view_layer.active_layer_collection.name == "Mine"
    assert not collection.objects
    assert not elsewhere.objects
    assert not elsewhere.collection.children
    assert len(bpy.data.scenes) == 2


def test_the_same_session_in_two_scenes(folder: Folder) -> None:
    place(folder)
    first, before = bpy.context.scene, locations()
    second = bpy.data.scenes.new("Second")
    bpy.context.window.scene = second
    place(folder)
    assert len(second.objects) == len(first.objects)
    assert not set(second.objects) & set(first.objects)
    bpy.context.window.scene = first
    assert locations() == before


def test_undo_and_redo(folder: Folder) -> None:
    bpy.ops.ed.undo_push(message="Before")
    place(folder)
    bpy.ops.ed.undo_push(message="Import")
    count = len(bpy.data.objects)
    bpy.ops.ed.undo()
    assert not bpy.data.objects
    bpy.ops.ed.redo()
    assert len(bpy.data.objects) == count
    place(folder)
    assert len(bpy.data.objects) == count


def started(folder: Path, cache: Cache, facing: Facing = Facing.FRONT) -> Import:
    """An import into the open scene that has begun."""
    target = SceneTarget(bpy.context.scene.session_uid, facing)
    running = Import(FolderJob(folder, cache), target, converter.Converter(cache))
    running.start()
    return running


def about_to_put(folder: Path, cache: Cache) -> Import:
    """An import whose meshes have all been converted."""
    running = started(folder, cache)
    while running._putting is None:
        running._step_once(0.01)
    return running


def under_way(folder: Path, cache: Cache) -> Import:
    """An import that has begun to put meshes into the open scene."""
    running = about_to_put(folder, cache)
    while len(bpy.data.meshes) < 4:
        running._step_once(0.0)
    assert not bpy.data.objects
    return running


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


DIAGONAL = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("looking", "toward"),
    [
        ((0, 1, 0), (0, -1, 0)),
        ((0.1, 0.95, -0.3), (0, -1, 0)),
        # The view of a new file.
        ((-0.65, 0.62, -0.44), (DIAGONAL, -DIAGONAL, 0)),
        ((-1, 0, 0), (1, 0, 0)),
        ((0, -1, 0), (0, 1, 0)),
        ((0.7, -0.7, -0.1), (-DIAGONAL, DIAGONAL, 0)),
        ((0, 0.1, -0.99), (0, 0, 1)),
    ],
)
def test_labels_and_previews_look_at_the_artist(
    folder: Folder,
    cache: Cache,
    looking: tuple[float, float, float],
    toward: tuple[float, float, float],
) -> None:
    facing = facing_of_view(looking)
    running = started(folder, cache, facing)
    running.run()
    running.close(2.0)
    bpy.context.view_layer.update()
    meshes = [*objects("SOURCE"), *objects("VARIATION")]
    for mesh, label in zip(meshes, objects("LABEL"), strict=True):
        assert tuple(label.matrix_world.col[2])[:3] == pytest.approx(toward, abs=1e-6)
        axis = 1 if facing is Facing.TOP else 2  # below the mesh, as the artist sees it
        assert box(label)[axis][1] < box(mesh)[axis][0]
    for preview in objects("PREVIEW"):
        assert tuple(preview.matrix_world.col[2])[:3] == pytest.approx(toward, abs=1e-6)


def test_an_artist_at_work_is_waited_for_and_can_undo(folder: Folder, cache: Cache) -> None:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.ed.undo_push(message="Edit Mode")
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT, WhenReady.OBJECT_MODE)
    running = Import(FolderJob(folder, cache), target, converter.Converter(cache))
    running.start()
    while not running.stage.startswith("Ready"):
        running.step(0.01)
    for _ in range(5):
        running.step()
    assert not running.is_over
    assert len(bpy.data.objects) == len(bpy.data.meshes) == 1
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.ed.undo_push(message="Object Mode")
    running.run()
    running.close(2.0)
    assert len(bpy.data.objects) == 1 + 11
    bpy.ops.ed.undo()
    assert [each.name for each in bpy.data.objects] == ["Cube"]
    assert not bpy.data.collections
    bpy.ops.ed.redo()
    assert len(bpy.data.objects) == 1 + 11
    assert len(objects("VARIATION")) == 3


def test_an_artist_who_goes_to_work_while_it_is_brought_in_is_waited_for(
    folder: Folder, cache: Cache
) -> None:
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT, WhenReady.OBJECT_MODE)
    running = Import(FolderJob(folder, cache), target, converter.Converter(cache))
    running.start()
    while len(bpy.data.meshes) < 1 + 4:
        running._step_once(0.01)
    bpy.ops.object.mode_set(mode="EDIT")
    while not running.waits_for_artist:
        running.step(0.01)
    assert running.stage == "Ready: waiting for Object Mode"
    assert list(bpy.data.objects) == [cube]
    assert cube.mode == "EDIT"
    running.place()
    running.run()
    running.close(2.0)
    assert cube.mode == "EDIT"
    assert len(objects("VARIATION")) == 3
    assert len(bpy.data.meshes) == 1 + 4


def test_cancelled_while_placing(folder: Folder, cache: Cache) -> None:
    running = under_way(folder, cache)
    running.close(2.0)
    assert not bpy.data.meshes
    assert not bpy.data.objects
    assert all(str(each.status) == "skipped" for each in running.outcome.variations)


def test_the_scene_is_deleted_while_placing(folder: Folder, cache: Cache) -> None:
    scene = bpy.context.scene
    bpy.data.scenes.new("Other")
    running = under_way(folder, cache)
    bpy.data.scenes.remove(scene)
    outcome = running.run()
    running.close(2.0)
    assert isinstance(outcome.error, CsmError)
    assert str(outcome.error).endswith(" is gone: import the session again")
    assert not bpy.data.meshes
    assert not bpy.data.collections


def test_objects_are_deleted_while_placing(folder: Folder, cache: Cache) -> None:
    place(folder)
    for each in objects("VARIATION"):
        each.csm_retopo.file_sha256 = "another"
    meshes = len(bpy.data.meshes)
    running = about_to_put(folder, cache)
    running._step_once(0.0)
    for each in list(bpy.data.objects):
        bpy.data.objects.remove(each)
    outcome = running.run()
    running.close(2.0)
    assert outcome.error is None
    assert len(objects("VARIATION")) == 3
    assert len([each for each in bpy.data.meshes if each.users]) == meshes


def test_the_cache_is_cleared_while_placing(folder: Folder, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    running = under_way(folder, cache)
    shutil.rmtree(cache.root)
    outcome = running.run()
    running.close(2.0)
    assert outcome.error is None
    assert len(objects("VARIATION")) == 3


def test_an_undo_takes_away_what_waits(folder: Folder, cache: Cache) -> None:
    running = under_way(folder, cache)
    bpy.data.batch_remove(list(bpy.data.meshes))
    outcome = running.run()
    running.close(2.0)
    assert outcome.error is None
    assert len(objects("VARIATION")) == 3


def test_the_cache_is_cleared_and_an_undo_takes_away_what_waits(
    folder: Folder, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    running = under_way(folder, cache)
    shutil.rmtree(cache.root)
    bpy.data.batch_remove(list(bpy.data.meshes))
    outcome = running.run()
    running.close(2.0)
    assert "is gone: import the session again" in str(outcome.error)
    assert not bpy.data.meshes


def test_an_undo_step_while_threads_run() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            os.lstat(__file__)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        # Blender crashes here, some of the time, when the step is pushed in a context override.
        for _ in range(200):
            targets._push_undo_step()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_preview_that_vanished_costs_only_itself(folder: Folder, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    copy = sessions.write_folder(
        tmp_path / "copy",
        json.loads((folder / "session.json").read_text()),
        {each.name: each.read_bytes() for each in folder.iterdir() if each.suffix != ".json"},
    )
    running = under_way(copy, cache)
    (copy / "retopo_render_1.png").unlink()
    bpy.data.batch_remove(list(bpy.data.images))
    outcome = running.run()
    running.close(2.0)
    assert outcome.error is None
    assert outcome.warnings == ["Box retopo 2 has no preview image: it can't be read"]
    assert [each.csm_retopo.index for each in objects("PREVIEW")] == [0, 2]
    assert len(objects("LABEL")) == 4


def test_pending_meshes_of_another_session_stay(folder: Folder, cache: Cache) -> None:
    running = under_way(folder, cache)
    session_id = running.outcome.session.session_id
    pending.discard(session_id[:-1])
    assert len(bpy.data.meshes) == 4
    running.close(2.0)
    assert not bpy.data.meshes
