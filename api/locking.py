# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock between processes, which ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_RETRY_S = 0.02


@contextlib.contextmanager
def locked(path: Path, timeout_s: float = 10.0) -> Iterator[bool]:
    """Hold the lock that the file at `path` stands for; it is made if it isn't there, and stays.

    Waits for whoever holds it. Yields False, and there is no lock, if it is not free in time or if
    the file system knows none. Any thread. Raises OSError where the file can't be made.
    """
    # Where a lock is one of a file's bytes, as it is over NFS, it takes a file open for writing.
    with path.open("ab") as file:
        yield _acquire(file, timeout_s)


def _acquire(file: IO[bytes], timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            if sys.platform == "win32":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # somebody else has it
            if time.monotonic() > end_s:
                return False
            time.sleep(_RETRY_S)
        except OSError:
            return False
        else:
            return True
