# SPDX-License-Identifier: GPL-3.0-or-later
"""Flamenco's job type: what it asks for, and what tasks become of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm import CompileError, compile_job, job_type

COMMAND = ["--background", "--online-mode", "--command", "csm_retopo", "import"]
IDS = [f"SESSION_1_{number}" for number in range(7)]


def test_the_settings_are_such_as_flamenco_knows() -> None:
    known = "key type subtype choices propargs description label default eval evalInfo visible"
    fields = {*known.split(), "required", "editable"}
    kinds = {"string": str, "int32": int, "bool": bool, "float": float}
    described = job_type()
    assert described["label"]
    keys = [each["key"] for each in described["settings"]]
    assert len(set(keys)) == len(keys)
    for each in described["settings"]:
        assert set(each) <= fields
        assert each["key"].isidentifier()
        assert each["type"] in kinds
        assert each.get("visible", "visible") in ("visible", "hidden", "submission", "web")
        assert each.get("subtype", "file_path") in ("file_path", "dir_path")
        assert isinstance(each.get("default", kinds[each["type"]]()), kinds[each["type"]])
        assert each["description"]


def test_ids_are_shared_out_in_blocks() -> None:
    tasks = compile_job(sessions=f" {', '.join(IDS)}\n", output="/shared/out", block_size=3)
    assert [each.name for each in tasks] == ["sessions 1-3", "sessions 4-6", "sessions 7-7"]
    assert {(each.type, each.executable) for each in tasks} == {("blender", "{blender}")}
    end = ["--output", "/shared/out", "--some-may-fail"]
    assert [each.arguments for each in tasks] == [
        [*COMMAND, *IDS[:3], *end],
        [*COMMAND, *IDS[3:6], *end],
        [*COMMAND, IDS[6], *end],
    ]


def test_a_file_is_shared_out_in_parts() -> None:
    tasks = compile_job(
        list_file="//ids.txt", list_path="/shared/ids.txt", listed=7, output="/out", block_size=3
    )
    assert [each.name for each in tasks] == ["part 1 of 3", "part 2 of 3", "part 3 of 3"]
    assert [each.arguments[5:9] for each in tasks] == [
        ["--from-file", "/shared/ids.txt", "--part", f"{number}/3"] for number in (1, 2, 3)
    ]


def test_options() -> None:
    rule = "hausdorff_relative < 0.01, max quad_ratio"
    (task,) = compile_job(
        sessions=IDS[0],
        output="//out",
        output_path="S:\\out",
        jobs=4,
        asset_library=True,
        best=rule,
        flags="--wait 60 --report --from-file 'more of them.txt'",
    )
    assert task.arguments == [
        *(*COMMAND, IDS[0], "--output", "S:\\out", "--some-may-fail", "--jobs", "4"),
        *("--asset-library", "--best", rule, "--wait", "60", "--report"),
        *("--from-file", "more of them.txt"),
    ]


def test_one_job_is_one_job() -> None:
    (task,) = compile_job(sessions=IDS[0], output="/out", jobs=1)
    assert task.arguments[-2:] == ["--jobs", "1"]


def test_five_thousand_sessions() -> None:
    ids = [f"SESSION_1747336753_{number:07}" for number in range(5000)]
    tasks = compile_job(sessions=" ".join(ids), output="/out", block_size=1000)
    assert [each for task in tasks for each in task.arguments if each.startswith("SESSION")] == ids
    # What Windows takes as a command line.
    assert all(len(" ".join(task.arguments)) < 32_000 for task in tasks)
    assert len(compile_job(list_file="/ids", listed=5000, output="/out", block_size=50)) == 100


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"output": "/out"}, "Name sessions"),
        ({"output": "/out", "sessions": " ,\n", "list_file": ""}, "Name sessions"),
        ({"output": "/out", "list_file": "/ids.txt", "listed": 0}, "Name sessions"),
        ({"sessions": IDS[0]}, "Name the folder"),
    ],
)
def test_what_is_missing_is_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(CompileError, match=said):
        compile_job(**settings)


@pytest.mark.parametrize(
    "typed",
    [
        f"{IDS[0]} https://files.example/artist@example.com/{IDS[1]}/mesh.glb?sig=CANARY",
        f"files.example/{IDS[0]}/mesh.glb?sv=1&sig=CANARY",
    ],
)
def test_a_url_does_not_become_a_job_for_all_to_read(typed: str) -> None:
    with pytest.raises(CompileError, match="put URLs into the file") as caught:
        compile_job(output="/out", sessions=typed)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(("text", "listed"), [("A\n\n# C\n  B # b\n", 2), ("\ufeff# A\n", 0)])
def test_what_blender_works_out_at_submission(tmp_path: Path, text: str, listed: int) -> None:
    """As Flamenco's add-on does: Python's eval with these names."""
    (tmp_path / "ids.txt").write_text(text, encoding="utf-8")
    expressions = {each["key"]: each["eval"] for each in job_type()["settings"] if "eval" in each}

    def evaluated(**settings: str) -> dict[str, Any]:
        names = {
            "settings": SimpleNamespace(**settings),
            "abspath": lambda path: tmp_path / path.removeprefix("//"),
        }
        return {key: eval(text, {}, names) for key, text in expressions.items()}

    assert evaluated(list_file="//ids.txt", output="//out") == {
        "list_path": str(tmp_path / "ids.txt"),
        "output_path": str(tmp_path / "out"),
        "listed": listed,
    }
    assert evaluated(list_file="", output="") == {"list_path": "", "output_path": "", "listed": 0}
