# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks and builds the extension with the tools of the Blender that runs this.

As a program: `extension.py validate PATH` (a folder or a zip), `extension.py build ZIP`. What it
builds is the same, byte for byte, wherever and whenever and by whichever Blender it is built.
"""

from __future__ import annotations

import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_TAGS = "modules/_bpy_internal/extensions/tags.py"


def validate(path: Path) -> None:
    """Check the extension at `path`, a folder or a zip, as `blender --command extension` does.

    Raises:
        subprocess.CalledProcessError: it is not valid; the output says why.
    """
    _blender_ext("validate", "--valid-tags", str(_scripts() / _TAGS), str(path))


def build(archive: Path) -> None:
    """Write the extension as the zip `archive`.

    Raises:
        subprocess.CalledProcessError: it could not be built; the output says why.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / archive.name
        _blender_ext(
            *("build", "--valid-tags", str(_scripts() / _TAGS)),
            *("--source-dir", str(ROOT), "--output-filepath", str(built)),
        )
        _normalize(built, archive)


def _normalize(built: Path, archive: Path) -> None:
    """Write what the zip `built` holds to `archive`, without what tells where and when it was.

    Nothing is compressed: one zlib's output differs from another's.
    """
    with zipfile.ZipFile(built) as given, zipfile.ZipFile(archive, "w") as made:
        for name in sorted(given.namelist()):
            entry = zipfile.ZipInfo(name)  # of 1980
            entry.create_system = 3  # also on Windows
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            made.writestr(entry, given.read(name))


def _scripts() -> Path:
    """Return Blender's scripts folder; found without `import bpy`, which starts a Blender."""
    (scripts,) = Path(sysconfig.get_path("platlib"), "bpy").glob("*/scripts")
    return scripts


def _blender_ext(*arguments: str) -> None:
    program = _scripts() / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    subprocess.run([sys.executable, "-B", program, *arguments], check=True)


def main() -> int:
    """Run the command line."""
    action = {"validate": validate, "build": build}[sys.argv[1]]
    try:
        action(Path(sys.argv[2]).resolve())
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
