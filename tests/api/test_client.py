# SPDX-License-Identifier: GPL-3.0-or-later
"""The session's own request over real HTTP: what the artist reads when it goes wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from fetching import FILES, IMPATIENT, SESSION_ID, download_job, run, session_document

from csm_retopo.api import client
from csm_retopo.api.cache import Cache
from csm_retopo.api.errors import (
    BadKey,
    CsmError,
    NoAccess,
    NoSuchSession,
    NotJSON,
    NotRetopology,
    NoVariations,
    RateLimited,
    ServerFailure,
    SessionFailed,
    StillRunning,
    Unreachable,
)
from csm_retopo.api.jobs import DownloadJob, Failed, Finished, SessionRead, Stopped, Waiting
from csm_retopo.api.settings import Service
from standin import FORBIDDEN_KEY, KEY, Fault, StandIn


def test_one_request_with_the_key_brings_the_session(service: StandIn, cache_root: Path) -> None:
    told = run(download_job(service, cache_root))
    told.require_whole()
    assert [each.session.session_id for each in told.of(SessionRead)] == [SESSION_ID]
    (request,) = service.api_requests
    assert (request.method, request.target) == ("GET", f"/v3/sessions/{SESSION_ID}")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["accept"] == "application/json"


HTML = (
    b"<html><body>Bad gateway at https://files.example/artist@example.com?sig=CANARY</body></html>"
)


SENTENCES: dict[type[CsmError], str] = {
    BadKey: (
        "The service does not accept the API key: check it in the add-on's preferences, or in the "
        "variable CSM_API_KEY"
    ),
    NoAccess: (
        "This API key has no access to the session: retopology sessions need an Enterprise "
        "account, and the key of the account that made the session"
    ),
    NoSuchSession: f"The service knows no session {SESSION_ID}: check the ID",
    RateLimited: "The service asks for fewer requests: try again in a few minutes",
    ServerFailure: "127.0.0.1 answered with an error ({}): try again later",
    NotJSON: (
        "The answer is not a session ({}): check the service's address in the add-on's "
        "preferences, or try again later"
    ),
    Unreachable: "127.0.0.1 can't be reached: {}. Check the network and try again",
}
BROKE = "the connection broke"


@pytest.mark.parametrize(
    ("fault", "error", "reason", "tries"),
    [
        (Fault("status", status=401), BadKey, "", 1),
        (Fault("status", status=403), NoAccess, "", 1),
        (Fault("status", status=404), NoSuchSession, "", 1),
        (Fault("status", status=410), NoSuchSession, "", 1),
        (Fault("status", status=429), RateLimited, "", 3),
        (Fault("status", status=429, headers={"Retry-After": "7200"}), RateLimited, "", 1),
        (Fault("status", status=500), ServerFailure, "500", 3),
        (Fault("status", status=503, body=HTML, content_type="text/html"), ServerFailure, "503", 3),
        (Fault("status", status=501), ServerFailure, "501", 1),
        (Fault("status", status=400, body=HTML), ServerFailure, "400", 1),
        (Fault("html_200"), NotJSON, "it is a web page", 1),
        (Fault("not_json"), NotJSON, "not JSON", 1),
        (Fault("redirect_loop"), NotJSON, "it leads to another address", 1),
        (Fault("reset"), Unreachable, "no connection", 3),
        (Fault("close"), Unreachable, "no connection", 3),
        (Fault("stall"), Unreachable, "it took too long to answer", 3),
        (Fault("truncate"), Unreachable, BROKE, 3),
        (Fault("reset", after_bytes=100), Unreachable, BROKE, 3),
        (Fault("stall", after_bytes=100), Unreachable, BROKE, 3),
        (
            Fault("status", status=200, body=HTML, headers={"Content-Encoding": "gzip"}),
            Unreachable,
            BROKE,
            3,
        ),
    ],
    ids=lambda value: (
        f"{value.kind}-{value.status or value.after_bytes}" if isinstance(value, Fault) else ""
    ),
)
def test_what_goes_wrong_is_told_in_a_sentence(
    service: StandIn,
    cache_root: Path,
    fault: Fault,
    error: type[CsmError],
    reason: str,
    tries: int,
) -> None:
    service.add_fault(SESSION_ID, fault, times=None)
    told = run(download_job(service, cache_root, patience=IMPATIENT))
    assert told.messages == [Failed(told.error)]
    assert type(told.error) is error
    assert str(told.error) == SENTENCES[error].format(reason)
    assert len(service.api_requests) == tries
    assert not service.file_requests
    assert not cache_root.exists()


@pytest.mark.parametrize(
    ("key", "error"), [("another-key", BadKey), (FORBIDDEN_KEY, NoAccess)], ids=["401", "403"]
)
def test_the_service_decides_about_the_key(
    service: StandIn, cache_root: Path, key: str, error: type[CsmError]
) -> None:
    assert type(run(download_job(service, cache_root, key=key)).error) is error


def test_a_session_that_is_not_there(service: StandIn, cache_root: Path) -> None:
    told = run(download_job(service, cache_root, session_id="SESSION_1_2"))
    assert str(told.error) == "The service knows no session SESSION_1_2: check the ID"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"type": "image_to_3d"}, NotRetopology),
        ({"status": "failed"}, SessionFailed),
        ({"status": "incomplete"}, StillRunning),
        ({"status": "queued"}, StillRunning),
        ({"output": {"meshes": []}}, NoVariations),
    ],
)
def test_a_session_that_can_t_be_imported_is_told(
    service: StandIn, cache_root: Path, changes: dict[str, Any], error: type[CsmError]
) -> None:
    service.add_session(document=session_document(**changes))
    told = run(download_job(service, cache_root))
    assert told.messages == [Failed(told.error)]
    assert type(told.error) is error
    assert len(service.api_requests) == 1


def test_the_answer_must_be_the_session_asked_for(service: StandIn, cache_root: Path) -> None:
    other = json.dumps(session_document(_id="SESSION_9_9")).encode()
    service.add_fault(SESSION_ID, Fault("replace", body=other))
    assert "it is another session, SESSION_9_9" in str(run(download_job(service, cache_root)).error)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers={"Retry-After": "0"}),
        Fault("status", status=503),
        Fault("status", status=503, headers={"Retry-After": "-1"}),
        Fault("status", status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Fault("reset"),
        Fault("close"),
        Fault("truncate"),
        Fault("reset", after_bytes=100),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_what_passes_is_tried_again(service: StandIn, cache_root: Path, fault: Fault) -> None:
    service.add_fault(SESSION_ID, fault, times=2)
    run(download_job(service, cache_root)).require_whole()
    assert len(service.api_requests) == 3


def test_a_pause_that_the_service_asks_for_is_kept(service: StandIn, cache_root: Path) -> None:
    service.add_fault(SESSION_ID, Fault("status", status=429, headers={"Retry-After": "1"}))
    run(download_job(service, cache_root)).require_whole()
    first, second = service.api_requests
    assert 1.0 <= second.time_s - first.time_s < 3.0


@pytest.mark.parametrize("kind", ["gzip", "chunked", "no_length", "large_body"])
def test_every_correct_answer_is_understood(service: StandIn, cache_root: Path, kind: Any) -> None:
    service.add_fault(SESSION_ID, Fault(kind, size_bytes=6_000_000))
    run(download_job(service, cache_root)).require_whole()


def test_a_body_without_end_is_given_up(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SESSION_LIMIT_BYTES", 1_000_000)
    service.add_fault(SESSION_ID, Fault("gzip_bomb", size_bytes=32_000_000), times=None)
    assert "(it is too large)" in str(run(download_job(service, cache_root)).error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_does_not_travel_with_a_redirect(
    service: StandIn, cache_root: Path, status: int
) -> None:
    with StandIn() as other:
        other.add_session(document=session_document())
        location = f"{other.api_url}/v3/sessions/{SESSION_ID}"
        service.add_fault(SESSION_ID, Fault("redirect", status=status, location=location))
        told = run(download_job(service, cache_root))
        assert type(told.error) is NotJSON
        assert other.requests == []
    assert len(service.requests) == 1


@pytest.mark.parametrize("location", ["http://[", "//", "", "\x80", "javascript:alert(1)"])
def test_a_redirect_to_nowhere_is_told(service: StandIn, cache_root: Path, location: str) -> None:
    service.add_fault(SESSION_ID, Fault("redirect", location=location))
    assert "(it leads to another address)" in str(run(download_job(service, cache_root)).error)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def unreachable(cache_root: Path, url: str) -> str:
    told = run(DownloadJob(SESSION_ID, Service(url, KEY), Cache(cache_root), patience=IMPATIENT))
    assert type(told.error) is Unreachable
    assert KEY not in str(told.error)
    return str(told.error)


def test_a_port_where_nobody_listens(service: StandIn, cache_root: Path) -> None:
    assert unreachable(cache_root, f"http://127.0.0.1:{closed_port()}") == (
        "127.0.0.1 can't be reached: no connection. Check the network and try again"
    )


@pytest.fixture
def asked_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No name but this machine's is known; the others that were asked for."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "127.0.0.1":
            return look_up(host, *args, **kwargs)
        host.encode("idna")
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_nobody_knows(
    service: StandIn, cache_root: Path, asked_names: list[str]
) -> None:
    assert unreachable(cache_root, "https://csm.example").startswith(
        "csm.example can't be reached: no connection"
    )
    assert asked_names == ["csm.example"] * 3


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "-", "*"])
def test_a_name_that_can_t_be_one(
    service: StandIn, cache_root: Path, asked_names: list[str], host: str
) -> None:
    assert unreachable(cache_root, f"https://{host}").startswith(f"{host} can't be reached: ")


@contextlib.contextmanager
def answering(answer: bytes, *, times: int = 1, host: str = "127.0.0.1") -> Iterator[Spoken]:
    """A server that says this, whatever it hears, `times` times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        spoken = Spoken(listener.getsockname()[1])

        def serve() -> None:
            for _ in range(times):
                sock, _ = listener.accept()
                with sock:
                    spoken.heard.append(sock.recv(65_536))
                    sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield spoken
        thread.join(5.0)
        assert len(spoken.heard) == times


