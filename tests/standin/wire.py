# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 over one socket: requests in, paced bytes out."""

from __future__ import annotations

import http
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

_MAX_HEAD_BYTES = 65_536
_TICK_S = 0.01
_SHORTEST_SLEEP_S = 0.001
_LONGEST_CATCH_UP_S = 0.05


class ServiceClosed(Exception):
    """The service is closing: every wait ends with this."""


class BadRequest(Exception):
    """What the client sent is no HTTP request."""


@dataclass(frozen=True)
class Link:
    """What the way to the server costs.

    `latency_s` passes before every answer, `connect_latency_s` once per connection before its first
    request is read (TCP and TLS), and `bandwidth_bps` is bytes per second and per connection
    (None: as fast as it goes).
    """

    latency_s: float = 0.0
    connect_latency_s: float = 0.0
    bandwidth_bps: float | None = None


@dataclass(frozen=True)
class Request:
    """One request as it arrived.

    `headers` has lower-case names; `raw` is the whole of head and body, for a search for secrets.
    `time_s` is `time.monotonic()` when it had been read. `connection_id` counts the connections of
    both servers. `server` is "api" or "files".
    """

    server: str
    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes
    time_s: float
    connection_id: int
    keep_alive: bool = True

    @property
    def path(self) -> str:
        """The decoded path, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """What follows the question mark, as it was sent."""
        return self.target.partition("?")[2]

    @property
    def name(self) -> str:
        """The last part of the path: a file's name or a session's ID."""
        return unquote(self.target.partition("?")[0].rpartition("/")[2])


@dataclass(frozen=True)
class Response:
    """An answer, without the headers that frame its body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, framing: Mapping[str, str]) -> bytes:
        """The status line and all headers, as bytes."""
        try:
            reason = http.HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers.items(), *framing.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """One client's connection, used by one thread; only `shut_down` may come from another."""

    def __init__(
        self,
        sock: socket.socket,
        server: str,
        connection_id: int,
        link: Link,
        closing: threading.Event,
    ) -> None:
        self._sock = sock
        self._server = server
        self._connection_id = connection_id
        self._bandwidth_bps = link.bandwidth_bps
        self._closing = closing
        self._received = bytearray()
        self._link_free_s = 0.0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_request(self) -> Request | None:
        """The next request, or None when the client has closed.

        Raises BadRequest.
        """
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > _MAX_HEAD_BYTES:
                raise BadRequest
            if not self._receive():
                return None
        first, *rest = self._received[:end].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in rest:
            name, colon, value = line.partition(":")
            if not colon:
                raise BadRequest
            name = name.lower()
            value = value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        words = first.split(" ")
        length = headers.get("content-length", "0")
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or not length.isdecimal():
            raise BadRequest
        size = end + 4 + int(length)
        while len(self._received) < size:
            if not self._receive():
                return None
        raw = bytes(self._received[:size])
        del self._received[:size]
        return Request(
            server=self._server,
            method=words[0],
            target=words[1],
            headers=headers,
            raw=raw,
            time_s=time.monotonic(),
            connection_id=self._connection_id,
            keep_alive=words[2] == "HTTP/1.1" and headers.get("connection", "").lower() != "close",
        )

    def send(self, head: bytes, body: bytes | memoryview = b"") -> None:
        """Sends both, at the link's bandwidth; small ones in one packet.

        Raises OSError when the client is gone and ServiceClosed.
        """
        rest = memoryview(body)
        step = _MAX_HEAD_BYTES
        if self._bandwidth_bps is not None:
            step = min(step, max(1024, int(self._bandwidth_bps * _TICK_S)))
            # What an idle link could have carried is lost.
            self._link_free_s = max(time.monotonic(), self._link_free_s)
        first = max(0, step - len(head))
        self._send_paced(head + bytes(rest[:first]))
        for start in range(first, len(rest), step):
            self._send_paced(rest[start : start + step])

    def drip(self, data: bytes | memoryview, interval_s: float) -> None:
        """Sends one byte every `interval_s`. Raises as `send` does."""
        for position in range(len(data)):
            self.wait(interval_s)
            self._sock.sendall(data[position : position + 1])

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises ServiceClosed as soon as the service is being closed."""
        if self._closing.wait(max(0.0, seconds)):
            raise ServiceClosed

    def stays_until(self, condition: Callable[[], bool] | None) -> bool:
        """Does nothing until the condition holds, and returns True; or returns False when the
        client goes away or the service is closed.
        """
        while condition is None or not condition():
            tick_s = None if condition is None else _TICK_S
            if select.select([self._sock], [], [], tick_s)[0] and not self._receive():
                return False
        return True

    def reset(self) -> None:
        """Closes with RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Closes the socket. May be called twice."""
        self._sock.close()

    def shut_down(self) -> None:
        """Wakes whatever blocks on the socket. May be called on any thread."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was faster

    def _receive(self) -> bool:
        data = self._sock.recv(65_536)
        self._received += data
        return bool(data)

    def _send_paced(self, data: bytes | memoryview) -> None:
        if self._bandwidth_bps is not None:
            # Deadlines build on each other, so that a late wake-up is made good by the next one.
            now = time.monotonic()
            start_s = max(now - _LONGEST_CATCH_UP_S, self._link_free_s)
            self._link_free_s = start_s + len(data) / self._bandwidth_bps
            if self._link_free_s - now > _SHORTEST_SLEEP_S:
                self.wait(self._link_free_s - now)
        self._sock.sendall(data)
