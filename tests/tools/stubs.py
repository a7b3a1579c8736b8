# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes Blender's stubs with corrections: where they are wrong, and what the extension adds.

The stubs are generated. They know no values that Blender's documentation puts in words only, call
everything optional that C code might return as null, and of course know no add-on.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

# By file: what to find, and what to put in its place. All of it has to be found.
CORRECTIONS = {
    "types/__init__.pyi": [
        # What the extension registers.
        (r"(class (?:Object|Collection|WindowManager)\(.*\):\n)", r"\1    csm_retopo: typing.Any\n"),
        # Never None where an add-on's code runs.
        (r"(def preferences\(self\) -> Preferences) \| None", r"\1"),
        (r"(def scene\(self\) -> Scene) \| None: \.\.\.", r"\1: ..."),
        (r"(def view_layer\(self\) -> ViewLayer) \| None: \.\.\.", r"\1: ..."),
        (r"(def window_manager\(self\) -> WindowManager) \| None", r"\1"),
        (r"(def layout\(self\) -> UILayout) \| None", r"\1"),
        # What these return stands in their documentation.
        (
            r"(def panel(?:_prop)?\([^)]*\)) -> None:",
            r"\1 -> tuple[UILayout, UILayout | None]:",
        ),
        (
            r"(def load\(\n +self,\n +filepath: bytes \| str \| None,\n(?: {8}.*\n)+?    \)) -> None:",
            r"\1 -> contextlib.AbstractContextManager[tuple[typing.Any, typing.Any]]:",
        ),
        (r"(def get\(self, key: str \| None, default=None\)) -> None:", r"\1 -> typing.Any:"),
        # Every kind of attribute has it.
        (r"(class Attribute\(.*\):\n)", r"\1    data: typing.Any\n"),
        # A set of one of these is a set of strings to mypy, unless each is annotated.
        (r"set\[bpy\.stub_internal\.rna_enums\.OperatorReturnItems\]", "set[str]"),
        (r"\nimport typing\n", "\nimport contextlib\nimport typing\n"),
    ],
    "utils/__init__.pyi": [
        (
            r"(def register_classes_factory\(classes\)) -> None:",
            r"\1 -> tuple["
            r"collections.abc.Callable[[], None], collections.abc.Callable[[], None]]:",
        ),
        (r"(def register_cli_command\(.*\)) -> None:", r"\1 -> typing.Any:"),
    ],
    "props/__init__.pyi": [(r"(\n\)) -> None:", r"\1 -> typing.Any:")],
    "app/handlers/__init__.pyi": [
        (
            r"\npersistent: typing\.Any\n",
            "\n_Handler = typing.TypeVar('_Handler')\n"
            "def persistent(function: _Handler) -> _Handler: ...\n",
        ),
    ],
}


class StubsChanged(Exception):
    """A correction doesn't fit the installed stubs."""


def write(installed: Path, target: Path) -> None:
    """Copy the package `bpy-stubs` from `installed` to `target`, corrected.

    Raises:
        StubsChanged: something to correct was not found.
    """
    shutil.copytree(installed, target)
    for name, corrections in CORRECTIONS.items():
        text = (target / name).read_text(encoding="utf-8")
        for pattern, replacement in corrections:
            text, count = re.subn(pattern, replacement, text)
            if not count:
                raise StubsChanged(f"{name} has no {pattern}")
        (target / name).write_text(text, encoding="utf-8")
