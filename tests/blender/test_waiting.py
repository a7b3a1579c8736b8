# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that are still running, several at once, and artists who are busy when one is ready."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.api.jobs import DownloadJob, FolderJob
from bl_ext.user_default.csm_retopo.scene import runner, sessions as ready
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget, WhenReady
from standin import StandIn

__all__ = ["nothing_left"]

LIMIT_S = 60.0
MODES = {
    "EDIT": "EDIT_MESH",
    "SCULPT": "SCULPT",
    "VERTEX_PAINT": "PAINT_VERTEX",
    "WEIGHT_PAINT": "PAINT_WEIGHT",
    "TEXTURE_PAINT": "PAINT_TEXTURE",
}
"""Of a mesh object, and what Blender's context calls each."""


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    runner.stop_all()
    bpy.context.window_manager.csm_retopo.message = ""


def state() -> Any:
    return bpy.context.window_manager.csm_retopo


def pump(until: Callable[[], bool]) -> None:
    """Do what Blender's timer does in a window, until something has come about."""
    end = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < end, [(each.key, each.stage) for each in state().jobs]
        time.sleep(min(runner._pump() or 0.0, 0.05))


def over() -> bool:
    return not runner.is_running()


def add(service: StandIn, variations: int = 2, **options: Any) -> str:
    session_id = sessions.new_id()
    return service.add_session(
        document=sessions.document(session_id, variations),
        files=sessions.files(variations),
        **options,
    )


def start(
    service: StandIn,
    session_id: str,
    when_ready: WhenReady = WhenReady.OBJECT_MODE,
    *,
    poll_interval_s: float = 0.05,
) -> Import:
    """What the panel's button starts, that asks the service more often."""
    cache = ready.open_cache()
    job = DownloadJob(
        session_id,
        ready.find_service(),
        cache,
        wait_s=LIMIT_S,
        poll_interval_s=poll_interval_s,
        early=True,
    )
    return start_job(session_id, job, when_ready)


def start_folder(folder: Path, when_ready: WhenReady = WhenReady.OBJECT_MODE) -> Import:
    return start_job(folder.name, FolderJob(folder, ready.open_cache()), when_ready)


def start_job(key: str, job: Any, when_ready: WhenReady) -> Import:
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT, when_ready)
    running = Import(job, target, Converter(job.cache))
    runner.start(key, running)
    return running


def edit() -> bpy.types.Object:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    return bpy.context.object


def test_a_running_session_is_waited_for_and_told_about(service: StandIn) -> None:
    session_id = add(service, polls_until_complete=1000)
    start(service, session_id)
    pump(lambda: "Running on the service" in state().jobs[0].stage)
    (row,) = state().jobs
    assert row.stage == "Running on the service, 0:00"
    assert row.detail == "The swift model usually takes 5 to 10 minutes"
    assert not row.is_ready
    add_again = {"document": sessions.document(session_id), "files": sessions.files()}
    service.add_session(**add_again)
    pump(over)
    assert len(objects("VARIATION")) == 2
    assert state().message.startswith(f"Imported 2 variations of {session_id}")


def test_waiting_costs_no_background_blender(service: StandIn) -> None:
    start(service, add(service, polls_until_complete=1000))
    pump(lambda: "Running on the service" in state().jobs[0].stage)
    pump(lambda: not any(each.startswith("process") for each in sessions._left()))
    assert not over()


def test_stopping_to_wait_leaves_the_scene_alone(service: StandIn) -> None:
    session_id = add(service, polls_until_complete=1000)
    start(service, session_id)
    pump(lambda: "Running on the service" in state().jobs[0].stage)
    assert bpy.ops.csm_retopo.cancel(key=session_id) == {"FINISHED"}
    assert over()
    assert state().message == f"Stopped waiting for {session_id}: import it again to go on"
    assert not bpy.data.objects and not bpy.data.meshes


def test_a_variation_that_is_ready_early_is_placed_early(service: StandIn) -> None:
    session_id = add(service, 3, polls_until_complete=1000, early=[1])
    start(service, session_id)
    pump(lambda: bool(objects("VARIATION")))
    (early,) = objects("VARIATION")
    assert early.name == "Box retopo 2"
    assert len(objects("SOURCE")) == 1
    place = tuple(early.location)
    pump(lambda: "ready so far: 1" in state().jobs[0].detail)

    # The artist works on it in the meantime.
    early.name = "Mine"
    early.data.vertices[0].co.z = -7.0
    service.add_session(document=sessions.document(session_id, 3), files=sessions.files(3))
    pump(over)
    first, second, third = objects("VARIATION")
    assert second == early and second.name == "Mine"
    assert second.data.vertices[0].co.z == -7.0
    assert tuple(second.location) == place
    boxes = [sessions.box(each)[0] for each in (*objects("SOURCE"), first, second, third)]
    assert all(left[1] < right[0] for left, right in itertools.pairwise(boxes))
    assert len(objects("PREVIEW")) == 3 and len(objects("LABEL")) == 4
    assert state().message.startswith(f"Imported 3 variations of {session_id}")


def test_what_was_placed_early_stays_when_the_session_fails(service: StandIn) -> None:
    session_id = add(service, polls_until_complete=1000, early=[0])
    start(service, session_id)
    pump(lambda: bool(objects("VARIATION")))
    service.add_session(document=sessions.document(session_id, status="failed"))
    pump(over)
    assert "failed on the service" in state().message and state().message_is_error
    assert [each.name for each in objects("VARIATION")] == ["Box retopo 1"]


