# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: `api/` works without Blender, and the other rooms keep their order."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from csm_retopo import api

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path.relative_to(ROOT)
    for pattern in (
        *("api/**/*.py", "scene/**/*.py", "batch/**/*.py", "operators/**/*.py", "ui/**/*.py"),
        "cli.py",
    )
    for path in ROOT.glob(pattern)
)

FORBIDDEN = {
    "api": {"scene", "batch", "operators", "ui", "cli"},
    "scene": {"batch", "operators", "ui", "cli"},
    "batch": {"operators", "ui", "cli"},
    "operators": {"batch", "ui", "cli"},
    "ui": {"batch", "operators", "cli"},
    "cli.py": {"ui"},
}


def imports(module: Path) -> Iterator[str]:
    """Every imported module's name; one of the extension without the extension's own name."""
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.parts[: len(module.parts) - node.level] if node.level else ()
            parts = [*package, *([node.module] if node.module else [])]
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def test_there_is_no_blender_here() -> None:
    assert importlib.util.find_spec("bpy") is None


def test_every_api_module_imports_without_blender() -> None:
    names = [info.name for info in pkgutil.walk_packages(api.__path__, "csm_retopo.api.")]
    assert names
    for name in names:
        importlib.import_module(name)
    assert "bpy" not in sys.modules


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_rooms_import_only_what_they_may(module: Path) -> None:
    own = {name.partition(".")[0] for name in imports(module)}
    assert not own & FORBIDDEN[module.parts[0]]


@pytest.mark.parametrize("module", [path for path in MODULES if path.parts[0] == "api"], ids=str)
def test_api_needs_only_requests(module: Path) -> None:
    allowed = {*sys.stdlib_module_names, "api", "requests", "urllib3"}
    assert {name.partition(".")[0] for name in imports(module)} <= allowed
