# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks install is what was looked at: every package pinned, with its hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import environments

LOCKED = sorted(environments.REQUIREMENTS.glob("*.txt"))


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.stem)
def test_every_package_is_pinned_with_its_hashes(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    for line in packages:
        assert re.match(r"[A-Za-z0-9._-]+==[^ ;]+", line), line
        assert re.search(r" --hash=sha256:[0-9a-f]{64}", line), line


def test_every_environment_is_locked() -> None:
    wanted = {each.stem for each in environments.REQUIREMENTS.glob("*.in")} - {"oldest"}
    assert {each.stem for each in LOCKED} == wanted


def test_nothing_is_installed_without_its_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(
        environments, "_run", lambda command: commands.append([str(each) for each in command])
    )
    monkeypatch.setattr(environments, "_base_python", lambda name: "python")
    environments._install("api", tmp_path, environments.REQUIREMENTS / "api.txt")
    installing = [each for each in commands if "install" in each]
    assert len(installing) == 1
    assert "--require-hashes" in installing[0]
    # A package that was built here would have been built by others, which no hash is known of.
    assert installing[0][installing[0].index("--only-binary") + 1] == ":all:"
    assert [each for each in installing[0] if each.endswith(".txt")] == [
        str(environments.REQUIREMENTS / "api.txt")
    ]
