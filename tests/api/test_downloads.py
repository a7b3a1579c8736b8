# SPDX-License-Identifier: GPL-3.0-or-later
"""A session's files over real HTTP: whole or not at all, whatever the storage host does."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fetching import (
    CACHED_AS,
    FILES,
    IMPATIENT,
    SESSION_ID,
    VARIATIONS,
    Run,
    download_job,
    obj,
    png,
    run,
    session_document,
    wait_until,
)

from csm_retopo.api import downloads, jobs
from csm_retopo.api.jobs import FileKind, Finished, SessionRead
from standin import ACCOUNT, SIGNATURE, Fault, StandIn

MESH, PREVIEW, SOURCE = FileKind.MESH, FileKind.PREVIEW, FileKind.SOURCE
OBJ_NAME, PNG_NAME, GLB_NAME = "retopo_mesh_0.obj", "retopo_render_0.png", "mesh.glb"
BROKE = "the connection broke before the whole file was there: check the network and try again"


def require_only_failed(told: Run, key: tuple[FileKind, int], reason: str) -> None:
    """One file failed for that reason, and everything else is there."""
    assert isinstance(told.end, Finished)
    assert told.failed == {key: reason}
    assert set(told.ready) == set(CACHED_AS) - {key}
    for other, file in told.ready.items():
        assert file.path.read_bytes() == FILES[CACHED_AS[other][1]]


def requests_for(service: StandIn, name: str) -> int:
    return sum(request.name == name for request in service.file_requests)


def test_every_file_of_the_session_is_brought(service: StandIn, cache_root: Path) -> None:
    told = run(download_job(service, cache_root))
    told.require_whole()
    assert isinstance(told.messages[0], SessionRead)
    assert all(file.path.parent == cache_root / SESSION_ID for file in told.ready.values())
    image = told.ready[PREVIEW, 2]
    assert (image.width, image.height) == (6, 3)
    assert len({file.sha256 for file in told.ready.values()}) == len(CACHED_AS)


def test_the_source_can_be_left_out(service: StandIn, cache_root: Path) -> None:
    told = run(download_job(service, cache_root, with_source=False))
    assert set(told.ready) == set(CACHED_AS) - {(SOURCE, -1)}
    assert requests_for(service, GLB_NAME) == 0


def test_variations_that_are_not_finished_are_left_out(service: StandIn, cache_root: Path) -> None:
    document = session_document()
    document["output"]["meshes"][1]["status"] = "failed"
    service.add_session(document=document, files=FILES)
    told = run(download_job(service, cache_root))
    assert isinstance(told.end, Finished)
    assert told.failed == {}
    assert {index for _, index in told.ready} == {-1, 0, 2}


def test_the_url_arrives_as_it_was_given(service: StandIn, cache_root: Path) -> None:
    run(download_job(service, cache_root)).require_whole()
    targets = {request.target for request in service.file_requests}
    url = service.file_url(SESSION_ID, OBJ_NAME)
    assert url.removeprefix(service.files_url) in targets
    assert ACCOUNT in url
    assert SIGNATURE.replace("=", "%3D") in url


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "the session names no file for it"),
        ({"obj_url": None}, "the session names no file for it"),
        ({"obj_url": "http://files.example/a.obj"}, "its link is not a secure one (https)"),
        ({"obj_url": "javascript:alert(1)"}, "its link is not a valid URL"),
    ],
)
def test_a_link_that_can_t_be_used_costs_one_file(
    service: StandIn, cache_root: Path, change: dict[str, object], reason: str
) -> None:
    document = session_document()
    for number, mesh in enumerate(document["output"]["meshes"]):
        for field in mesh["data"]:
            name = FILES_OF[field].format(number)
            mesh["data"][field] = service.file_url(SESSION_ID, name)
    document["input"]["mesh"]["data"]["glb_url"] = service.file_url(SESSION_ID, GLB_NAME)
    image_url = document["output"]["meshes"][1]["data"]["image_url"]
    document["output"]["meshes"][1]["data"] = {"image_url": image_url, **change}
    service.add_session(document=document, files=FILES, rewrite_urls=False)
    require_only_failed(run(download_job(service, cache_root)), (MESH, 1), reason)


FILES_OF = {"obj_url": "retopo_mesh_{}.obj", "image_url": "retopo_render_{}.png"}


# Connections


def test_connections_are_kept_alive(service: StandIn, cache_root: Path) -> None:
    count = 40
    files = dict(FILES)
    for number in range(count):
        files[f"retopo_mesh_{number}.obj"] = obj(30 + number)
        files[f"retopo_render_{number}.png"] = png(4 + number)
    service.add_session(document=session_document(count), files=files)
    assert len(run(download_job(service, cache_root)).ready) == 2 * count + 1
    assert len(service.file_requests) == 2 * count + 1
    assert (
        len({request.connection_id for request in service.file_requests}) <= jobs.PARALLEL_DOWNLOADS
    )


def test_a_connection_serves_again_after_the_session_was_waited_for(
    service: StandIn, cache_root: Path
) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=3)
    run(download_job(service, cache_root, wait_s=9.0, poll_interval_s=0.02)).require_whole()
    assert len(service.api_requests) == 4
    assert len({request.connection_id for request in service.api_requests}) == 1


def test_files_are_fetched_at_the_same_time(cache_root: Path) -> None:
    with StandIn(latency_s=0.5) as slow:
        slow.add_session(document=session_document(), files=FILES)
        run(download_job(slow, cache_root)).require_whole()
        times_s = [request.time_s for request in slow.file_requests]
    # All were asked for before the first can have been answered.
    assert len(times_s) == len(CACHED_AS)
    assert max(times_s) - min(times_s) < 0.5


def test_the_meshes_are_asked_for_first(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PARALLEL_DOWNLOADS", 1)
    run(download_job(service, cache_root)).require_whole()
    names = [request.name for request in service.file_requests]
    assert names[: VARIATIONS + 1] == [
        "retopo_mesh_0.obj",
        "retopo_mesh_1.obj",
        "retopo_mesh_2.obj",
        GLB_NAME,
    ]


# Progress


def test_progress_in_bytes_grows_to_the_total(cache_root: Path) -> None:
    with StandIn(bandwidth_bps=200_000) as slow:
        slow.add_session(document=session_document(), files=FILES)
        told = run(download_job(slow, cache_root))
    told.require_whole()
    received = [each.received_bytes for each in told.progress]
    assert received == sorted(received)
    assert len(set(received)) > 3
    assert all(each.received_bytes <= each.total_bytes for each in told.progress)
    totals = [each.total_bytes for each in told.progress]
    assert totals == sorted(totals)
    done = [each.files_done for each in told.progress]
    assert done == sorted(done)
    last = told.progress[-1]
    whole = sum(len(content) for content in FILES.values())
    assert (last.received_bytes, last.total_bytes) == (whole, whole)
    assert (last.files_done, last.files) == (len(FILES), len(FILES))


def test_progress_never_falls_with_many_files_at_once(service: StandIn, cache_root: Path) -> None:
    count = 30
    files = dict(FILES)
    for number in range(count):
        files[f"retopo_mesh_{number}.obj"] = obj(10 + number)
        files[f"retopo_render_{number}.png"] = png(4 + number)
    service.add_session(document=session_document(count), files=files)
    told = run(download_job(service, cache_root))
    received = [each.received_bytes for each in told.progress]
    assert received == sorted(received)
    assert [each.files_done for each in told.progress] == sorted(
        each.files_done for each in told.progress
    )


def test_bytes_of_a_repeated_try_are_not_counted_twice(service: StandIn, cache_root: Path) -> None:
    service.add_fault(OBJ_NAME, Fault("truncate"))
    told = run(download_job(service, cache_root))
    told.require_whole()
    whole = sum(len(content) for content in FILES.values())
    assert told.progress[-1].received_bytes == told.progress[-1].total_bytes == whole
    assert max(each.received_bytes for each in told.progress) <= whole


# Faults

BROKEN = [
    Fault("truncate"),
    Fault("truncate", after_bytes=0),
    Fault("truncate", after_bytes=10**9),
    Fault("reset", after_bytes=1000),
    Fault("close", after_bytes=1000),
    Fault("stall", after_bytes=1000),
    Fault("status", status=200, body=b"f5\r\nabc", headers={"Transfer-Encoding": "chunked"}),
    Fault("status", status=200, body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
]
DAMAGED_ON_ITS_WAY = "it was damaged on its way: try again later"
PASSING = [
    *((fault, BROKE) for fault in BROKEN),
    (Fault("corrupt"), DAMAGED_ON_ITS_WAY),
    (Fault("wrong_length_short"), DAMAGED_ON_ITS_WAY),
    (
        Fault("reset"),
        "127.0.0.1 can't be reached: no connection. Check the network and try again",
    ),
    (
        Fault("stall"),
        "127.0.0.1 can't be reached: it took too long to answer. Check the network and try again",
    ),
    (Fault("status", status=503), "127.0.0.1 answered with an error (503): try again later"),
    (
        Fault("status", status=429),
        "The service asks for fewer requests: try again in a few minutes",
    ),
]
SUDDEN = "it was sent as gzip, but is not"
LASTING = [
    (Fault("status", status=404), "the storage host no longer has the file"),
    (Fault("status", status=410), "the storage host no longer has the file"),
    (Fault("status", status=401), "the storage host answered with status 401"),
    (Fault("status", status=206), "the storage host answered with status 206"),
    (Fault("status", status=204, body=b""), "the storage host answered with status 204"),
    (Fault("status", status=501), "127.0.0.1 answered with an error (501): try again later"),
    (
        Fault("status", status=200, headers={"Content-Encoding": "br\x1b"}),
        "it was sent in an encoding that nobody asked for",
    ),
    (
        Fault("status", status=200, body=b"v 1 2 3\n", headers={"Content-Encoding": "gzip"}),
        SUDDEN,
    ),
    (
        Fault("redirect_loop"),
        "127.0.0.1 can't be reached: it redirects without end. Check the network and try again",
    ),
]


def fault_id(value: object) -> str:
    return f"{value.kind}-{value.status or value.after_bytes}" if isinstance(value, Fault) else ""


@pytest.mark.parametrize(("fault", "reason"), PASSING, ids=fault_id)
def test_a_second_try_helps(service: StandIn, cache_root: Path, fault: Fault, reason: str) -> None:
    service.add_fault(OBJ_NAME, fault)
    run(download_job(service, cache_root, patience=IMPATIENT)).require_whole()
    assert requests_for(service, OBJ_NAME) == 2
    assert service.pending_faults == []


@pytest.mark.parametrize(
    ("fault", "reason", "tries"),
    [*((*each, 3) for each in PASSING), *((*each, 1) for each in LASTING)],
    ids=fault_id,
)
def test_a_file_that_can_t_be_had_costs_no_other(
    service: StandIn, cache_root: Path, fault: Fault, reason: str, tries: int
) -> None:
    service.add_fault(OBJ_NAME, fault, times=None)
    told = run(download_job(service, cache_root, patience=IMPATIENT))
    require_only_failed(told, (MESH, 0), reason)
    assert requests_for(service, OBJ_NAME) == tries or fault.kind == "redirect_loop"
    assert not list((cache_root / SESSION_ID).glob("variation_0.obj*"))


@pytest.mark.parametrize(("name", "key"), [(PNG_NAME, (PREVIEW, 0)), (GLB_NAME, (SOURCE, -1))])
def test_what_fails_may_be_any_file(
    service: StandIn, cache_root: Path, name: str, key: tuple[FileKind, int]
) -> None:
    service.add_fault(name, Fault("reset", after_bytes=20), times=None)
    require_only_failed(run(download_job(service, cache_root)), key, BROKE)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("html_200"),
        Fault("replace", body=b""),
        Fault("replace", body=png()[:-12]),
        Fault("truncate_no_length"),
        Fault("gzip_bomb", size_bytes=4_000_000),
    ],
    ids=fault_id,
)
def test_a_preview_that_is_no_image_is_not_kept(
    service: StandIn, cache_root: Path, fault: Fault
) -> None:
    service.content_md5 = False
    service.add_fault(PNG_NAME, fault)
    told = run(download_job(service, cache_root))
    assert set(told.failed) == {(PREVIEW, 0)}
    assert not list((cache_root / SESSION_ID).glob("variation_0.png*"))
    run(download_job(service, cache_root)).require_whole()


@pytest.mark.parametrize("kind", ["gzip", "chunked"])
@pytest.mark.parametrize("name", [OBJ_NAME, PNG_NAME, GLB_NAME])
def test_every_way_to_send_a_whole_file_is_understood(
    service: StandIn, cache_root: Path, kind: Any, name: str
) -> None:
    service.add_fault(name, Fault(kind))
    run(download_job(service, cache_root)).require_whole()
    assert requests_for(service, name) == 1


@pytest.mark.parametrize("name", [PNG_NAME, GLB_NAME])
def test_a_file_that_shows_its_end_needs_no_length(
    service: StandIn, cache_root: Path, name: str
) -> None:
    service.add_fault(name, Fault("no_length"))
    run(download_job(service, cache_root)).require_whole()


@pytest.mark.parametrize("kind", ["no_length", "truncate_no_length"])
def test_an_obj_of_unknown_length_is_refused(service: StandIn, cache_root: Path, kind: Any) -> None:
    service.content_md5 = False
    service.add_fault(OBJ_NAME, Fault(kind), times=None)
    require_only_failed(
        run(download_job(service, cache_root)),
        (MESH, 0),
        "the storage host does not tell its length, so it may be a part",
    )


def test_what_follows_a_gzip_file_is_not_passed_over(service: StandIn, cache_root: Path) -> None:
    for_bytes = gzip.compress(FILES[OBJ_NAME]) + b"more"
    headers = {"Content-Encoding": "gzip"}
    service.add_fault(
        OBJ_NAME, Fault("status", status=200, body=for_bytes, headers=headers), times=None
    )
    told = run(download_job(service, cache_root))
    assert set(told.failed) == {(MESH, 0)}


def test_a_file_over_the_limit_is_given_up(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "FILE_LIMIT_BYTES", 200_000)
    service.add_fault(OBJ_NAME, Fault("gzip_bomb", size_bytes=8_000_000), times=None)
    service.add_fault("retopo_mesh_1.obj", Fault("replace", body=bytes(300_000)), times=None)
    told = run(download_job(service, cache_root))
    assert told.failed == {(MESH, 0): "it is too large", (MESH, 1): "it is too large"}


def test_a_length_that_makes_no_sense(service: StandIn, cache_root: Path) -> None:
    for name, length in (("retopo_mesh_0.obj", "-5"), ("retopo_mesh_1.obj", "\xb2")):
        fault = Fault("status", status=200, body=b"v 1 2 3\n", headers={"Content-Length": length})
        service.add_fault(name, fault, times=None)
    told = run(download_job(service, cache_root))
    assert isinstance(told.end, Finished)
    assert set(told.failed) == {(MESH, 0), (MESH, 1)}


def test_nothing_has_its_final_name_before_it_is_whole(service: StandIn, cache_root: Path) -> None:
    service.add_fault(OBJ_NAME, Fault("stall", after_bytes=20_000), times=None)
    job = download_job(service, cache_root)
    folder = cache_root / SESSION_ID
    run(job, until=lambda told: len(told.ready) == len(CACHED_AS) - 1)
    wait_until(lambda: bool(list(folder.glob("variation_0.obj.*.part"))))
    assert not (folder / "variation_0.obj").exists()
    job.cancel()
    job.join(3.0)
    assert not list(folder.glob("variation_0.obj*"))


# Redirects


def test_a_redirect_to_another_origin_is_followed_without_the_key(
    service: StandIn, cache_root: Path
) -> None:
    with StandIn() as other:
        other.add_session(document=session_document(), files=FILES)
        url = other.file_url(SESSION_ID, OBJ_NAME)
        service.add_fault(OBJ_NAME, Fault("redirect", location=url))
        run(download_job(service, cache_root)).require_whole()
        (request,) = other.requests
        assert b"CANARY-KEY" not in request.raw
        assert "x-api-key" not in request.headers


def test_a_relative_redirect_is_followed(service: StandIn, cache_root: Path) -> None:
    url = service.file_url(SESSION_ID, "retopo_mesh_1.obj")
    service.add_fault(OBJ_NAME, Fault("redirect", location=url.removeprefix(service.files_url)))
    told = run(download_job(service, cache_root))
    assert told.ready[MESH, 0].path.read_bytes() == FILES["retopo_mesh_1.obj"]


@pytest.mark.parametrize(
    "location",
    [
        "http://files.example/a.obj",
        "//files.example/a.obj",
        "http://169.254.169.254/latest/meta-data",
        "http://0/a.obj",
        "http://2130706433/a.obj",
        "http://[::ffff:127.0.0.1]/a.obj",
        "http://127.0.0.1.files.example/a.obj",
        "https://user@files.example/a.obj",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.obj",
        "javascript:alert(1)",
        "http://[",
    ],
)
def test_a_redirect_to_where_no_session_may_lead_is_not_followed(
    service: StandIn, cache_root: Path, location: str
) -> None:
    # An attempt to follow one would fail the test: no connection leaves this machine.
    service.add_fault(OBJ_NAME, Fault("redirect", location=location), times=None)
    require_only_failed(
        run(download_job(service, cache_root)),
        (MESH, 0),
        "127.0.0.1 can't be reached: it redirects to a place that is not safe. "
        "Check the network and try again",
    )


def test_the_body_of_a_redirect_is_not_read(service: StandIn, cache_root: Path) -> None:
    # One without end would be read until the time is over, or the memory.
    url = service.file_url(SESSION_ID, OBJ_NAME)
    headers = {"Location": url, "Content-Length": "1000000000"}
    service.add_fault(OBJ_NAME, Fault("status", status=302, body=b"x" * 10, headers=headers))
    run(download_job(service, cache_root), timeout_s=8.0).require_whole()


# Links that expire


def test_expired_links_are_renewed_once_for_all_files(service: StandIn, cache_root: Path) -> None:
    service.add_fault(SESSION_ID, Fault("expired"))
    run(download_job(service, cache_root)).require_whole()
    assert len(service.api_requests) == 2
    assert len(service.file_requests) == 2 * len(CACHED_AS)


def test_a_link_that_expires_half_way_is_renewed(service: StandIn, cache_root: Path) -> None:
    service.add_fault("retopo_mesh_2.obj", Fault("expired"))
    run(download_job(service, cache_root)).require_whole()
    assert len(service.api_requests) == 2


def test_a_file_that_stays_forbidden_is_told(service: StandIn, cache_root: Path) -> None:
    service.add_fault(OBJ_NAME, Fault("status", status=403), times=None)
    told = run(download_job(service, cache_root))
    require_only_failed(told, (MESH, 0), "its link has expired: import the session again")
    assert len(service.api_requests) == 2
    assert requests_for(service, OBJ_NAME) == 2


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=404), Fault("status", status=503), Fault("html_200")],
    ids=fault_id,
)
def test_links_that_can_t_be_renewed_are_asked_for_once(
    service: StandIn, cache_root: Path, fault: Fault
) -> None:
    service.expire_urls(SESSION_ID)
    service.add_fault(SESSION_ID, Fault("expired"))
    service.add_fault(SESSION_ID, fault, times=None)
    told = run(download_job(service, cache_root))
    assert set(told.failed) == set(CACHED_AS)
    assert set(told.failed.values()) == {"its link has expired: import the session again"}
    assert len(service.api_requests) == (4 if fault.status == 503 else 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda meshes: meshes.reverse(),
        lambda meshes: meshes.pop(),
        lambda meshes: meshes[0].update(_id="ASSET_9_9"),
    ],
    ids=["other order", "one less", "another"],
)
def test_a_session_that_has_changed_meanwhile_is_not_mixed_in(
    service: StandIn, cache_root: Path, change: Callable[[list[object]], object]
) -> None:
    changed = session_document()
    change(changed["output"]["meshes"])
    service.add_fault(SESSION_ID, Fault("expired"))
    service.add_fault(SESSION_ID, Fault("replace", body=json.dumps(changed).encode()))
    told = run(download_job(service, cache_root))
    assert set(told.failed) == set(CACHED_AS)
    assert set(told.failed.values()) == {"its link has expired: import the session again"}
