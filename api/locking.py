# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock between processes, which ends with the process that holds it, however that ends."""

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


def _acquire(descriptor: int, timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while (is_ours := try_lock(descriptor)) is False and time.monotonic() <= end_s:
        time.sleep(_RETRY_S)
    return is_ours is True
