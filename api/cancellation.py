# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job's waits end when the user cancels."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref

from .errors import Cancelled


class Cancellation:
    """A switch that ends every wait of a job at once, from any thread.

    Closing a response from another thread can block for seconds; shutting its socket down wakes
    the reader immediately. So every socket of the job is known here.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def cancel(self) -> None:
        """End all waits, now and from now on."""
        self._event.set()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            shut_down(sock)

    @property
    def is_set(self) -> bool:
        """Whether the job was cancelled."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled if the job was cancelled."""
        if self._event.is_set():
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Wait; raise Cancelled as soon as the job is cancelled."""
        if self._event.wait(seconds):
            raise Cancelled

    def watch(self, sock: socket.socket) -> None:
        """Shut this socket down when the job is cancelled, or now if it was."""
        with self._lock:
            self._sockets.add(sock)
        if self._event.is_set():
            shut_down(sock)


def shut_down(sock: socket.socket) -> None:
    """End its connection at once, whoever reads or writes it. Any thread."""
    # An error means not connected, or closed already: nothing waits on it.
    with contextlib.suppress(OSError):
        # An SSLSocket's own method would touch the TLS state that another thread is using.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
