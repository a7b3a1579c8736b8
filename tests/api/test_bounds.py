# SPDX-License-Identifier: GPL-3.0-or-later
"""Every wait ends by itself, and at once when it is cancelled; a slow line is no reason to end."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from fetching import FILES, PATIENT, QUICK, SESSION_ID, download_job, run, session_document

from csm_retopo.api import transport
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.courtesy import Courtesy
from csm_retopo.api.errors import Cancelled, CsmError, RateLimited, Unreachable
from csm_retopo.api.exchange import Clock, Exchange
from csm_retopo.api.jobs import FileKind
from csm_retopo.api.patience import Patience
from csm_retopo.api.transport import Passing, Pause, Transport
from standin import Fault, StandIn

OBJ_NAME = "retopo_mesh_0.obj"
BRIEF = replace(QUICK, connect_s=0.3, answer_s=0.4, slow_s=0.4, tries=1)
"""Only the limits that a drip can't get round are short."""


@contextmanager
def talking(pieces: Callable[[], Iterator[bytes]]) -> Iterator[int]:
    """The port of a server that says these pieces to everybody, until nobody listens."""
    closing = threading.Event()

    def speak(sock: socket.socket) -> None:
        with sock:
            try:
                sock.recv(65_536)
                for piece in pieces():
                    sock.sendall(piece)
                    if closing.wait(0.005):
                        return
            except OSError:
                return

    def accept(listener: socket.socket) -> None:
        while not closing.is_set():
            sock, _ = listener.accept()
            threading.Thread(target=speak, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        closing.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join(5.0)


def bytewise(text: bytes) -> Iterator[bytes]:
    for code in text:
        yield bytes([code])


HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS: dict[str, Callable[[], Iterator[bytes]]] = {
    "status line": lambda: bytewise(b"HTTP/1.1 200 " + b"O" * 30_000),
    "header": lambda: bytewise(HEAD + b"X-A: " + b"a" * 30_000),
    "interim answers": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim headers": lambda: itertools.chain(
        [b"HTTP/1.1 103 Early Hints\r\n"], itertools.repeat(b"X: 1\r\n")
    ),
    "body": lambda: itertools.chain(
        [HEAD, b"Content-Length: 1000000\r\n\r\n"], itertools.repeat(b"x")
    ),
    "body without length": lambda: itertools.chain([HEAD, b"\r\n"], itertools.repeat(b"x")),
    "chunks": lambda: itertools.chain(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"1\r\nx\r\n")
    ),
    "chunk extension": lambda: itertools.chain(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n5;"], itertools.repeat(b"x")
    ),
    "trailers": lambda: itertools.chain(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"], itertools.repeat(b"X: 1\r\n")
    ),
}


def read_all(client: Transport, url: str) -> bytes:
    def once(last_s: float) -> bytes:
        with client.get(url, last_s=last_s) as answer:
            try:
                return b"".join(answer.chunks())
            except transport.BodyBroken as broken:
                client.cancellation.check()
                reason = "it is too slow" if broken.is_late else "the connection broke"
                raise Passing(Unreachable(answer.host, reason)) from None

    return client.retrying(url, once, 30.0)


def outcome(url: str, patience: Patience) -> str:
    client = Transport(Cancellation(), patience=patience)
    try:
        read_all(client, url)
    except CsmError as error:
        return str(error)
    finally:
        client.close()
    raise AssertionError("it came to an end")


@pytest.mark.parametrize("pieces", DRIPS.values(), ids=DRIPS)
def test_a_drip_ends(pieces: Callable[[], Iterator[bytes]]) -> None:
    with talking(pieces) as port:
        said = outcome(f"http://127.0.0.1:{port}/", BRIEF)
    assert "it took too long to answer" in said or "it is too slow" in said


@pytest.mark.parametrize("pieces", DRIPS.values(), ids=DRIPS)
def test_a_drip_ends_at_once_when_it_is_cancelled(pieces: Callable[[], Iterator[bytes]]) -> None:
    with talking(pieces) as port:
        require_prompt_cancel(f"http://127.0.0.1:{port}/")


def require_prompt_cancel(url: str) -> None:
    cancellation = Cancellation()
    client = Transport(cancellation, patience=PATIENT)
    cancelled_s: list[float] = []

    def cancel() -> None:
        cancelled_s.append(time.monotonic())
        cancellation.cancel()

    timer = threading.Timer(0.2, cancel)
    timer.start()
    with pytest.raises(Cancelled):
        read_all(client, url)
    assert time.monotonic() - cancelled_s[0] < 1.0
    timer.join()
    client.close()


