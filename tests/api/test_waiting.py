# SPDX-License-Identifier: GPL-3.0-or-later
"""A session that is still running: what is ready early comes early, the rest when it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fetching import CACHED_AS, FILES, SESSION_ID, Run, download_job, run, session_document

from csm_retopo.api import jobs
from csm_retopo.api.errors import SessionFailed, StillRunning
from csm_retopo.api.jobs import (
    FileKind,
    FileReady,
    Finished,
    Message,
    PartBrought,
    SessionRead,
    Waiting,
)
from standin import StandIn


def wait(service: StandIn, cache_root: Path, **options: Any) -> Run:
    defaults = {"wait_s": 30.0, "poll_interval_s": 0.02, "early": True}
    return run(download_job(service, cache_root, **{**defaults, **options}))


def kinds(told: Run) -> list[type[Message]]:
    """What was told, without progress, and each kind once in a row."""
    found: list[type[Message]] = []
    for message in told.messages:
        if not isinstance(message, jobs.Progress) and type(message) not in found[-1:]:
            found.append(type(message))
    return found


def test_what_is_ready_early_comes_early(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=3, early=[1])
    told = wait(service, cache_root)
    assert kinds(told) == [
        SessionRead,
        FileReady,
        PartBrought,
        Waiting,
        SessionRead,
        FileReady,
        Finished,
    ]
    part = told.messages[: [type(each) for each in told.messages].index(PartBrought)]
    early = {(each.kind, each.index) for each in part if isinstance(each, FileReady)}
    assert early == {(FileKind.MESH, 1), (FileKind.PREVIEW, 1), (FileKind.SOURCE, -1)}
    statuses = [each.status for each in told.of(SessionRead)[0].session.variations]
    assert statuses == ["complete" if n == 1 else "incomplete" for n in range(len(statuses))]
    assert len(told.of(Waiting)) == 3
    # Nothing was fetched twice, and in the end everything is there.
    assert {(each.kind, each.index) for each in told.of(FileReady)} == set(CACHED_AS)
    paths = [each.path.rpartition("/")[2] for each in service.file_requests]
    assert sorted(paths) == sorted(FILES)


def test_nobody_who_does_not_wait_gets_a_part(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=2, early=[0])
    assert type(wait(service, cache_root, wait_s=0.0).error) is StillRunning
    told = wait(service, cache_root, early=False)
    told.require_whole()
    assert kinds(told) == [Waiting, SessionRead, FileReady, Finished]


def test_a_session_that_fails_after_a_part_says_so(service: StandIn, cache_root: Path) -> None:
    document = session_document()
    service.add_session(document=document, files=FILES, polls_until_complete=1000, early=[0])
    job = download_job(service, cache_root, wait_s=30.0, poll_interval_s=0.02, early=True)

    def is_waiting(told: Run) -> bool:
        if told.of(Waiting):
            service.add_session(document={**document, "status": "failed"})
        return False

    told = run(job, until=is_waiting)
    assert type(told.error) is SessionFailed
    assert len(told.of(PartBrought)) == 1


def test_a_session_without_meshes_so_far_is_waited_for(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(output={}, status="queued"))
    told = wait(service, cache_root, wait_s=0.2)
    assert type(told.error) is StillRunning
    assert kinds(told)[0] is Waiting
    assert not told.of(SessionRead)


def test_a_mesh_that_is_complete_but_has_no_file_yet_is_waited_for(
    service: StandIn, cache_root: Path
) -> None:
    document = session_document(status="incomplete")
    for mesh in document["output"]["meshes"]:
        mesh["data"] = {}
    service.add_session(document=document, files=FILES)
    told = wait(service, cache_root, wait_s=0.2)
    assert type(told.error) is StillRunning
    assert not told.of(PartBrought)


def test_after_a_long_wait_it_asks_half_as_often(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    service.add_session(document=session_document(), polls_until_complete=1000)
    job = download_job(service, cache_root, wait_s=1500.0, poll_interval_s=100.0)
    clock = _Clock(1000.0)  # a number that adding hundreds to makes no less exact

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now_s += seconds

    monkeypatch.setattr(jobs, "time", clock)
    monkeypatch.setattr(job.cancellation, "sleep", sleep)
    told = run(job)
    assert type(told.error) is StillRunning
    assert [round(each) for each in pauses] == [100] * 6 + [200] * 4 + [100]
    assert [round(each.elapsed_s) for each in told.of(Waiting)][:3] == [0, 100, 200]


class _Clock:
    """Time that passes when it is told to."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        return self.now_s


def test_the_model_is_told_while_waiting(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=1)
    told = wait(service, cache_root)
    assert [each.model for each in told.of(Waiting)] == ["swift"]
    assert told.of(SessionRead)[-1].session.session_id == SESSION_ID
