# SPDX-License-Identifier: GPL-3.0-or-later
"""Many sessions over one transport: no more requests at a time than agreed, and pauses for all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fetching import FILES, session_document

from csm_retopo.api.cache import Cache
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.courtesy import Courtesy, SharedTurns, Turns
from csm_retopo.api.errors import Cancelled, RateLimited
from csm_retopo.api.jobs import DownloadJob, Failed, FileReady, Finished, Message
from csm_retopo.api.patience import FOR_BATCHES
from csm_retopo.api.settings import Service
from csm_retopo.api.transport import Transport
from standin import Fault, StandIn


def run(jobs: list[DownloadJob]) -> list[list[Message]]:
    """The messages of jobs that run at the same time."""
    for job in jobs:
        job.start()
    found: list[list[Message]] = []
    for job in jobs:
        messages: list[Message] = []
        while not messages or not isinstance(messages[-1], Finished | Failed):
            message = job.poll(10.0)
            assert message is not None
            messages.append(message)
        found.append(messages)
        job.join(5.0)
    return found


def make_jobs(
    service: StandIn, cache_root: Path, transport: Transport, count: int
) -> list[DownloadJob]:
    jobs = []
    for number in range(count):
        session_id = f"SESSION_1800000000_{number:07}"
        service.add_session(session_id, document=session_document(), files=FILES)
        access = Service(service.api_url, service.key)
        jobs.append(DownloadJob(session_id, access, Cache(cache_root), transport=transport))
    return jobs


def shared(
    service: StandIn, at_once: int = 4, files_at_once: int = 16, folder: Path | None = None
) -> Transport:
    """A transport; those of the same folder are as those of several processes."""
    courtesy = Courtesy({urlsplit(service.api_url).netloc: at_once}, files_at_once, folder)
    links = Service(service.api_url, service.key).links
    return Transport(
        Cancellation(),
        links=links,
        courtesy=courtesy,
        patience=replace(FOR_BATCHES, first_pause_s=0.02),
    )


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The most requests that there were at a time, by host."""
    under_way: dict[str, int] = {}
    most: dict[str, int] = {}
    lock = threading.Lock()
    get = Transport.get

    def counted(self: Transport, url: str, headers: object = None, *, last_s: float) -> object:
        host = urlsplit(url).netloc
        with lock:
            under_way[host] = under_way.get(host, 0) + 1
            most[host] = max(most.get(host, 0), under_way[host])
        try:
            time.sleep(0.01)
            return get(self, url, headers, last_s=last_s)
        finally:
            with lock:
                under_way[host] -= 1

    monkeypatch.setattr(Transport, "get", counted)
    return most


def test_no_more_than_agreed_at_a_time(
    service: StandIn, cache_root: Path, most: dict[str, int]
) -> None:
    transport = shared(service, 2, 3)
    found = run(make_jobs(service, cache_root, transport, 8))
    transport.close()
    assert all(isinstance(messages[-1], Finished) for messages in found)
    assert most[urlsplit(service.api_url).netloc] == 2
    assert most[urlsplit(service.files_url).netloc] == 3


def test_no_more_than_agreed_by_all_processes_together(
    service: StandIn, cache_root: Path, tmp_path: Path, most: dict[str, int]
) -> None:
    transports = [shared(service, 2, folder=tmp_path) for _ in range(3)]
    jobs = [each for one in transports for each in make_jobs(service, cache_root, one, 4)]
    found = run(jobs)
    for each in transports:
        each.close()
    assert all(isinstance(messages[-1], Finished) for messages in found)
    assert most[urlsplit(service.api_url).netloc] == 2
    assert list(tmp_path.glob("*.lock")) == []


def test_a_transport_outlives_the_jobs_that_share_it(service: StandIn, cache_root: Path) -> None:
    transport = shared(service)
    first, second = make_jobs(service, cache_root, transport, 2)
    run([first])
    first.cancel()  # as at the end of every import
    (messages,) = run([second])
    transport.close()
    assert isinstance(messages[-1], Finished)
    assert any(isinstance(each, FileReady) for each in messages)


