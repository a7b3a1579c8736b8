# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a row's meshes, previews and labels stand: as the preferences want it, and never on each
other, whichever of them come later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import box, nothing_left, objects

from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.api.cache import Cache
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget
from lifecycle import MODULE

__all__ = ["nothing_left"]

Extent = tuple[float, float]


@pytest.fixture
def preferences() -> Iterator[Any]:
    """The add-on's, as they are by default again afterwards."""
    chosen = bpy.context.preferences.addons[MODULE].preferences
    yield chosen
    for name in ("preview_place", "spacing", "labels"):
        chosen.property_unset(name)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sessions; from the second import on, they are cached."""
    folder = tmp_path_factory.mktemp("folders")
    return [sessions.new_folder(folder / str(number), 2) for number in range(2)]


def place(folder: Path, cache: Cache, facing: Facing = Facing.FRONT) -> None:
    target = SceneTarget(bpy.context.scene.session_uid, facing)
    running = Import(FolderJob(folder, cache), target, Converter(cache))
    running.start()
    outcome = running.run()
    running.close(2.0)
    assert outcome.error is None
    bpy.context.view_layer.update()


def locations() -> dict[str, tuple[float, ...]]:
    return {
        each.name: tuple(round(place, 4) for place in each.matrix_world.translation)
        for each in bpy.context.scene.objects
    }


def image_box(preview: bpy.types.Object) -> list[Extent]:
    """What an image takes up along X, Y and Z of the scene."""
    from mathutils import Vector

    across, high = (
        preview.empty_display_size * each / max(preview.data.size) for each in preview.data.size
    )
    left, low = preview.empty_image_offset[0] * across, preview.empty_image_offset[1] * high
    corners = [
        preview.matrix_world @ Vector((x, y, 0.0))
        for x in (left, left + across)
        for y in (low, low + high)
    ]
    return [(min(values), max(values)) for values in zip(*corners, strict=True)]


def all_boxes() -> dict[str, list[Extent]]:
    boxes = {each.name: image_box(each) for each in objects("PREVIEW")}
    for role in ("SOURCE", "VARIATION", "LABEL"):
        boxes |= {each.name: box(each) for each in objects(role)}
    return boxes


def check_nothing_overlaps(*axes: int) -> None:
    """That who looks along the axis that is not named sees everything side by side."""
    for (name, one), (other_name, other) in combinations(all_boxes().items(), 2):
        apart = [
            one[axis][1] < other[axis][0] + 1e-4 or other[axis][1] < one[axis][0] + 1e-4
            for axis in axes
        ]
        assert any(apart), (name, one, other_name, other)


def order_along_x() -> list[int]:
    meshes = [*objects("SOURCE"), *objects("VARIATION")]
    return [each.csm_retopo.index for each in sorted(meshes, key=lambda each: box(each)[0])]


WEB_PAGE = b"<!DOCTYPE html><html></html>"


def break_and_mend(folder: Path, names: list[str]) -> Iterator[None]:
    """Replace these files, then bring them back one by one."""
    kept = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (folder / name).write_bytes(WEB_PAGE)
    yield
    for name, content in kept.items():
        (folder / name).write_bytes(content)
        yield


@pytest.mark.parametrize("with_source", [True, False])
@pytest.mark.parametrize("late", [[1], [2, 0], [3, 2, 1]])
def test_what_comes_late_finds_its_slot_free(
    tmp_path: Path, cache: Cache, late: list[int], with_source: bool
) -> None:
    session_id = sessions.new_id()
    document = sessions.document(session_id, 4)
    if not with_source:
        del document["input"]["mesh"]
    # The last is the widest, and its preview is.
    wide = sessions.obj((1.4, 2.0, 3.0))
    contents = sessions.files(4, retopo_mesh_3_obj=wide)
    folder = sessions.write_folder(tmp_path / "late", document, contents)
    steps = break_and_mend(folder, [f"retopo_mesh_{index}.obj" for index in late])
    next(steps)
    place(folder, cache)
    before = locations()
    for _ in steps:
        place(folder, cache)
        after = locations()
        assert {name: after[name] for name in before} == before
        before = after
        check_nothing_overlaps(0, 2)
    assert order_along_x() == [-1, 0, 1, 2, 3][not with_source :]


def test_a_source_that_comes_late_stands_before_the_row(tmp_path: Path, cache: Cache) -> None:
    folder = sessions.new_folder(tmp_path / "late")
    steps = break_and_mend(folder, ["mesh.glb"])
    next(steps)
    place(folder, cache)
    before = locations()
    for _ in steps:
        place(folder, cache)
    after = locations()
    assert {name: after[name] for name in before} == before
    assert order_along_x() == [-1, 0, 1]
    check_nothing_overlaps(0, 2)


def test_a_row_that_stands_keeps_its_arrangement(
    tmp_path: Path, cache: Cache, preferences: Any
) -> None:
    folder = sessions.new_folder(tmp_path / "first", 4)
    steps = break_and_mend(folder, ["retopo_mesh_1.obj", "retopo_mesh_2.obj"])
    next(steps)
    place(folder, cache)
    before = locations()
    preferences.spacing = 3.0
    preferences.preview_place = "BELOW"
    for _ in steps:
        place(folder, cache, Facing.TOP)
    after = locations()
    assert {name: after[name] for name in before} == before
    check_nothing_overlaps(0, 2)
    first, second = objects("PREVIEW")[:2]
    assert second.rotation_euler == first.rotation_euler
    # What is there no more is begun anew.
    for each in list(bpy.context.scene.objects):
        bpy.data.objects.remove(each)
    place(folder, cache)
    mesh, image = box(objects("VARIATION")[0]), image_box(objects("PREVIEW")[0])
    assert image[2][1] < mesh[2][0]


@pytest.mark.parametrize("facing", [Facing.FRONT, Facing.BACK, Facing.TOP])
@pytest.mark.parametrize("where", ["BESIDE", "BELOW", "ABOVE"])
def test_previews_stand_where_they_are_wanted(
    folders: list[Path], cache: Cache, preferences: Any, facing: Facing, where: str
) -> None:
    preferences.preview_place = where
    for folder in folders:
        place(folder, cache, facing)
    up = 1 if facing is Facing.TOP else 2
    for mesh, preview, label in zip(
        objects("VARIATION"),
        objects("PREVIEW"),
        [each for each in objects("LABEL") if each.csm_retopo.index >= 0],
        strict=True,
    ):
        solid, image, text = box(mesh), image_box(preview), box(label)
        if where == "BESIDE":
            assert image[0][0] > solid[0][1]
            assert image[up] == pytest.approx(solid[up], abs=1e-4)
        else:
            assert image[up][0] > solid[up][1] or image[up][1] < solid[up][0]
            assert (image[up][0] > solid[up][1]) == (where == "ABOVE")
            assert sum(image[0]) == pytest.approx(sum(solid[0]), abs=1e-4)
            assert preview.empty_display_size == pytest.approx(
                max(mesh.dimensions.x, mesh.dimensions[up]), abs=1e-4
            )
        assert text[up][1] < min(solid[up][0], image[up][0])
    # Seen from above, the two rows are behind each other; from elsewhere, each is one.
    if facing is Facing.TOP:
        check_nothing_overlaps(0, 1)
    else:
        for each in list(bpy.context.scene.objects):
            if each.csm_retopo.session_id != objects("SOURCE")[0].csm_retopo.session_id:
                bpy.data.objects.remove(each)
        check_nothing_overlaps(0, 2)


def test_spacing_is_a_factor_of_all_gaps(
    folders: list[Path], cache: Cache, preferences: Any
) -> None:
    gaps = []
    for spacing in (1.0, 2.0, 0.0):
        bpy.ops.wm.read_homefile(use_empty=True)
        preferences.spacing = spacing
        for folder in folders:
            place(folder, cache)
        (source, behind), first = objects("SOURCE"), objects("VARIATION")[0]
        gaps.append((box(first)[0][0] - box(source)[0][1], box(behind)[1][0] - box(source)[1][1]))
    usual, double, none = gaps
    assert min(usual) > 0
    assert double == pytest.approx(tuple(2 * each for each in usual), rel=1e-4)
    assert none == pytest.approx((0.0, 0.0), abs=1e-4)


def test_labels_are_left_out_and_come_when_wanted(
    tmp_path: Path, cache: Cache, preferences: Any
) -> None:
    folder = sessions.new_folder(tmp_path / "folder")
    preferences.labels = False
    place(folder, cache)
    assert not objects("LABEL")
    assert len(objects("VARIATION")) == len(objects("PREVIEW")) == 2
    before = locations()
    preferences.labels = True
    place(folder, cache)
    assert len(objects("LABEL")) == 3
    after = locations()
    assert {name: after[name] for name in before} == before
    # What is there isn't taken away.
    preferences.labels = False
    place(folder, cache)
    assert locations() == after


@pytest.mark.parametrize("facing", list(Facing))
def test_meshes_stand_apart_from_wherever_they_are_read(
    folders: list[Path], cache: Cache, facing: Facing
) -> None:
    for folder in folders:
        place(folder, cache, facing)
    meshes = [box(each) for each in (*objects("SOURCE"), *objects("VARIATION"))]
    for one, other in combinations(meshes, 2):
        assert any(one[a][1] < other[a][0] or other[a][1] < one[a][0] for a in (0, 1))


def test_the_command_line_heeds_the_preferences(
    tmp_path: Path, preferences: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    preferences.preview_place = "ABOVE"
    preferences.labels = False
    preferences.spacing = 2.0
    folder = sessions.new_folder(tmp_path / "folder")
    session_id = json.loads((folder / "session.json").read_text())["_id"]
    assert cli.main(["import", str(folder), "--output", str(tmp_path / "out")]) == 0
    capfd.readouterr()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / session_id / "session.blend"))
    bpy.context.view_layer.update()
    assert not objects("LABEL")
    for mesh, preview in zip(objects("VARIATION"), objects("PREVIEW"), strict=True):
        assert image_box(preview)[2][0] > box(mesh)[2][1]
    extents = [box(each)[0] for each in (*objects("SOURCE"), *objects("VARIATION"))]
    assert all(after[0] - before[1] > 1.5 for before, after in pairwise(extents))
