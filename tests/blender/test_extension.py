# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension as a package: what is in it, and how it comes, goes and leaves nothing behind."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from tools import extension

RunBlender = Callable[..., str]

CODE = {"api", "scene", "batch", "operators", "ui"}
TOP_LEVEL = CODE | {
    "blender_manifest.toml",
    "__init__.py",
    "cli.py",
    "sample",
    "flamenco",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
}


def test_the_zip_holds_what_ships_and_nothing_else(archive: Path) -> None:
    with zipfile.ZipFile(archive) as package:
        names = [PurePosixPath(name) for name in package.namelist()]
    assert {name.parts[0] for name in names} == TOP_LEVEL
    others = {str(name) for name in names if name.parts[0] in CODE and name.suffix != ".py"}
    assert others == {
        *("scene/report/page.css", "scene/report/page.js"),
        *("batch/index.css", "batch/index.js", "batch/index_body.html"),
    }
    sample = {name.suffix for name in names if name.parts[0] == "sample"}
    assert sample == {".json", ".obj", ".png", ".glb"}
    assert not [name for name in names if "test" in str(name) or name.name.startswith(".")]


def test_this_blender_validates_source_and_zip(archive: Path) -> None:
    extension.validate(extension.ROOT)
    extension.validate(archive)


def test_the_zip_holds_the_files_of_the_repository(archive: Path) -> None:
    tracked = _tracked()
    manifest = tomllib.loads((extension.ROOT / "blender_manifest.toml").read_text("utf-8"))
    patterns = manifest["build"]["paths_exclude_pattern"]
    top_level = {each.removeprefix("!/") for each in patterns if each.startswith("!/")}
    excluded = [each for each in patterns if not each.startswith("!/") and each != "/*"]
    expected = {
        name
        for name in tracked
        if name.partition("/")[0] in top_level and not any(_excludes(p, name) for p in excluded)
    }
    with zipfile.ZipFile(archive) as package:
        assert sorted(package.namelist()) == sorted(expected)
        for name in expected:
            assert package.read(name) == (extension.ROOT / name).read_bytes()


def _tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached"],
        check=False,
        cwd=extension.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if done.returncode:
        pytest.skip("this is no clone of the repository")
    return [each for each in done.stdout.split("\0") if each]


def _excludes(pattern: str, name: str) -> bool:
    """Whether one of the manifest's patterns, which are .gitignore's, leaves the file out."""
    if pattern.startswith("/"):
        return fnmatch.fnmatchcase(name, pattern[1:])
    return any(fnmatch.fnmatchcase(part, pattern.rstrip("/")) for part in name.split("/"))


def test_the_same_zip_is_built_everywhere(archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "größer" / "elsewhere"
    for name in _tracked():
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((extension.ROOT / name).read_bytes())
        path.chmod(0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    environment = {"SOURCE_DATE_EPOCH": "1500000000", "LC_ALL": "C", "TZ": "Pacific/Chatham"}
    built = tmp_path / "built.zip"
    subprocess.run(
        [sys.executable, "-B", copy / "tests" / "tools" / "extension.py", "build", built],
        check=True,
        env={**os.environ, **environment},
        umask=0o077,
        timeout=60,
    )
    assert built.read_bytes() == archive.read_bytes()
    extension.validate(built)


def test_comes_and_goes_cleanly(run_blender: RunBlender, archive: Path) -> None:
    printed = run_blender(
        """
import sys
from lifecycle import *

check_nothing_left()
for _ in range(2):
    install(sys.argv[1])
    bpy.ops.preferences.addon_disable(module=MODULE)
    check_nothing_left()
    bpy.ops.preferences.addon_enable(module=MODULE)
    check_enabled()
    bpy.ops.wm.read_homefile(use_empty=True)
    check_enabled()
    uninstall()
    check_nothing_left()
    assert not [name for name in sys.modules if name.startswith(MODULE)]
""",
        archive,
    )
    assert "Traceback" not in printed


def test_installs_over_an_enabled_one(run_blender: RunBlender, archive: Path) -> None:
    printed = run_blender(
        """
import sys
from lifecycle import *

install(sys.argv[1])
install(sys.argv[1])
uninstall()
check_nothing_left()
""",
        archive,
    )
    assert "Traceback" not in printed


def test_blender_ends_well_with_the_extension_enabled(
    run_blender: RunBlender, archive: Path
) -> None:
    printed = run_blender("import sys, lifecycle; lifecycle.install(sys.argv[1])", archive)
    assert "Traceback" not in printed


def test_enabling_is_light_and_stays_off_the_network(
    run_blender: RunBlender, archive: Path
) -> None:
    run_blender("import sys, lifecycle; lifecycle.install(sys.argv[1], enable=False)", archive)
    # Another Blender: one that has installed something may have loaded more than it starts with.
    printed = run_blender(
        """
import builtins, socket, sys, time
from lifecycle import *

HEAVY = {"requests", "urllib3", "numpy"}
reached, heavy = [], []
real_import = builtins.__import__


def refuse(*arguments, **keywords):
    reached.append(arguments)
    raise OSError("There is no network in this test")


def watched_import(name, globals=None, *others, **keywords):
    importer = (globals or {}).get("__name__", "")
    # Some Blenders have loaded them themselves, so what is loaded does not tell who asked.
    if importer.startswith(MODULE) and name.partition(".")[0] in HEAVY:
        heavy.append(f"{importer} imports {name}")
    return real_import(name, globals, *others, **keywords)


socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
builtins.__import__ = watched_import
before = set(sys.modules)
assert not [name for name in before if name.startswith(MODULE)]
bpy.ops.preferences.addon_enable(module=MODULE)
check_enabled()
time.sleep(0.2)
assert not heavy, heavy
assert not HEAVY & (set(sys.modules) - before)
assert not reached, reached
"""
    )
    assert "Traceback" not in printed
