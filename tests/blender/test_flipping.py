# SPDX-License-Identifier: GPL-3.0-or-later
"""Flip in place: what is shown meanwhile, and that the row comes back to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from mathutils import Matrix
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.scene.compare import flipping

__all__ = ["nothing_left"]

flip = bpy.ops.csm_retopo.flip
flip_step = bpy.ops.csm_retopo.flip_step
flip_swap = bpy.ops.csm_retopo.flip_swap
flip_show = bpy.ops.csm_retopo.flip_show
flip_end = bpy.ops.csm_retopo.flip_end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of a source and three variations."""
    return sessions.new_folder(tmp_path_factory.mktemp("first"), 3)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another session of the same input mesh, with two variations."""
    return sessions.new_folder(tmp_path_factory.mktemp("second"), 2)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of another input mesh."""
    folder = tmp_path_factory.mktemp("stranger")
    session = sessions.document(sessions.new_id(), 2)
    session["input"]["mesh"]["_id"] = "ASSET_OTHER"
    return sessions.write_folder(folder, session, sessions.files(2))


def place(folder: Path) -> str:
    assert bpy.ops.csm_retopo.import_folder(directory=str(folder)) == {"FINISHED"}
    return json.loads((folder / "session.json").read_text())["_id"]


def look_of(obj: bpy.types.Object) -> dict[str, Any]:
    """All that flipping could change of an object, as exact as Blender keeps it."""
    return {
        "basis": tuple(map(tuple, obj.matrix_basis)),
        # Blender evaluates nothing that is hidden.
        "world": tuple(map(tuple, obj.matrix_world)) if obj.visible_get() else None,
        "location": tuple(obj.location),
        "delta": tuple(obj.delta_location),
        "parent": obj.parent and obj.parent.name,
        "hidden": [obj.hide_get(view_layer=each) for each in layers_of(obj)],
        "selected": [obj.select_get(view_layer=each) for each in layers_of(obj)],
        "flags": (obj.hide_viewport, obj.hide_render, obj.hide_select),
        "locks": (*obj.lock_location, *obj.lock_rotation, *obj.lock_scale),
        "constraints": obj.constraints.keys(),
        "modifiers": obj.modifiers.keys(),
        "materials": [slot.material and slot.material.name for slot in obj.material_slots],
    }


def layers_of(obj: bpy.types.Object) -> list[bpy.types.ViewLayer]:
    return [each for each in bpy.context.scene.view_layers if obj.name in each.objects]


def whole() -> dict[str, Any]:
    """The file, as far as flipping could change it."""
    bpy.context.view_layer.update()
    kinds = ("objects", "meshes", "curves", "images", "materials", "node_groups", "collections")
    active = bpy.context.view_layer.objects.active
    return {
        **{obj.name: look_of(obj) for obj in bpy.context.scene.objects},
        "data": {kind: sorted(getattr(bpy.data, kind).keys()) for kind in kinds},
        "active": active and active.name,
    }


def changes(before: dict[str, Any]) -> dict[str, Any]:
    """What is not as it was, for a message that can be read."""
    now = whole()
    return {
        key: (before.get(key), now.get(key))
        for key in {*before, *now}
        if before.get(key) != now.get(key)
    }


def visible() -> list[str]:
    """The meshes, previews and labels of sessions that can be seen."""
    bpy.context.view_layer.update()
    return sorted(
        obj.name
        for obj in bpy.context.scene.objects
        if obj.csm_retopo.role != "NONE" and obj.visible_get()
    )


def of(*session_ids: str) -> list[bpy.types.Object]:
    return [obj for obj in bpy.context.scene.objects if obj.csm_retopo.session_id in session_ids]


def is_seen(obj: bpy.types.Object) -> bool:
    return obj.name in visible()


def variation(number: int) -> bpy.types.Object:
    return objects("VARIATION")[number]


def where(obj: bpy.types.Object) -> Matrix:
    bpy.context.view_layer.update()
    return obj.matrix_world.copy()


def test_one_at_a_time_at_the_sources_place(folder: Path) -> None:
    place(folder)
    names = [obj.name for obj in objects("VARIATION")]
    before = whole()
    assert flip() == {"FINISHED"}
    (source,) = objects("SOURCE")
    seen = []
    for _ in range(4):
        seen += visible()
        (shown,) = [obj for obj in objects("VARIATION") if not obj.hide_render]
        assert shown.name == seen[-1]
        assert where(shown) == where(source)
        flip_step()
    assert seen == [*names, names[0]]
    flip_step(step=-1)
    flip_step(step=-1)
    assert visible() == [names[2]]
    assert flip_end() == {"FINISHED"}
    assert not changes(before)