@dataclass
class Spoken:
    """The port of such a server, and what it heard."""

    port: int
    heard: list[bytes] = field(default_factory=list)


def test_what_speaks_no_tls(service: StandIn, cache_root: Path) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        assert unreachable(cache_root, f"https://127.0.0.1:{server.port}") == (
            "127.0.0.1 can't be reached: a secure connection (TLS) to it can't be made here. "
            "Check the network and try again"
        )
    assert KEY.encode() not in server.heard[0]


def test_what_speaks_no_http(service: StandIn, cache_root: Path) -> None:
    with answering(b"220 mail.example ESMTP\r\n", times=3) as server:
        assert unreachable(cache_root, f"http://127.0.0.1:{server.port}") == (
            "127.0.0.1 can't be reached: no connection. Check the network and try again"
        )


def test_an_ipv6_address_is_reached(service: StandIn, cache_root: Path) -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(answering(answer, host="::1"))
        except OSError:
            pytest.skip("this machine has no IPv6")
        account = Service(f"http://[::1]:{server.port}", KEY)
        told = run(DownloadJob(SESSION_ID, account, Cache(cache_root), patience=IMPATIENT))
    assert type(told.error) is NoSuchSession


def test_a_machine_that_does_not_answer(
    service: StandIn, cache_root: Path, silent_address: str
) -> None:
    assert unreachable(cache_root, silent_address) == (
        "127.0.0.1 can't be reached: it does not answer. Check the network and try again"
    )


