# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators as a script calls them: they return when all is done, or raise what went wrong."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.api.errors import CsmError
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene import pipeline, runner, sessions as ready
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget, WhenReady
from standin import ACCOUNT, FORBIDDEN_KEY, Fault, StandIn

__all__ = ["nothing_left"]

operators = bpy.ops.csm_retopo


def add(service: StandIn, variations: int = 2, *, without: str = "", **changes: Any) -> str:
    session_id = sessions.new_id()
    files = sessions.files(variations)
    files.pop(without, None)
    document = sessions.document(session_id, variations, **changes)
    return service.add_session(document=document, files=files)


def refusal(operator: Any, **keywords: Any) -> str:
    """What the operator raises. The panel says the same, and the scene stays as it was."""
    before = set(bpy.data.user_map())
    with pytest.raises(RuntimeError) as raised:
        operator(**keywords)
    text = str(raised.value).strip().removeprefix("Error: ")
    state = bpy.context.window_manager.csm_retopo
    assert state.message == text
    assert state.message_is_error
    assert set(bpy.data.user_map()) == before
    assert "CANARY" not in text and "://" not in text
    return text


def message() -> str:
    return bpy.context.window_manager.csm_retopo.message


def test_a_session_by_its_id(service: StandIn) -> None:
    session_id = add(service)
    assert operators.import_session(session_id=session_id) == {"FINISHED"}
    assert message() == f"Imported 2 variations of {session_id}"
    assert not bpy.context.window_manager.csm_retopo.message_is_error
    assert len(objects("VARIATION", session_id)) == 2
    assert len(objects("SOURCE", session_id)) == 1
    assert len(service.api_requests) == 1
    assert sorted(each.name for each in service.file_requests) == sorted(sessions.files())
    assert not bpy.context.window_manager.csm_retopo.jobs


def test_again_asks_for_nothing_but_the_session(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = add(service)
    operators.import_session(session_id=session_id)
    service.clear()
    before = set(bpy.data.objects)
    monkeypatch.setattr(
        "bl_ext.user_default.csm_retopo.scene.background.converter._Process",
        lambda command: pytest.fail("A converter was started"),
    )
    # In a new file, too, nothing is fetched or converted.
    operators.import_session(session_id=f"  {session_id}\n")
    assert set(bpy.data.objects) == before
    bpy.ops.wm.read_homefile(use_empty=True)
    operators.import_session(session_id=f"https://app.example/sessions/{session_id}?token=CANARY")
    assert len(objects("VARIATION")) == 2
    assert [each.server for each in service.requests] == ["api", "api"]


def test_left_empty_the_id_is_the_one_in_the_panel(service: StandIn) -> None:
    session_id = add(service)
    state = bpy.context.window_manager.csm_retopo
    state.session_id = f"https://app.example/{session_id}?sig=CANARY"
    assert state.session_id == session_id
    assert operators.import_session() == {"FINISHED"}
    assert len(objects("VARIATION", session_id)) == 2
    state.session_id = ""


def test_the_sample_needs_no_account_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("It used the network"))
    assert operators.import_sample() == {"FINISHED"}
    assert len(objects("VARIATION")) >= 4
    (source,) = objects("SOURCE")
    for each in objects("VARIATION"):
        # They lie over the source when they are moved to its place.
        assert each.dimensions.x == pytest.approx(source.dimensions.x, rel=0.05)
        for ours, its in zip(sessions.box(each)[1:], sessions.box(source)[1:], strict=True):
            assert ours == pytest.approx(its, abs=0.05)


def test_a_folder(tmp_path: Path) -> None:
    folder = sessions.new_folder(tmp_path / "folder")
    assert operators.import_folder(directory=f"{folder}/") == {"FINISHED"}
    assert len(objects("VARIATION")) == 2