def test_a_and_b(folder: Path) -> None:
    place(folder)
    one, two, three = (obj.name for obj in objects("VARIATION"))
    flip()
    flip_swap()
    assert visible() == [two]
    flip_swap()
    assert visible() == [one]
    flip_show(object_name=three)
    flip_swap()
    assert visible() == [one]
    flip_swap()
    assert visible() == [three]


def test_it_begins_with_the_active_variation(folder: Path, stranger: Path) -> None:
    first = place(folder)
    other = place(stranger)
    flip()
    assert [is_seen(obj) for obj in objects("VARIATION", other)] == [True, False]
    assert all(is_seen(obj) for obj in objects("VARIATION", first))
    flip()
    (label,) = [each for each in objects("LABEL", first) if each.csm_retopo.index == 1]
    bpy.context.view_layer.objects.active = label
    flip()
    assert [is_seen(obj) for obj in objects("VARIATION", first)] == [False, True, False]


def test_sessions_of_one_input_are_flipped_together(
    folder: Path, second: Path, stranger: Path
) -> None:
    ids = [place(folder), place(second)]
    other = place(stranger)
    before = whole()
    flip(session_id=ids[1])
    (source,) = objects("SOURCE", ids[1])
    shown = []
    for _ in range(5):
        (obj,) = [each for each in of(*ids) if is_seen(each)]
        assert where(obj) == where(source)
        shown.append(obj.csm_retopo.session_id)
        flip_step()
    assert shown == [ids[1], ids[1], ids[0], ids[0], ids[0]]
    assert not {obj.name for obj in of(other)} & set(changes(before))
    # A session of another input ends this flip and begins its own.
    flip(session_id=other)
    assert len(flipping.flipped(bpy.context.scene)) == 2
    flip()
    assert not changes(before)


def artists_own(folder: Path) -> dict[str, Any]:
    """A row with everything that could be lost: hidden, moved, parented, locked, selected."""
    place(folder)
    scene = bpy.context.scene
    empty = bpy.data.objects.new("Turntable", None)
    scene.collection.objects.link(empty)
    empty.matrix_world = Matrix.Rotation(0.3, 4, "Z") @ Matrix.Translation((3.1, -2.7, 0.1))
    other_layer = scene.view_layers.new("Other")
    one, two, three = objects("VARIATION")
    one.parent = empty
    one.hide_set(True)
    two.location = (0.1, 0.7, 1 / 3)
    two.rotation_euler = (0.1, 0.2, 0.3)
    two.hide_set(True, view_layer=other_layer)
    two.lock_location = (False, True, False)
    two.select_set(True)
    three.hide_viewport = True
    three.hide_render = True
    (source,) = objects("SOURCE")
    source.rotation_euler.z = 1.1
    source.scale = (1.0, 2.0, 1.0)
    source.select_set(True)
    objects("PREVIEW")[1].hide_set(True)
    objects("LABEL")[2].hide_render = True
    bpy.context.view_layer.objects.active = two
    return whole()


@pytest.mark.parametrize("ghost", [False, True])
def test_the_row_comes_back_exactly(folder: Path, ghost: bool) -> None:
    before = artists_own(folder)
    bpy.context.scene.csm_retopo.flip.show_ghost = ghost
    flip()
    assert bpy.context.view_layer.objects.active == variation(1)
    assert variation(1).select_get()
    (source,) = objects("SOURCE")
    for _ in range(3):
        flip_step()
        assert sum(obj.visible_get() for obj in objects("VARIATION")) == 1
        assert source.visible_get() == ghost
        assert where(flipping.shown(bpy.context.scene)) == where(source)
    flip_end()
    assert not changes(before)


def test_a_ghost_comes_and_goes_while_flipping(folder: Path) -> None:
    place(folder)
    (source,) = objects("SOURCE")
    paint = bpy.data.materials.new("Paint")
    source.data.materials.append(paint)
    before = whole()
    state = bpy.context.scene.csm_retopo.flip
    state.show_ghost = True
    assert not changes(before)
    flip()
    assert source.name in visible()
    assert source.hide_select
    mesh = source.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    (ghost,) = {mesh.materials[face.material_index] for face in mesh.polygons}
    assert 0 < ghost.diffuse_color[3] < 0.5
    assert source.data.materials[:] == [paint]
    state.show_ghost = False
    assert len(visible()) == 1
    state.show_ghost = True
    flip_end()
    assert not changes(before)


