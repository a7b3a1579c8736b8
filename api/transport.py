# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP, as careful as a secret in a header and a secret in a URL demand.

What `requests` would do by itself and must not, it does not do here: send the key on after a
redirect, read `~/.netrc`, store cookies, wait without end, ask the user's own network, or go on
after the user cancelled.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from .addresses import is_loopback
from .cancellation import Cancellation
from .connections import Adapter, busy_with
from .courtesy import Courtesy
from .errors import CsmError, RateLimited, ServerFailure, Unreachable
from .exchange import Clock, Exchange
from .patience import Patience
from .session import Links, remote_file

CHUNK_BYTES = 2**16
MAX_REDIRECTS = 5
HEADWAY_BYTES = 2**20
"""A try that brought as much was not in vain, though it broke."""
_MOST_DOUBLINGS = 5
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_T = TypeVar("_T")


class Passing(Exception):
    """A failure that may pass: worth another try, after what the other side asks for."""

    def __init__(self, error: CsmError, pause: Pause | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause = pause


class Pause:
    """A host asks for fewer requests; for how long, if it says so."""

    def __init__(self, place: str, seconds: float | None) -> None:
        self.place = place
        self.seconds = seconds


class BodyBroken(Exception):
    """A body ended before its end, or came too slowly."""

    def __init__(self, *, is_late: bool) -> None:
        super().__init__()
        self.is_late = is_late


class Answer:
    """What came back for one request; its body is not yet read. Close it, or use it in `with`."""

    def __init__(
        self, response: requests.Response, exchange: Exchange, patience: Patience, last_s: float
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        parts = urlsplit(response.url or "")
        self.host = parts.hostname or ""
        self.origin = parts.netloc
        self.path = parts.path
        self._response = response
        self._exchange = exchange
        self._patience = patience
        exchange.expect_body(patience.slow_s, last_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, and close it if not."""
        self._exchange.close()
        self._response.close()

    @property
    def length(self) -> int | None:
        """How many bytes the body has on the wire, if that is told and counts."""
        if "Transfer-Encoding" in self.headers:  # then it doesn't
            return None
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    @property
    def shows_its_end(self) -> bool:
        """Whether a body that is cut short can be told from a whole one."""
        return (
            self.length is not None
            or self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        )

    def chunks(self) -> Iterator[bytes]:
        """The body as it is on the wire, chunked transfer undone, piece by piece as it comes. An
        empty one counts as broken, unless its length says so.

        Raises BodyBroken, also after a cancel.
        """
        # urllib3 would wait until a piece is full, and reads a chunk's first line without limit.
        body = self._response.raw._original_response
        assert body is not None
        received = 0
        try:
            while piece := body.read1(CHUNK_BYTES):
                received += len(piece)
                self._exchange.gained(
                    len(piece) / self._patience.least_bytes_per_s, self._patience.slow_s
                )
                yield piece
        except (OSError, http.client.HTTPException, ValueError):
            raise BodyBroken(is_late=self._exchange.is_late) from None
        self._exchange.close()  # from here on it can't be late any more
        is_whole = received == self.length if self.length is not None else received > 0
        # Without a length, an end that a cancel has made looks like any other.
        cut = self.length is None and self._exchange.cancellation.is_set
        if self._exchange.is_late or cut or not is_whole:
            raise BodyBroken(is_late=self._exchange.is_late)
        body.close()
        self._response.raw.release_conn()


class Transport:
    """Kept-alive connections, for one job or for all of a batch. Use from any thread; close at the
    end. With `courtesy`, its requests take turns with others.

    `own_host` is the service's, if the user named it: it may be in a private network.
    """

    def __init__(
        self,
        cancellation: Cancellation,
        *,
        links: Links = Links.SECURE,
        own_host: str = "",
        connections: int = 8,
        environ: Mapping[str, str] = os.environ,
        patience: Patience | None = None,
        courtesy: Courtesy | None = None,
    ) -> None:
        self.cancellation = cancellation
        self._is_batch = courtesy is not None
        self._courtesy = courtesy or Courtesy(otherwise=connections)
        self.links = links
        self.own_host = own_host
        self.patience = patience or Patience()
        self._clock = Clock()
        self._session = _Session()
        # With it on, requests sends what ~/.netrc holds for a host, over our own headers.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.clear()
        self._ca_variable = next((name for name in _CA_VARIABLES if environ.get(name)), "")
        self._ca_bundle = environ.get(self._ca_variable)
        self._sent = threading.Event()
        adapter = Adapter(connections, self._sent, self._ca_bundle)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        """Close the connections."""
        self._clock.close()
        self._session.close()

    def get(self, url: str, headers: Mapping[str, str] | None = None, *, last_s: float) -> Answer:
        """The answer to one GET, its body not yet read, redirects not followed. All of it has to be
        over at `last_s`, in `time.monotonic()`.

        Raises Cancelled, Unreachable (the URL is no part of its text), and Passing for what may
        be gone at the next try.
        """
        patience = self.patience
        return self._request("GET", url, headers, patience.silence_s, patience.answer_s, last_s)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one POST, its body not yet read, redirects not followed. It goes out once
        at most, as the first request of its transport: a connection that was kept alive can be
        closed by the other side this very moment, and then nobody knows what became of the POST.

        Raises Cancelled and Unreachable; `has_sent` tells whether it may have arrived all the same.
        """
        assert not self.has_sent
        patience = self.patience
        last_s = time.monotonic() + patience.session_s
        try:
            return self._request(
                "POST", url, headers, patience.post_silence_s, patience.post_answer_s, last_s, body
            )
        except Passing as passing:
            raise passing.error from None

    @property
    def has_sent(self) -> bool:
        """Whether anything of a request has left this machine, or may have."""
        return self._sent.is_set()

    def get_file(
        self, url: str, headers: Mapping[str, str] | None = None, *, last_s: float
    ) -> Answer:
        """Like `get`, with redirects followed as long as each leads to a URL that a session may
        name itself: https, or this machine if the service is there.
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = self.get(url, headers, last_s=last_s)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            answer.close()
            try:
                target = urljoin(url, answer.headers.get("Location", ""))
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
        silence_s: float,
        answer_s: float,
        last_s: float,
        body: bytes | None = None,
    ) -> Answer:
        host = _host(url)
        sent = {"User-Agent": "csm-retopo", "Accept-Encoding": "identity", **(headers or {})}
        proxies = {} if is_loopback(host) else requests.utils.get_environ_proxies(url)
        proxy = requests.utils.select_proxy(url, proxies) or ""
        if proxy.lower().startswith("socks"):
            # Their connections are made elsewhere: nothing would bound them.
            raise Unreachable(host, "the proxy that is set can't be used")
        is_secure = urlsplit(url).scheme == "https"
        if is_secure and self._ca_bundle and not os.path.exists(self._ca_bundle):
            raise Unreachable(host, f"{self._ca_variable} names no file with certificates")
        turns = self._courtesy.turns(urlsplit(url).netloc)
        turns.keep_pause(self.cancellation, self.patience.longest_pause_s)
        end_s = min(time.monotonic() + answer_s, last_s)
        exchange = Exchange(host, self.own_host, self.cancellation, self._clock, end_s)
        try:
            with busy_with(exchange):
                response = self._session.request(
                    method,
                    url,
                    headers=sent,
                    data=body,
                    proxies=proxies,
                    timeout=(self.patience.connect_s, silence_s),
                    stream=True,
                    allow_redirects=False,
                )
            # What ended in the middle of its headers looks like a whole answer without the rest.
            exchange.check()
            return Answer(response, exchange, self.patience, last_s)
        except BaseException as error:
            exchange.close()
            if not isinstance(error, OSError | urllib3.exceptions.HTTPError | ValueError):
                raise
            self.cancellation.check()
            raise _explained(exchange, error) from None

    def retrying(
        self,
        url: str,
        action: Callable[[float], _T],
        within_s: float,
        gained: Callable[[], int] = lambda: 0,
    ) -> _T:
        """The result of `action`, a request of `url`, tried again when it raises Passing, with
        jittered pauses. All tries together take `within_s` at most, waiting for turns and for what
        a host asked for not counted: `action` is told when that is over. `gained` says how many
        bytes came so far, so that tries which make headway are not counted as in vain.

        Raises what `action` raises, the error inside the last Passing, and RateLimited.
        """
        turns = self._courtesy.turns(urlsplit(url).netloc)
        last_s = time.monotonic() + within_s
        patience = self.patience
        in_vain = busy = had = 0
        for tried in range(1, patience.most_tries + 1):
            with turns.one(self.cancellation, patience.longest_pause_s) as waited_s:
                last_s += waited_s
                try:
                    return action(last_s)
                except Passing as passing:
                    self.cancellation.check()
                    error, asked = passing.error, passing.pause
                if isinstance(error, RateLimited):
                    busy += 1
                else:
                    in_vain = 1 if gained() - had >= HEADWAY_BYTES else in_vain + 1
                had = gained()
                doublings = min(max(in_vain, busy) - 1, _MOST_DOUBLINGS)
                pause_s = random.uniform(0.5, 1.0) * patience.first_pause_s * 2**doublings
                if asked is not None and asked.seconds is not None:
                    pause_s = max(pause_s, asked.seconds)
                is_too_long = (
                    pause_s > patience.longest_pause_s or time.monotonic() + pause_s >= last_s
                )
                # A failing server's pause may be about this file; 429 is about all of our requests.
                # One that is longer than any of them waits would be the end of all: a batch, which
                # has thousands, obeys; the few of an import may still be let through.
                obeys = self._is_batch and isinstance(error, RateLimited)
                if asked is not None and (not is_too_long or obeys):
                    # Before the turn is given back: whoever gets it has to know.
                    self._courtesy.turns(asked.place).hold_off(pause_s)
            is_last = tried == patience.most_tries or in_vain >= patience.tries
            if is_too_long or is_last or busy >= patience.busy_tries:
                raise error
            if asked is None:
                self.cancellation.sleep(pause_s)
        raise AssertionError("unreachable")


def raise_for_trouble(answer: Answer) -> None:
    """Raise Passing for the statuses that ask to try again, ServerFailure for other 5xx."""
    status = answer.status
    if status in (408, 429, 500, 502, 503, 504):
        seconds = _retry_after_s(answer.headers)
        is_asked = status == 429 or seconds is not None
        error = RateLimited() if status == 429 else ServerFailure(answer.host, status)
        raise Passing(error, Pause(answer.origin, seconds) if is_asked else None)
    if status >= 500:
        raise ServerFailure(answer.host, status)


def _explained(exchange: Exchange, error: BaseException) -> Exception:
    """What a request raises in place of an error from below."""
    host = exchange.host
    if exchange.is_refused:
        return Unreachable(host, "its address is not a public one")
    if exchange.is_late:
        return Passing(Unreachable(host, "it took too long to answer"))
    match error:
        case requests.exceptions.SSLError() if not _is_cut(error):
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


def _is_cut(error: BaseException) -> bool:
    """Whether a failure of TLS is just a connection that broke."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLEOFError | ConnectionError):
            return True
        below = below.__context__
    return False


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number or a date; None for anything else, and for what is over already.

    A date is compared with the answer's own: the two clocks need not agree.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    then = _moment(text)
    if then is None:
        return None
    now = _moment(headers.get("Date", "")) or datetime.now(UTC)
    return max((then - now).total_seconds(), 0.0) or None


def _moment(text: str) -> datetime | None:
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _host(url: str | None) -> str:
    return urlsplit(url or "").hostname or ""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even when it is not to follow a redirect, requests would read all of its body."""
        return
