# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the service, seen from a client's socket."""

from __future__ import annotations

import base64
import concurrent.futures
import gzip
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

import standin
from standin import Fault, StandIn

SESSION_ID = "SESSION_1747336753_6390509"
OBJ = b"".join(b"v %d 0 0\n" % number for number in range(1000))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
FILES = {"mesh.glb": b"glTF", "retopo_mesh_0.obj": OBJ, "retopo render 0.png": PNG}


def session_document() -> dict[str, Any]:
    host = "https://storage.example.com/somewhere"
    return {
        "_id": SESSION_ID,
        "status": "complete",
        "type": "retopology",
        "input": {"mesh": {"status": "complete", "data": {"glb_url": f"{host}/mesh.glb"}}},
        "output": {
            "meshes": [
                {
                    "name": "Cube retopo 1",
                    "status": "complete",
                    "data": {
                        "obj_url": f"{host}/retopo_mesh_0.obj?se=old",
                        "image_url": "retopo%20render%200.png",
                    },
                }
            ]
        },
    }


opened: list[http.client.HTTPConnection | http.client.HTTPResponse] = []
"""What `exchange` has opened: a body that fails half-way leaves its socket open."""


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    while opened:
        opened.pop().close()


@pytest.fixture
def service() -> Iterator[StandIn]:
    with StandIn() as running:
        running.add_session(document=session_document(), files=FILES)
        yield running


def fetch(service: StandIn, session_id: str = SESSION_ID, key: str | None = None) -> Any:
    headers = {"x-api-key": key or service.key}
    url = f"{service.api_url}/v3/sessions/{session_id}"
    return requests.get(url, headers=headers, timeout=5)


def obj_url(service: StandIn) -> str:
    url = fetch(service).json()["output"]["meshes"][0]["data"]["obj_url"]
    assert isinstance(url, str)
    return url


