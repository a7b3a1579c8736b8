# SPDX-License-Identifier: GPL-3.0-or-later
"""Requesting another retopology: by a script's call, and alongside an artist."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import bpy
import pytest
import sessions
from sessions import box, nothing_left, objects

from bl_ext.user_default.csm_retopo.api.jobs import DownloadJob
from bl_ext.user_default.csm_retopo.api.requesting import RequestJob, Wish, find_requested
from bl_ext.user_default.csm_retopo.operators import requesting
from bl_ext.user_default.csm_retopo.scene import rows, runner, sessions as ready
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget, WhenReady
from standin import Fault, StandIn

__all__ = ["nothing_left"]

POST = "/v3/sessions"
LIMIT_S = 60.0
another = bpy.ops.csm_retopo.request_another


def state() -> Any:
    return bpy.context.window_manager.csm_retopo


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A running session is asked for often; nothing runs or is shown at the end."""
    monkeypatch.setitem(DownloadJob.__init__.__kwdefaults__, "poll_interval_s", 0.05)
    yield
    runner.stop_all()
    state().message = state().session_id = ""


@pytest.fixture
def imported(service: StandIn) -> str:
    """A session of the scene: by swift, with quads."""
    return import_one(service)


def import_one(service: StandIn, *, asset_id: str | None = None) -> str:
    session_id = sessions.new_id()
    document = sessions.document(session_id)
    document["input"]["mesh"]["_id"] = f"ASSET_{session_id}" if asset_id is None else asset_id
    service.add_session(document=document, files=sessions.files())
    bpy.ops.csm_retopo.import_session(session_id=session_id)
    service.clear()
    return session_id


def wishes(service: StandIn) -> list[dict[str, Any]]:
    """What was asked for, request by request."""
    posts = [each for each in service.requests if each.method == "POST"]
    return [json.loads(each.raw.partition(b"\r\n\r\n")[2])["input"] for each in posts]


def refusal(**keywords: Any) -> str:
    """What the operator raises. The panel says the same, and the scene stays as it was."""
    before = set(bpy.data.user_map())
    with pytest.raises(RuntimeError) as raised:
        another(**keywords)
    text = str(raised.value).strip().removeprefix("Error: ")
    assert (state().message, state().message_is_error) == (text, True)
    assert set(bpy.data.user_map()) == before
    assert "CANARY" not in text and "://" not in text
    return text


def kept(input_asset_id: str) -> list[str]:
    return [each.session_id for each in find_requested(ready.open_cache(), input_asset_id)]


# Called from a script


def test_a_script_gets_the_new_sessions_id_and_imports_it_later(
    service: StandIn, imported: str
) -> None:
    assert another(session_id=imported, model="PRECISION", quads=False) == {"FINISHED"}
    asset_id = f"ASSET_{imported}"
    assert wishes(service) == [{"mesh": asset_id, "model": "precision", "quads": False}]
    assert [state().session_id] == service.requested_ids == kept(asset_id)
    assert state().message == f"Requested {state().session_id} (precision, triangles)"
    assert not state().message_is_error
    assert len(service.requests) == 1
    # The field in the sidebar says which.
    bpy.ops.csm_retopo.import_session(wait_min=1)
    assert len(objects("VARIATION", service.requested_ids[0])) == 2
    assert kept(asset_id) == []


def test_a_script_can_wait_for_the_result(service: StandIn, imported: str) -> None:
    service.polls_after_request = 2
    assert another(session_id=imported, model="PRECISION", wait=True) == {"FINISHED"}
    (session_id,) = service.requested_ids
    assert state().message == f"Imported 2 variations of {session_id}"
    assert len(wishes(service)) == 1

    first, second = rows.find_rows(bpy.context.scene)
    assert [first.session_id, second.session_id] == [imported, session_id]
    carried = second.collection.csm_retopo
    assert (carried.model, carried.quads) == ("precision", True)
    assert carried.input_asset_id == first.collection.csm_retopo.input_asset_id
    assert rows.same_input([first, second], first) == [first, second]
    # Behind the first, seen from the front.
    behind = min(box(each)[1][0] for each in second.meshes)
    assert behind > max(box(each)[1][1] for each in first.meshes)


def test_the_wait_is_on_though_an_artists_is_off(service: StandIn, imported: str) -> None:
    chosen = ready.preferences()
    chosen.wait_for_running = False
    try:
        another(session_id=imported, wait=True)
    finally:
        chosen.wait_for_running = True
    assert len(objects("VARIATION", service.requested_ids[0])) == 2


def test_without_a_session_it_is_the_last_one(service: StandIn) -> None:
    first, last = import_one(service), import_one(service)
    another()
    assert wishes(service)[0]["mesh"] == f"ASSET_{last}"
    another(session_id=first)
    assert wishes(service)[1]["mesh"] == f"ASSET_{first}"


def test_an_asset_can_be_named_without_any_session(service: StandIn, imported: str) -> None:
    bpy.ops.wm.read_homefile(use_empty=True)
    another(input_asset_id=f"ASSET_{imported}")
    assert wishes(service) == [{"mesh": f"ASSET_{imported}", "model": "swift", "quads": True}]


