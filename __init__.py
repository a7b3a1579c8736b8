# SPDX-License-Identifier: GPL-3.0-or-later
"""CSM Retopo: import and compare the retopology variations of Common Sense Machines' service."""

from __future__ import annotations

from . import cli, operators, ui
from .scene import properties, runner

_PARTS = (properties, runner, operators, ui, cli)


def register() -> None:
    """Enable the add-on. Nothing is fetched and nothing is started."""
    for part in _PARTS:
        part.register()


def unregister() -> None:
    """Disable the add-on: stop all that runs, and take everything away. Blender does it at exit."""
    for part in reversed(_PARTS):
        part.unregister()
