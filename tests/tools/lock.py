# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins what tests/requirements/*.in ask for, with hashes for every platform.

Versions that are pinned already stay, unless `--upgrade` is given.
"""

from __future__ import annotations

import subprocess
import sys

import environments
from environments import REQUIREMENTS


def main() -> int:
    """Write a .txt beside each .in; return 0."""
    uv = environments.interpreter("lock")
    for source in sorted(REQUIREMENTS.glob("*.in")):
        if source.stem != "oldest":  # a part of others
            _compile([uv, "-m", "uv"], source.stem)
    return 0


def _compile(uv: list[object], name: str) -> None:
    command = [*uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--only-binary", ":all:"]
    command += ["--python-version", environments.python_version(name)]
    command += ["--custom-compile-command", "make lock", *sys.argv[1:]]
    command += ["--output-file", f"{name}.txt", f"{name}.in"]
    subprocess.run([str(part) for part in command], cwd=REQUIREMENTS, check=True)


if __name__ == "__main__":
    sys.exit(main())