# A session that is still running


def test_a_running_session_is_waited_for(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=3)
    told = run(download_job(service, cache_root, wait_s=30.0, poll_interval_s=0.05))
    told.require_whole()
    assert len(service.api_requests) == 4
    waits = [each.elapsed_s for each in told.of(Waiting)]
    assert len(waits) == 3
    assert waits == sorted(waits)
    assert waits[-1] >= 0.1


def test_a_wait_ends_when_its_time_is_over(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), polls_until_complete=1000)
    start_s = time.monotonic()
    told = run(download_job(service, cache_root, wait_s=0.3, poll_interval_s=0.1))
    assert type(told.error) is StillRunning
    assert 0.3 <= time.monotonic() - start_s < 3.0
    # The last request is made when the time is over, not an interval before.
    assert service.api_requests[-1].time_s - service.api_requests[0].time_s >= 0.25


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=503), Fault("reset"), Fault("html_200"), Fault("status", status=429)],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_wait_outlives_a_failure_of_the_network(
    service: StandIn, cache_root: Path, fault: Fault
) -> None:
    service.add_session(document=session_document(), files=FILES, polls_until_complete=1)
    service.add_fault(SESSION_ID, fault, times=4, skip=1)
    told = run(download_job(service, cache_root, wait_s=30.0, poll_interval_s=0.02))
    told.require_whole()
    assert service.pending_faults == []


