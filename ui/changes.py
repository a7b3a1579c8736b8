# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells when something in the file may have changed: what is drawn is found anew only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy


def watch(forget: Callable[..., None]) -> None:
    """Have it called at every change, also in files that are loaded later: it has to be marked as
    `bpy.app.handlers.persistent`.
    """
    for handlers in _handlers():
        handlers.append(forget)


def unwatch(forget: Callable[..., None]) -> None:
    """Have it called no more."""
    for handlers in _handlers():
        handlers.remove(forget)


def _handlers() -> tuple[list[Any], ...]:
    handlers = bpy.app.handlers
    return (
        handlers.depsgraph_update_post,
        handlers.undo_post,
        handlers.redo_post,
        handlers.load_post,
    )
