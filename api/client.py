# SPDX-License-Identifier: GPL-3.0-or-later
"""The one call of the service: a session by its ID."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import requests
import urllib3

from .errors import BadKey, NoAccess, NoSuchSession, NotJSON, ServerFailure, Unreachable
from .session import Session, parse_session
from .settings import Service
from .transport import Passing, Transport, content_length, raise_for_trouble

SESSION_LIMIT_BYTES = 64 * 2**20
"""Sessions of a few MB are normal (they can hold image embeddings)."""


def fetch_session(transport: Transport, service: Service, session_id: str) -> Session:
    """GET the session. Blocks: call it on a thread.

    Raises Cancelled, and one of ServiceError or SessionError that says what to do.
    """
    return transport.retrying(lambda: _fetch_once(transport, service, session_id))


def _fetch_once(transport: Transport, service: Service, session_id: str) -> Session:
    url = f"{service.api_url}/v3/sessions/{quote(session_id, safe='')}"
    headers = {"x-api-key": service.key, "Accept": "application/json"}
    with transport.get(url, headers) as response:
        raise_for_trouble(response)
        status = response.status_code
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
        body = _read(transport, response)
    session = parse_session(body, service.links)
    if session.session_id != session_id:
        raise NotJSON(f"it is another session, {session.session_id}")
    return session


def _read(transport: Transport, response: requests.Response) -> bytes:
    """The body, at most SESSION_LIMIT_BYTES, known to be whole if its length was told."""
    host = urlsplit(response.url).hostname or ""
    chunks: list[bytes] = []
    size = 0
    try:
        for chunk in response.iter_content(2**16):
            transport.cancellation.check()
            chunks.append(chunk)
            size += len(chunk)
            if size > SESSION_LIMIT_BYTES:
                raise NotJSON("it is too large")
    except (OSError, urllib3.exceptions.HTTPError):
        transport.cancellation.check()
        raise Passing(Unreachable(host, "the connection broke")) from None
    transport.cancellation.check()
    encoded = "Content-Encoding" in response.headers
    if not encoded and size != (content_length(response) or size):
        raise Passing(Unreachable(host, "the connection broke"))
    return b"".join(chunks)