def test_a_wait_ends_when_the_key_is_withdrawn(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(), polls_until_complete=1000)
    service.add_fault(SESSION_ID, Fault("status", status=401), skip=2)
    told = run(download_job(service, cache_root, wait_s=30.0, poll_interval_s=0.02))
    assert type(told.error) is BadKey


def test_nothing_is_waited_for_when_the_service_was_never_reached(
    service: StandIn, cache_root: Path
) -> None:
    service.add_fault(SESSION_ID, Fault("status", status=503), times=None)
    told = run(download_job(service, cache_root, wait_s=30.0))
    assert type(told.error) is ServerFailure


# What requests would do by itself


@pytest.fixture
def other_people_s_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A ~/.netrc for the stand-in's host, and proxies that nobody answers at."""
    home = tmp_path / "home"
    home.mkdir()
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login artist password CANARY-NETRC\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("NETRC", str(netrc))
    proxy = f"http://proxy-user:CANARY-PROXY@127.0.0.1:{closed_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return proxy


def test_netrc_and_proxies_are_not_for_this_machine(
    service: StandIn, cache_root: Path, other_people_s_settings: str
) -> None:
    run(download_job(service, cache_root)).require_whole()
    for request in service.requests:  # that no Authorization came is checked with every test
        assert b"CANARY-NETRC" not in request.raw
        assert b"CANARY-PROXY" not in request.raw


def test_a_proxy_that_does_not_answer_is_named_as_such(
    service: StandIn, cache_root: Path, other_people_s_settings: str
) -> None:
    text = unreachable(cache_root, "https://csm.example")
    assert text == (
        "csm.example can't be reached: the proxy does not let it through. "
        "Check the network and try again"
    )


def test_a_proxy_is_used_and_never_sees_the_key(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with answering(answer, times=3) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        for name in ("https_proxy", "NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        text = unreachable(cache_root, "https://csm.example")
    assert "the proxy does not let it through" in text
    assert all(each.startswith(b"CONNECT csm.example:443") for each in proxy.heard)
    assert all(b"CANARY" not in each for each in proxy.heard)


@pytest.mark.parametrize("proxy", ["socks9://127.0.0.1:1", "http://"])
def test_a_proxy_that_can_t_be_one(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert "proxy" in unreachable(cache_root, "https://csm.example")


def test_cookies_are_not_kept(service: StandIn, cache_root: Path) -> None:
    # That no request holds one is checked with every test.
    headers = {"Set-Cookie": "canary=1; Path=/"}
    service.add_fault(SESSION_ID, Fault("status", status=503, headers=headers))
    run(download_job(service, cache_root)).require_whole()


def test_headers_that_make_no_sense_are_not_logged_with_the_url(
    service: StandIn, cache_root: Path
) -> None:
    # urllib3 warns of them, with the URL; that no secret is logged is checked with every test.
    for pattern in (SESSION_ID, "retopo_mesh_0.obj"):
        service.add_fault(
            pattern, Fault("status", status=503, headers={"X-A": "b\r\nno colon here\r\nX-C: d"})
        )
    run(download_job(service, cache_root)).require_whole()
    assert service.pending_faults == []


def test_what_others_log_of_urllib3_is_left_alone(
    service: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    requests.get(f"{service.api_url}/v3/sessions/none", timeout=5)
    assert "/v3/sessions/none" in caplog.text


def test_an_end_is_told_once(service: StandIn, cache_root: Path) -> None:
    job = download_job(service, cache_root)
    told = run(job)
    assert isinstance(told.end, Finished)
    job.cancel()
    assert job.poll(0.1) is None
    assert not told.of(Stopped)
