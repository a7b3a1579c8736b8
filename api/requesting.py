# SPDX-License-Identifier: GPL-3.0-or-later
"""Request a new retopology, keep the new session's ID, and bring the session like any other.

What was paid for must be found again: as soon as the ID is known, a `requested.json` in the
session's folder in the cache holds it, whatever happens next.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .cache import Cache, read_document, seal, session_document
from .cancellation import Cancellation
from .errors import (
    CacheError,
    Cancelled,
    CsmError,
    NoSuchSession,
    NotRequested,
    RequestedOnly,
    SessionFailed,
)
from .jobs import NO_SESSION, DownloadJob, Notice, Waiting
from .session import NOT_NAMED, RemoteFile, Session, Source
from .settings import Service
from .texts import Text

if TYPE_CHECKING:
    from .transport import Transport

log = logging.getLogger(__name__)

NAME = "requested.json"


@dataclass(frozen=True)
class Wish:
    """A retopology to be made. `model` is `swift` or `precision`."""

    input_asset_id: str
    model: str
    quads: bool

    @property
    def text(self) -> Text:
        """What is wished for, in a few words."""
        return Text("{}, quads" if self.quads else "{}, triangles", self.model)

    def __str__(self) -> str:
        return self.text


def request(wish: Wish, service: Service, cache: Cache) -> str:
    """The new session's ID. Blocks until the service has answered.

    Raises what `client.request_session` raises.
    """
    from .client import request_session
    from .transport import Transport

    transport = Transport(
        Cancellation(), links=service.links, own_host=service.own_host, connections=1
    )
    try:
        session_id = request_session(transport, service, wish)
    finally:
        transport.close()
    try:
        keep(session_id, wish, cache)
    except CacheError as error:
        log.warning("%s is not in the cache: %s", session_id, error)
    return session_id


def keep(session_id: str, wish: Wish, cache: Cache, status: str = "incomplete") -> None:
    """Note in the cache what is known of a session that has no result yet.

    Raises CacheError.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    source = Source(wish.input_asset_id, "Input Mesh", RemoteFile(None, NOT_NAMED))
    session = Session(session_id, status, now, wish.model, wish.quads, source, variations=())
    with cache.writing(cache.folder(session_id) / NAME) as file:
        file.write(seal(session_document(session)))


def find_requested(cache: Cache, input_asset_id: str) -> list[Session]:
    """The sessions of this input mesh that were requested, and whose result was not fetched yet,
    the newest first. Reads a small file for each session that was ever requested.
    """
    found = []
    for path in cache.root.glob(f"*/{NAME}"):
        try:
            session = read_document(path)
            is_open = session.is_running and not _is_fetched(cache, session.session_id)
        except (CsmError, OSError):
            continue
        if is_open and session.source and session.source.asset_id == input_asset_id:
            found.append(session)
    return sorted(found, key=lambda each: each.created_at or "", reverse=True)


def _is_fetched(cache: Cache, session_id: str) -> bool:
    """Whether more than a part of the session was fetched."""
    try:
        return not cache.load_session(session_id).is_running
    except CsmError:
        return False


class RequestJob(DownloadJob):
    """A session that is requested first. `session_id` is empty until the service has told it."""

    verb = "Requesting"

    def __init__(self, wish: Wish, service: Service, cache: Cache, **options: Any) -> None:
        super().__init__("", service, cache, **options)
        self.wish = wish
        self._post: Transport | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether the request may have arrived, and the new session's ID is not known. Once the job
        was cancelled, False means that nothing was sent and nothing will be. Any thread.
        """
        return not self.session_id and self._post is not None and self._post.has_sent

    def _run(self) -> None:
        self._request()
        self.verb = DownloadJob.verb
        self._keep("incomplete")
        try:
            super()._run()
        except SessionFailed:
            self._keep("failed")
            raise

    def _keep(self, status: str) -> None:
        try:
            keep(self.session_id, self.wish, self.cache, status)
        except CacheError as error:
            self._emit(Notice(str(error)))

    def _request(self) -> None:
        from .client import request_session
        from .transport import Transport

        self._post = post = Transport(
            self.cancellation,
            links=self.service.links,
            own_host=self.service.own_host,
            connections=1,
            patience=self.patience,
        )
        try:
            self.session_id = request_session(post, self.service, self.wish)
        except NotRequested:
            self._post = None
            raise
        finally:
            post.close()

    def _bring_session(self, transport: Transport) -> None:
        """Bring it like any other. But it is known to be there: as long as there is time, neither
        a failure nor an answer that the ID is unknown ends the wait, and what ends it names the ID.
        """
        start = time.monotonic()
        end = start + self.wait_s
        while True:
            try:
                super()._bring_session(transport)
                return
            except Cancelled:
                raise
            except CsmError as error:
                self.wait_s = max(end - time.monotonic(), 0.0)
                if not self.wait_s or not isinstance(error, (NoSuchSession, *NO_SESSION)):
                    if self.session_id in str(error) and not isinstance(error, NoSuchSession):
                        raise
                    raise RequestedOnly(self.session_id, error) from None
            self._emit(Waiting(time.monotonic() - start, self.wish.model))
            self.cancellation.sleep(min(self.poll_interval_s, self.wait_s))
