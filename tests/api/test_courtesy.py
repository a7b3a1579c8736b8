# SPDX-License-Identifier: GPL-3.0-or-later
"""Many sessions over one transport: no more requests at a time than agreed, and pauses for all."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fetching import FILES, session_document

from csm_retopo.api.cache import Cache
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.courtesy import Courtesy, Turns
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


def shared(service: StandIn, at_once: int = 4, files_at_once: int = 16) -> Transport:
    courtesy = Courtesy({urlsplit(service.api_url).netloc: at_once}, files_at_once)
    links = Service(service.api_url, service.key).links
    return Transport(
        Cancellation(),
        links=links,
        courtesy=courtesy,
        patience=replace(FOR_BATCHES, first_pause_s=0.02),
    )


def test_no_more_than_agreed_at_a_time(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    transport = shared(service, 2, 3)
    found = run(make_jobs(service, cache_root, transport, 8))
    transport.close()
    assert all(isinstance(messages[-1], Finished) for messages in found)
    assert most[urlsplit(service.api_url).netloc] == 2
    assert most[urlsplit(service.files_url).netloc] == 3


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