def test_it_waits_until_nothing_is_edited(tmp_path: Path) -> None:
    cube = edit()
    start_folder(sessions.new_folder(tmp_path / "folder"))
    pump(lambda: state().jobs[0].is_ready)
    assert state().jobs[0].stage == "Ready: waiting for Object Mode"
    assert not objects("VARIATION")
    bpy.ops.object.mode_set(mode="OBJECT")
    pump(over)
    assert len(objects("VARIATION")) == 2
    assert bpy.context.view_layer.objects.active == cube


@pytest.mark.parametrize("mode", MODES)
def test_asked_to_it_is_placed_in_any_mode(tmp_path: Path, mode: str) -> None:
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    bpy.ops.object.mode_set(mode=mode)
    start_folder(sessions.new_folder(tmp_path / "folder"))
    assert not bpy.ops.csm_retopo.place.poll()
    pump(lambda: state().jobs[0].is_ready)
    assert bpy.ops.csm_retopo.place() == {"FINISHED"}
    pump(over)
    assert len(objects("VARIATION")) == 2
    assert bpy.context.mode == MODES[mode]
    assert bpy.context.view_layer.objects.active == cube
    assert bpy.context.view_layer.objects.selected[:] == [cube]
    bpy.ops.object.mode_set(mode="OBJECT")


def test_at_once_means_in_any_mode(tmp_path: Path) -> None:
    cube = edit()
    start_folder(sessions.new_folder(tmp_path / "folder"), WhenReady.AT_ONCE)
    pump(over)
    assert len(objects("VARIATION")) == 2
    assert cube.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")


def test_when_asked_means_not_before(tmp_path: Path) -> None:
    start_folder(sessions.new_folder(tmp_path / "folder"), WhenReady.ASK)
    pump(lambda: state().jobs[0].is_ready)
    for _ in range(20):
        runner._pump()
    assert not objects("VARIATION")
    assert state().jobs[0].stage == "Ready to be placed"
    assert bpy.ops.csm_retopo.place(key="another") == {"CANCELLED"}
    assert bpy.ops.csm_retopo.place(key="folder") == {"FINISHED"}
    pump(over)
    assert len(objects("VARIATION")) == 2


def test_it_goes_to_the_scene_it_was_asked_for_in(tmp_path: Path) -> None:
    scene = bpy.context.scene
    start_folder(sessions.new_folder(tmp_path / "folder"), WhenReady.ASK)
    pump(lambda: state().jobs[0].is_ready)
    bpy.context.window.scene = bpy.data.scenes.new("Another")
    scene.name = "Renamed"
    bpy.ops.csm_retopo.place()
    pump(over)
    assert bpy.context.scene.name == "Another"
    assert not bpy.context.scene.objects
    assert sum(each.csm_retopo.role == "VARIATION" for each in scene.objects) == 2


def test_many_sessions_side_by_side(tmp_path: Path) -> None:
    names = [f"folder {number}" for number in range(runner.SIDE_BY_SIDE + 3)]
    for name in names:
        start_folder(sessions.new_folder(tmp_path / name, 1))
    stages = {each.key: each.stage for each in state().jobs}
    assert list(stages) == names
    waiting = [name for name, stage in stages.items() if stage == "Waiting for its turn"]
    assert waiting == names[runner.SIDE_BY_SIDE :]
    assert bpy.ops.csm_retopo.cancel(key=names[-1]) == {"FINISHED"}
    assert state().message == f"Cancelled the import of {names[-1]}"
    pump(over)
    assert len(objects("VARIATION")) == len(names) - 1
    assert len(bpy.context.scene.collection.children) == len(names) - 1


def test_those_that_wait_for_the_service_let_others_go_first(
    service: StandIn, tmp_path: Path
) -> None:
    waiting = [add(service, polls_until_complete=1000) for _ in range(runner.SIDE_BY_SIDE)]
    for session_id in waiting:
        start(service, session_id)
    pump(lambda: all("Running on the service" in each.stage for each in state().jobs))
    start_folder(sessions.new_folder(tmp_path / "folder"))
    pump(lambda: not runner.is_running("folder"))
    assert len(objects("VARIATION")) == 2
    assert [each.key for each in state().jobs] == waiting


def test_what_was_told_is_forgotten_when_it_is_undone(tmp_path: Path) -> None:
    bpy.ops.ed.undo_push(message="Before")
    start_folder(sessions.new_folder(tmp_path / "folder"))
    pump(over)
    assert state().message.startswith("Imported 2 variations")
    bpy.ops.ed.undo()
    assert not objects("VARIATION")
    assert state().message == ""


def test_a_script_waits_as_long_as_it_says(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bl_ext.user_default.csm_retopo.api import jobs

    monkeypatch.setitem(jobs.DownloadJob.__init__.__kwdefaults__, "poll_interval_s", 0.05)
    session_id = add(service, polls_until_complete=2)
    with pytest.raises(RuntimeError, match="is still running"):
        bpy.ops.csm_retopo.import_session(session_id=session_id)
    assert bpy.ops.csm_retopo.import_session(session_id=session_id, wait_min=1) == {"FINISHED"}
    assert len(objects("VARIATION")) == 2
