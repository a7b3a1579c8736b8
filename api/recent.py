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
    mesh_name,
    preview_name,
    read_document,
)
from .cancellation import Cancellation
from .errors import CsmError, FileError, InvalidSessionID
from .image_files import check_png
from .session import find_session_id

_Version = tuple[int, int]
"""When a file was changed, in nanoseconds since 1970, and its size."""


@dataclass(frozen=True)
class Picture:
    """A preview image that was checked. What has taken its place since may be anything."""

    path: Path
    sha256: str
    version: _Version

    @classmethod
    def of(cls, path: Path, sha256: str) -> Picture:
        """The file as it is now. That it has this hash is to be checked after this, so that no
        change goes unseen. Raises OSError.
        """
        return cls(path, sha256, _version(path.stat()))

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is still the one that was checked, as far as one look tells."""
        try:
            return _version(self.path.stat()) == self.version
        except OSError:
            return False


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
    preview: Picture | None


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
        self._known: dict[str, tuple[_Version, _Summary | None]] = {}
        self._pictures: dict[Path, tuple[_Version, Picture | None]] = {}

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
            version = _version(status)
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
        previews = (self._picture(folder / preview_name(each)) for each in summary.indices)
        return RecentSession(
            session_id=session_id,
            created_at=summary.created_at,
            model=summary.model,
            used_at=used_at,
            variations=len(summary.indices),
            available=sum(self._meshes(session_id, summary)),
            preview=next((each for each in previews if each is not None), None),
        )

    def _picture(self, path: Path) -> Picture | None:
        """The preview image at `path`, if it is whole and Blender may decode it."""
        try:
            version = _version(path.stat())
        except OSError:
            return None
        if self._cache.glance(path) is None:
            return None
        known = self._pictures.get(path)
        if known is None or known[0] != version:
            cached = self._cache.find(path, {})
            picture = Picture(path, cached.sha256, version) if cached else None
            if picture is not None and not _is_image(path):
                picture = None
            known = (version, picture)
            self._pictures[path] = known
        return known[1]


def _version(status: os.stat_result) -> _Version:
    return (status.st_mtime_ns, status.st_size)


def _is_image(path: Path) -> bool:
    try:
        check_png(path)
    except FileError:
        return False
    return True


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
