# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests cost credits: none is sent twice, none is called failed that may have been taken, and
the ID of the new session is not lost.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from fetching import (
    FILES,
    IMPATIENT,
    QUICK,
    SESSION_ID,
    job_threads,
    run,
    session_document,
)

from csm_retopo.api import requesting, transport
from csm_retopo.api.cache import Cache
from csm_retopo.api.errors import (
    NotRequested,
    RequestedOnly,
    RequestUncertain,
    SessionFailed,
    StillRunning,
)
from csm_retopo.api.jobs import Finished, Stopped, Waiting
from csm_retopo.api.patience import Patience
from csm_retopo.api.requesting import RequestJob, Wish, find_requested
from csm_retopo.api.settings import Service
from standin import FORBIDDEN_KEY, KEY, Fault, Request, StandIn

ASSET_ID = "ASSET_1_0"
WISH = Wish(ASSET_ID, "precision", quads=False)
POST = "/v3/sessions"
LOOK = "Look at your sessions on the service before you request again: each request costs credits"


def request_job(service: StandIn, cache_root: Path, **options: Any) -> RequestJob:
    account = Service(service.api_url, options.pop("key", service.key))
    options = {"wait_s": 30.0, "poll_interval_s": 0.02, "patience": QUICK, **options}
    return RequestJob(options.pop("wish", WISH), account, Cache(cache_root), **options)


def posts(service: StandIn) -> list[Request]:
    return [each for each in service.requests if each.method == "POST"]


def kept(cache_root: Path) -> list[str]:
    """The sessions that an artist who asks for another of the same mesh is told of."""
    return [each.session_id for each in find_requested(Cache(cache_root), ASSET_ID)]


def test_one_post_makes_a_session_that_is_waited_for(service: StandIn, cache_root: Path) -> None:
    service.polls_after_request = 3
    job = request_job(service, cache_root)
    told = run(job)
    told.require_whole()
    (post,) = posts(service)
    assert (post.server, post.target) == ("api", POST)
    assert post.headers["x-api-key"] == KEY
    assert post.headers["content-type"] == "application/json"
    assert json.loads(post.raw.partition(b"\r\n\r\n")[2]) == {
        "type": "retopology",
        "input": {"mesh": ASSET_ID, "model": "precision", "quads": False},
    }
    assert [job.session_id] == service.requested_ids
    assert [each.model for each in told.of(Waiting)] == ["precision"] * 3
    assert kept(cache_root) == []
    # A connection of its own, since one that was kept alive can break when nobody knows why.
    others = [each for each in service.api_requests if each is not post]
    assert post.connection_id not in [each.connection_id for each in others]


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("form", [{"_id": "{}"}, {"data": {"_id": "{}", "status": "incomplete"}}])
def test_every_likely_answer_is_understood(
    service: StandIn, cache_root: Path, status: int, form: dict[str, Any]
) -> None:
    body = json.dumps(form).replace("{}", SESSION_ID).encode()
    service.add_fault(POST, Fault("status", status=status, body=body))
    job = request_job(service, cache_root)
    run(job).require_whole()
    assert job.session_id == SESSION_ID


@pytest.mark.parametrize("kind", ["gzip", "chunked", "no_length", "large_body", "drip_headers"])
def test_every_correct_transfer_is_understood(
    service: StandIn, cache_root: Path, kind: Any
) -> None:
    service.add_fault(POST, Fault(kind, size_bytes=1_000_000, interval_s=0.001))
    run(request_job(service, cache_root)).require_whole()
    assert len(posts(service)) == 1


# Refused


REFUSED = {
    400: "The service refuses it",
    401: "The service does not accept the API key",
    402: "The account has not enough credits",
    403: "This API key may not request retopologies",
    404: "The service does not know the input mesh",
    422: "The service refuses it",
    429: "The service runs 5 jobs of an account at once at most",
}


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_is_told_as_one(service: StandIn, cache_root: Path, status: int) -> None:
    headers = {"Retry-After": "0"}
    service.add_fault(POST, Fault("status", status=status, headers=headers), times=None)
    told = run(request_job(service, cache_root))
    assert type(told.error) is NotRequested
    assert str(told.error).startswith(f"Nothing was requested. {REFUSED[status]}")
    assert len(service.requests) == 1
    assert not cache_root.exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"message": "The mesh has  too many\\nfaces."}', " (The mesh has too many faces)"),
        (b'{"message": "See https://files.example/x?sig=CANARY"}', ""),
        (b'{"message": "CANARY-KEY-6f1e has no credits"}', ""),
        (b'{"message": ["no"]}', ""),
        (b"<html>no</html>", ""),
        (b"[" * 100_000, ""),
    ],
    ids=["reason", "url", "key", "list", "html", "deep"],
)
def test_the_services_own_reason_is_told(
    service: StandIn, cache_root: Path, body: bytes, reason: str
) -> None:
    service.add_fault(POST, Fault("status", status=400, body=body))
    told = run(request_job(service, cache_root))
    assert str(told.error) == f"Nothing was requested. The service refuses it{reason}"


