# SPDX-License-Identifier: GPL-3.0-or-later
"""A request and its answer, which end when their time is over, whatever the other side does.

A socket's own time-out counts from each byte to the next: whoever sends a byte now and then keeps
a reader for ever, in a TLS handshake, a proxy's answer, a header or a body. So a clock shuts the
sockets down.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from .addresses import may_reach
from .cancellation import Cancellation, shut_down

_END_S = 1.0


class Clock:
    """Ends exchanges whose time is over, on a thread that lives until `close`. Any thread."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._exchanges: set[Exchange] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """End the thread."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(_END_S)

    def add(self, exchange: Exchange) -> None:
        """Keep an eye on it, or note that it ends earlier than before."""
        with self._news:
            self._exchanges.add(exchange)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, name="csm-retopo-clock", daemon=True
                )
                self._thread.start()
            self._news.notify()

    def remove(self, exchange: Exchange) -> None:
        """Forget it."""
        with self._news:
            self._exchanges.discard(exchange)

    def _run(self) -> None:
        with self._news:
            while not self._closed:
                now_s = time.monotonic()
                late = [each for each in self._exchanges if each.end_s <= now_s]
                self._exchanges.difference_update(late)
                for each in late:
                    each.expire()
                ends_s = (each.end_s for each in self._exchanges)
                next_s = min(ends_s, default=None)
                self._news.wait(None if next_s is None else max(next_s - now_s, 0.0))


class Exchange:
    """One request for `host` and its answer. `end_s`, in `time.monotonic()`, is when it has to be
    over; `is_refused` tells that the host has no address that a request may go to, `has_sent` that
    the request may have gone out.
    """

    def __init__(
        self, host: str, own_host: str, cancellation: Cancellation, clock: Clock, end_s: float
    ) -> None:
        self.host = host
        self.own_host = own_host
        self.cancellation = cancellation
        self.end_s = end_s
        self.is_late = False
        self.is_refused = False
        self.has_sent = False
        self._last_s = end_s
        self._clock = clock
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._closed = False
        clock.add(self)

    def may_reach(self, address: str) -> bool:
        """Whether the request may go there."""
        return may_reach(self.host, address, self.own_host)

    def watch(self, sock: socket.socket) -> None:
        """Shut this connection down when the time is over, or the user cancels.

        What is kept is a duplicate: TLS takes a socket over into an object of its own, and a
        connection lets go of its socket while the answer is still being read.
        """
        twin = socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with self._lock:
            self._sockets.append(twin)
            if self.is_late:
                shut_down(twin)
        self.cancellation.watch(twin)

    def expire(self) -> None:
        """Its time is over: end it, unless it is over already."""
        with self._lock:
            if not self._closed:
                self.is_late = True
                for each in self._sockets:
                    shut_down(each)

    def expect_body(self, slow_s: float, last_s: float) -> None:
        """From here on it may go on as long as bytes come, but not beyond `last_s`."""
        self._last_s = last_s
        self.end_s = min(time.monotonic() + slow_s, last_s)
        self._clock.add(self)

    def gained(self, worth_s: float, slow_s: float) -> None:
        """Bytes have come that give it `worth_s` more; never more than `slow_s` from now."""
        self.end_s = min(time.monotonic() + slow_s, self.end_s + worth_s, self._last_s)

    def check(self) -> None:
        """Raise Cancelled if the user cancelled, TimeoutError if the time is over."""
        self.cancellation.check()
        if self.is_late:
            raise TimeoutError

    def close(self) -> None:
        """It is over: its connection may serve another."""
        self._clock.remove(self)
        with self._lock:
            self._closed = True
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.close()
            self._sockets.clear()
