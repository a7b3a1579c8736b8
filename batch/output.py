# SPDX-License-Identifier: GPL-3.0-or-later
"""The output folder of a batch: a folder per session in it, which appears whole or not at all.

What is not whole yet is in `.csm_retopo/run-.../`, on the same disk. Any number of batches may
write to one output folder at a time, also from several machines: each run has a folder of its own
and holds a lock on it, by which others know that it is alive, and each session that is being worked
on has a lock, so that no two work on the same. The system takes locks from a process that dies. A
storage that knows no locks costs no more than work done twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ..api.courtesy import PAUSE_SUFFIX, remove_if_over
from ..api.locking import Lock, try_lock
from ..scene.report.models import REPORT_NAME

HIDDEN = ".csm_retopo"
BLEND_NAME = "session.blend"
THUMBNAILS_NAME = "thumbnails.webp"

_RUN = "run-"
_ABANDONED_S = 7 * 24 * 3600.0
"""Where there are no locks, a run's folder of this age belongs to nobody any more."""
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_SCARCE_BYTES = 32 * 2**20


class Output:
    """An output folder that a run writes to. `open` it first, `close` it at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.hidden = self.folder / HIDDEN
        """What all runs share, and nobody else is to see."""
        self.own = self.hidden / f"{_RUN}{secrets.token_hex(8)}"
        """This run's folder, for what nobody else is to see."""
        self._lock: Lock | None = None

    def open(self) -> None:
        """Make the folders, and remove what runs that were killed left. Raises OSError."""
        while self._lock is None:
            self.hidden.mkdir(parents=True, exist_ok=True)
            # A run that ends this moment may take the folder away again.
            with contextlib.suppress(FileNotFoundError):
                # The lock is there before the folder: without it, others would remove that.
                self._lock = Lock.take(_lock_path(self.own))
        self.own.mkdir()
        self._remove_leftovers()

    def close(self) -> None:
        """Remove what was not finished."""
        shutil.rmtree(self.own, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        with contextlib.suppress(OSError):  # another run uses it
            self.hidden.rmdir()

    def claim(self, session_id: str) -> Lock | None:
        """The right to work on the session, or None while another run has it. Raises OSError."""
        return Lock.take(self.hidden / f"{session_id}.lock")

    def staging(self, session_id: str) -> Path:
        """A new folder to write the session's files to. Raises OSError."""
        folder = self.own / session_id
        folder.mkdir()
        return folder

    def publish(self, session_id: str) -> Path:
        """Have what was staged take its place, and return that.

        Where the session has a folder already, its files replace those of the same names. The
        report, by which a session is known as done, goes first and comes last. Raises OSError.
        """
        staged = self.own / session_id
        folder = self.folder / session_id
        try:
            staged.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            names = sorted(os.listdir(staged), key=lambda name: name == REPORT_NAME)
            if REPORT_NAME in names:
                (folder / REPORT_NAME).unlink(missing_ok=True)
            for name in names:
                (staged / name).replace(folder / name)
            staged.rmdir()
        return folder

    def discard(self, session_id: str) -> None:
        """Remove what was staged."""
        shutil.rmtree(self.own / session_id, ignore_errors=True)

    def sessions(self) -> Iterator[Path]:
        """The folders of sessions that are there, in no order."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir():
                    yield Path(entry.path)

    def _remove_leftovers(self) -> None:
        for path in list(self.hidden.iterdir()):
            with contextlib.suppress(OSError):
                if path.suffix == PAUSE_SUFFIX:
                    remove_if_over(path)
                elif path.is_dir() and not _is_alive(path):
                    _remove_run(path)
                elif path.suffix == ".lock" and not path.with_suffix("").is_dir():
                    lock = Lock.take(path)
                    if lock is not None:
                        lock.release()


def _is_alive(run: Path) -> bool:
    """Whether the run may still be at work where there are no locks to tell. Raises OSError."""
    lock = _lock_path(run)
    try:
        age_s = time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return False
    return age_s < _ABANDONED_S and not _knows_locks(lock)


def _remove_run(run: Path) -> None:
    """Remove the folder of a run, unless that has its lock. Raises OSError."""
    if lock := Lock.take(_lock_path(run)):
        shutil.rmtree(run, ignore_errors=True)
        lock.release()


def _lock_path(run: Path) -> Path:
    return run.with_suffix(".lock")


def is_full(error: OSError) -> bool:
    """Whether there is no room for a file."""
    return error.errno in _FULL


def is_scarce(folder: Path) -> bool:
    """Whether there is hardly any room left on the disk of the folder."""
    try:
        return shutil.disk_usage(folder).free < _SCARCE_BYTES
    except OSError:
        return False


def _knows_locks(path: Path) -> bool:
    """Whether a file beside `path` can be locked at all."""
    probe = path.with_name(f"{secrets.token_hex(8)}.probe")
    descriptor = os.open(probe, os.O_CREAT | os.O_RDWR)
    try:
        return try_lock(descriptor) is not None
    finally:
        os.close(descriptor)
        probe.unlink()