@pytest.mark.parametrize("key", ["another-key", FORBIDDEN_KEY])
def test_the_service_decides_about_the_key(service: StandIn, cache_root: Path, key: str) -> None:
    told = run(request_job(service, cache_root, key=key))
    assert type(told.error) is NotRequested
    assert service.requested_ids == []


def test_a_mesh_that_the_service_does_not_know(service: StandIn, cache_root: Path) -> None:
    told = run(request_job(service, cache_root, wish=Wish("ASSET_9_9", "swift", quads=True)))
    assert str(told.error) == (
        "Nothing was requested. The service does not know the input mesh: it may have been deleted "
        "there (Asset not found)"
    )


def test_five_jobs_at_once_are_the_limit(service: StandIn, cache_root: Path) -> None:
    service.polls_after_request = 1000
    account = Service(service.api_url, KEY)
    for _ in range(5):
        requesting.request(WISH, account, Cache(cache_root))
    with pytest.raises(NotRequested, match="5 jobs of an account"):
        requesting.request(WISH, account, Cache(cache_root))
    assert len(service.requested_ids) == 5


# Not known


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("reset"), "no answer came"),
        (Fault("close"), "no answer came"),
        (Fault("stall"), "no answer came"),
        (Fault("truncate"), "no answer came"),
        (Fault("reset", after_bytes=10), "no answer came"),
        (Fault("stall", after_bytes=10), "no answer came"),
        (Fault("status", status=201, headers={"Content-Encoding": "gzip"}), "no answer came"),
        (Fault("truncate_no_length"), "its answer names no session"),
        (Fault("html_200"), "its answer names no session"),
        (Fault("not_json"), "its answer names no session"),
        (Fault("replace", body=b""), "its answer names no session"),
        (Fault("replace", body=b"[" * 100_000), "its answer names no session"),
        (Fault("replace", body=b"[]"), "its answer names no session"),
        (Fault("replace", body=b'{"_id": "ASSET_1_2"}'), "its answer names no session"),
        (Fault("replace", body=b'{"_id": 7, "data": 7}'), "its answer names no session"),
        (Fault("status", status=204, body=b""), "it answered with an error, 204"),
        (Fault("status", status=408), "it answered with an error, 408"),
        (Fault("status", status=409), "it answered with an error, 409"),
        (Fault("status", status=500), "it answered with an error, 500"),
        (
            Fault("status", status=503, headers={"Retry-After": "0"}),
            "it answered with an error, 503",
        ),
        (Fault("redirect_loop"), "it leads to another address"),
    ],
    ids=lambda value: (
        f"{value.kind}-{value.status or value.after_bytes or (value.body and value.body[:9])}"
        if isinstance(value, Fault)
        else ""
    ),
)
def test_what_may_have_arrived_is_not_sent_again(
    service: StandIn,
    cache_root: Path,
    fault: Fault,
    reason: str,
) -> None:
    service.add_fault(POST, fault, times=None)
    told = run(request_job(service, cache_root, patience=IMPATIENT))
    assert type(told.error) is RequestUncertain
    assert str(told.error) == (
        f"It is not known whether the service took the request ({reason}). {LOOK}"
    )
    assert len(service.requests) == 1
    assert not cache_root.exists()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_request_does_not_follow_a_redirect(
    service: StandIn, cache_root: Path, status: int
) -> None:
    with StandIn() as other:
        other.add_session(document=session_document(), files=FILES)
        location = f"{other.api_url}{POST}"
        service.add_fault(POST, Fault("redirect", status=status, location=location))
        assert type(run(request_job(service, cache_root)).error) is RequestUncertain
        assert other.requests == []
    assert len(service.requests) == 1


# Certainly not sent


def not_requested(job: RequestJob) -> str:
    error = run(job).error
    assert type(error) is NotRequested
    assert not job.is_uncertain
    return str(error)


def job_for(url: str, cache_root: Path, patience: Patience = QUICK) -> RequestJob:
    return RequestJob(WISH, Service(url, KEY), Cache(cache_root), wait_s=30.0, patience=patience)


