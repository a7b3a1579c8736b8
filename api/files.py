# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the user's that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_SUFFIX = ".part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when the block ends well. When it
    doesn't, `path` stays what it was. Raises OSError. Any thread.
    """
    temporary = path.with_name(f"{path.name}{TEMPORARY_SUFFIX}")
    # What a killed run left could be taken for something to keep.
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
