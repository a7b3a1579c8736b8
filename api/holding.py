# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that several processes use, and that none of them may remove meanwhile.

A hold is the system's own lock on the folder: it ends with the process, however that ends, and
leaves nothing behind. It asks nothing of who reads and writes in the folder. Windows has no such
lock; there, files that are open can't be removed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 5


class Hold:
    """A hold on a folder, from construction until `end`. Any number of processes can hold the same
    folder. Any thread; blocks while somebody removes the folder, and makes it anew then.

    Where there is no folder, or no such lock, it holds nothing, which does no harm.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = _lock(folder, wait=True)
            if self._descriptor is None or _is_there(folder, self._descriptor):
                return
            self.end()  # what is held was removed

    def end(self) -> None:
        """Let go of it. May be called twice."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.end()


@contextlib.contextmanager
def if_free(folder: Path) -> Iterator[bool | None]:
    """Whether nobody holds the folder, and nobody can for as long as the block lasts; None where
    that can't be told. Any thread.
    """
    try:
        descriptor = _lock(folder, wait=False)
    except BlockingIOError:
        yield False
        return
    try:
        yield None if descriptor is None else True
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """The descriptor of the folder, shared if it may wait for that, else exclusively; None if it
    can't be had. Raises BlockingIOError.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # not on every network drive
        os.close(descriptor)
        return None
    return descriptor


def _is_there(folder: Path, descriptor: int) -> bool:
    """Whether the descriptor's folder is the one of that name."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except OSError:
        return False
