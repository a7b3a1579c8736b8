# SPDX-License-Identifier: GPL-3.0-or-later
"""A Flamenco job's command lines, run by a real Blender as a worker would run them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import Blender
from farm import compile_job
from standin import StandIn

SAMPLE_ID = "SESSION_1763900000_1000001"


def test_the_tasks_of_a_job_do_its_sessions(
    blender: Blender, service: StandIn, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker has the key in its environment; the job has none.
    monkeypatch.setenv("CSM_API_URL", service.api_url)
    monkeypatch.setenv("CSM_API_KEY", service.key)
    other = service.add_session("SESSION_1763900000_7200001", folder=sample)
    unknown = "SESSION_1763900000_7200002"
    ids = blender.folder / "ids.txt"
    ids.write_text(f"{SAMPLE_ID}\n# a comment\n{unknown}\n{other}\n", encoding="utf-8")
    output = blender.folder / "farm"
    tasks = compile_job(
        list_file=str(ids),
        listed=3,
        output=str(output),
        block_size=2,
        jobs=2,
        asset_library=True,
        best="max quad_ratio, min hausdorff_relative",
        flags="--wait 1",
    )
    assert [each.name for each in tasks] == ["part 1 of 2", "part 2 of 2"]
    assert not any(service.key in argument for each in tasks for argument in each.arguments)

    for task, done in zip(tasks, ([SAMPLE_ID], [unknown, other]), strict=True):
        assert task.executable == "{blender}"
        printed = blender.run(*task.arguments)
        assert "1 of" in printed and "the best is Suzanne" in printed
        assert all((output / each / "report.json").is_file() for each in done)
    blends = [each for each in os.listdir(output) if (output / each / "session.blend").is_file()]
    assert sorted(blends) == [SAMPLE_ID, other]
    assert len((output / "blender_assets.cats.txt").read_text().splitlines()[-3:]) == 3
