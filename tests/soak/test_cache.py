# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/blender/test_cache.py, hundreds of times: no wrong mesh, no traceback, always a way on.

What it counts goes to build/soak/cache.json. CSM_RETOPO_SOAK_ROUNDS makes it shorter or longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from importers import Importer, Importers, flip, interpreter, wait_until_clean
from standin import StandIn
from tools import extension

ROUNDS = int(os.environ.get("CSM_RETOPO_SOAK_ROUNDS", "60"))
KILLS_PER_ROUND = 4
SAMPLE = extension.ROOT / "sample"
SECRETS = (b"CANARY", b"artist@example", b"artist%40example")

pytestmark = pytest.mark.timeout(3600)


class Counts:
    """What was tried, and what came of it."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(
            ("kills", "bit_flips", "clears", "imports", "wrong_meshes", "tracebacks", "leaks"), 0
        )
        self._counts["secrets_looked_for_in_files"] = 0

    def add(self, name: str, amount: int = 1) -> None:
        self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def write(self) -> None:
        path = extension.ROOT / "build" / "soak" / "cache.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._counts, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def counts() -> Iterator[Counts]:
    kept = Counts()
    yield kept
    kept.write()


@pytest.fixture(scope="module")
def service() -> Iterator[StandIn]:
    with StandIn(latency_s=0.02, bandwidth_bps=8e6) as running:
        running.add_session(folder=SAMPLE)
        yield running


@pytest.fixture(scope="module")
def session_id(service: StandIn) -> str:
    return service.session_ids[0]


@pytest.fixture(scope="module")
def importers(service: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Importers:
    folder = tmp_path_factory.mktemp("importers")
    archive = folder / "csm_retopo.zip"
    tool = extension.ROOT / "tests" / "tools" / "extension.py"
    subprocess.run([interpreter(), "-B", tool, "build", archive], check=True, timeout=120)
    return Importers(archive, folder, service)


@pytest.fixture(scope="module")
def undisturbed(importers: Importers, session_id: str) -> dict[str, Any]:
    with importers.start() as importer:
        begin = time.monotonic()
        answer = importer.run("panel", session_id)
        took_s = time.monotonic() - begin
        importer.close()
    assert len(answer["placed"]) == 11
    return {"placed": answer["placed"], "files": importers.files(), "took_s": took_s}


def is_right(found: Any, expected: Any) -> bool:
    """Whether an image or a mesh is what it should be. Without the source, some metrics of a mesh
    are not measured.
    """
    if not isinstance(found, list):
        return found == expected
    name, mesh, metrics = found
    measured = {key: value for key, value in metrics.items() if value is not None}
    return [name, mesh] == expected[:2] and measured.items() <= expected[2].items()


def judge(counts: Counts, answer: dict[str, Any], undisturbed: dict[str, Any]) -> None:
    """Count an import, and what of it is not what it should be; what is missing is told."""
    counts.add("imports")
    for key, value in answer["placed"].items():
        if not is_right(value, undisturbed["placed"][key]):
            counts.add("wrong_meshes")
    missing = set(undisturbed["placed"]) - set(answer["placed"])
    assert not missing or answer["message"], missing


def read_printed(counts: Counts, importer: Importer) -> None:
    counts.add("tracebacks", importer.printed.count("Traceback"))
    counts.add("leaks", sum(secret.decode() in importer.printed for secret in SECRETS))


def look_for_secrets(counts: Counts, importers: Importers) -> None:
    for path in importers.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            counts.add("secrets_looked_for_in_files")
            counts.add("leaks", sum(secret in data for secret in SECRETS))


def test_killed_at_any_moment(
    importers: Importers, session_id: str, undisturbed: dict[str, Any], counts: Counts
) -> None:
    chance = random.Random(20)
    for _ in range(ROUNDS):
        if chance.random() < 0.5:
            shutil.rmtree(importers.cache / session_id)
        for _ in range(KILLS_PER_ROUND):
            with importers.start() as importer:
                way = chance.choice(("panel", "command"))
                importer.ask(way, session_id, refetch=chance.random() < 0.5)
                time.sleep(chance.uniform(0.0, undisturbed["took_s"]))
                importer.kill()
                counts.add("kills")
                read_printed(counts, importer)
        with importers.start() as importer:
            answer = importer.run("panel", session_id)
            importer.close()
            read_printed(counts, importer)
        judge(counts, answer, undisturbed)
        assert answer["placed"] == undisturbed["placed"]
        assert wait_until_clean(importers) == []
        assert importers.files() == undisturbed["files"]
        for output in importers.folder.glob("out-*"):
            shutil.rmtree(output)
    look_for_secrets(counts, importers)
    assert (counts["wrong_meshes"], counts["tracebacks"], counts["leaks"]) == (0, 0, 0)


def test_two_at_once_while_the_cache_is_cleared(
    importers: Importers, session_id: str, undisturbed: dict[str, Any], counts: Counts
) -> None:
    chance = random.Random(21)
    with (
        importers.start() as first,
        importers.start() as second,
        importers.start() as clearing,
    ):
        for _ in range(ROUNDS):
            for each in (first, second):
                way = chance.choice(("panel", "command"))
                each.ask(way, session_id, refetch=chance.random() < 0.5)
            for _ in range(3):
                time.sleep(chance.uniform(0.0, undisturbed["took_s"] / 2))
                clearing.run("clear_cache", "")
                counts.add("clears")
            for each in (first, second):
                answer = each.answer()
                judge(counts, answer, undisturbed)
                assert answer["placed"] == undisturbed["placed"], answer["message"]
        for each in (first, second, clearing):
            each.close()
            read_printed(counts, each)
    assert wait_until_clean(importers) == []
    assert (counts["wrong_meshes"], counts["tracebacks"], counts["leaks"]) == (0, 0, 0)


def test_bits_flipped_on_disk(
    importers: Importers, session_id: str, undisturbed: dict[str, Any], counts: Counts
) -> None:
    chance = random.Random(22)
    folder = importers.cache / session_id
    with importers.start() as importer:
        importer.run("panel", session_id)
        for number in range(3 * ROUNDS):
            files = sorted(each for each in folder.iterdir())
            for path in chance.sample(files, chance.choice((1, 2, len(files)))):
                with contextlib.suppress(FileNotFoundError):
                    flip(path, chance)
                    counts.add("bit_flips")
            judge(counts, importer.run("import_cached", session_id), undisturbed)
            if number % 3 == 2:
                answer = importer.run("panel", session_id)
                judge(counts, answer, undisturbed)
                assert answer["placed"] == undisturbed["placed"]
        importer.close()
        read_printed(counts, importer)
    look_for_secrets(counts, importers)
    assert (counts["wrong_meshes"], counts["tracebacks"], counts["leaks"]) == (0, 0, 0)
