# SPDX-License-Identifier: GPL-3.0-or-later
"""A threaded HTTP server on 127.0.0.1 that ends when it is told to."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable

from .faults import Fault, deliver
from .wire import BadRequest, Connection, Link, Request, Response, ServiceClosed

Handler = Callable[[Request], tuple[Response, Fault | None]]

_connection_ids = itertools.count(1)


class HttpServer:
    """Answers with what `handler` returns, called on each connection's own thread."""

    def __init__(
        self, name: str, handler: Handler, link: Link, closing: threading.Event, port: int
    ) -> None:
        self._name = name
        self._handler = handler
        self._link = link
        self._closing = closing
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, Connection] = {}
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._address: tuple[str, int] = self._listener.getsockname()
        self._acceptor = threading.Thread(target=self._accept, name=f"standin-{name}", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        return f"http://127.0.0.1:{self._address[1]}"

    def close(self, timeout_s: float) -> None:
        """Ends all connections and threads; the event `closing` has to be set before.

        Raises RuntimeError when a thread is still there after `timeout_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        with contextlib.suppress(OSError):
            # Only a connection wakes accept() on every system.
            socket.create_connection(self._address, timeout=timeout_s).close()
        self._acceptor.join(timeout_s)
        self._listener.close()
        with self._lock:
            still_open = dict(self._open)
        for connection in still_open.values():
            connection.shut_down()
        for thread in (self._acceptor, *still_open):
            thread.join(max(0.0, deadline_s - time.monotonic()))
            if thread.is_alive():
                raise RuntimeError(f"{thread.name} did not end")

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            if self._closing.is_set():
                sock.close()
                return
            number = next(_connection_ids)
            connection = Connection(sock, self._name, number, self._link, self._closing)
            thread = threading.Thread(
                target=self._serve,
                args=(connection,),
                name=f"standin-{self._name}-{number}",
                daemon=True,
            )
            with self._lock:
                self._open[thread] = connection
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.wait(self._link.connect_latency_s)
            while self._answer(connection):
                pass
        except (OSError, ServiceClosed):
            pass  # either side has hung up: nobody is left to tell
        finally:
            connection.close()
            with self._lock:
                del self._open[threading.current_thread()]

    def _answer(self, connection: Connection) -> bool:
        try:
            request = connection.read_request()
        except BadRequest:
            return deliver(connection, Response(400), None, keep_alive=False)
        if request is None:
            return False
        response, fault = self._handler(request)
        connection.wait(request.time_s + self._link.latency_s - time.monotonic())
        # A client expects no body after HEAD and would take it for the next answer.
        keep_alive = request.keep_alive and request.method != "HEAD"
        return deliver(connection, response, fault, keep_alive=keep_alive)