@contextlib.contextmanager
def hanging_up(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that says `answer` to whatever it hears first, and hangs up; and what it
    heard until then.
    """
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                heard.append(sock.recv(65_536))
                sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(5.0)
        # Nobody came a second time.
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_nothing_is_sent_where_nobody_listens(service: StandIn, cache_root: Path) -> None:
    told = not_requested(job_for(f"http://127.0.0.1:{closed_port()}", cache_root))
    assert told == (
        "Nothing was requested. 127.0.0.1 can't be reached: no connection. Check the network and "
        "try again"
    )


def test_nothing_is_sent_where_nobody_answers(
    service: StandIn, cache_root: Path, silent_address: str
) -> None:
    job = job_for(silent_address, cache_root, IMPATIENT)
    assert "it does not answer" in not_requested(job)


def test_nothing_is_sent_to_a_name_that_nobody_knows(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        if host == "127.0.0.1":
            return look_up(host, *args, **options)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    told = not_requested(job_for("https://csm.example", cache_root))
    assert "csm.example can't be reached: no connection" in told


def test_nothing_is_sent_where_tls_fails(service: StandIn, cache_root: Path) -> None:
    with hanging_up(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, heard):
        assert "(TLS)" in not_requested(job_for(f"https://127.0.0.1:{port}", cache_root))
    assert POST.encode() not in heard[0]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Log in\r\n\r\n", b""])
def test_nothing_is_sent_when_the_proxy_refuses(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with hanging_up(answer) as (port, heard):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        told = not_requested(job_for("https://csm.example", cache_root))
        assert "csm.example can't be reached" in told
    assert heard[0].startswith(b"CONNECT csm.example:443 ")
    assert KEY.encode() not in heard[0]


@pytest.mark.parametrize("by_proxy", [True, False], ids=["proxy", "direct"])
@pytest.mark.parametrize("end", ["reset", "close", "garbage"])
def test_a_connection_that_breaks_within_tls_is_no_refusal(
    service: StandIn,
    cache_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    by_proxy: bool,
) -> None:
    """Older libraries call this an error of TLS, or of the proxy."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        if by_proxy:
            assert sock.recv(65_536).startswith(b"CONNECT ")
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(sock, server_side=True) as secure:
            while not heard or not heard[-1].endswith(b"}}"):
                heard.append(secure.recv(65_536))
            if end == "garbage":
                socket.socket.send(secure, b"\x17\x03\x03\x00\x05hello")
            elif end == "reset":
                secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if by_proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            # No proxy is used for this machine itself.
            monkeypatch.setattr(transport, "is_loopback", lambda _host: False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.setattr("requests.utils.proxy_bypass", lambda *_: False)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        told = run(job_for(f"https://localhost:{port}", cache_root))
        thread.join(5.0)
    assert b"".join(heard).startswith(b"POST /v3/sessions HTTP/1.1\r\n")
    assert type(told.error) is RequestUncertain
    assert "no answer came" in str(told.error)


# Cancelled


def require_stopped(job: RequestJob) -> None:
    assert job.poll(1.0) == Stopped()
    assert job_threads(within_s=3.0) == []


def test_cancelled_before_anything_is_sent(
    service: StandIn, cache_root: Path, silent_address: str
) -> None:
    job = job_for(silent_address, cache_root)
    job.start()
    time.sleep(0.2)
    job.cancel()
    assert not job.is_uncertain
    require_stopped(job)
    assert not job.is_uncertain


def test_cancelled_at_once_nothing_is_sent(service: StandIn, cache_root: Path) -> None:
    job = request_job(service, cache_root)
    job.cancel()
    job.start()
    require_stopped(job)
    assert not job.is_uncertain
    assert service.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("stall"),
        Fault("stall", after_bytes=5),
        Fault("drip_headers", interval_s=0.05),
        Fault("drip_body", interval_s=0.05),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.after_bytes}",
)
def test_cancelled_while_the_answer_is_outstanding_it_is_not_known(
    service: StandIn, cache_root: Path, fault: Fault
) -> None:
    service.add_fault(POST, fault)
    job = request_job(service, cache_root)
    run(job, until=lambda told: bool(service.requests))
    time.sleep(0.1)
    job.cancel()
    assert job.is_uncertain
    require_stopped(job)
    assert job.is_uncertain
    assert len(service.requests) == 1


