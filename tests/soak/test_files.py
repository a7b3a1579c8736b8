# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad files by the hundred thousand: all are looked at by `api/`, and a share of them is read by
all four Blenders, whose every opened file is looked at.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import environments
from conftest import ROOT, record
from hostile import oracle
from hostile.building import glb
from hostile.images import images
from hostile.meshes import meshes
from hostile.mutation import mutants
from hostile.seeds import SEEDS

INPUTS = int(os.environ.get("CSM_RETOPO_FUZZ_INPUTS", "100000"))
"""How many files are made; another SEED makes others."""
SEED = int(os.environ.get("CSM_RETOPO_FUZZ_SEED", "1"))
CONVERTED = INPUTS // 100
"""How many of each kind of mesh go to each Blender."""
KILLS = 25
"""In each Blender."""
SLOW_S = 10.0
SHARES = {"OBJ": 0.4, "GLB": 0.35, "PNG": 0.15, "texture": 0.1}


@pytest.fixture(scope="module", autouse=True)
def fresh() -> None:
    """What an earlier run has measured is not added to."""
    (ROOT / "build" / "soak" / "files.json").unlink(missing_ok=True)
    record("files", files=0, crashed=0, hung=0, opened_outside=0, peak_memory_mb=0, fuzz_inputs=0)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", SEEDS)
def test_no_file_confuses_its_reader(tmp_path: Path, kind: str) -> None:
    check, seeds = SEEDS[kind]
    path = tmp_path / "mutant"
    count = round(INPUTS * SHARES[kind])
    problems = []
    for number, data in enumerate(mutants(seeds, count, SEED + 1000)):
        path.write_bytes(data)
        begin = time.process_time()
        try:
            check(path)
        except Exception as error:  # noqa: BLE001 - all of them are to be known
            problems.append(f"{number}: {error!r}: {data[:1000]!r}")
        if time.process_time() - begin > SLOW_S:
            problems.append(f"{number}: too slow: {data[:1000]!r}")
    record("files", fuzz_inputs=count)
    assert not problems, f"{len(problems)} of {count}:\n" + "\n".join(problems[:20])


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("version", environments.BLENDERS)
def test_no_file_breaks_blender(tmp_path: Path, version: str) -> None:
    folder = tmp_path / "files"
    paths = [mesh.write(folder / f"c{number}") for number, mesh in enumerate(meshes().values())]
    names = list(meshes())
    for kind, suffix in (("OBJ", ".obj"), ("GLB", ".glb")):
        check, seeds = SEEDS[kind]
        taken = 0
        for number, data in enumerate(mutants(seeds, CONVERTED * 20, SEED)):
            path = folder / f"{kind}{number}{suffix}"
            path.write_bytes(data)
            # What is refused beforehand teaches nothing about Blender.
            if taken < CONVERTED and check(path):
                taken += 1
                paths.append(path)
                names.append(f"{kind} {number}")
            else:
                path.unlink()
                if taken == CONVERTED:
                    break
    check, seeds = SEEDS["texture"]
    textures = (
        data for data in mutants(seeds, CONVERTED * 20, SEED) if oracle.check_bytes(check, data)
    )
    for number, data in enumerate(itertools.islice(textures, CONVERTED // 4)):
        paths.append(folder / f"texture{number}.glb")
        paths[-1].write_bytes(glb(texture=data))
        names.append(f"texture {number}")
    answers, summary = _converted(tmp_path, version, paths)
    lost = [
        name for name, answer in zip(names, answers, strict=True) if "crashed" in answer["reason"]
    ]
    hung = [name for name, answer in zip(names, answers, strict=True) if answer["took_s"] > 60.0]
    odd = [
        name for name, answer in zip(names, answers, strict=True) if "unfores" in answer["reason"]
    ]
    record(
        "files",
        files=len(paths),
        crashed=len(set(lost) - set(hung)),
        hung=len(hung),
        opened_outside=len(summary["outside"]),
        peak_memory_mb=summary["peak_mb"],
    )
    assert (lost, hung, odd, summary["outside"], summary["left"]) == ([], [], [], [], [])


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("version", environments.BLENDERS)
def test_no_image_is_more_than_it_seems(tmp_path: Path, version: str) -> None:
    check, seeds = SEEDS["PNG"]
    contents = [image.content for image in images().values() if not image.reason]
    mutated = mutants(seeds, CONVERTED * 40, SEED)
    contents += itertools.islice(
        (data for data in mutated if oracle.check_bytes(check, data)), CONVERTED
    )
    paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    (tmp_path / "names").write_text("\n".join(map(str, paths)), encoding="utf-8")
    script = ROOT / "tests" / "hostile" / "decoding.py"
    done = subprocess.run(
        [environments.blender_interpreter(version), script, tmp_path / "names"],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=7000,
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "resources")},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    record("files", images=len(answers), crashed=int(done.returncode != 0))
    assert done.returncode == 0 and len(answers) == len(paths), done.stdout[-3000:]
    assert [each for each in answers if each["told"] != each["found"]] == []


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("version", environments.BLENDERS)
def test_killed_again_and_again(version: str) -> None:
    tests = ROOT / "tests" / "blender" / "test_hostile_files.py"
    command = [
        environments.blender_interpreter(version),
        "-m",
        "pytest",
        "-q",
        "-k",
        "killed",
        tests,
    ]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=7000,
        env={**os.environ, "CSM_RETOPO_KILLS": str(KILLS)},
    )
    assert done.returncode == 0 and f"{KILLS} passed" in done.stdout, done.stdout[-3000:]
    record("files", kills_survived=KILLS)


def _converted(
    folder: Path, version: str, paths: list[Path]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    names = folder / "names"
    names.write_text("\n".join(map(str, paths)), encoding="utf-8")
    temporary = folder / "temporary"
    temporary.mkdir()
    resources = folder / "resources"
    (resources / "config").mkdir(parents=True)
    script = Path(__file__).with_name("converting.py")
    python = environments.blender_interpreter(version)
    done = subprocess.run(
        [python, script, names, folder / "cache", folder / "strace.log"],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=7000,
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "BLENDER_USER_RESOURCES": str(resources),
        },
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and len(lines) == len(paths) + 1, done.stdout[-3000:]
    return lines[:-1], lines[-1]
