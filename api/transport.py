# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP, as careful as a secret in a header and a secret in a URL demand.

What `requests` would do by itself and must not, it does not do here: send the key on after a
redirect, read `~/.netrc`, store cookies, wait without end, or go on after the user cancelled.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from . import courtesy as manners
from .cancellation import Cancellation
from .courtesy import Courtesy
from .errors import Cancelled, CsmError, RateLimited, ServerFailure, Unreachable
from .session import Links, is_loopback, remote_file

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 90.0
"""Of a POST. Longer, since nobody knows what became of one that was given up."""
MAX_REDIRECTS = 5
ATTEMPTS = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 20.0

_T = TypeVar("_T")


class Passing(Exception):
    """A failure that may pass: worth another try."""

    def __init__(self, error: CsmError, retry_after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


class Transport:
    """Kept-alive connections, for one job or for all of a batch. Use from any thread; close at the
    end. With `courtesy`, its requests wait for their turns, and for pauses that a host asked for.
    """

    def __init__(
        self,
        cancellation: Cancellation,
        *,
        links: Links = Links.SECURE,
        connections: int = 8,
        courtesy: Courtesy | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.cancellation = cancellation
        self._courtesy = courtesy
        self.links = links
        self._session = _Session()
        # With it on, requests sends what ~/.netrc holds for a host, over our own headers.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.clear()
        self._ca_bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True
        self._sent = threading.Event()
        adapter = _Adapter(cancellation, connections, self._sent)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """The answer to one GET, its body not yet read, redirects not followed.

        Raises Cancelled, Unreachable (the URL is no part of its text), and Passing for what may
        be gone at the next try.
        """
        return self._request("GET", url, headers, READ_TIMEOUT_S)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> requests.Response:
        """The answer to one POST, its body not yet read, redirects not followed. It goes out once
        at most, as the first request of its transport: a connection that was kept alive can be
        closed by the other side this very moment, and then nobody knows what became of the POST.

        Raises Cancelled and Unreachable; `has_sent` tells whether it may have arrived all the same.
        """
        assert not self.has_sent
        try:
            return self._request("POST", url, headers, ANSWER_TIMEOUT_S, body)
        except Passing as passing:
            raise passing.error from None

    @property
    def has_sent(self) -> bool:
        """Whether anything of a request has left this machine, or may have."""
        return self._sent.is_set()

    def get_file(self, url: str) -> requests.Response:
        """Like `get`, with redirects followed as long as each leads to a URL that a session may
        name itself: https, or this machine if the service is there.
        """
        for _ in range(MAX_REDIRECTS + 1):
            response = self.get(url)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            try:
                target = urljoin(url, response.headers.get("Location", ""))
            except ValueError:
                target = ""
            allowed = remote_file(target, self.links)
            if allowed.url is None:
                raise Unreachable(_host(url), "it redirects to a place that is not safe")
            url = allowed.url
        raise Unreachable(_host(url), "it redirects without end")

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        read_timeout_s: float,
        body: bytes | None = None,
    ) -> requests.Response:
        host = _host(url)
        sent = {"User-Agent": "csm-retopo", "Accept-Encoding": "identity", **(headers or {})}
        proxies = {} if is_loopback(host) else requests.utils.get_environ_proxies(url)
        try:
            return self._session.request(
                method,
                url,
                headers=sent,
                data=body,
                proxies=proxies,
                verify=self._ca_bundle,
                timeout=(CONNECT_TIMEOUT_S, read_timeout_s),
                stream=True,
                allow_redirects=False,
            )
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            self.cancellation.check()
            raise _explained(host, error) from None

    def retrying(self, url: str, action: Callable[[], _T]) -> _T:
        """The result of `action`, a request of `url`, tried again when it raises Passing, with
        jittered pauses. A pause that the host asks for is one for all who share the courtesy.

        Raises what `action` raises, the error inside the last Passing, and RateLimited.
        """
        turns = self._courtesy.turns(urlsplit(url).netloc) if self._courtesy else None
        longest_s = manners.LONGEST_PAUSE_S if turns else LONGEST_PAUSE_S
        for attempt in itertools.count(1):
            self.cancellation.check()
            try:
                with turns.one(self.cancellation) if turns else contextlib.nullcontext():
                    return action()
            except Passing as passing:
                self.cancellation.check()
                had_no_room = turns is not None and isinstance(passing.error, RateLimited)
                pause_s = random.uniform(0.5, 1.0) * FIRST_PAUSE_S * 2 ** min(attempt - 1, 5)
                if passing.retry_after_s is not None:
                    pause_s = max(pause_s, passing.retry_after_s)
                if turns and (had_no_room or passing.retry_after_s is not None):
                    turns.hold_off(pause_s)
                if attempt >= (manners.ATTEMPTS if had_no_room else ATTEMPTS):
                    raise passing.error from None
                if pause_s > longest_s:
                    raise passing.error from None
                self.cancellation.sleep(pause_s)
        raise AssertionError("unreachable")


def raise_for_trouble(response: requests.Response) -> None:
    """Raise Passing for the statuses that ask to try again, ServerFailure for other 5xx."""
    status = response.status_code
    host = _host(response.url)
    if status == 429:
        raise Passing(RateLimited(), _retry_after_s(response))
    if status in (408, 500, 502, 503, 504):
        raise Passing(ServerFailure(host, status), _retry_after_s(response))
    if status >= 500:
        raise ServerFailure(host, status)


def content_length(response: requests.Response) -> int | None:
    """How many bytes the body has on the wire, if that is told and counts."""
    if "Transfer-Encoding" in response.headers:  # then it doesn't
        return None
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _explained(host: str, error: Exception) -> Exception:
    """What a request raises in place of an error from below."""
    match error:
        case requests.exceptions.SSLError():
            return Unreachable(host, "a secure connection (TLS) to it can't be made here")
        case requests.exceptions.InvalidSchema() | requests.exceptions.InvalidProxyURL():
            return Unreachable(host, "the proxy that is set can't be used")
        case requests.exceptions.InvalidURL() | UnicodeError():
            return Unreachable(host, "its address is not valid")
        case requests.exceptions.ProxyError():
            reason = "the proxy does not let it through"
        case requests.exceptions.ConnectTimeout():
            reason = "it does not answer"
        case requests.exceptions.Timeout():
            reason = "it took too long to answer"
        case _:
            reason = "no connection"
    return Passing(Unreachable(host, reason))


def _retry_after_s(response: requests.Response) -> float | None:
    """Seconds; a date, or anything else, counts as not said."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() else None


def _host(url: str | None) -> str:
    return urlsplit(url or "").hostname or ""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even when it is not to follow a redirect, requests would read all of its body."""
        return


class _Hush(threading.local):
    """A filter for what urllib3 logs of this thread's request: its URL, a credential."""

    on = False

    def filter(self, record: logging.LogRecord) -> bool:
        return not self.on


_hush = _Hush()
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_hush)


