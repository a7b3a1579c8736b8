# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files the preview images in the open file were read from, as long as Blender runs.

No .blend holds that: a path would tell the user's name. Main thread only.
"""

from __future__ import annotations

from ..api.recent import Picture

_files: dict[str, Picture] = {}


def remember(file: Picture) -> None:
    """The image of this hash was read from this file."""
    _files[file.sha256] = file


def find(sha256: str) -> Picture | None:
    """The file that the image of this hash was read from. It may have changed since."""
    return _files.get(sha256)
