# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's tab that holds the add-on's panels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .. import __package__ as base_package

DEFAULT_NAME = "Retopo"


def rename(name: str) -> None:
    """Have all panels in the tab of this name, those that are shown already among them."""
    name = name.strip() or DEFAULT_NAME
    panels = [each for each in _panels() if each.bl_category != name]
    # Blender reads it when a panel is registered, and panels of a kind keep that order.
    shown = [each for each in panels if each.is_registered]
    for each in reversed(shown):
        bpy.utils.unregister_class(each)
    for each in panels:
        each.bl_category = name
    for each in shown:
        bpy.utils.register_class(each)


def _panels() -> Iterator[Any]:
    """The add-on's panels that have a tab."""
    for each in bpy.types.Panel.__subclasses__():
        if each.__module__.startswith(f"{base_package}.") and "bl_category" in vars(each):
            yield each
