# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can do: thin layers over `scene` and `api`, a file a family of verbs."""

from __future__ import annotations

from . import (
    cache,
    comparing,
    files,
    flipping,
    gallery,
    importing,
    keeping,
    paging,
    recent,
    reporting,
    requesting,
    selecting,
)

_MODULES = (
    importing,
    files,
    recent,
    requesting,
    selecting,
    gallery,
    paging,
    comparing,
    flipping,
    keeping,
    reporting,
    cache,
)


def register() -> None:
    """Make the operators known to Blender."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Take them away again."""
    for module in reversed(_MODULES):
        module.unregister()