def test_whenever_it_is_cancelled_what_it_says_is_true(service: StandIn, cache_root: Path) -> None:
    """Nothing sent, not known, or an ID: never "nothing sent" for what has arrived."""
    body = json.dumps({"_id": SESSION_ID}).encode()
    service.add_fault(f"*{POST}", Fault("status", status=201, body=body), times=None)
    nothing_sent = []
    for number in range(60):
        job = job_for(f"{service.api_url}/{number}", cache_root)
        job.start()
        end = time.perf_counter() + number * 0.0001
        while time.perf_counter() < end:
            pass
        job.cancel()
        if not job.is_uncertain and not job.session_id:
            nothing_sent.append(f"/{number}{POST}")
        require_stopped(job)
    time.sleep(0.2)  # until all that was sent has been read
    targets = [each.target for each in posts(service)]
    assert nothing_sent
    assert not set(targets) & set(nothing_sent)
    assert len(set(targets)) == len(targets)


def test_cancelled_while_it_waits_the_id_is_kept(service: StandIn, cache_root: Path) -> None:
    service.polls_after_request = 1000
    job = request_job(service, cache_root)
    run(job, until=lambda told: bool(told.of(Waiting)))
    job.cancel()
    assert not job.is_uncertain
    require_stopped(job)
    assert [job.session_id] == service.requested_ids == kept(cache_root)


# The ID


def test_it_is_kept_before_anything_else_is_done(service: StandIn, cache_root: Path) -> None:
    service.add_fault("SESSION_*", Fault("stall"), times=None)
    job = request_job(service, cache_root)
    run(job, until=lambda told: len(service.requests) > 1)
    (session,) = find_requested(Cache(cache_root), ASSET_ID)
    assert [session.session_id] == service.requested_ids
    assert (session.model, session.quads) == ("precision", False)
    assert find_requested(Cache(cache_root), "ASSET_9_9") == []
    job.cancel()
    require_stopped(job)


@pytest.mark.parametrize(
    "fault",
    [Fault("reset"), Fault("html_200"), Fault("status", status=503), Fault("status", status=404)],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_failure_after_the_request_does_not_end_the_wait(
    service: StandIn, cache_root: Path, fault: Fault
) -> None:
    service.add_fault("SESSION_*", fault, times=7)
    run(request_job(service, cache_root)).require_whole()
    assert service.pending_faults == []
    assert len(posts(service)) == 1


@pytest.mark.parametrize("status", [401, 404, 503])
def test_what_ends_the_wait_names_the_session(
    service: StandIn, cache_root: Path, status: int
) -> None:
    service.add_fault("SESSION_*", Fault("status", status=status), times=None)
    told = run(request_job(service, cache_root, wait_s=0.3))
    (session_id,) = service.requested_ids
    assert type(told.error) is RequestedOnly
    assert f"{session_id} was requested all the same: import it by this ID" in str(told.error)
    assert kept(cache_root) == [session_id]
    assert len(posts(service)) == 1


def test_a_wait_that_takes_too_long_names_the_session(service: StandIn, cache_root: Path) -> None:
    service.polls_after_request = 1000
    told = run(request_job(service, cache_root, wait_s=0.2))
    assert type(told.error) is StillRunning
    assert kept(cache_root)[0] in str(told.error)


def test_a_session_that_failed_is_not_to_be_fetched(service: StandIn, cache_root: Path) -> None:
    body = json.dumps({"_id": SESSION_ID}).encode()
    service.add_fault(POST, Fault("status", status=201, body=body))
    service.add_session(document=session_document(status="failed"))
    told = run(request_job(service, cache_root))
    assert type(told.error) is SessionFailed
    assert kept(cache_root) == []


def test_a_cache_that_can_t_be_written_does_not_hide_the_id(
    service: StandIn, cache_root: Path
) -> None:
    cache_root.write_text("no folder")
    job = request_job(service, cache_root)
    told = run(job)
    assert isinstance(told.end, Finished) or job.session_id in str(told.error)
    assert [job.session_id] == service.requested_ids
    assert "The cache folder can't be written" in told.notices[0]


def test_a_script_gets_the_id(service: StandIn, cache_root: Path) -> None:
    session_id = requesting.request(WISH, Service(service.api_url, KEY), Cache(cache_root))
    assert [session_id] == service.requested_ids == kept(cache_root)
    assert len(service.requests) == 1


def test_what_is_damaged_in_the_cache_hides_nothing(service: StandIn, cache_root: Path) -> None:
    session_id = requesting.request(WISH, Service(service.api_url, KEY), Cache(cache_root))
    for name, content in (("a", b"{"), ("b", b"[]"), ("c", b"\xff")):
        (cache_root / name).mkdir()
        (cache_root / name / requesting.NAME).write_bytes(content)
    (cache_root / "d" / requesting.NAME).mkdir(parents=True)
    assert kept(cache_root) == [session_id]
    shutil.rmtree(cache_root)
    assert kept(cache_root) == []
