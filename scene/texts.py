# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in the language of the interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpy.app import translations

from ..api.texts import Text

_blenders: Any = translations
_translate: Callable[[str], str] = _blenders.pgettext_rpt


def told(text: str) -> str:
    """What an artist is told, in the language that Blender has for messages. Main thread."""
    return text.in_language(_translate) if isinstance(text, Text) else _translate(text)
