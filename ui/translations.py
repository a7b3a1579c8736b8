# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface in other languages than English.

Blender translates the texts of properties, operators, panels and plain labels by itself, with what
is registered here; `iface_` does it for what is put together from parts.
"""

from __future__ import annotations

import bpy

from .. import __package__ as base_package

_Texts = dict[tuple[str, str], str]

TEXTS: dict[str, _Texts] = {}
"""By locale ("de_DE") what each text is in it: (context, English text) to its translation. The
context is "Operator" for operators' labels, else "*"."""


def register() -> None:
    """Have Blender use them."""
    bpy.app.translations.register(base_package, TEXTS)


def unregister() -> None:
    """Have Blender forget them."""
    bpy.app.translations.unregister(base_package)
