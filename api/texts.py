# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for people that is put together from parts, and can be in another language than English."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self


class Text(str):
    """English text, made of a template with `str.format`'s braces and of what stands in them.

    As a string, it is English: so it is logged, printed, and written to files. What shows it to an
    artist asks for `in_language`. Any thread.
    """

    template: str
    values: tuple[object, ...]

    def __new__(cls, template: str, *values: object) -> Self:
        """Raises what `str.format` raises."""
        made = super().__new__(cls, template.format(*values))
        made.template = template
        made.values = values
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.template, *self.values)

    @classmethod
    def joined(cls, separator: str, parts: Iterable[str]) -> Self:
        """The parts, with the separator between them."""
        values = tuple(parts)
        return cls(separator.join(["{}"] * len(values)), *values)

    def in_language(self, translate: Callable[[str], str]) -> str:
        """The text with its templates translated. What stands in them, such as names, stays."""
        values = [
            each.in_language(translate) if isinstance(each, Text) else each for each in self.values
        ]
        try:
            return translate(self.template).format(*values)
        except (IndexError, KeyError, ValueError):  # a translator's mistake
            return str(self)