def test_a_folder_below_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions.new_folder(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    assert operators.import_folder(directory="folder") == {"FINISHED"}
    assert len(objects("VARIATION")) == 2


def test_what_was_fetched_opens_without_the_service(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = add(service)
    operators.import_session(session_id=session_id)
    service.clear()
    monkeypatch.delenv("CSM_API_KEY")
    bpy.ops.wm.read_homefile(use_empty=True)
    assert operators.import_session(session_id=session_id) == {"FINISHED"}
    assert "This is what was fetched before" in message()
    assert len(objects("VARIATION", session_id)) == 2
    assert not service.requests


def test_no_secret_and_no_path_is_saved(service: StandIn, tmp_path: Path) -> None:
    session_id = add(service)
    pasted = f"{service.files_url}/inference-outputs/{ACCOUNT}/{session_id}/x?sig=CANARY%3D"
    state = bpy.context.window_manager.csm_retopo
    operators.import_session(session_id=pasted)
    state.session_id = "https://storage.example/artist@example.com/x.glb?sig=CANARY"
    path = tmp_path / "artist.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
    state.session_id = ""
    data = path.read_bytes()
    assert session_id.encode() in data
    cache = str(ready.open_cache().root)
    for secret in (service.key, service.files_url, service.api_url, ACCOUNT, "CANARY", cache):
        assert secret.encode() not in data, secret
    resources = bpy.utils.resource_path("USER")
    assert resources.rpartition("/")[2].encode() not in data or resources.encode() not in data


@pytest.mark.parametrize("text", ["", "   ", "../../users/me", "SESSION_", "Suzanne"])
def test_what_is_no_session_id(service: StandIn, text: str) -> None:
    bpy.context.window_manager.csm_retopo.session_id = ""
    assert refusal(operators.import_session, session_id=text).startswith("That is no session ID")
    assert not service.requests


def test_sessions_that_can_not_be_imported(service: StandIn) -> None:
    unknown = sessions.new_id()
    said = refusal(operators.import_session, session_id=unknown)
    assert said == f"The service knows no session {unknown}: check the ID"

    other = add(service, type="image_to_3d")
    said = refusal(operators.import_session, session_id=other)
    assert "is a session of type image_to_3d: only retopology sessions" in said

    failed = add(service, status="failed", status_message="Mesh too small")
    said = refusal(operators.import_session, session_id=failed)
    assert said.startswith(f"{failed} failed on the service (Mesh too small)")

    empty = add(service, output={"meshes": []})
    said = refusal(operators.import_session, session_id=empty)
    assert f"{empty} is complete, but holds no variation" in said

    running = add(service, status="incomplete")
    said = refusal(operators.import_session, session_id=running)
    assert said.startswith(f"{running} is still running (the swift model usually takes")

    service.add_fault(f"*{running}", Fault("html_200"))
    said = refusal(operators.import_session, session_id=running)
    assert "it is a web page" in said
    assert not service.file_requests


def test_keys_that_do_not_open(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = add(service)
    for key, expected in (
        ("CANARY-WRONG", "The service does not accept the API key"),
        (FORBIDDEN_KEY, "This API key has no access to the session"),
        ("\u201cCANARY\u201d", "holds a character that no key has"),
    ):
        monkeypatch.setenv("CSM_API_KEY", key)
        assert expected in refusal(operators.import_session, session_id=session_id)
    monkeypatch.delenv("CSM_API_KEY")
    service.clear()
    said = refusal(operators.import_session, session_id=session_id)
    assert said.startswith("There is no API key: enter yours in the add-on's preferences")
    assert not service.requests


def test_offline_means_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("It used the network")

    monkeypatch.setenv("CSM_API_URL", "https://api.example")
    monkeypatch.setenv("CSM_API_KEY", "CANARY")
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert not bpy.app.online_access
    said = refusal(operators.import_session, session_id=sessions.new_id())
    assert said.startswith("Online access is off: allow it in Blender's preferences")


def test_an_address_that_is_not_secure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSM_API_URL", "http://api.example")
    monkeypatch.setenv("CSM_API_KEY", "CANARY")
    with pytest.raises(RuntimeError, match="The service's address in the variable CSM_API_URL"):
        operators.import_session(session_id=sessions.new_id())


def test_files_that_are_not_what_they_should_be(service: StandIn) -> None:
    session_id = add(service, 5, without="retopo_render_4.png")
    service.add_fault("retopo_mesh_1.obj", Fault("html_200"))
    service.add_fault("retopo_mesh_2.obj", Fault("replace", body=sessions.obj()[:70]))
    service.add_fault("retopo_mesh_3.obj", Fault("status", status=404), times=None)
    assert operators.import_session(session_id=session_id) == {"FINISHED"}
    said = message()
    assert f"Imported 2 of 5 variations of {session_id}" in said
    assert "Box retopo 2: it is a web page, not a mesh" in said
    assert "Box retopo 3: it" in said
    assert "Box retopo 4: the storage host no longer has the file" in said
    assert "Box retopo 5 has no preview image: the storage host no longer has the file" in said
    assert bpy.context.window_manager.csm_retopo.message_is_error
    assert [each.csm_retopo.index for each in objects("VARIATION")] == [0, 4]
    assert [each.csm_retopo.index for each in objects("PREVIEW")] == [0]

    # What was damaged is fetched again, and fills its slot.
    service.clear()
    operators.import_session(session_id=session_id)
    assert {each.name for each in service.file_requests} >= {
        *("retopo_mesh_1.obj", "retopo_mesh_2.obj")
    }
    assert [each.csm_retopo.index for each in objects("VARIATION")] == [0, 1, 2, 4]


def test_nothing_of_a_session_can_be_imported(service: StandIn) -> None:
    session_id = add(service, 2)
    service.add_fault("*.obj", Fault("html_200"), times=None)
    said = refusal(operators.import_session, session_id=session_id)
    assert said.startswith(f"No variation of {session_id} could be imported. Box retopo 1: it is")


def test_a_variation_that_the_service_has_not_finished(service: StandIn) -> None:
    session_id = sessions.new_id()
    document = sessions.document(session_id)
    document["output"]["meshes"][1].update(status="incomplete", data={})
    service.add_session(document=document, files=sessions.files())
    operators.import_session(session_id=session_id)
    assert "Imported 1 of 2 variations" in message()
    assert "Box retopo 2: the service has not finished it (incomplete)" in message()
    assert len(objects("VARIATION")) == 1


def test_folders_that_are_no_session(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = refusal(operators.import_folder, directory=str(tmp_path / "empty"))
    assert said == "empty holds no session.json: choose the folder of one session"
    assert "holds no session.json" in refusal(operators.import_folder, directory="/nowhere/at/all")
    assert refusal(operators.import_folder, directory="").startswith("Choose the folder of a")
    (tmp_path / "empty" / "session.json").write_text("{")
    said = refusal(operators.import_folder, directory=str(tmp_path / "empty"))
    assert "The answer is not a session" in said


def test_something_unforeseen_is_told_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("https://storage.example/?sig=CANARY")

    monkeypatch.setattr(pipeline, "_row_plan", fail)
    folder = sessions.new_folder(tmp_path / "folder", 1)
    said = refusal(operators.import_folder, directory=str(folder))
    assert said.startswith("Something unforeseen happened (ZeroDivisionError)")


def test_cancel_and_clear_are_for_when_there_is_something(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="poll"):
        operators.cancel()
    assert not operators.cancel.poll()
    assert operators.clear_cache.poll()

    folder = sessions.new_folder(tmp_path / "folder")
    cache = ready.open_cache()
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
    runner.start("folder", Import(FolderJob(folder, cache), target, Converter(cache)))
    try:
        with pytest.raises(CsmError, match="folder is under way already"):
            runner.start("folder", Import(FolderJob(folder, cache), target, Converter(cache)))
        assert [each.key for each in bpy.context.window_manager.csm_retopo.jobs] == ["folder"]
        assert operators.cancel.poll()
        assert not operators.clear_cache.poll()
        assert operators.cancel(key="another") == {"CANCELLED"}
        assert operators.cancel(key="folder") == {"FINISHED"}
    finally:
        runner.stop_all()
    assert message() == "Cancelled the import of folder"
    assert not bpy.context.window_manager.csm_retopo.jobs
    assert not bpy.data.objects


def test_another_file_ends_what_runs(tmp_path: Path) -> None:
    folder = sessions.new_folder(tmp_path / "folder")
    cache = ready.open_cache()
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
    running = Import(FolderJob(folder, cache), target, Converter(cache))
    runner.start("folder", running)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert running.is_over
    assert not runner.is_running()
    assert not bpy.context.window_manager.csm_retopo.jobs
    assert not bpy.data.objects


@pytest.mark.parametrize("end", ["disable", "exit"])
def test_disabling_or_quitting_ends_what_runs(
    run_blender: Callable[..., str], archive: Path, tmp_path: Path, end: str
) -> None:
    folder = sessions.new_folder(tmp_path / "folder")
    printed = run_blender(
        """
import sys, time
from lifecycle import *
install(sys.argv[1])
from pathlib import Path
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene import runner, sessions, targets
from bl_ext.user_default.csm_retopo.scene.background import converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
cache = sessions.open_cache()
target = targets.SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
background = converter.Converter(cache)
runner.start("x", Import(FolderJob(Path(sys.argv[2]), cache), target, background))
background.warm_up()
while not any(server._process for server in background._servers):
    time.sleep(0.01)
assert runner.is_running()
if sys.argv[3] == "disable":
    begin = time.monotonic()
    bpy.ops.preferences.addon_disable(module=MODULE)
    assert time.monotonic() - begin < 2.0
    check_nothing_left()
print("the end")
""",
        archive,
        folder,
        end,
        timeout_s=30,
    )
    assert "the end" in printed
    assert "Traceback" not in printed


def test_the_cache_is_kept_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ready.open_cache()
    old = cache.folder(sessions.new_id())
    (old / "variation_0.obj").write_bytes(bytes(1000))
    os.utime(old, (0, 0))
    monkeypatch.setattr(ready, "cache_limit_bytes", lambda: 500)
    folder = sessions.new_folder(tmp_path / "folder", 1)
    operators.import_folder(directory=str(folder))
    assert not old.exists()
    # What is in use stays, though it is more than the limit.
    assert cache.size_bytes() > 500
    assert len(objects("VARIATION")) == 1


def test_the_timer_drives_it_to_the_end(tmp_path: Path) -> None:
    folder = sessions.new_folder(tmp_path / "folder")
    cache = ready.open_cache()
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT, WhenReady.OBJECT_MODE)
    runner.start("folder", Import(FolderJob(folder, cache), target, Converter(cache)))
    # Timers don't fire in a Blender without a window.
    while (pause_s := runner._pump()) is not None:
        assert 0 < pause_s < 0.1
        time.sleep(pause_s)
    bpy.app.timers.unregister(runner._pump)
    assert len(objects("VARIATION")) == 2
    assert message().startswith("Imported 2 variations")
    runner.stop_all()


def test_clear_cache(service: StandIn) -> None:
    session_id = add(service)
    operators.import_session(session_id=session_id)
    cache = ready.open_cache()
    assert cache.size_bytes() > 0
    assert operators.clear_cache() == {"FINISHED"}
    assert cache.size_bytes() == 0
    assert len(objects("VARIATION")) == 2
    service.clear()
    operators.import_session(session_id=session_id)
    assert len(service.file_requests) == 5
    assert len(objects("VARIATION")) == 2


def test_select(tmp_path: Path) -> None:
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    operators.import_folder(directory=str(sessions.new_folder(tmp_path / "folder")))
    first, second = objects("VARIATION")
    session_id = first.csm_retopo.session_id
    assert operators.select(object_name=second.name) == {"FINISHED"}
    assert list(bpy.context.view_layer.objects.selected) == [second]
    assert bpy.context.view_layer.objects.active == second
    assert operators.select(session_id=session_id) == {"FINISHED"}
    selected = set(bpy.context.view_layer.objects.selected)
    assert selected == {first, second, *objects("SOURCE")}
    assert operators.select(object_name="Nobody") == {"CANCELLED"}
    assert set(bpy.context.view_layer.objects.selected) == selected
    first.hide_set(True)
    assert operators.select(object_name=first.name) == {"CANCELLED"}
    bpy.context.view_layer.objects.active = cube
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="poll"):
        operators.select(object_name=second.name)