def in_steps(*steps: Callable[[], object]) -> list[dict[str, Any]]:
    """Do each as a person would, with Blender's undo. Returns the file before each and after."""
    bpy.ops.ed.undo_push(message="Before")
    found = [whole()]
    for step in steps:
        step()
        found.append(whole())
    return found


def test_every_step_is_undone_and_redone_whole(folder: Path) -> None:
    artists_own(folder)
    run = ("EXEC_DEFAULT", True)
    before, entered, *_, stepped, left = in_steps(
        lambda: flip(*run),
        lambda: flip_step(*run),
        lambda: flip_step(*run),
        lambda: flip_swap(*run),
        lambda: flip_end(*run),
    )
    assert left == before
    bpy.ops.ed.undo()
    assert not changes(stepped)
    assert flipping.is_on(bpy.context.scene)
    # Steps that follow each other are one.
    bpy.ops.ed.undo()
    assert not changes(entered)
    bpy.ops.ed.undo()
    assert not changes(before)
    assert not flipping.is_on(bpy.context.scene)
    for expected in (entered, stepped, left):
        bpy.ops.ed.redo()
        assert not changes(expected)
    bpy.ops.ed.undo()
    flip_step()
    flip_end()
    assert not changes(before)


@pytest.mark.parametrize("ghost", [False, True])
def test_a_file_saved_while_flipping(folder: Path, tmp_path: Path, ghost: bool) -> None:
    before = artists_own(folder)
    bpy.context.scene.csm_retopo.flip.show_ghost = ghost
    flip()
    flip_step()
    flipped = whole()
    path = str(tmp_path / "flipping.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert not changes(flipped)
    flip_step()
    flip_end()
    assert not changes(before)


def test_what_the_artist_does_meanwhile_stays(folder: Path) -> None:
    place(folder)
    before = whole()
    flip()
    one, two, three = objects("VARIATION")
    one.name = "My favorite"
    (empty,) = [bpy.data.objects.new("Empty", None)]
    bpy.context.scene.collection.objects.link(empty)
    empty.location = (1.0, 2.0, 3.0)
    bpy.data.objects.remove(two)
    flip_step()
    assert visible() == [three.name]
    flip_step()
    assert visible() == ["My favorite"]
    bpy.data.objects.remove(objects("LABEL")[0])
    flip_end()
    now = whole()
    assert tuple(empty.location) == (1.0, 2.0, 3.0)
    assert now["My favorite"] == before["Box retopo 1"]
    assert now[three.name] == before[three.name]
    assert now["Box"] == before["Box"]
    assert "Box retopo 2" not in now and "Box Label" not in now


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_one_shown_is_deleted(folder: Path, number: int) -> None:
    place(folder)
    names = [obj.name for obj in objects("VARIATION")]
    flip()
    flip_show(object_name=names[number])
    bpy.data.objects.remove(variation(number))
    assert visible() == []
    assert flipping.shown(bpy.context.scene) is None
    flip_step()
    assert visible() == [names[(number + 1) % 3]]
    flip_step(step=-1)
    assert visible() == [names[(number + 2) % 3]]


@pytest.mark.parametrize("step", [flip_step, flip_swap])
def test_all_are_deleted(folder: Path, step: Callable[[], object]) -> None:
    place(folder)
    before = whole()
    flip()
    for obj in objects("VARIATION"):
        bpy.data.objects.remove(obj)
    step()
    assert not flipping.is_on(bpy.context.scene)
    (source,) = objects("SOURCE")
    assert whole()[source.name] == before[source.name]


def test_no_ghost_outlives_its_source(folder: Path) -> None:
    place(folder)
    bpy.context.scene.csm_retopo.flip.show_ghost = True
    flip()
    bpy.data.objects.remove(objects("SOURCE")[0])
    flip_end()
    assert not bpy.data.node_groups
    assert "CSM Retopo Ghost" not in bpy.data.materials


def test_the_source_is_deleted_while_flipping(folder: Path) -> None:
    place(folder)
    before = whole()
    flip()
    bpy.data.objects.remove(objects("SOURCE")[0])
    flip_step()
    assert where(flipping.shown(bpy.context.scene)).translation == variation(0).location
    flip_end()
    now = whole()
    assert all(now[obj.name] == before[obj.name] for obj in objects("VARIATION"))


def test_a_session_comes_in_while_flipping(folder: Path, second: Path, tmp_path: Path) -> None:
    first = place(folder)
    place(second)
    untouched = whole()
    for obj in [each for each in bpy.context.scene.objects if each.csm_retopo.session_id != first]:
        bpy.data.objects.remove(obj)
    flip()
    place(second)
    place(folder)
    flip_step()
    assert len(visible()) == 1
    assert len(flipping.flipped(bpy.context.scene)) == 5
    flip_end()
    now = whole()
    for obj in objects("SOURCE") + objects("VARIATION"):
        assert now[obj.name] == untouched[obj.name]


def test_without_a_source(folder: Path) -> None:
    place(folder)
    bpy.data.objects.remove(objects("SOURCE")[0])
    before = whole()
    here = where(variation(0))
    bpy.context.scene.csm_retopo.flip.show_ghost = True
    flip()
    for number in range(3):
        assert visible() == [variation(number).name]
        assert where(variation(number)) == here
        flip_step()
    flip_end()
    assert not changes(before)


def test_one_variation_alone(tmp_path: Path) -> None:
    place(sessions.new_folder(tmp_path / "one", 1))
    before = whole()
    flip()
    for step in (flip_step, flip_swap):
        step()
        assert visible() == [variation(0).name]
    flip_end()
    assert not changes(before)


def test_hidden_collections_are_passed_over(folder: Path, second: Path) -> None:
    first, other = place(folder), place(second)
    layers = bpy.context.view_layer.layer_collection.children
    layers[other].hide_viewport = True
    before = whole()
    flip(session_id=first)
    assert len(flipping.flipped(bpy.context.scene)) == 3
    flip_end()
    assert not changes(before)
    layers[first].exclude = True
    with pytest.raises(RuntimeError, match="hidden"):
        flip(session_id=first)


def test_hidden_objects_shown_by_the_artist_stay_apart(folder: Path) -> None:
    """Alt+H while flipping brings back what the artist has hidden, and nothing of ours."""
    before = artists_own(folder)
    flip()
    for obj in bpy.context.scene.objects:
        obj.hide_set(False)
    assert len(visible()) == 1
    flip_end()
    assert not changes(before)


def test_reasons_and_errors(folder: Path) -> None:
    assert not flip.poll() and not flip_step.poll()
    place(folder)
    for operator in (flip_step, flip_swap, flip_end):
        with pytest.raises(RuntimeError, match="Flip in Place first"):
            operator()
    with pytest.raises(RuntimeError, match="no session SESSION_1"):
        flip(session_id="SESSION_1")
    flip()
    with pytest.raises(RuntimeError, match="Nobody"):
        flip_show(object_name="Nobody")
    bpy.context.view_layer.objects.active = flipping.shown(bpy.context.scene)
    bpy.ops.object.mode_set(mode="EDIT")
    assert not flip_step.poll() and not flip_end.poll()
    with pytest.raises(RuntimeError, match="Object Mode"):
        flip()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert flip_end() == {"FINISHED"}


def test_the_row_comes_back_when_the_extension_is_disabled(
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
bpy.context.scene.csm_retopo.flip.show_ghost = True
bpy.ops.csm_retopo.flip()
bpy.context.view_layer.update()
assert sum(obj.visible_get() for obj in bpy.data.objects) == 2
bpy.ops.preferences.addon_disable(module=lifecycle.MODULE)
bpy.context.view_layer.update()
assert all(obj.visible_get() for obj in bpy.data.objects)
assert not any(obj.constraints or obj.modifiers for obj in bpy.data.objects)
lifecycle.check_nothing_left()
""",
        archive,
    )


def test_blender_can_be_quit_while_flipping(run_blender: Callable[..., str], archive: Path) -> None:
    printed = run_blender(
        """
import sys

import bpy
import lifecycle

lifecycle.install(sys.argv[1])
bpy.ops.csm_retopo.import_sample()
bpy.ops.csm_retopo.flip()
print("Flipping")
""",
        archive,
    )
    assert "Flipping" in printed
    assert "Traceback" not in printed


def test_key_numbers() -> None:
    assert flipping.key_numbers({}) == ("- triangles", "- quads", "- poles", "- max error")
    metrics = {
        "triangle_count": 5210,
        "quad_ratio": 0.9871,
        "poles_3": 1000,
        "poles_5": 40,
        "poles_6_plus": 2,
        "hausdorff_relative": 0.0123,
    }
    assert flipping.key_numbers(metrics) == (
        "5,210 triangles",
        "98.7 % quads",
        "1,042 poles",
        "1.2 % max error",
    )
