# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface in other languages than English.

Blender translates the texts of properties, operators, panels, plain labels and plain reports by
itself, with what is registered here. What is put together from parts has to ask: `iface_` for what
is drawn, `told` for what is told, with `api.texts.Text` where that is put together elsewhere.
Numbers and names stand in a template as in `str.format`. Logs, files and the command line are in
English.
"""

from __future__ import annotations

import bpy

from .. import __package__ as base_package

_Texts = dict[tuple[str, str], str]

TEXTS: dict[str, _Texts] = {}
"""By locale ("de_DE") what each text is in it: (context, English text) to its translation. The
context is "Operator" for operators' labels and for texts of their buttons, else "*"."""


def register() -> None:
    """Have Blender use them."""
    bpy.app.translations.register(base_package, TEXTS)


def unregister() -> None:
    """Have Blender forget them."""
    bpy.app.translations.unregister(base_package)
