# SPDX-License-Identifier: GPL-3.0-or-later
"""The service is behind TLS: certificates are checked, and cancelling works within it, too."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import trustme

from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.errors import Cancelled, Unreachable
from csm_retopo.api.session import Links
from csm_retopo.api.transport import Transport
from standin import StandIn


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stopped = threading.Event()
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/stall":
            self.stopped.wait(10)
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    """The certificate of the authority that the server's certificate is from."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def url(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://localhost:{server.server_port}"
    _Handler.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def asked() -> list[str]:
    """What the server is asked for in a test."""
    _Handler.asked.clear()
    return _Handler.asked


def soon() -> float:
    return time.monotonic() + 30.0


def _cancelled_after_s(cancellation: Cancellation, action: Callable[[], object]) -> float:
    """How long the action went on after it was cancelled."""
    cancelled_at: list[float] = []

    def cancel() -> None:
        cancelled_at.append(time.monotonic())
        cancellation.cancel()

    timer = threading.Timer(0.2, cancel)
    timer.start()
    with pytest.raises(Cancelled):
        action()
    timer.join()
    return time.monotonic() - cancelled_at[0]


def test_a_bundle_of_the_studios_own_is_heeded(url: str, bundle: Path) -> None:
    environ = {"REQUESTS_CA_BUNDLE": str(bundle)}
    transport = Transport(Cancellation(), links=Links.LOOPBACK, environ=environ)
    for _ in range(2):
        with transport.get(f"{url}/", last_s=soon()) as answer:
            assert b"".join(answer.chunks()) == b"hello"
    transport.close()


def test_a_certificate_nobody_vouches_for_is_refused(url: str, asked: list[str]) -> None:
    transport = Transport(Cancellation(), links=Links.LOOPBACK, environ={})
    with pytest.raises(Unreachable, match="secure connection"):
        transport.get(f"{url}/", last_s=soon())
    transport.close()
    assert asked == []


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_that_is_not_there_is_named(
    url: str, asked: list[str], service: StandIn, name: str
) -> None:
    environ = {name: "/nowhere/ca.pem"}
    transport = Transport(Cancellation(), links=Links.LOOPBACK, environ=environ)
    with pytest.raises(Unreachable, match=f"{name} names no file with certificates"):
        transport.get(f"{url}/", last_s=soon())
    with transport.get(f"{service.api_url}/", last_s=soon()):
        assert len(service.requests) == 1  # what is not encrypted needs none
    transport.close()
    assert asked == []


def test_cancelling_ends_a_request_at_once(url: str, bundle: Path) -> None:
    cancellation = Cancellation()
    environ = {"REQUESTS_CA_BUNDLE": str(bundle)}
    transport = Transport(cancellation, links=Links.LOOPBACK, environ=environ)
    assert (
        _cancelled_after_s(cancellation, lambda: transport.get(f"{url}/stall", last_s=soon())) < 1
    )
    transport.close()


def test_cancelling_ends_a_handshake_at_once(bundle: Path) -> None:
    cancellation = Cancellation()
    environ = {"REQUESTS_CA_BUNDLE": str(bundle)}
    transport = Transport(cancellation, links=Links.LOOPBACK, environ=environ)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"https://localhost:{silent.getsockname()[1]}/"
        assert _cancelled_after_s(cancellation, lambda: transport.get(target, last_s=soon())) < 1
    transport.close()
