# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were fetched and meshes that were converted, kept for the next time.

A folder per session, with file names of our own. What is in it under its final name is whole:
everything is written under a temporary name, flushed to the disk, then renamed. A record beside
each file (`<file>.json`) holds its size and SHA-256, and what it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .errors import CacheError
from .files import TEMPORARY_SUFFIX
from .session import Session

DEFAULT_LIMIT_BYTES = 4 * 2**30
IN_USE_S = 3600.0
"""A folder used within this time is never removed to make room: another Blender may read it."""

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


class Cache:
    """The cache below one folder. Safe to use from any thread; holds no state but the path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, session_id: str) -> Path:
        """The session's folder, made if it isn't there, marked as just used.

        Raises CacheError.
        """
        folder = self.root / session_id
        with _as_cache_error():
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        _note_change()
        return folder

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
            file.write(json.dumps(record).encode())
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
        text = json.dumps(session_document(session), indent=2)
        with self.writing(self.folder(session.session_id) / "session.json") as file:
            file.write(text.encode())
        _note_change()

    def size_bytes(self) -> int:
        """What all files take."""
        return sum(_size(folder) for folder in self._folders())

    def clear(self) -> int:
        """Remove every session's folder. Returns how many bytes that freed."""
        freed = self.size_bytes()
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)
        _note_change()
        return freed - self.size_bytes()

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
            if now - used > in_use_s:
                shutil.rmtree(folder, ignore_errors=True)
                _note_change()
                total -= size

    def remove_leftovers(self) -> None:
        """Remove the temporary files of jobs that were killed."""
        now = time.time()
        for folder in self._folders():
            # Blender writes to `...@` first.
            for path in folder.glob(f"*{TEMPORARY_SUFFIX}*"):
                with contextlib.suppress(OSError):
                    if now - path.stat().st_mtime > IN_USE_S:
                        path.unlink()

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return []

    def _record(self, path: Path, notes: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            record = json.loads(_record_path(path).read_bytes())
            known = record["notes"]
            matches = (
                isinstance(record["sha256"], str)
                and path.stat().st_size == record["size"]
                and all(known.get(key, None) == value for key, value in notes.items())
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return record if matches else None


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
