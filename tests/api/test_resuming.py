# SPDX-License-Identifier: GPL-3.0-or-later
"""A download that broke goes on where it ended, and never joins two different files."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from fetching import (
    FILES,
    IMPATIENT,
    QUICK,
    SESSION_ID,
    Run,
    download_job,
    glb,
    png,
    run,
    session_document,
)

from csm_retopo.api import transport
from csm_retopo.api.errors import NotJSON, Unreachable
from csm_retopo.api.jobs import FileKind, Finished
from standin import Fault, Request, StandIn

MESH = (FileKind.MESH, 0)
OBJ_NAME = "retopo_mesh_0.obj"
CONTENT = FILES[OBJ_NAME]
OTHER = bytes(reversed(CONTENT[:-1])) + b"\n"
AT = 20_000
CUTS = [Fault(kind, after_bytes=AT) for kind in ("reset", "close", "stall")]


def ranges(service: StandIn) -> list[str | None]:
    """What was asked for of the OBJ, request by request."""
    return [each.headers.get("range") for each in _requests(service)]


def _requests(service: StandIn) -> list[Request]:
    return [each for each in service.file_requests if each.name == OBJ_NAME]


def bring(service: StandIn, cache_root: Path, **options: Any) -> Run:
    told = run(download_job(service, cache_root, **{"patience": IMPATIENT, **options}))
    assert isinstance(told.end, Finished)
    return told


@pytest.mark.parametrize("fault", CUTS, ids=lambda fault: fault.kind)
def test_the_rest_alone_is_asked_for(service: StandIn, cache_root: Path, fault: Fault) -> None:
    service.add_fault(OBJ_NAME, fault)
    bring(service, cache_root).require_whole()
    first, second = _requests(service)
    assert "range" not in first.headers
    start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= AT
    assert second.headers["if-range"].startswith('"0x')


def test_it_goes_on_as_often_as_it_makes_headway(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "HEADWAY_BYTES", 4_000)
    service.add_fault(OBJ_NAME, Fault("close", after_bytes=5_000), times=7)
    bring(service, cache_root).require_whole()
    assert len(ranges(service)) == 8


def test_headway_has_an_end(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "HEADWAY_BYTES", 1)
    service.add_fault(OBJ_NAME, Fault("close", after_bytes=10), times=None)
    told = bring(service, cache_root, patience=replace(QUICK, most_tries=6))
    assert set(told.failed) == {MESH}
    assert len(ranges(service)) == 6


def test_a_date_proves_that_the_file_is_the_same(service: StandIn, cache_root: Path) -> None:
    service.etags = False
    service.add_fault(OBJ_NAME, CUTS[1])
    bring(service, cache_root).require_whole()
    _, second = _requests(service)
    assert second.headers["range"] == f"bytes={AT}-"
    assert second.headers["if-range"].endswith("GMT")


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": 'W/"weak"'},
        {"ETag": "unquoted"},
        {"Last-Modified": "Thu, 15 May 2025 19:25:50 GMT"},  # without a date of the answer
        {
            "Last-Modified": "Thu, 15 May 2025 19:25:50 GMT",
            "Date": "Thu, 15 May 2025 19:25:50 GMT",  # it may change again within this second
        },
        {"Last-Modified": "yesterday", "Date": "today"},
        {},
    ],
    ids=str,
)
def test_what_proves_nothing_is_not_relied_on(
    service: StandIn, cache_root: Path, headers: dict[str, str]
) -> None:
    promised = {**headers, "Content-Length": str(len(CONTENT))}
    service.add_fault(OBJ_NAME, Fault("status", status=200, body=CONTENT[:AT], headers=promised))
    bring(service, cache_root).require_whole()
    assert ranges(service)[1] is None


@pytest.mark.parametrize(
    "kind",
    [
        "range_416",
        "range_wrong_offset",
        "range_wrong_total",
        "range_other_file",
        "range_no_validator",
    ],
)
@pytest.mark.parametrize("md5", [True, False])
def test_a_rest_that_is_not_the_rest_is_not_taken(
    service: StandIn, cache_root: Path, kind: Any, md5: bool
) -> None:
    service.content_md5 = md5
    service.add_fault(OBJ_NAME, CUTS[1])
    service.add_fault(OBJ_NAME, Fault(kind))
    bring(service, cache_root).require_whole()
    assert ranges(service) == [None, f"bytes={AT}-", None]


def test_a_server_that_knows_no_parts_sends_all_of_it(service: StandIn, cache_root: Path) -> None:
    service.ranges = False
    service.add_fault(OBJ_NAME, CUTS[1])
    bring(service, cache_root).require_whole()
    assert ranges(service) == [None, f"bytes={AT}-"]


@pytest.mark.parametrize("md5", [True, False])
@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_was_exchanged_meanwhile_is_fetched_anew(
    service: StandIn, cache_root: Path, etags: bool, md5: bool
) -> None:
    assert len(OTHER) == len(CONTENT)
    service.etags, service.content_md5 = etags, md5
    service.add_fault(OBJ_NAME, CUTS[1])
    service.add_fault(OBJ_NAME, Fault("replace", body=OTHER), times=None)
    told = bring(service, cache_root)
    assert told.ready[MESH].path.read_bytes() == OTHER
    assert ranges(service) == [None, f"bytes={AT}-"]


def test_a_joined_file_is_compared_with_its_checksum(service: StandIn, cache_root: Path) -> None:
    # The first part is of another file, though it says otherwise.
    said = requests.get(service.file_url(SESSION_ID, OBJ_NAME), timeout=5).headers
    genuine = {name: said[name] for name in ("ETag", "Content-MD5")}
    service.clear()
    headers = {**genuine, "Content-Length": str(len(CONTENT))}
    service.add_fault(OBJ_NAME, Fault("status", status=200, body=OTHER[:AT], headers=headers))
    bring(service, cache_root).require_whole()
    assert ranges(service) == [None, f"bytes={AT}-", None]


def test_gzip_begins_anew(service: StandIn, cache_root: Path) -> None:
    packed = gzip.compress(CONTENT)
    headers = {
        "Content-Encoding": "gzip",
        "ETag": '"0xPACKED"',
        "Content-Length": str(len(packed)),
    }
    service.add_fault(OBJ_NAME, Fault("status", status=200, body=packed[:900], headers=headers))
    bring(service, cache_root).require_whole()
    assert ranges(service) == [None, None]


def test_a_new_link_to_the_same_file_goes_on(service: StandIn, cache_root: Path) -> None:
    service.add_fault(OBJ_NAME, CUTS[1])
    service.add_fault(OBJ_NAME, Fault("expired"))
    bring(service, cache_root).require_whole()
    assert ranges(service) == [None, f"bytes={AT}-", f"bytes={AT}-"]
    assert len(service.api_requests) == 2
    assert len({each.target for each in _requests(service)}) == 2


def test_a_new_link_to_another_file_begins_anew(service: StandIn, cache_root: Path) -> None:
    changed = session_document()
    changed["output"]["meshes"][0]["data"]["obj_url"] = service.file_url(
        SESSION_ID, "retopo_mesh_1.obj"
    )
    service.add_fault(OBJ_NAME, CUTS[1])
    service.add_fault(OBJ_NAME, Fault("expired"))
    changed_body = json.dumps(changed).encode()
    service.add_fault(SESSION_ID, Fault("replace", body=changed_body), skip=1)
    told = bring(service, cache_root)
    assert told.ready[MESH].path.read_bytes() == FILES["retopo_mesh_1.obj"]
    others = [each for each in service.file_requests if each.name == "retopo_mesh_1.obj"]
    assert [each.headers.get("range") for each in others] == [None, None]


def test_through_a_redirect_it_goes_on_at_the_same_place(
    service: StandIn, cache_root: Path
) -> None:
    with StandIn() as other:
        other.add_session(document=session_document(), files=FILES)
        url = other.file_url(SESSION_ID, OBJ_NAME)
        service.add_fault(OBJ_NAME, Fault("redirect", location=url), times=None)
        other.add_fault(OBJ_NAME, CUTS[1])
        bring(service, cache_root).require_whole()
        assert ranges(other) == [None, f"bytes={AT}-"]


def test_a_redirect_to_another_place_begins_anew(service: StandIn, cache_root: Path) -> None:
    with StandIn() as one, StandIn() as two:
        for each in (one, two):
            each.add_session(document=session_document(), files=FILES)
            location = each.file_url(SESSION_ID, OBJ_NAME)
            service.add_fault(OBJ_NAME, Fault("redirect", location=location))
        service.add_fault(OBJ_NAME, Fault("redirect", location=location), times=None)
        one.add_fault(OBJ_NAME, CUTS[1])
        bring(service, cache_root).require_whole()
        assert ranges(two) == [f"bytes={AT}-", None]


def test_the_progress_goes_on_too(service: StandIn, cache_root: Path) -> None:
    service.add_fault(OBJ_NAME, CUTS[1])
    told = bring(service, cache_root)
    whole = sum(map(len, FILES.values()))
    assert told.progress[-1].received_bytes == told.progress[-1].total_bytes == whole


# Cut at every byte

TINY = {
    "mesh.glb": glb(0),
    "retopo_mesh_0.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "retopo_render_0.png": png(1, 1),
}
CHUNK_FRAMING = 8
"""Bytes around a body that is sent as one chunk: its length, and the line ends."""


@pytest.mark.parametrize(
    ("kind", "times"), [("truncate", 1), ("truncate_chunked", 1), ("truncate_no_length", None)]
)
def test_a_file_cut_at_any_byte_is_whole_or_not_there(
    service: StandIn, cache_root: Path, kind: Any, times: int | None
) -> None:
    service.content_md5 = False
    quick = replace(QUICK, first_pause_s=0.001, tries=2)
    framing = CHUNK_FRAMING if kind == "truncate_chunked" else 0
    for at in range(max(map(len, TINY.values())) + framing):
        session_id = f"SESSION_{at}_1"
        service.add_session(session_id, document=session_document(1), files=TINY)
        cut = [name for name, content in TINY.items() if at < len(content) + framing]
        for name in cut:
            service.add_fault(f"*/{session_id}/{name}", Fault(kind, after_bytes=at), times=times)
        told = run(download_job(service, cache_root, session_id=session_id, patience=quick))
        assert isinstance(told.end, Finished)
        kept = {path.name: path.read_bytes() for path in (cache_root / session_id).iterdir()}
        for (_, index), file in told.ready.items():
            assert index in (-1, 0)
            assert kept[file.path.name] in TINY.values()
        wholes = [content for name, content in kept.items() if not name.endswith(".json")]
        assert len(wholes) == len(told.ready)
        assert len(told.ready) + len(told.failed) == len(TINY)
        if times == 1:
            assert not told.failed
        service.clear_faults()


@pytest.mark.parametrize("kind", ["truncate", "truncate_chunked", "truncate_no_length"])
def test_a_session_cut_at_any_byte_is_not_taken(
    service: StandIn, cache_root: Path, kind: Any
) -> None:
    quick = replace(QUICK, tries=1)
    document = session_document(1, input={}, created_at="", updated_at="")
    del document["output"]["meshes"][0]["data"]["image_url"]
    service.add_session(document=document, files=TINY)
    url = f"{service.api_url}/v3/sessions/{SESSION_ID}"
    size = len(requests.get(url, headers={"x-api-key": service.key}, timeout=5).content)
    for at in range(size + CHUNK_FRAMING if kind == "truncate_chunked" else size):
        service.add_fault(SESSION_ID, Fault(kind, after_bytes=at), times=None)
        told = run(download_job(service, cache_root, patience=quick))
        service.clear_faults()
        assert type(told.error) in (NotJSON, Unreachable)
        assert not cache_root.exists()