def test_a_handshake_that_drips_ends() -> None:
    def pieces() -> Iterator[bytes]:
        return itertools.chain([b"\x16\x03\x03\x40\x00"], itertools.repeat(b"\x02"))

    with talking(pieces) as port:
        said = outcome(f"https://127.0.0.1:{port}/", BRIEF)
        require_prompt_cancel(f"https://127.0.0.1:{port}/")
    assert "it took too long to answer" in said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_drips_ends(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def pieces() -> Iterator[bytes]:
        if scheme == "https":
            return itertools.chain([b"\x16\x03\x03\x40\x00"], itertools.repeat(b"\x02"))
        return itertools.chain([HEAD], itertools.repeat(b"X: 1\r\n"))

    with talking(pieces) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        said = outcome("https://csm.example/", BRIEF)
        require_prompt_cancel("https://csm.example/")
    assert "it took too long to answer" in said or "does not let it through" in said


@pytest.fixture
def hanging_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The name server does not answer; what it was asked for."""
    released = threading.Event()
    asked: list[str] = []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        released.wait(30.0)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    released.set()


def test_a_name_server_that_hangs_is_not_waited_for(hanging_names: list[str]) -> None:
    said = outcome("https://csm.example/", replace(BRIEF, tries=3))
    assert "csm.example can't be reached: it does not answer" in said
    assert len(hanging_names) == 1  # one thread, however often it is tried


def test_a_look_up_ends_at_once_when_it_is_cancelled(hanging_names: list[str]) -> None:
    require_prompt_cancel("https://other.example/")
    assert hanging_names == ["other.example"]


# A line may be slow


def test_a_slow_line_is_no_reason_to_give_up(cache_root: Path) -> None:
    patience = replace(QUICK, slow_s=0.8, least_bytes_per_s=1000.0)
    with StandIn(bandwidth_bps=30_000) as slow:
        slow.add_session(document=session_document(), files=FILES)
        start_s = time.monotonic()
        run(download_job(slow, cache_root, patience=patience)).require_whole()
        assert time.monotonic() - start_s > patience.slow_s
        assert len(slow.file_requests) == len(FILES)


def test_what_comes_fast_has_no_time_in_hand(service: StandIn, cache_root: Path) -> None:
    patience = replace(QUICK, slow_s=0.3, tries=1)
    fault = Fault("drip_body", after_bytes=40_000, interval_s=0.01)
    service.add_fault(OBJ_NAME, fault, times=None)
    told = run(download_job(service, cache_root, patience=patience))
    assert told.failed == {
        (FileKind.MESH, 0): "it came too slowly: check the network and try again"
    }


def test_a_file_of_50_mb_at_20_kb_a_second_has_time_enough() -> None:
    patience = Patience()
    size, rate = 50_000_000, 20_000 / 16  # with 16 files at once
    assert rate > patience.least_bytes_per_s
    assert size / 20_000 < patience.file_s


def test_all_tries_together_have_an_end(service: StandIn, cache_root: Path) -> None:
    patience = replace(QUICK, file_s=0.5, tries=1000, most_tries=1000, first_pause_s=0.0)
    service.add_fault(OBJ_NAME, Fault("status", status=503), times=None)
    told = run(download_job(service, cache_root, patience=patience), timeout_s=10.0)
    assert set(told.failed) == {(FileKind.MESH, 0)}


def test_an_exchange_that_is_over_is_left_alone() -> None:
    clock = Clock()
    ours, theirs = socket.socketpair()
    exchange = Exchange("a", "", Cancellation(), clock, time.monotonic() + 0.05)
    with ours, theirs:
        exchange.watch(ours)
        exchange.close()
        time.sleep(0.15)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"  # it may serve another
    assert not exchange.is_late
    clock.close()


# Pauses that are asked for


def paused_s(headers: dict[str, str]) -> float | None:
    return transport._retry_after_s(headers)


def http_date(**ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("7200", 7200.0),
        ("9" * 5000, float("inf")),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\xb2", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
    ],
)
def test_what_a_pause_can_be(text: str, seconds: float | None) -> None:
    assert paused_s({"Retry-After": text}) == seconds


def test_a_pause_can_be_a_date() -> None:
    said = paused_s({"Retry-After": http_date(seconds=30)})
    assert said is not None
    assert 25 < said <= 30


def test_a_date_is_meant_by_the_clock_of_whoever_says_it() -> None:
    headers = {"Date": http_date(hours=-5), "Retry-After": http_date(hours=-5, seconds=12)}
    assert paused_s(headers) == pytest.approx(12, abs=1)


def test_who_comes_later_keeps_the_pause_too() -> None:
    cancellation = Cancellation()
    client = Transport(cancellation, patience=QUICK)
    tries = iter([Passing(RateLimited(), Pause("127.0.0.1:9", 0.4)), None])

    def once(_last_s: float) -> None:
        if (trouble := next(tries)) is not None:
            raise trouble

    client.retrying("http://127.0.0.1:8/", once, 10.0)  # which has led to another host
    start_s = time.monotonic()
    with pytest.raises(Passing):
        client.get("http://127.0.0.1:9/", last_s=start_s + 10.0)
    assert time.monotonic() - start_s > 0.3
    client.close()


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_pause_of_a_day_ends_a_batch_but_not_an_import(is_batch: bool) -> None:
    courtesy = Courtesy() if is_batch else None
    client = Transport(Cancellation(), patience=QUICK, courtesy=courtesy)
    asked = []

    def refused(_last_s: float) -> None:
        raise Passing(RateLimited(), Pause("127.0.0.1:8", 86400.0))

    with pytest.raises(RateLimited):
        client.retrying("http://127.0.0.1:8/a", refused, 10.0)
    others_go_out = pytest.raises(RateLimited) if is_batch else contextlib.nullcontext()
    with others_go_out:
        client.retrying("http://127.0.0.1:8/b", asked.append, 10.0)
    assert bool(asked) is not is_batch
    client.close()


def test_a_pause_of_one_host_is_none_of_another(cache_root: Path, service: StandIn) -> None:
    service.add_fault(SESSION_ID, Fault("status", status=429, headers={"Retry-After": "1"}))
    told = run(download_job(service, cache_root))
    told.require_whole()
    assert service.file_requests[0].time_s - service.api_requests[1].time_s < 0.8
