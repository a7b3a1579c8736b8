# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist feels: measured in the window of a real Blender, as tests/gui runs it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.service import Network, serving
from bench.sessions import SessionSize

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gui"))

import window  # noqa: E402

Blender = window.Blender
WindowError = window.WindowError

_COMPILE = (
    "import bpy, compileall;compileall.compile_dir(bpy.utils.user_resource('EXTENSIONS'), quiet=1)"
)


@contextlib.contextmanager
def installed(version: str, archive: Path) -> Iterator[Blender]:
    """That Blender with the extension, which is compiled already, as from its second use on.

    Raises SetupError and WindowError.
    """
    with window.installed(version, archive) as blender:
        blender.prepare("--background", "--python-expr", _COMPILE)
        yield blender


def imports(
    blender: Blender, folder: Path, size: SessionSize, rounds: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The session in `folder`, imported by the obvious script and by the extension, so often.

    Raises WindowError.
    """
    with serving([folder], Network()) as service:
        for number in range(rounds):
            scratch = blender.folder / f"script-{size.session_id}-{number}"
            scratch.mkdir()
            options = {"bench": str(HERE), "session_id": size.session_id}
            access = {"api_url": service.api_url, "key": service.key, "folder": str(scratch)}
            script = _play(blender, "measuring.by_script", **options, **access)
            ours = _play(blender, "measuring.by_extension", service=service, **options)
            yield script, ours


def draw_ms(blender: Blender, picture: Path) -> dict[str, float]:
    """What the `draw` of each panel takes, with many sessions listed and nothing left to set up."""
    with serving([], Network()) as service:
        facts = _play(blender, "drawing.long_list", service=service, picture=str(picture))
    return {name: value for name, value in facts.items() if name.endswith("_ms")}


def _play(blender: Blender, act: str, **options: Any) -> dict[str, Any]:
    # Blender compiles what it runs once: `installed` has done it.
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}
    # The whole screen: what Blender draws is measured too.
    return blender.play(act, environment=compiled, size=window.SCREEN, **options).facts