def test_what_can_t_be_requested_is_told_and_not_sent(service: StandIn, imported: str) -> None:
    assert refusal(session_id="SESSION_1_2") == "SESSION_1_2 is not in this scene: import it first"
    unknown = import_one(service, asset_id="")
    assert refusal(session_id=unknown) == (
        f"It is not known which mesh on the service {unknown} was made from"
    )
    bpy.ops.wm.read_homefile(use_empty=True)
    assert refusal() == "Import a session first"
    assert refusal(session_id=imported).startswith(f"{imported} is not in this scene")
    assert service.requests == []


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("status", status=402), "Nothing was requested. The account has not enough credits"),
        (Fault("close"), "It is not known whether the service took the request (no answer came)"),
        (Fault("status", status=502), "It is not known whether the service took the request"),
    ],
    ids=["refused", "broken", "502"],
)
def test_a_failure_says_whether_anything_was_requested(
    service: StandIn, imported: str, wait: bool, fault: Fault, told: str
) -> None:
    service.add_fault(POST, fault, times=None)
    assert refusal(session_id=imported, wait=wait).startswith(told)
    assert len(wishes(service)) == 1
    assert len(service.requests) == 1
    assert state().session_id == ""


def test_a_session_that_fails_later_is_named(service: StandIn, imported: str) -> None:
    service.add_fault("SESSION_*", Fault("status", status=401), times=None)
    told = refusal(session_id=imported, wait=True)
    assert f"{service.requested_ids[0]} was requested all the same" in told


def test_without_a_key_or_online_access_it_is_greyed(
    service: StandIn, imported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert another.poll()
    monkeypatch.delenv("CSM_API_KEY")
    assert not another.poll()
    with pytest.raises(RuntimeError, match="There is no API key"):
        another(session_id=imported)
    monkeypatch.setenv("CSM_API_KEY", "CANARY-KEY")
    monkeypatch.setenv("CSM_API_URL", "https://csm.example")
    assert not bpy.app.online_access
    assert not another.poll()
    with pytest.raises(RuntimeError, match="Online access is off"):
        another(session_id=imported)
    assert service.requests == []


# Alongside an artist


def pump(until: Callable[[], object]) -> None:
    """Do what Blender's timer does in a window, until something has come about."""
    end = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < end, [(each.key, each.stage) for each in state().jobs]
        time.sleep(min(runner._pump() or 0.0, 0.05))


def over() -> bool:
    return not runner.is_running()


KEY = "Request Another (precision, quads)"


def start(imported: str, *, wait_s: float = LIMIT_S, key: str = KEY) -> RequestJob:
    """What the dialog's button starts."""
    wish = Wish(f"ASSET_{imported}", "precision", quads=True)
    job = RequestJob(wish, ready.find_service(), ready.open_cache(), wait_s=wait_s, early=True)
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT, WhenReady.OBJECT_MODE)
    runner.start(key, requesting.Request(job, target, Converter(job.cache)))
    return job


def test_the_id_is_told_as_soon_as_it_is_known(service: StandIn, imported: str) -> None:
    service.polls_after_request = 20
    start(imported)
    assert [(each.key, each.stage) for each in state().jobs] == [
        (KEY, "Requesting the session"),
    ]
    pump(lambda: state().message.startswith("Requested"))
    (session_id,) = service.requested_ids
    assert state().message == f"Requested {session_id} (precision, quads)"
    pump(lambda: "Running on the service" in state().jobs[0].stage)
    assert state().jobs[0].detail == "The precision model usually takes up to 50 minutes"
    pump(over)
    assert state().message == f"Imported 2 variations of {session_id}"
    assert len(objects("VARIATION", session_id)) == 2


def test_stopped_while_it_waits_the_id_is_told_again(service: StandIn, imported: str) -> None:
    service.polls_after_request = 1000
    start(imported)
    pump(lambda: state().jobs and "Running" in state().jobs[0].stage)
    runner.cancel(KEY)
    (session_id,) = service.requested_ids
    assert state().message == f"Stopped waiting for {session_id}: import it by this ID later"
    assert kept(f"ASSET_{imported}") == [session_id]
    assert objects("VARIATION", session_id) == []


def test_stopped_while_the_answer_is_outstanding_it_is_not_known(
    service: StandIn, imported: str
) -> None:
    service.add_fault(POST, Fault("stall"))
    start(imported)
    pump(lambda: service.requests)
    runner.cancel(KEY)
    assert state().message == (
        "It is not known whether the service took the request (its answer was not waited for). "
        "Look at your sessions on the service before you request again: each request costs credits"
    )
    assert state().message_is_error
    assert len(service.requests) == 1


def test_who_doesn_t_wait_for_running_sessions_is_told_the_id(
    service: StandIn, imported: str
) -> None:
    start(imported, wait_s=0.0)
    pump(over)
    (session_id,) = service.requested_ids
    assert state().message == f"Requested {session_id}: import it when it is ready"
    assert not state().message_is_error
    assert kept(f"ASSET_{imported}") == [session_id]


def test_another_file_ends_the_wait_and_not_the_session(service: StandIn, imported: str) -> None:
    service.polls_after_request = 1000
    start(imported)
    pump(lambda: state().jobs and "Running" in state().jobs[0].stage)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert over()
    assert kept(f"ASSET_{imported}") == service.requested_ids
    assert objects("VARIATION") == []


def test_requests_run_side_by_side(service: StandIn, imported: str) -> None:
    other = import_one(service)
    start(imported)
    start(other, key=f"{KEY} of {other}")
    pump(over)
    for session_id in service.requested_ids:
        assert len(objects("VARIATION", session_id)) == 2
    assert len(wishes(service)) == 2
