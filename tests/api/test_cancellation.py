# SPDX-License-Identifier: GPL-3.0-or-later
"""A job ends within one second of being cancelled, wherever it is, and leaves nothing behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fetching import (
    CACHED_AS,
    FILES,
    FOR_EVER,
    PATIENT,
    SESSION_ID,
    Run,
    job_threads,
    patient_job,
    run,
    session_document,
    wait_until,
    write_folder,
)

from csm_retopo.api.cache import Cache
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.errors import Cancelled
from csm_retopo.api.jobs import DownloadJob, FolderJob, Job, Progress, Stopped, Waiting
from csm_retopo.api.settings import Service
from standin import Fault, StandIn

TOLD_WITHIN_S = 1.0
GONE_WITHIN_S = 3.0
OBJ_NAME = "retopo_mesh_0.obj"


def require_prompt_end(job: Job) -> None:
    """Cancel the job: it says so at once, and its threads end."""
    start_s = time.monotonic()
    job.cancel()
    message = job.poll(TOLD_WITHIN_S)
    told_s = time.monotonic() - start_s
    assert message == Stopped()
    assert job.poll(0.0) is None
    assert job_threads(within_s=GONE_WITHIN_S) == []
    gone_s = time.monotonic() - start_s
    assert told_s < TOLD_WITHIN_S
    assert gone_s < GONE_WITHIN_S


def brought_but(missing: int) -> Callable[[Run], bool]:
    return lambda told: len(told.ready) >= len(CACHED_AS) - missing


@pytest.mark.parametrize(
    "fault",
    [
        Fault("stall"),
        Fault("drip_headers", interval_s=0.05),
        Fault("stall", after_bytes=100),
        Fault("drip_body", interval_s=0.05),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.after_bytes}",
)
@pytest.mark.parametrize("name", [SESSION_ID, OBJ_NAME])
def test_while_the_other_side_takes_its_time(
    service: StandIn,
    cache_root: Path,
    name: str,
    fault: Fault,
) -> None:
    service.add_fault(name, fault, times=None)
    job = patient_job(service, cache_root)
    if name == SESSION_ID:
        run(job, until=lambda told: bool(service.api_requests))
    else:
        run(job, until=brought_but(1))
    time.sleep(0.2)  # until the body's first bytes are there
    require_prompt_end(job)
    assert not list(cache_root.glob("*/*.part"))


def test_while_every_connection_is_busy(service: StandIn, cache_root: Path) -> None:
    service.add_fault("/inference-outputs/*", Fault("stall", after_bytes=20), times=None)
    job = patient_job(service, cache_root)
    run(job, until=lambda told: len(service.file_requests) == len(CACHED_AS))
    require_prompt_end(job)


def test_while_a_connection_is_made(
    service: StandIn,
    cache_root: Path,
    silent_address: str,
) -> None:
    job = DownloadJob(
        SESSION_ID, Service(silent_address, "CANARY-KEY"), Cache(cache_root), patience=PATIENT
    )
    job.start()
    time.sleep(0.3)
    require_prompt_end(job)


def test_while_tls_is_agreed_on(service: StandIn, cache_root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        job = DownloadJob(
            SESSION_ID, Service(url, "CANARY-KEY"), Cache(cache_root), patience=PATIENT
        )
        job.start()
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(5)
            require_prompt_end(job)


def test_while_a_proxy_takes_its_time(
    service: StandIn,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        account = Service("https://csm.example", "CANARY-KEY")
        job = DownloadJob(SESSION_ID, account, Cache(cache_root), patience=PATIENT)
        job.start()
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(100).startswith(b"CONNECT csm.example:443")
            require_prompt_end(job)


def test_while_a_running_session_is_waited_for(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), polls_until_complete=1000)
    job = patient_job(service, cache_root, wait_s=FOR_EVER)
    run(job, until=lambda told: bool(told.of(Waiting)))
    require_prompt_end(job)
    assert len(service.api_requests) == 1


@pytest.mark.parametrize("name", [SESSION_ID, OBJ_NAME])
def test_while_it_pauses_before_another_try(
    service: StandIn,
    cache_root: Path,
    name: str,
) -> None:
    fault = Fault("status", status=503, headers={"Retry-After": "19"})
    service.add_fault(name, fault, times=None)
    job = patient_job(service, cache_root)
    run(job, until=lambda told: any(request.name == name for request in service.requests))
    time.sleep(0.1)
    require_prompt_end(job)


def test_while_links_are_renewed(service: StandIn, cache_root: Path) -> None:
    service.add_fault(SESSION_ID, Fault("expired"))
    service.add_fault(SESSION_ID, Fault("stall"), times=None)
    job = patient_job(service, cache_root)
    run(job, until=lambda told: len(service.api_requests) == 2)
    require_prompt_end(job)


def test_while_bytes_come_in(
    cache_root: Path,
) -> None:
    with StandIn(bandwidth_bps=20_000) as slow:
        slow.add_session(document=session_document(), files=FILES)
        job = patient_job(slow, cache_root)
        run(
            job,
            until=lambda told: any(each.received_bytes for each in told.of(Progress)),
        )
        require_prompt_end(job)
        wait_until(lambda: not list(cache_root.glob("*/*.part")))


def test_before_it_starts(service: StandIn, cache_root: Path) -> None:
    job = patient_job(service, cache_root)
    job.cancel()
    job.start()
    require_prompt_end(job)
    assert service.requests == []


def test_without_ever_being_started(service: StandIn, cache_root: Path) -> None:
    job = patient_job(service, cache_root)
    job.cancel()
    job.join(1.0)
    assert job.poll() == Stopped()


def test_when_it_was_over_already(service: StandIn, cache_root: Path) -> None:
    job = patient_job(service, cache_root)
    run(job).require_whole()
    job.cancel()
    assert job.poll() is None


def test_a_folder_s_job_ends_too(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "session", session_document(), FILES)
    job = FolderJob(folder, Cache(tmp_path / "cache"))
    job.start()
    require_prompt_end(job)


def test_what_was_whole_before_is_there_the_next_time(service: StandIn, cache_root: Path) -> None:
    service.add_fault(OBJ_NAME, Fault("stall", after_bytes=1000))
    job = patient_job(service, cache_root)
    run(job, until=brought_but(1))
    job.cancel()
    job.join(GONE_WITHIN_S)
    service.clear()
    run(patient_job(service, cache_root)).require_whole()
    assert [request.name for request in service.file_requests] == [OBJ_NAME]


def test_a_socket_that_comes_late_is_shut_down_at_once() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        cancellation.watch(ours)
        theirs.settimeout(1.0)
        assert theirs.recv(1) == b""


def test_every_wait_of_a_cancelled_job_ends() -> None:
    cancellation = Cancellation()
    assert not cancellation.is_set
    cancellation.check()
    cancellation.sleep(0.0)
    cancellation.cancel()
    cancellation.cancel()
    assert cancellation.is_set
    with pytest.raises(Cancelled, match=r"^Cancelled$"):
        cancellation.check()
    with pytest.raises(Cancelled):
        cancellation.sleep(FOR_EVER)
