# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were fetched and meshes that were converted, kept for the next time.

A folder per session, with file names of our own. What is in it under its final name is whole:
everything is written under a temporary name, flushed to the disk, then renamed. A record beside
each file (`<file>.json`) holds its size and SHA-256, and what it was made from. Records and
`session.json` hold a checksum of themselves. What was changed since, by a failing disk or by
anybody, or was written in another format, counts as not being there.

Several Blenders can use one cache: whoever uses a session holds its folder (`Cache.hold`), and a
folder that is held is not removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .errors import CacheError, CsmError, FolderError
from .files import TEMPORARY_SUFFIX
from .holding import Hold, if_free
from .session import Links, Session, parse_session

DEFAULT_LIMIT_BYTES = 4 * 2**30
FORMAT = 1
"""Raise it when what is written here could be taken for something else by who reads it."""
IN_USE_S = 3600.0
"""A folder used within this time is never removed to make room: it may be wanted again. Where the
system can't tell whether it is held, it may be in use, too.
"""
SESSION_NAME = "session.json"
DOCUMENT_LIMIT_BYTES = 2**20
"""The largest `session.json` that is read: the cache's own have a few kilobytes."""

_SEAL = "csm_retopo_cache"

_changes = 0
_changes_lock = threading.Lock()


def changes() -> int:
    """A number that is another whenever this process has changed or used what a cache holds: a
    list of it is true for as long as the number stays. Any thread.
    """
    return _changes


def _note_change() -> None:
    global _changes
    with _changes_lock:
        _changes += 1


@dataclass(frozen=True)
class CachedFile:
    """A whole file: where it is, its SHA-256 in hex, and what was noted about it."""

    path: Path
    sha256: str
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Cleared:
    """What `Cache.clear` did: how much room it made, and how many sessions are in use and stay."""

    freed_bytes: int
    in_use: int