def test_a_pause_that_one_is_asked_for_is_one_for_all(service: StandIn, cache_root: Path) -> None:
    busy = Fault("status", status=429, headers={"Retry-After": "1"})
    service.add_fault("/v3/*", busy)
    transport = shared(service, 1)
    found = run(make_jobs(service, cache_root, transport, 4))
    transport.close()
    assert all(isinstance(messages[-1], Finished) for messages in found)
    times = [each.time_s for each in service.api_requests]
    assert len(times) == 5
    assert times[1] - times[0] >= 1.0


def test_a_pause_that_one_process_is_asked_for_is_one_for_all(
    service: StandIn, cache_root: Path, tmp_path: Path
) -> None:
    busy = Fault("status", status=429, headers={"Retry-After": "1"})
    service.add_fault("/v3/*", busy)
    transports = [shared(service, 1, folder=tmp_path) for _ in range(2)]
    found = run([each for one in transports for each in make_jobs(service, cache_root, one, 2)])
    for each in transports:
        each.close()
    assert all(isinstance(messages[-1], Finished) for messages in found)
    times = [each.time_s for each in service.api_requests]
    assert len(times) == 5
    assert times[1] - times[0] >= 1.0
    (told,) = tmp_path.glob("*.*")
    courtesy = Courtesy(shared=tmp_path)
    courtesy.close()
    assert not told.exists()
    # One that lasts stays, for whoever comes next.
    first, second = (SharedTurns(1, tmp_path / "host") for _ in range(2))
    first.hold_off(960.0)
    courtesy.close()
    with pytest.raises(RateLimited), second.one(Cancellation(), 900.0):
        pass
    assert second.pause_s == pytest.approx(960.0, abs=60.0)


def test_a_shared_turn_ends_with_its_process(tmp_path: Path) -> None:
    taking = subprocess.Popen(
        [sys.executable, "-c", _TAKE, tmp_path / "host"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert taking.stdout is not None
    assert taking.stdout.readline() == b"taken\n"
    turns = SharedTurns(1, tmp_path / "host")
    cancellation = Cancellation()
    threading.Timer(0.3, cancellation.cancel).start()
    with pytest.raises(Cancelled), turns.one(cancellation, 900.0):
        pass
    taking.kill()
    taking.communicate()
    with turns.one(Cancellation(), 900.0):
        assert len(list(tmp_path.iterdir())) == 1


def test_where_nothing_can_be_written_a_process_takes_turns_by_itself(tmp_path: Path) -> None:
    turns = SharedTurns(1, tmp_path / "missing" / "host")
    turns.hold_off(0.1)
    for _ in range(2):
        with turns.one(Cancellation(), 900.0):
            cancellation = Cancellation()
            threading.Timer(0.05, cancellation.cancel).start()
            with pytest.raises(Cancelled), turns.one(cancellation, 900.0):
                pass


_TAKE = """
import sys, time
from pathlib import Path
import without_blender
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.courtesy import SharedTurns
with SharedTurns(1, Path(sys.argv[1])).one(Cancellation(), 900.0):
    print("taken", flush=True)
    time.sleep(60.0)
"""


def test_a_busy_service_is_asked_until_it_has_room(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add_fault("/v3/*", Fault("status", status=429), times=8)
    transport = shared(service)
    found = run(make_jobs(service, cache_root, transport, 2))
    transport.close()
    assert all(isinstance(messages[-1], Finished) for messages in found)


def test_a_pause_that_is_too_long_is_no_reason_to_ask_on(
    service: StandIn, cache_root: Path
) -> None:
    service.add_fault("/v3/*", Fault("status", status=429, headers={"Retry-After": "7200"}))
    transport = shared(service, 1)
    jobs = make_jobs(service, cache_root, transport, 3)
    found = run(jobs)
    transport.close()
    assert [type(messages[-1]) for messages in found] == [Failed] * 3
    assert all(isinstance(messages[-1].error, RateLimited) for messages in found)
    assert len(service.api_requests) == 1


def test_waiting_for_a_turn_ends_when_it_is_cancelled() -> None:
    turns = Turns(1)
    cancellation = Cancellation()
    with turns.one(Cancellation(), 900.0):
        threading.Timer(0.05, cancellation.cancel).start()
        with pytest.raises(Cancelled), turns.one(cancellation, 900.0):
            pass
    turns.hold_off(960.0)
    with pytest.raises(RateLimited), turns.one(Cancellation(), 900.0):
        pass
