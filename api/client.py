# SPDX-License-Identifier: GPL-3.0-or-later
"""The two calls of the service: a session by its ID, and the request for a new one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from .errors import (
    BadKey,
    Cancelled,
    CsmError,
    InvalidSessionID,
    NoAccess,
    NoSuchSession,
    NotJSON,
    NotRequested,
    RequestUncertain,
    ServerFailure,
    Unreachable,
)
from .jobs import log_failure
from .session import (
    SESSION_LIMIT_BYTES,
    Session,
    clean_name,
    find_session_id,
    parse_session,
    read_json,
    without_urls,
)
from .settings import Service
from .transport import Answer, BodyBroken, Passing, Transport, raise_for_trouble
from .unzip import NotGzip, Unzip

if TYPE_CHECKING:
    from .requesting import Wish

_SHORTEST_KEY = 8
"""What is shorter is no key, and may stand in an answer for another reason."""

REFUSALS = {
    400: "The service refuses it",
    401: str(BadKey()),
    402: "The account has not enough credits for it",
    403: "This API key may not request retopologies: they need an Enterprise account",
    404: "The service does not know the input mesh: it may have been deleted there",
    405: "The service takes no requests at this address: check it in the add-on's preferences",
    422: "The service refuses it",
    429: "The service runs 5 jobs of an account at once at most, or asks for fewer requests: try "
    "again when one is done",
}
"""By status: why the service did not take a request for a new session. After any other that is no
success, it may have."""


def fetch_session(transport: Transport, service: Service, session_id: str) -> Session:
    """GET the session. Blocks: call it on a thread.

    Raises Cancelled, and one of ServiceError or SessionError that says what to do.
    """
    return transport.retrying(
        service.api_url,
        lambda last_s: _fetch_once(transport, service, session_id, last_s),
        transport.patience.session_s,
    )


def request_session(transport: Transport, service: Service, wish: Wish) -> str:
    """POST the wish, which costs the account credits, and return the new session's ID. It is sent
    once at most, as the first request of `transport`. Blocks: call it on a thread.

    Raises Cancelled if it was not sent any more, NotRequested if the service certainly did not take
    it, and RequestUncertain if nobody knows.
    """
    try:
        return _request_once(transport, service, wish)
    except (NotRequested, RequestUncertain):
        raise
    except Exception as error:
        reason = str(error)
        if not isinstance(error, CsmError | Passing):
            log_failure(error)
            reason = f"Something unforeseen happened ({type(error).__name__})"
        if transport.has_sent:
            if transport.cancellation.is_set:
                raise RequestUncertain from None
            raise RequestUncertain("no answer came") from None
        if isinstance(error, Cancelled):
            raise
        raise NotRequested(reason) from None


def _request_once(transport: Transport, service: Service, wish: Wish) -> str:
    document = {
        "type": "retopology",
        "input": {"mesh": wish.input_asset_id, "model": wish.model, "quads": wish.quads},
    }
    headers = {
        "x-api-key": service.key,
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    url = f"{service.api_url}/v3/sessions"
    with transport.post(url, headers, json.dumps(document).encode()) as answer:
        status = answer.status
        if 300 <= status < 400:  # followed, it would take the key to wherever it leads
            raise RequestUncertain("it leads to another address")
        if status not in (200, 201, 202, *REFUSALS):
            raise RequestUncertain(f"it answered with an error, {status}")
        if status in REFUSALS:
            raise NotRequested(REFUSALS[status] + _said(answer, service.key))
        # What has arrived tells the ID, even if the user has cancelled meanwhile.
        body = _read(answer, lambda: None)
    return _new_session_id(body)


def _new_session_id(body: bytes) -> str:
    """The ID in the service's answer, whose form is not documented. Raises RequestUncertain."""
    document = None
    with contextlib.suppress(NotJSON):
        document = read_json(body)
    while isinstance(document, dict):
        session_id = document.get("_id")
        if isinstance(session_id, str) and "/" not in session_id:
            try:
                return find_session_id(session_id)
            except InvalidSessionID:
                break
        document = document.get("data")
    raise RequestUncertain("its answer names no session")


def _said(answer: Answer, key: str) -> str:
    """The reason that the service gives for a refusal, as a clause, if there is one to be shown."""
    try:
        message = read_json(_read(answer, lambda: None))["message"]
    except (CsmError, Passing, KeyError, TypeError):
        return ""
    # What holds a URL or the key is a credential.
    if not isinstance(message, str) or without_urls(message, "") != message or key in message:
        return ""
    text = clean_name(message, 200).rstrip(".")
    return f" ({text})" if text else ""


def _fetch_once(transport: Transport, service: Service, session_id: str, last_s: float) -> Session:
    url = f"{service.api_url}/v3/sessions/{quote(session_id, safe='')}"
    headers = {"x-api-key": service.key, "Accept": "application/json"}
    with transport.get(url, headers, last_s=last_s) as answer:
        raise_for_trouble(answer)
        status = answer.status
        if status == 401:
            raise BadKey
        if status == 403:
            raise NoAccess
        if status in (404, 410):
            raise NoSuchSession(session_id)
        if 300 <= status < 400:  # followed, it would take the key to wherever it leads
            raise NotJSON("it leads to another address")
        if status != 200:
            raise ServerFailure(service.host, status)
        body = _read(answer, transport.cancellation.check)
    if len(service.key) >= _SHORTEST_KEY:  # whatever repeats it would show it
        body = body.replace(service.key.encode(), b"")
    session = parse_session(body, service.links)
    if session.session_id != session_id:
        raise NotJSON(f"it is another session, {session.session_id}")
    return session


def _read(answer: Answer, check: Callable[[], None]) -> bytes:
    """The body, at most SESSION_LIMIT_BYTES, known to be whole if its length was told. `check` is
    called between its pieces, and before a failure is told.
    """
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "", "gzip"):
        raise NotJSON("it was sent in an encoding that nobody asked for")
    unzip = Unzip() if encoding == "gzip" else None
    pieces: list[bytes] = []
    size = 0
    try:
        for chunk in answer.chunks():
            for piece in unzip.feed(chunk) if unzip else (chunk,):
                check()
                pieces.append(piece)
                size += len(piece)
                if size > SESSION_LIMIT_BYTES:
                    raise NotJSON("it is too large")
        if unzip and not unzip.is_whole:
            raise NotGzip
    except BodyBroken as broken:
        check()
        reason = "it is too slow" if broken.is_late else "the connection broke"
        raise Passing(Unreachable(answer.host, reason)) from None
    except NotGzip:
        check()
        raise Passing(Unreachable(answer.host, "the connection broke")) from None
    check()
    return b"".join(pieces)
