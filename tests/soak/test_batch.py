# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches killed at many moments, and one of thousands of sessions.

What it counts goes to build/soak/batch.json. It runs in any environment: Blender is that of
blender-5.0, or of the one that CSM_RETOPO_SOAK_BLENDER names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "blender"))

import batches  # noqa: E402 - it is beside the tests that run a part of it

from standin import StandIn  # noqa: E402
from tools import environments, extension  # noqa: E402

KILLS = 20
SESSIONS = 200
THOUSANDS = int(os.environ.get("CSM_RETOPO_SOAK_SESSIONS", "5000"))
RESULTS = extension.ROOT / "build" / "soak" / "batch.json"
BOX = b"""v 0 0 0\nv 0 0 1\nv 0 1 0\nv 0 1 1\nv 1 0 0\nv 1 0 1\nv 1 1 0\nv 1 1 1
f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n"""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Python of a Blender in which the extension is installed."""
    version = os.environ.get("CSM_RETOPO_SOAK_BLENDER", "5.0")
    interpreter = environments.blender_interpreter(version)
    folder = tmp_path_factory.mktemp("blender")
    tool = TESTS / "tools" / "extension.py"
    archive = folder / "csm_retopo.zip"
    subprocess.run([interpreter, "-B", tool, "build", archive], check=True, timeout=120)
    os.environ["BLENDER_USER_RESOURCES"] = str(folder / "resources")
    install = f"import lifecycle; lifecycle.install({str(archive)!r}, enable=False)"
    subprocess.run(
        [interpreter, "-c", install],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(TESTS / "blender")},
    )
    yield interpreter
    del os.environ["BLENDER_USER_RESOURCES"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with StandIn() as running:
        monkeypatch.setenv("CSM_API_URL", running.api_url)
        monkeypatch.setenv("CSM_API_KEY", running.key)
        yield running


def note(**counts: Any) -> None:
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({**known, **counts}, indent=2) + "\n", encoding="utf-8")


def write_list(path: Path, ids: list[str]) -> Path:
    path.write_text("\n".join(ids), encoding="utf-8")
    return path


def test_killed_at_any_moment(python: Path, service: StandIn, tmp_path: Path) -> None:
    sample = extension.ROOT / "sample"
    ids = [f"SESSION_1747336753_{number:07}" for number in range(SESSIONS)]
    for each in ids[1:]:  # the first is not known
        service.add_session(each, folder=sample)
    arguments: list[str | Path] = ["--from-file", write_list(tmp_path / "ids", ids), "--jobs", "2"]
    undisturbed = batches.start(tmp_path / "undisturbed", *arguments, python=python)
    said = undisturbed.communicate(timeout=1800)[0]
    assert undisturbed.returncode == 1, said
    output = tmp_path / "killed"
    there = batches.kill_until_done(output, arguments, KILLS, SESSIONS - 1, python)
    assert there[-1] < SESSIONS - 1, "it was done before it was killed so often"
    assert batches.tree(output) == batches.tree(tmp_path / "undisturbed")
    note(kills=KILLS, sessions_after_each_kill=there)


def test_thousands_of_which_every_tenth_is_unknown(
    python: Path, service: StandIn, tmp_path: Path
) -> None:
    ids = [f"SESSION_1747336753_{number:07}" for number in range(THOUSANDS)]
    known = [each for number, each in enumerate(ids) if number % 10]
    mesh = {"_id": "ASSET_1", "name": "Box retopo 1", "status": "complete"}
    mesh["data"] = {"obj_url": "https://storage.example/a/retopo_mesh_0.obj"}
    document = {
        "status": "complete",
        "type": "retopology",
        "input": {"model": "swift", "quads": True},
        "output": {"meshes": [mesh]},
    }
    for each in known:
        service.add_session(each, document=document, files={"retopo_mesh_0.obj": BOX})
    path = write_list(tmp_path / "ids", [*ids, *ids[:100]])
    process = batches.start(tmp_path / "out", "--from-file", path, python=python)
    said = process.communicate(timeout=3000)[0]
    assert process.returncode == 1, said[-2000:]
    assert said.splitlines()[-1] == f"{len(known)} of {len(ids)} sessions imported whole"
    sessions = json.loads((tmp_path / "out" / "summary.json").read_text())["sessions"]
    assert [each["session_id"] for each in sessions] == ids
    failed = [each["session_id"] for each in sessions if each["error"]]
    assert failed == ids[::10]
    assert len(service.api_requests) == len(ids)
    page = tmp_path / "out" / "index.html"
    note(thousands=len(ids), unknown=len(failed), index_mb=round(page.stat().st_size / 1e6, 1))
