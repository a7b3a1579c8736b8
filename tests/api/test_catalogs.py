# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of an asset library's catalogs: what is added, and what of others stays."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from csm_retopo.api.errors import CsmError
from csm_retopo.scene.assets import catalogs
from csm_retopo.scene.assets.catalogs import CATALOGS_NAME, Catalogs, catalog_id, with_catalogs

ROOT = Path(__file__).resolve().parents[2]
OWN = "0f0e0d0c-0b0a-4900-8807-060504030201:Props/Möbel:Props-Möbel"

ADDING = """
import sys, time, types
package = types.ModuleType("csm_retopo")
package.__path__ = [sys.argv[1]]
sys.modules["csm_retopo"] = package
from pathlib import Path
from csm_retopo.scene.assets.catalogs import Catalogs
file = Catalogs(Path(sys.argv[2]))
for number in range(int(sys.argv[4])):
    file.add(f"SESSION_{sys.argv[3]}_{number}")
    file.flush()
"""


def adding(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    """A process that adds so many catalogs, one at a time."""
    return subprocess.Popen([sys.executable, "-c", ADDING, ROOT, folder, name, str(count)])


def lines(folder: Path) -> list[str]:
    """The file's catalogs, after a check that the file is what Blender reads."""
    read = (folder / CATALOGS_NAME).read_text(encoding="utf-8").splitlines()
    told = [line for line in read if line and not line.startswith("#")]
    assert told[0] == "VERSION 1"
    for line in told[1:]:
        identifier, path, name = line.split(":")
        assert uuid.UUID(identifier)
        assert path and name
        assert len(name.encode()) <= 63
    return told[1:]


def test_a_catalog_for_each_session_sorted(tmp_path: Path) -> None:
    file = Catalogs(tmp_path)
    for name in ("SESSION_2_2", "SESSION_1_1", "SESSION_2_2", "SESSION_3_" + "9" * 80):
        file.add(name)
    file.flush()
    assert [line.split(":")[1] for line in lines(tmp_path)] == [
        "CSM Retopo",
        "CSM Retopo/1_1",
        "CSM Retopo/2_2",
        "CSM Retopo/3_" + "9" * 80,
    ]
    # The same everywhere and for ever: .blend files refer to it.
    assert catalog_id("SESSION_1_1") == "4af418ff-334f-5ba5-88c6-50e0b37904b0"
    assert lines(tmp_path)[1].startswith(catalog_id("SESSION_1_1"))


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    moved = f"{catalog_id('SESSION_1_1').upper()}:Props/Chairs:Chairs"
    mine = f"# my library\r\n\r\nVERSION 1\r\n{OWN}\r\n{moved}\r\n# not a catalog\r\n"
    path = tmp_path / CATALOGS_NAME
    path.write_bytes(mine.encode() + b"# \xff\n")
    file = Catalogs(tmp_path)
    file.add("SESSION_1_1")
    file.add("SESSION_2_2")
    file.flush()
    written = path.read_bytes()
    assert written.startswith("\n".join(["# my library", "", "VERSION 1"]).encode())
    assert b"# not a catalog" in written
    assert b"# \xff" in written
    found = [each for each in written.decode("latin-1").splitlines() if each.count(":") == 2]
    assert [each.split(":")[2] for each in found[:2]] == ["CSM Retopo", "CSM Retopo-2_2"]
    assert found[2:] == [moved, OWN.encode().decode("latin-1")]


@pytest.mark.parametrize("content", ["VERSION 2\n", "a shopping list\n", f"{OWN}\n"])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / CATALOGS_NAME
    path.write_text(content, encoding="utf-8")
    file = Catalogs(tmp_path)
    file.add("SESSION_1_1")
    with pytest.raises(CsmError, match="left as it is"):
        file.flush()
    assert path.read_text(encoding="utf-8") == content


def test_it_grows_while_a_batch_runs_but_is_not_written_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def counting(content: bytes, session_ids: set[str]) -> bytes:
        nonlocal written
        written += 1
        time.sleep(0.005)
        return with_catalogs(content, session_ids)

    monkeypatch.setattr(catalogs, "with_catalogs", counting)
    file = Catalogs(tmp_path)
    file.add("SESSION_0_0")
    assert len(lines(tmp_path)) == 2
    for number in range(1, 200):
        file.add(f"SESSION_0_{number}")
    assert written < 20
    file.flush()
    assert len(lines(tmp_path)) == 201


def test_two_batches_at_once_and_a_user(tmp_path: Path) -> None:
    (tmp_path / CATALOGS_NAME).write_text(f"VERSION 1\n\n{OWN}\n", encoding="utf-8")
    running = [adding(tmp_path, name, 60) for name in ("A", "B")]
    assert [each.wait(30) for each in running] == [0, 0]
    found = lines(tmp_path)
    assert len(found) == 122
    assert OWN in found


def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    chance = random.Random(6)
    for number in range(6):
        running = adding(tmp_path, f"{number}", 100_000)
        first = catalog_id(f"SESSION_{number}_0")
        end = time.monotonic() + 20
        while time.monotonic() < end and not _has(tmp_path, first):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        running.kill()
        running.wait(10)
        assert any(first in line for line in lines(tmp_path))
    # What the killed ones held and left doesn't stand in anybody's way.
    file = Catalogs(tmp_path)
    file.add("SESSION_9_9")
    file.flush()
    assert any("/9_9:" in line for line in lines(tmp_path))
    assert not list(tmp_path.glob("*.part"))


def _has(folder: Path, text: str) -> bool:
    path = folder / CATALOGS_NAME
    return path.exists() and text in path.read_text(encoding="utf-8")
