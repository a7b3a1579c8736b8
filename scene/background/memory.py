# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory a background Blender may take: a file that unpacks to more than any mesh of its
size ends that process, and not the machine.

Linux heeds the limit; macOS takes it and doesn't; Windows has none that a process can set for
itself.
"""

from __future__ import annotations

import contextlib
import os
import sys

BASE_BYTES = 2 << 30
BYTES_PER_CORE = 64 << 20
"""Blender's threads, one for each core, have stacks of their own."""
BYTES_PER_FILE_BYTE = 64
"""An OBJ of a million faces takes ten times its size; to compare it, twenty times."""


def allowed_bytes(size_bytes: int) -> int:
    """What may be taken for files of this size, but never more than three quarters of what the
    machine has. Any thread.
    """
    wanted = BASE_BYTES + BYTES_PER_CORE * (os.cpu_count() or 1)
    wanted += BYTES_PER_FILE_BYTE * size_bytes
    with contextlib.suppress(ValueError, OSError, AttributeError):
        wanted = min(wanted, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4)
    return wanted


def limit(size_bytes: int) -> None:
    """Take no more than this from now on: then comes a MemoryError, or the end of the process."""
    if sys.platform == "win32":
        return
    import resource

    # Of what is written to, not of addresses: Blender reserves far more of those than it uses.
    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    if highest != resource.RLIM_INFINITY:
        size_bytes = min(size_bytes, highest)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, highest))
