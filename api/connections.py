# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that end with their exchange, at any stage, and go to no address that they may not.

urllib3 makes and keeps them; only what it can't do is done here.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from .addresses import literal_address
from .errors import Cancelled
from .exchange import Exchange

_Address = tuple[Any, ...]
_Look = concurrent.futures.Future[list[tuple[int, int, int, str, _Address]]]

_TICK_S = 0.05


class _Current(threading.local):
    """The exchange that this thread is busy with."""

    exchange: Exchange | None = None

    def filter(self, _record: logging.LogRecord) -> bool:
        """Whether it is not about ours: what urllib3 logs holds the URL, a credential."""
        return self.exchange is None


_current = _Current()
for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_current)


@contextlib.contextmanager
def busy_with(exchange: Exchange) -> Iterator[None]:
    """What this thread requests in the block belongs to that exchange."""
    _current.exchange = exchange
    try:
        yield
    finally:
        _current.exchange = None


class Adapter(HTTPAdapter):
    """The connections of one job. `sent` is set before anything of a request goes out.

    Certificates are compared with those at `ca_bundle`, a path, or with those that requests brings.

    What an exception says is not enough to tell whether a request went out: urllib3 1.26 calls a
    connection that breaks while it waits for the answer a proxy's or TLS's failure.
    """

    def __init__(self, connections: int, sent: threading.Event, ca_bundle: str | None) -> None:
        self._pool_classes = _pool_classes(sent)
        self._ca_bundle = ca_bundle
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: object = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send it, and check certificates: other add-ons have all sessions of requests not do so,
        which `verify` would tell.
        """
        return super().send(request, stream, timeout, self._ca_bundle or True, cert, proxies)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have it use these connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Have a proxy's manager use them, too."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager


def _pool_classes(sent: threading.Event) -> dict[str, type[HTTPConnectionPool]]:
    class Watched(HTTPConnection):
        debuglevel = 0  # else http.client prints every header, should anybody have switched that on
        _is_connecting = False

        def _new_conn(self) -> socket.socket:
            exchange = _current.exchange
            assert exchange is not None
            timeout = self.timeout if isinstance(self.timeout, int | float) else None
            through_proxy = self.proxy is not None
            # A proxy looks names up itself. What is no name can be judged all the same.
            asked_for = (self._tunnel_host or "") if through_proxy else self.host
            for literal in map(literal_address, (exchange.host, asked_for)):
                if literal is not None and not exchange.may_reach(literal):
                    exchange.is_refused = True
                    raise NewConnectionError(self, "not allowed")
            reason: OSError | None = None
            try:
                found = _look_up(self._dns_host, self.port, exchange, timeout)
            except TimeoutError as error:
                raise ConnectTimeoutError(self, "the name server does not answer") from error
            except OSError as error:
                raise NewConnectionError(self, "the name can't be resolved") from error
            except Cancelled as error:
                raise NewConnectionError(self, "cancelled") from error
            allowed = [each for each in found if through_proxy or exchange.may_reach(each[4][0])]
            exchange.is_refused = not allowed
            for family, kind, protocol, _, address in allowed:
                sock = socket.socket(family, kind, protocol)
                try:
                    for option in self.socket_options or ():
                        sock.setsockopt(*option)
                    sock.settimeout(timeout)
                    exchange.watch(sock)
                    exchange.check()
                    sock.connect(address)
                except (OSError, Cancelled) as error:
                    sock.close()
                    if isinstance(error, Cancelled):
                        raise NewConnectionError(self, "cancelled") from error
                    reason = error
                else:
                    return sock
            if isinstance(reason, TimeoutError):
                raise ConnectTimeoutError(self, "no answer") from reason
            raise NewConnectionError(self, "no connection") from reason

        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            if not self._is_connecting:  # then it is the CONNECT for a proxy
                exchange = _current.exchange
                assert exchange is not None
                if not exchange.has_sent:
                    exchange.has_sent = True
                    exchange.watch(self.sock)  # it may have been kept from another exchange
                sent.set()
                # After it: who cancels, and then finds that nothing was sent, can rely on that.
                exchange.cancellation.check()
            super().send(data)

        def connect(self) -> None:
            self._is_connecting = True
            try:
                super().connect()
            finally:
                self._is_connecting = False

    class WatchedTLS(Watched, HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            # Others can have changed what is below, too. Nothing of a request was sent yet.
            if not self.is_verified or self.assert_hostname is False:
                self.close()
                raise ssl.SSLError("the certificate was not checked")

    class Pool(HTTPConnectionPool):
        ConnectionCls = Watched

    class PoolTLS(HTTPSConnectionPool):
        ConnectionCls = WatchedTLS

    return {"http": Pool, "https": PoolTLS}


_looks: dict[tuple[str, int], _Look] = {}
_looks_lock = threading.Lock()


def _look_up(host: str, port: int, exchange: Exchange, timeout_s: float | None) -> list[Any]:
    """What getaddrinfo finds. Raises Cancelled, OSError, and TimeoutError.

    Nothing can interrupt it while it waits for a name server. So it has a thread, which is left
    behind if need be, one for each name: who asks again meanwhile waits for the same.
    """
    if literal_address(host) is not None:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    key = (host, port)
    with _looks_lock:
        look = _looks.get(key)
        if look is None:
            look = _looks[key] = concurrent.futures.Future()
            threading.Thread(
                target=_ask_name_server, args=(key, look), name="look-up", daemon=True
            ).start()
    end_s = time.monotonic() + (timeout_s or 0.0)
    while True:
        exchange.check()
        try:
            return look.result(_TICK_S)
        except concurrent.futures.TimeoutError as error:
            if look.done():
                raise
            if timeout_s and time.monotonic() >= end_s:
                raise TimeoutError from error


def _ask_name_server(key: tuple[str, int], look: _Look) -> None:
    found: list[Any] = []
    failure: BaseException | None = None
    try:
        found = socket.getaddrinfo(*key, 0, socket.SOCK_STREAM)
    except BaseException as error:  # noqa: BLE001 - it goes on to whoever waits
        failure = error
    with _looks_lock:
        _looks.pop(key, None)
    if failure is None:
        look.set_result(found)
    else:
        look.set_exception(failure)
