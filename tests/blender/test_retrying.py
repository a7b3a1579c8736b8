# SPDX-License-Identifier: GPL-3.0-or-later
"""A variation that can't be had is a row in the panel, whose button fetches what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.scene import failures
from standin import Fault, StandIn

__all__ = ["nothing_left"]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    failures.clear()
    bpy.context.window_manager.csm_retopo.message = ""


def rows() -> list[tuple[str, str, str]]:
    shown: Any = bpy.context.window_manager.csm_retopo.failures
    return [(each.session_id, each.title, each.reason) for each in shown]


def add(service: StandIn) -> str:
    session_id = sessions.new_id()
    service.add_session(document=sessions.document(session_id, 3), files=sessions.files(3))
    return session_id


def pattern(session_id: str, number: int) -> str:
    """The requests for a variation's OBJ."""
    return f"*/{session_id}/retopo_mesh_{number}.obj"


def bring(session_id: str) -> None:
    bpy.ops.csm_retopo.import_session(session_id=session_id)


def test_what_is_missing_alone_is_fetched_again(service: StandIn) -> None:
    session_id = add(service)
    service.add_fault(pattern(session_id, 1), Fault("status", status=404))
    bring(session_id)
    assert [each.csm_retopo.index for each in objects("VARIATION")] == [0, 2]
    ((row_id, title, reason),) = rows()
    assert row_id == session_id
    assert title.endswith("retopo 2")
    assert reason == "the storage host no longer has the file"

    before = {each.name: each.matrix_world.copy() for each in objects("VARIATION")}
    service.clear()
    bring(session_id)
    assert [request.name for request in service.file_requests] == ["retopo_mesh_1.obj"]
    found = sorted(each.csm_retopo.index for each in objects("VARIATION"))
    assert found == [0, 1, 2]
    assert {each: bpy.data.objects[each].matrix_world for each in before} == before
    assert rows() == []


def test_what_fails_again_stays_one_row(service: StandIn) -> None:
    session_id = add(service)
    service.add_fault(pattern(session_id, 0), Fault("html_200"), times=None)
    for _ in range(2):
        bring(session_id)
        ((_, _, reason),) = rows()
        assert reason == "it is a web page, not a mesh"


def test_the_rows_stay_when_the_service_is_gone(service: StandIn) -> None:
    session_id = add(service)
    service.add_fault(pattern(session_id, 0), Fault("status", status=404))
    bring(session_id)
    shown = rows()
    service.add_fault(session_id, Fault("status", status=401))
    with pytest.raises(RuntimeError, match="API key"):
        bring(session_id)
    assert rows() == shown


def test_each_session_has_its_own_rows(service: StandIn) -> None:
    first, second = add(service), add(service)
    for session_id in (first, second):
        service.add_fault(pattern(session_id, 0), Fault("status", status=410))
        bring(session_id)
    assert [each[0] for each in rows()] == [first, second]
    bring(first)
    assert [each[0] for each in rows()] == [second]


def test_another_file_has_none(service: StandIn) -> None:
    session_id = add(service)
    service.add_fault(pattern(session_id, 0), Fault("status", status=404))
    bring(session_id)
    assert rows()
    bpy.ops.wm.read_homefile(use_empty=True)
    assert rows() == []