class Cache:
    """The cache below one folder. Safe to use from any thread; holds no state but the path.

    Nothing is written, nor any folder made, before something is kept. What only reads works where
    nothing can be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, session_id: str) -> Path:
        """The session's folder, made if it isn't there, marked as just used.

        Raises CacheError.
        """
        folder = self.root / session_id
        with _as_cache_error():
            folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # it can be read all the same
            os.utime(folder)
        _note_change()
        return folder

    def hold(self, session_id: str) -> Hold:
        """Keep the session's folder from being removed, by this Blender or another, until the hold
        ends. Makes the folder, frees it of what killed jobs left in it, and marks it as just used,
        where that can be done. Raises nothing.
        """
        _remove_unfinished(self.root / session_id)
        held = Hold(self.root / session_id)
        with contextlib.suppress(CacheError):
            self.folder(session_id)
        return held

    def has_folder(self, folder: Path) -> bool:
        """Whether `folder`, however it is spelt, is a session's folder of this cache."""
        try:
            return folder.parent == self.root or os.path.samefile(folder.parent, self.root)
        except OSError:
            return False

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[BinaryIO]:
        """A temporary file that takes `path`'s place when the block ends well, and vanishes when
        it doesn't. The record of what `path` was before goes first.

        Raises CacheError.
        """
        with _as_cache_error():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(
                prefix=f"{path.name}.", suffix=TEMPORARY_SUFFIX, dir=path.parent
            )
        try:
            with _as_cache_error(), os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            with _as_cache_error():
                _record_path(path).unlink(missing_ok=True)
                os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def keep(self, path: Path, sha256: str, notes: Mapping[str, Any]) -> CachedFile:
        """Record that the file at `path` is whole, so that `find` returns it from now on.

        Raises CacheError.
        """
        with _as_cache_error():
            size = path.stat().st_size
        record = {"size": size, "sha256": sha256, "notes": dict(notes)}
        with self.writing(_record_path(path)) as file:
            file.write(seal(record))
        _note_change()
        return CachedFile(path, sha256, dict(notes))

    def find(self, path: Path, notes: Mapping[str, Any]) -> CachedFile | None:
        """The whole file at `path`, if its record holds all of `notes` and its bytes are those
        that were recorded. Reads the file: not for the main thread.
        """
        record = self._record(path, notes)
        try:
            if record is None or hash_file(path) != record["sha256"]:
                return None
        except OSError:
            return None
        return CachedFile(path, record["sha256"], record["notes"])

    def glance(self, path: Path) -> CachedFile | None:
        """As `find`, but only the size is compared with what was recorded: for lists, not for what
        is opened.
        """
        record = self._record(path, {})
        return CachedFile(path, record["sha256"], record["notes"]) if record else None

    def distrust(self, path: Path) -> None:
        """Remove the file's record: `find` returns it no more. The file stays, since another
        Blender may have written it this moment.
        """
        with contextlib.suppress(OSError):
            _record_path(path).unlink()
        _note_change()

    def forget(self, path: Path) -> None:
        """Remove the file and its record."""
        self.distrust(path)
        with contextlib.suppress(OSError):
            path.unlink()

    def save_session(self, session: Session) -> None:
        """Write the session as a `session.json` that names the files by their cache names, so
        that the folder opens as a session folder. It holds no URL: those are credentials.

        Raises CacheError.
        """
        body = seal(session_document(session))
        path = self.root / session.session_id / SESSION_NAME
        with contextlib.suppress(OSError):
            if path.is_file() and path.read_bytes() == body:
                return
        with self.writing(path) as file:
            file.write(body)
        _note_change()

    def load_session(self, session_id: str) -> Session:
        """The session that `save_session` wrote.

        Raises FolderError if there is none, or it is not as it was written.
        """
        try:
            return read_document(self.root / session_id / SESSION_NAME)
        except OSError:
            raise FolderError(f"{session_id} is not in the cache: import it by its ID") from None
        except CsmError:
            raise FolderError(
                f"What the cache holds of {session_id} is damaged, or of another version of this "
                "add-on: import it by its ID"
            ) from None

    def holds_all(self, session_id: str, names: Iterable[str]) -> bool:
        """Whether the cache seems to hold these files of the session. For lists and decisions, not
        for what is opened: their bytes are not compared.
        """
        return all(self.glance(self.root / session_id / name) is not None for name in names)

    def size_bytes(self) -> int:
        """What all files take."""
        return sum(_size(folder) for folder in self._folders())

    def clear(self) -> Cleared:
        """Remove every session's folder but those that are held."""
        before = self.size_bytes()
        in_use = 0
        for folder in self._folders():
            with if_free(folder) as free:
                if free is False:
                    in_use += 1
                else:
                    shutil.rmtree(folder, ignore_errors=True)
        _note_change()
        return Cleared(before - self.size_bytes(), in_use)

    def prune(self, limit_bytes: int = DEFAULT_LIMIT_BYTES, in_use_s: float = IN_USE_S) -> None:
        """Remove the sessions that were used least recently until the rest fits the limit, but for
        those that were used within `in_use_s`.
        """
        now = time.time()
        folders = []
        for folder in self._folders():
            with contextlib.suppress(OSError):
                folders.append((folder.stat().st_mtime, _size(folder), folder))
        total = sum(size for _, size, _ in folders)
        for used, size, folder in sorted(folders):
            if total <= limit_bytes:
                return
            # A clock that was set back leaves times that lie ahead.
            if abs(now - used) <= in_use_s:
                continue
            with if_free(folder) as free:
                if free is not False:
                    shutil.rmtree(folder, ignore_errors=True)
                    _note_change()
                    total -= size

    def remove_leftovers(self) -> None:
        """Remove the temporary files of jobs that were killed."""
        for folder in self._folders():
            _remove_unfinished(folder)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return []

    def _record(self, path: Path, notes: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            record = unseal(_record_path(path).read_bytes())
            if record is None:
                return None
            known = record["notes"]
            matches = (
                isinstance(record["sha256"], str)
                and path.stat().st_size == record["size"]
                and all(known.get(key, None) == value for key, value in notes.items())
            )
        except (OSError, KeyError, TypeError, AttributeError):
            return None
        return record if matches else None


def seal(fields: Mapping[str, Any]) -> bytes:
    """The fields as JSON, with the format of the cache and a checksum of them beside them."""
    mark = {"format": FORMAT, "sha256": _checksum(fields)}
    return json.dumps({**fields, _SEAL: mark}, indent=2).encode()


def unseal(body: bytes) -> dict[str, Any] | None:
    """The fields that were sealed, or None if these are not they, or not of this format."""
    try:
        fields: dict[str, Any] = json.loads(body)
        mark = fields.pop(_SEAL)
        is_whole = mark["format"] == FORMAT and mark["sha256"] == _checksum(fields)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return fields if is_whole else None


def read_document(path: Path) -> Session:
    """The session that was sealed and written to `path`, in its folder.

    Raises OSError if there is no such file, FolderError if it is not as it was written, or stands
    in another session's folder.
    """
    status = path.stat()
    # A pipe of that name would hold the reader for ever.
    body = b""
    if stat.S_ISREG(status.st_mode) and status.st_size <= DOCUMENT_LIMIT_BYTES:
        body = path.read_bytes()
    if unseal(body) is not None:
        session = parse_session(body, Links.LOCAL)
        if session.session_id == path.parent.name:
            return session
    raise FolderError(f"{path.name} is not as it was written")


def _checksum(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def mesh_name(index: int) -> str:
    """The cache's name for a variation's OBJ."""
    return f"variation_{index}.obj"


def preview_name(index: int) -> str:
    """The cache's name for a variation's preview image."""
    return f"variation_{index}.png"


SOURCE_NAME = "source.glb"


def session_document(session: Session) -> dict[str, Any]:
    """The session in the service's own shape, with the cache's file names in place of URLs."""
    document: dict[str, Any] = {
        "_id": session.session_id,
        "status": session.status,
        "created_at": session.created_at,
        "type": "retopology",
        "input": {"model": session.model, "quads": session.quads},
        "output": {
            "meshes": [
                {
                    "_id": variation.asset_id,
                    "name": variation.name,
                    "status": variation.status,
                    "data": {
                        "obj_url": mesh_name(variation.index) if variation.mesh.url else None,
                        "image_url": (
                            preview_name(variation.index) if variation.preview.url else None
                        ),
                    },
                }
                for variation in session.variations
            ]
        },
    }
    if session.source is not None:
        document["input"]["mesh"] = {
            "_id": session.source.asset_id,
            "name": session.source.name,
            "data": {"glb_url": SOURCE_NAME if session.source.mesh.url else None},
        }
    return document


def hash_file(path: Path) -> str:
    """The file's SHA-256 in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _remove_unfinished(folder: Path) -> None:
    # Blender writes to `...@` first.
    paths = list(folder.glob(f"*{TEMPORARY_SUFFIX}*"))
    if not paths:
        return
    now = time.time()
    with if_free(folder) as free:
        for path in paths:
            with contextlib.suppress(OSError):
                if free or abs(now - path.stat().st_mtime) > IN_USE_S:
                    path.unlink()


def _size(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total


@contextlib.contextmanager
def _as_cache_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CacheError(
            f"The cache folder can't be written ({reason}): make room on the disk, "
            "or check the folder's permissions"
        ) from None