class _Adapter(HTTPAdapter):
    """Connections that a Cancellation can end, at any stage, and that set `sent` before anything of
    a request goes out.
    """

    def __init__(self, cancellation: Cancellation, connections: int, sent: threading.Event) -> None:
        self._pool_classes = _pool_classes(cancellation, sent)
        self._sent = sent
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if proxy.lower().startswith("socks"):  # those bring connection classes of their own
            self._sent.set()  # from here on, that is more than anybody can tell
        else:
            manager.pool_classes_by_scheme = self._pool_classes
        return manager


def _pool_classes(
    cancellation: Cancellation, sent: threading.Event
) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools, with connections whose sockets `cancellation` watches from the first SYN.

    What an exception says is not enough to tell whether a request went out: urllib3 1.26 calls a
    connection that breaks while it waits for the answer a proxy's or TLS's failure.
    """

    class Watched(HTTPConnection):
        _handle: socket.socket | None = None
        _is_connecting = False

        def _new_conn(self) -> socket.socket:
            timeout = self.timeout if isinstance(self.timeout, int | float) else CONNECT_TIMEOUT_S
            reason: OSError | None = None
            try:
                addresses = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
            except OSError as error:
                raise NewConnectionError(self, "the name can't be resolved") from error
            for family, kind, protocol, _, address in addresses:
                sock = socket.socket(family, kind, protocol)
                cancellation.watch(sock)
                try:
                    for option in self.socket_options or ():
                        sock.setsockopt(*option)
                    sock.settimeout(timeout)
                    cancellation.check()
                    sock.connect(address)
                except (OSError, Cancelled) as error:
                    sock.close()
                    if isinstance(error, Cancelled):
                        raise NewConnectionError(self, "cancelled") from error
                    reason = error
                else:
                    # TLS takes the socket over into an object of its own, which is known only
                    # when the handshake is done: until then a duplicate stands for it.
                    self._handle = sock.dup()
                    cancellation.watch(self._handle)
                    return sock
            if isinstance(reason, TimeoutError):
                raise ConnectTimeoutError(self, "no answer") from reason
            raise NewConnectionError(self, "no connection") from reason

        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            if not self._is_connecting:  # then it is the CONNECT for a proxy
                sent.set()
                # After it: who cancels, and then finds that nothing was sent, can rely on that.
                cancellation.check()
            super().send(data)

        def connect(self) -> None:
            self._is_connecting = True
            try:
                super().connect()
            finally:
                self._is_connecting = False
                if self._handle is not None:
                    self._handle.close()
                    self._handle = None
            cancellation.watch(self.sock)

    class WatchedTLS(Watched, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Watched

        def _make_request(self, *args: Any, **kwargs: Any) -> Any:
            _hush.on = True
            try:
                return super()._make_request(*args, **kwargs)
            finally:
                _hush.on = False

    class PoolTLS(Pool, HTTPSConnectionPool):
        ConnectionCls = WatchedTLS

    return {"http": Pool, "https": PoolTLS}