def exchange(
    url: str, headers: dict[str, str] | None = None, *, timeout_s: float = 5.0
) -> http.client.HTTPResponse:
    """One GET on a connection of its own; the body is still to be read."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    opened.append(connection)
    connection.request("GET", f"{parts.path}?{parts.query}", headers=headers or {})
    answer = connection.getresponse()
    opened.append(answer)
    return answer


def raw_exchange(url: str, *, timeout_s: float = 5.0) -> bytes:
    """All bytes that come back for one GET until the server closes."""
    parts = urlsplit(url)
    address = (parts.hostname, parts.port)
    with socket.create_connection(address, timeout=timeout_s) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        while data := sock.recv(65_536):
            received += data
        return received


# Sessions and files


def test_session_urls_lead_to_the_other_origin(service: StandIn) -> None:
    answer = fetch(service)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    document = answer.json()
    assert document["_id"] == SESSION_ID
    mesh = document["output"]["meshes"][0]
    urls = [document["input"]["mesh"]["data"]["glb_url"], *mesh["data"].values()]
    assert service.files_url != service.api_url
    for url, content in zip(urls, FILES.values(), strict=True):
        assert url.startswith(f"{service.files_url}/inference-outputs/artist@example.com/SESSION_")
        assert url.endswith("&sig=CANARY%3D")
        assert requests.get(url, timeout=5).content == content


def test_folder_session(service: StandIn, tmp_path: Path) -> None:
    (tmp_path / "session.json").write_text(json.dumps(session_document()), encoding="utf-8")
    (tmp_path / "retopo_mesh_0.obj").write_bytes(b"v 1 2 3\n")
    assert service.add_session("SESSION_9_9", folder=tmp_path) == "SESSION_9_9"
    document = fetch(service, "SESSION_9_9").json()
    assert document["_id"] == "SESSION_9_9"
    data = document["output"]["meshes"][0]["data"]
    assert requests.get(data["obj_url"], timeout=5).content == b"v 1 2 3\n"
    assert requests.get(data["image_url"], timeout=5).status_code == 404
    assert service.session_ids == [SESSION_ID, "SESSION_9_9"]


def test_urls_can_be_left_alone(service: StandIn) -> None:
    document = {"_id": "SESSION_1_1", "image_url": "file:///etc/passwd"}
    service.add_session(document=document, rewrite_urls=False)
    assert fetch(service, "SESSION_1_1").json() == document


@pytest.mark.parametrize("arguments", [{}, {"document": {"status": "complete"}}])
def test_session_without_document_or_id(service: StandIn, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A session needs"):
        service.add_session(**arguments)


@pytest.mark.parametrize(
    ("session_id", "key", "status"),
    [
        (SESSION_ID, "wrong", 401),
        (SESSION_ID, standin.FORBIDDEN_KEY, 403),
        ("SESSION_1_1", None, 404),
        ("..%2F..%2Fusers%2Fme", None, 404),
        (f"{SESSION_ID}/more", None, 404),
    ],
)
def test_refusals(service: StandIn, session_id: str, key: str | None, status: int) -> None:
    answer = fetch(service, session_id, key)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_missing_key_and_wrong_method(service: StandIn) -> None:
    url = f"{service.api_url}/v3/sessions/{SESSION_ID}"
    assert requests.get(url, timeout=5).status_code == 401
    assert requests.post(url, json={"type": "x"}, timeout=5).status_code == 405
    assert service.requests[-1].raw.endswith(b'{"type": "x"}')


def test_session_completes_after_polls(service: StandIn) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=2)
    answers = [fetch(service).json() for _ in range(3)]
    assert [answer["status"] for answer in answers] == ["incomplete", "incomplete", "complete"]
    assert answers[1]["output"]["meshes"][0]["status"] == "incomplete"
    assert answers[1]["output"]["meshes"][0]["data"] == {}
    assert answers[2]["output"]["meshes"][0]["data"]["obj_url"]


@pytest.mark.parametrize("change", [("CANARY", "OTHER"), ("&sig=CANARY%3D", ""), ("%3D", "%253D")])
def test_storage_wants_its_signature(service: StandIn, change: tuple[str, str]) -> None:
    answer = requests.get(obj_url(service).replace(*change), timeout=5)
    assert answer.status_code == 403
    assert b"<Code>AuthenticationFailed</Code>" in answer.content


def test_urls_expire_until_the_next_fetch(service: StandIn) -> None:
    old = obj_url(service)
    assert requests.get(old, timeout=5).status_code == 200
    service.expire_urls(SESSION_ID)
    assert requests.get(old, timeout=5).status_code == 403
    assert requests.get(obj_url(service), timeout=5).content == OBJ
    assert requests.get(old, timeout=5).status_code == 403
    assert requests.get(service.file_url(SESSION_ID, "mesh.glb"), timeout=5).content == b"glTF"


# Records


def test_requests_are_recorded(service: StandIn) -> None:
    url = obj_url(service)
    with requests.Session() as session:
        session.headers["X-Api-Key"] = "leaked"
        session.get(url, timeout=5)
        session.get(url, timeout=5)
    assert [request.server for request in service.requests] == ["api", "files", "files"]
    assert [request.path for request in service.api_requests] == [f"/v3/sessions/{SESSION_ID}"]
    first, second = service.file_requests
    assert first.headers["x-api-key"] == "leaked"
    assert b"leaked" in first.raw
    assert first.name == "retopo_mesh_0.obj"
    assert first.path.endswith(f"artist@example.com/{SESSION_ID}/retopo_mesh_0.obj")
    assert first.query.endswith("sig=CANARY%3D")
    assert first.time_s <= second.time_s
    assert first.connection_id == second.connection_id != service.api_requests[0].connection_id
    service.clear()
    assert service.requests == []


def test_http_1_0_closes(service: StandIn) -> None:
    parts = urlsplit(service.api_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as sock:
        sock.sendall(b"GET /v3/sessions/x HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: sock.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in received


@pytest.mark.parametrize(
    "request_bytes",
    [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", b"A" * 70_000],
)
def test_not_http(service: StandIn, request_bytes: bytes) -> None:
    parts = urlsplit(service.api_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as sock:
        sock.sendall(request_bytes)
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")


# Headers of the storage host


def test_validators_and_checksum(service: StandIn) -> None:
    headers = exchange(obj_url(service)).headers
    assert headers["Content-MD5"] == base64.b64encode(hashlib.md5(OBJ).digest()).decode()
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"].startswith('"0x')
    assert headers["Last-Modified"].endswith(" GMT")


def test_checksum_and_ranges_can_be_switched_off() -> None:
    with StandIn(content_md5=False, ranges=False) as service:
        service.add_session(document=session_document(), files=FILES)
        answer = exchange(service.file_url(SESSION_ID, "retopo_mesh_0.obj"), {"Range": "bytes=5-"})
        assert answer.status == 200
        assert answer.read() == OBJ
        assert {"content-md5", "accept-ranges"}.isdisjoint(map(str.lower, answer.headers))


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=100-", 100, len(OBJ)),
        ("bytes=100-199", 100, 200),
        ("bytes=0-99999999", 0, len(OBJ)),
        ("bytes=-10", len(OBJ) - 10, len(OBJ)),
    ],
)
def test_range(service: StandIn, wanted: str, start: int, stop: int) -> None:
    url = obj_url(service)
    validators = exchange(url).headers
    for validator in (None, validators["ETag"], validators["Last-Modified"]):
        headers = {"Range": wanted} | ({"If-Range": validator} if validator else {})
        answer = exchange(url, headers)
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(OBJ)}"
        assert answer.headers["x-ms-blob-content-md5"] == validators["Content-MD5"]
        assert "Content-MD5" not in answer.headers
        assert answer.read() == OBJ[start:stop]


@pytest.mark.parametrize(
    "headers",
    [{"Range": "bytes=5-", "If-Range": '"other"'}, {"Range": "lines=1-2"}, {"Range": "bytes=-"}],
)
def test_range_that_does_not_apply(service: StandIn, headers: dict[str, str]) -> None:
    answer = exchange(obj_url(service), headers)
    assert answer.status == 200
    assert answer.read() == OBJ


def test_range_beyond_the_end(service: StandIn) -> None:
    answer = exchange(obj_url(service), {"Range": f"bytes={len(OBJ)}-"})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(OBJ)}"


# Latency and bandwidth


def test_latency_is_per_request_and_per_connection() -> None:
    with StandIn(latency_s=0.05, connect_latency_s=0.3) as service:
        service.add_session(document=session_document(), files=FILES)
        connection = http.client.HTTPConnection(urlsplit(service.api_url).netloc, timeout=5)
        took_s = []
        for _ in range(2):
            start_s = time.monotonic()
            connection.request("GET", f"/v3/sessions/{SESSION_ID}")
            connection.getresponse().read()
            took_s.append(time.monotonic() - start_s)
        connection.close()
    assert 0.35 <= took_s[0] < 1.0
    assert 0.05 <= took_s[1] < 0.3


def test_bandwidth_is_per_connection() -> None:
    with StandIn(bandwidth_bps=1_000_000) as service:
        service.add_session(
            document=session_document(), files={"retopo_mesh_0.obj": bytes(200_000)}
        )
        url = service.file_url(SESSION_ID, "retopo_mesh_0.obj")
        start_s = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            sizes = list(pool.map(lambda _: len(exchange(url).read()), range(6)))
        took_s = time.monotonic() - start_s
    assert sizes == [200_000] * 6
    assert 0.2 <= took_s < 0.8  # one after another: 1.2 s


# Faults


def test_fault_status(service: StandIn) -> None:
    service.add_fault(SESSION_ID, Fault("status", status=429, headers={"Retry-After": "7200"}))
    service.add_fault(SESSION_ID, Fault("status", body=b"busy", content_type="text/plain"))
    answer = fetch(service)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7200")
    assert answer.json() == {"message": "Too Many Requests"}
    answer = fetch(service)
    assert (answer.status_code, answer.text) == (503, "busy")
    assert answer.headers["Content-Type"] == "text/plain"
    assert fetch(service).status_code == 200


def test_faults_are_counted_and_matched(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("status", status=500), times=None, skip=1)
    service.add_fault("/v3/*", Fault("status", status=599), times=2)
    assert len(service.pending_faults) == 1
    assert [fetch(service).status_code for _ in range(3)] == [599, 599, 200]
    assert service.pending_faults == []
    url = service.file_url(SESSION_ID, "retopo_mesh_0.obj")
    assert [exchange(url).status for _ in range(3)] == [200, 500, 500]
    assert exchange(service.file_url(SESSION_ID, "mesh.glb")).status == 200
    service.clear_faults()
    assert exchange(url).status == 200


def test_unknown_fault() -> None:
    with pytest.raises(ValueError, match="No such fault: gremlin"):
        Fault("gremlin")  # type: ignore[arg-type]


def test_fault_html_200(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("html_200"))
    answer = exchange(obj_url(service))
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.read().startswith(b"<!DOCTYPE html>")


def test_fault_not_json(service: StandIn) -> None:
    service.add_fault(SESSION_ID, Fault("not_json"))
    answer = fetch(service)
    assert answer.headers["Content-Type"] == "application/json"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


def test_fault_reset(service: StandIn) -> None:
    url = obj_url(service)
    service.add_fault("*.obj", Fault("reset"))
    service.add_fault("*.obj", Fault("reset", after_bytes=100))
    with pytest.raises(ConnectionResetError):
        exchange(url)
    answer = exchange(url)
    with pytest.raises(ConnectionResetError):
        answer.read()


def test_fault_close(service: StandIn) -> None:
    url = obj_url(service)
    service.add_fault("*.obj", Fault("close"))
    assert raw_exchange(url) == b""


@pytest.mark.parametrize(
    ("after_bytes", "received"), [(100, 100), (0, 0), (None, len(OBJ) // 2), (1 << 30, -1)]
)
def test_fault_truncate(service: StandIn, after_bytes: int | None, received: int) -> None:
    url = obj_url(service)
    service.add_fault("*.obj", Fault("truncate", after_bytes=after_bytes))
    answer = exchange(url)
    assert answer.headers["Content-Length"] == str(len(OBJ))
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert caught.value.partial == OBJ[:received]


def test_fault_truncate_no_length(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("truncate_no_length", after_bytes=100))
    answer = exchange(obj_url(service))
    assert answer.headers["Content-Length"] is None
    assert answer.read() == OBJ[:100]


@pytest.mark.parametrize("after_bytes", [0, 100, None, 1 << 30])
def test_fault_truncate_chunked(service: StandIn, after_bytes: int | None) -> None:
    service.add_fault("*.obj", Fault("truncate_chunked", after_bytes=after_bytes))
    answer = exchange(obj_url(service))
    assert answer.headers["Transfer-Encoding"] == "chunked"
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert OBJ.startswith(caught.value.partial)


def test_fault_no_length(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("no_length"))
    answer = exchange(obj_url(service))
    assert answer.headers["Content-Length"] is None
    assert answer.headers["Connection"] == "close"
    assert answer.read() == OBJ


def test_fault_wrong_length_short(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("wrong_length_short", after_bytes=100))
    answer = exchange(obj_url(service))
    assert answer.headers.get_all("Content-Length") == ["100"]
    assert answer.read() == OBJ[:100]


def test_fault_corrupt(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("corrupt", after_bytes=3))
    answer = exchange(obj_url(service))
    body = answer.read()
    assert [position for position in range(len(OBJ)) if body[position] != OBJ[position]] == [3]
    assert base64.b64decode(answer.headers["Content-MD5"]) == hashlib.md5(OBJ).digest()


def test_fault_drip_headers(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("drip_headers", interval_s=0.001))
    start_s = time.monotonic()
    assert exchange(obj_url(service)).read() == OBJ
    assert time.monotonic() - start_s > 0.1


def test_fault_drip_body(service: StandIn) -> None:
    at = len(OBJ) - 20
    service.add_fault("*.obj", Fault("drip_body", interval_s=0.01, after_bytes=at))
    answer = exchange(obj_url(service))
    start_s = time.monotonic()
    assert answer.read(at) == OBJ[:at]
    assert answer.read() == OBJ[at:]
    assert time.monotonic() - start_s > 0.1


def test_fault_stall(service: StandIn) -> None:
    url = obj_url(service)
    service.add_fault("*.obj", Fault("stall", after_bytes=100))
    service.add_fault("*.obj", Fault("stall"))
    answer = exchange(url, timeout_s=0.2)
    assert answer.read(100) == OBJ[:100]
    with pytest.raises(TimeoutError):
        answer.read(1)
    with pytest.raises(TimeoutError):
        exchange(url, timeout_s=0.2)


def test_a_fault_lasts_until_it_is_over(service: StandIn) -> None:
    over = threading.Event()
    service.add_fault("*.obj", Fault("stall", after_bytes=100, until=over.is_set), times=None)
    answer = exchange(obj_url(service))
    assert answer.read(100) == OBJ[:100]
    over.set()
    assert answer.read() == OBJ[100:]
    assert exchange(obj_url(service)).read() == OBJ


def test_fault_gzip(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("gzip"))
    answer = exchange(obj_url(service))
    body = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) == len(body) < len(OBJ)
    assert base64.b64decode(answer.headers["Content-MD5"]) == hashlib.md5(body).digest()
    assert gzip.decompress(body) == OBJ


def test_fault_gzip_bomb(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("gzip_bomb", size_bytes=(20 << 20) - 1))
    answer = exchange(obj_url(service))
    body = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < 100_000
    decoder = zlib.decompressobj(wbits=31)
    assert decoder.decompress(body) == bytes(20 << 20)
    assert decoder.eof


def test_fault_redirect(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("redirect", location="http://2130706433/"))
    service.add_fault("*.obj", Fault("redirect", location="//host/x", status=308))
    url = obj_url(service)
    answers = [exchange(url), exchange(url)]
    assert [answer.status for answer in answers] == [302, 308]
    assert [answer.headers["Location"] for answer in answers] == ["http://2130706433/", "//host/x"]


def test_fault_redirect_loop(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("redirect_loop"))
    with pytest.raises(requests.TooManyRedirects):
        requests.get(obj_url(service), timeout=5)


def test_fault_expired(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("expired"))
    old = obj_url(service)
    for _ in range(2):
        answer = exchange(old)
        assert answer.status == 403
        assert b"AuthenticationFailed" in answer.read()
    assert exchange(service.file_url(SESSION_ID, "mesh.glb")).status == 200
    assert exchange(obj_url(service)).status == 200


def test_fault_expired_for_ever(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("expired"), times=None)
    assert [exchange(obj_url(service)).status for _ in range(2)] == [403, 403]


def test_fault_expired_on_arrival(service: StandIn) -> None:
    service.add_fault(SESSION_ID, Fault("expired"))
    assert [exchange(obj_url(service)).status for _ in range(2)] == [403, 200]


def test_fault_chunked(service: StandIn) -> None:
    service.add_fault("*.obj", Fault("chunked"))
    answer = exchange(obj_url(service))
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["Content-Length"] is None
    assert answer.read() == OBJ


def test_fault_replace(service: StandIn) -> None:
    url = obj_url(service)
    before = exchange(url).headers
    service.add_fault("*.obj", Fault("replace", body=b"0123456789"), times=None)
    answer = exchange(url, {"Range": "bytes=4-", "If-Range": before["ETag"]})
    assert (answer.status, answer.read()) == (200, b"0123456789")
    for name in ("ETag", "Last-Modified", "Content-MD5"):
        assert answer.headers[name] != before[name]
    answer = exchange(url, {"Range": "bytes=4-", "If-Range": answer.headers["ETag"]})
    assert (answer.status, answer.read()) == (206, b"456789")


def test_fault_replace_session(service: StandIn) -> None:
    service.add_fault(SESSION_ID, Fault("replace", body=b"[]"))
    assert fetch(service).json() == []


def test_fault_large_body(service: StandIn) -> None:
    service.add_fault(SESSION_ID, Fault("large_body", size_bytes=3_000_000))
    answer = fetch(service)
    assert len(answer.content) > 3_000_000
    assert answer.json()["_id"] == SESSION_ID


@pytest.mark.parametrize("fault", [Fault("chunked"), Fault("gzip"), Fault("status", status=500)])
def test_connection_outlives_harmless_faults(service: StandIn, fault: Fault) -> None:
    parts = urlsplit(obj_url(service))
    service.add_fault("*.obj", fault)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    for _ in range(2):
        connection.request("GET", f"{parts.path}?{parts.query}")
        connection.getresponse().read()
    connection.close()
    assert len({request.connection_id for request in service.file_requests}) == 1


# Closing


@pytest.mark.parametrize(
    "fault",
    [
        Fault("stall"),
        Fault("stall", after_bytes=1),
        Fault("drip_headers", interval_s=60.0),
        Fault("drip_body", interval_s=60.0),
        None,
    ],
)
def test_close_ends_every_wait(fault: Fault | None) -> None:
    service = StandIn(bandwidth_bps=1000 if fault is None else None)
    service.add_session(document=session_document(), files=FILES)
    if fault is not None:
        service.add_fault("*.obj", fault)
    url = service.file_url(SESSION_ID, "retopo_mesh_0.obj")
    ended = threading.Event()

    def client() -> None:
        try:
            exchange(url, timeout_s=30).read()
        except (OSError, http.client.HTTPException):
            ended.set()

    thread = threading.Thread(target=client)
    thread.start()
    idle = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
    while not service.file_requests:
        time.sleep(0.01)
    start_s = time.monotonic()
    service.close()
    service.close()
    assert time.monotonic() - start_s < 2
    thread.join(5)
    assert ended.is_set()
    idle.close()
    assert not [left.name for left in threading.enumerate() if left.name.startswith("standin")]
    with pytest.raises(ConnectionRefusedError):
        exchange(url)


@pytest.mark.parametrize("waiting", [{"latency_s": 60.0}, {"connect_latency_s": 60.0}])
def test_close_ends_latency(waiting: dict[str, Any]) -> None:
    service = StandIn(**waiting)
    with socket.create_connection(
        (urlsplit(service.api_url).hostname, urlsplit(service.api_url).port)
    ) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(0.05)
        start_s = time.monotonic()
        service.close()
        assert time.monotonic() - start_s < 2


def test_taken_port_leaves_nothing_behind(service: StandIn) -> None:
    threads = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        StandIn(files_port=urlsplit(service.files_url).port or 0)
    assert threading.active_count() == threads


# Command line


@pytest.mark.parametrize("end", ["stdin", "sigterm"])
def test_command_line(tmp_path: Path, end: str) -> None:
    (tmp_path / "session.json").write_text(json.dumps(session_document()), encoding="utf-8")
    (tmp_path / "retopo_mesh_0.obj").write_bytes(OBJ)
    command = [sys.executable, "-m", "standin", "--folder", str(tmp_path), "--port", "0"]
    command += ["--latency", "0.001", "--connect-latency", "0.001", "--bandwidth", "5e6"]
    tests = str(Path(standin.__file__).parents[1])
    with subprocess.Popen(
        [*command, "--polls", "1"],
        env={**os.environ, "PYTHONPATH": tests},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        facts = json.loads(process.stdout.readline())
        assert facts["session_ids"] == [SESSION_ID]
        url = f"{facts['api_url']}/v3/sessions/{SESSION_ID}"
        answers = [
            requests.get(url, headers={"x-api-key": facts["key"]}, timeout=5).json()
            for _ in range(2)
        ]
        assert [answer["status"] for answer in answers] == ["incomplete", "complete"]
        file_url = answers[1]["output"]["meshes"][0]["data"]["obj_url"]
        assert file_url.startswith(facts["files_url"])
        assert requests.get(file_url, timeout=5).content == OBJ
        if end == "stdin":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""
