# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions in the cache that can be opened without the service, the latest used first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .cache import (
    SESSION_NAME,
    Cache,
    CachedFile,
    mesh_name,
    preview_name,
    read_document,
)
from .cancellation import Cancellation
from .errors import CsmError, InvalidSessionID
from .session import find_session_id


@dataclass(frozen=True)
class RecentSession:
    """A session in the cache. `created_at` is the service's ISO 8601 text, `used_at` seconds since
    1970; both and `model` as in the session, "" where it doesn't say.

    Of `variations` that the service has finished, the cache has the meshes of `available`, which is
    at least one. `preview` is the image of the first variation that has one.
    """

    session_id: str
    created_at: str
    model: str
    used_at: float
    variations: int
    available: int
    preview: CachedFile | None


@dataclass(frozen=True)
class Page:
    """Some of the list: `first` counts from 0, and is less than what was asked for if the list is
    shorter. `problem` says why there is no list.
    """

    sessions: tuple[RecentSession, ...] = ()
    first: int = 0
    has_more: bool = False
    problem: str = ""


@dataclass(frozen=True)
class _Summary:
    """What `session.json` says, as far as the list needs it."""

    created_at: str
    model: str
    indices: tuple[int, ...]


class RecentSessions:
    """The list, a page at a time. Remembers what it has read; one thread at a time may use it.

    Folders that are no session's, or hold no whole `session.json` and mesh, are passed over.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: dict[str, tuple[tuple[int, int], _Summary | None]] = {}

    def page(
        self,
        first: int,
        count: int,
        text: str = "",
        cancellation: Cancellation | None = None,
    ) -> Page:
        """The page that begins with number `first`, from 0, of at most `count` sessions. With
        `text`, only sessions are counted that have it in their ID, model or date.

        Reads many small files: not for the main thread. Raises Cancelled.
        """
        cancellation = cancellation or Cancellation()
        try:
            folders = self._folders()
        except OSError as error:
            return Page(problem=f"The cache can't be read ({error.strerror or 'unknown reason'})")
        self._known = {each: self._known[each] for _, each in folders if each in self._known}
        found: list[tuple[float, str, _Summary]] = []
        wanted = first + count
        for used_at, session_id in folders:
            cancellation.check()
            if len(found) > wanted:
                break
            summary = self._summary(session_id)
            if (
                summary is not None
                and _matches(session_id, summary, text)
                and any(self._meshes(session_id, summary))
            ):
                found.append((used_at, session_id, summary))
        if first >= len(found):
            first = max(len(found) - 1, 0) // count * count
        chosen = found[first : first + count]
        return Page(
            sessions=tuple(self._describe(*each) for each in chosen),
            first=first,
            has_more=len(found) > first + len(chosen),
        )

    def _folders(self) -> list[tuple[float, str]]:
        """When each session's folder was used, and its name, the latest first. Raises OSError."""
        found = []
        try:
            entries = os.scandir(self._cache.root)
        except FileNotFoundError:
            return []
        with entries:
            for entry in entries:
                if not _is_session_id(entry.name):
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
                except OSError:
                    continue  # gone meanwhile
        return sorted(found, reverse=True)

    def _summary(self, session_id: str) -> _Summary | None:
        """What the folder's `session.json` says; None if that can't be imported."""
        path = self._cache.root / session_id / SESSION_NAME
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_size)
            known = self._known.get(session_id)
            if known is None or known[0] != version:
                known = (version, _read(path))
                self._known[session_id] = known
        except OSError:
            return None
        return known[1]

    def _meshes(self, session_id: str, summary: _Summary) -> Iterator[bool]:
        """For each variation, whether its mesh is there."""
        folder = self._cache.root / session_id
        for index in summary.indices:
            yield self._cache.glance(folder / mesh_name(index)) is not None

    def _describe(self, used_at: float, session_id: str, summary: _Summary) -> RecentSession:
        folder = self._cache.root / session_id
        previews = (self._cache.glance(folder / preview_name(each)) for each in summary.indices)
        return RecentSession(
            session_id=session_id,
            created_at=summary.created_at,
            model=summary.model,
            used_at=used_at,
            variations=len(summary.indices),
            available=sum(self._meshes(session_id, summary)),
            preview=next((each for each in previews if each is not None), None),
        )


def _read(path: Path) -> _Summary | None:
    """Raises OSError."""
    try:
        session = read_document(path)
        session.require_result()
    except CsmError:
        return None
    return _Summary(
        created_at=session.created_at or "",
        model=session.model or "",
        indices=tuple(each.index for each in session.variations if each.is_complete),
    )


def _matches(session_id: str, summary: _Summary, text: str) -> bool:
    words = text.casefold().split()
    told = f"{session_id} {summary.model} {summary.created_at}".casefold()
    return all(word in told for word in words)


def _is_session_id(name: str) -> bool:
    try:
        return find_session_id(name) == name
    except InvalidSessionID:
        return False
