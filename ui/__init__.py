# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user sees. Nothing here does any work."""

from __future__ import annotations

from . import (
    compare,
    flip,
    legend,
    menus,
    panel,
    preferences,
    recent,
    sessions,
    thumbnails,
    translations,
)

_MODULES = (
    translations,
    preferences,
    thumbnails,
    panel,
    recent,
    compare,
    flip,
    sessions,
    legend,
    menus,
)


def register() -> None:
    """Show it."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Take it away again."""
    for module in reversed(_MODULES):
        module.unregister()
