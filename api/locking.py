# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes, which end with the process that holds them, however that ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_RETRY_S = 0.02
_TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
"""What the system says of a lock that somebody else has."""


@contextlib.contextmanager
def locked(path: Path, timeout_s: float = 10.0) -> Iterator[bool]:
    """Hold the lock that the file at `path` stands for; it is made if it isn't there, and stays.

    Waits for whoever holds it. Yields False, and there is no lock, if it is not free in time or if
    the file system knows none. Any thread. Raises OSError where the file can't be made.
    """
    # Where a lock is one of a file's bytes, as it is over NFS, it takes a file open for writing.
    with path.open("ab") as file:
        yield _acquire(file.fileno(), timeout_s)


def try_lock(descriptor: int) -> bool | None:
    """Lock the open file: whether it is ours now, None where there are no locks. Any thread."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, 0, os.SEEK_SET)  # from where the lock is counted
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _TAKEN else None
    return True


class Lock:
    """A lock on a file, held until `release` or the end of the process. Any thread."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """The lock, or None if somebody has it. Raises OSError."""
        while True:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
            try:
                is_free = try_lock(descriptor) is not False
                # Who had it may have removed the file since it was opened.
                is_current = is_free and _is_file_of(path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if is_current:
                return cls(path, descriptor)
            os.close(descriptor)
            if not is_free:
                return None

    def release(self) -> None:
        """Let others have it, and remove the file."""
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)
        if sys.platform == "win32":  # it can't be removed before, nor once another has opened it
            with contextlib.suppress(OSError):
                self._path.unlink()


def _acquire(descriptor: int, timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while (is_ours := try_lock(descriptor)) is False and time.monotonic() <= end_s:
        time.sleep(_RETRY_S)
    return is_ours is True


def _is_file_of(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
