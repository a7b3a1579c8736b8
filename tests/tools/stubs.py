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
    "bpy/types/__init__.pyi": [
        # What the extension registers.
        (
            r"(class (?:Object|Collection|Scene|WindowManager)\(.*\):\n)",
            r"\1    csm_retopo: typing.Any\n",
        ),
        # Never None where an add-on's code runs.
        (r"(def preferences\(self\) -> Preferences) \| None", r"\1"),
        (r"(def region\(self\) -> Region) \| None: \.\.\.", r"\1: ..."),
        (r"(def scene\(self\) -> Scene) \| None: \.\.\.", r"\1: ..."),
        (r"(def view_layer\(self\) -> ViewLayer) \| None: \.\.\.", r"\1: ..."),
        (r"(def window_manager\(self\) -> WindowManager) \| None", r"\1"),
        (r"(def layout\(self\) -> UILayout) \| None", r"\1"),
        # Bytes, says its documentation.
        (r"(def pack\(self, data:) str", r"\1 bytes | str"),
        # What these return stands in their documentation.
        (
            r"(def panel(?:_prop)?\([^)]*\)) -> None:",
            r"\1 -> tuple[UILayout, UILayout | None]:",
        ),
        (
            r"(def load\(\n +self,\n +filepath: bytes \|(?:.*\n)+?    \)) -> None:",
            r"\1 -> contextlib.AbstractContextManager[tuple[typing.Any, typing.Any]]:",
        ),
        (r"(def get\(self, key: str \| None, default=None\)) -> None:", r"\1 -> typing.Any:"),
        # Every kind of attribute has it.
        (r"(class Attribute\(.*\):\n)", r"\1    data: typing.Any\n"),
        (
            r"(subset: .*) \| None,\n( +key_types: .*) \| None,\n( +value_types: .*) \| None,",
            r"\1 = ...,\n\2 = ...,\n\3 = ...,",
        ),
        # What it is, the object's type says, which mypy doesn't see.
        (r"( data): \(\n +Armature\n(?: +\| \w+\n)+ +\)", r"\1: typing.Any"),
        (r"(ObjectTypeCurveItems \| None\n +\)) -> Curve:", r"\1 -> typing.Any:"),
        # A set of one of these is a set of strings to mypy, unless each is annotated.
        (r"set\[bpy\.stub_internal\.rna_enums\.OperatorReturnItems\]", "set[str]"),
        (r"\nimport typing\n", "\nimport contextlib\nimport typing\n"),
    ],
    "mathutils/__init__.pyi": [
        (
            r"(class (?:Color|Euler|Quaternion|Vector):\n)",
            r"\1    def __iter__(self) -> typing.Iterator[float]: ...\n",
        ),
    ],
    "blf/__init__.pyi": [
        (r"(def dimensions\(.*\)) -> None:", r"\1 -> tuple[float, float]:"),
    ],
    "bpy/app/translations/__init__.pyi": [
        (r"(def pgettext_iface\((?:[^)]|\n)*\)) -> None:", r"\1 -> str:"),
    ],
    "bpy/utils/__init__.pyi": [
        (
            r"(def register_classes_factory\(classes\)) -> None:",
            r"\1 -> tuple[typing.Callable[[], None], typing.Callable[[], None]]:",
        ),
        (r"(def register_cli_command\(.*\)) -> None:", r"\1 -> typing.Any:"),
    ],
    "bpy/props/__init__.pyi": [(r"(\n\)) -> None:", r"\1 -> typing.Any:")],
    "bpy/app/handlers/__init__.pyi": [
        (
            r"\npersistent: typing\.Any\n",
            r"\ndef persistent[Handler](function: Handler) -> Handler: ...\n",
        ),
    ],
}


class StubsChanged(Exception):
    """A correction doesn't fit the installed stubs."""


def write(installed: Path, target: Path) -> None:
    """Write the packages to correct, found as `NAME-stubs` in `installed`, to `target`, corrected.

    Raises:
        StubsChanged: something to correct was not found.
    """
    for package in {name.partition("/")[0] for name in CORRECTIONS}:
        shutil.copytree(installed / f"{package}-stubs", target / package)
    for name, corrections in CORRECTIONS.items():
        text = (target / name).read_text(encoding="utf-8")
        for pattern, replacement in corrections:
            text, count = re.subn(pattern, replacement, text)
            if not count:
                raise StubsChanged(f"{name} has no {pattern}")
        (target / name).write_text(text, encoding="utf-8")
