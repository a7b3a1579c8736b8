# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch's output folder and its summary, which need no Blender."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from csm_retopo.api import locking
from csm_retopo.api.locking import Lock
from csm_retopo.batch import output as batch_output, summary as batch_summary
from csm_retopo.batch.models import SessionResult, Status
from csm_retopo.batch.output import HIDDEN, Output
from csm_retopo.batch.sources import find_sources, read_list
from csm_retopo.batch.summary import BEST_COLUMN, SESSION_COLUMNS, VARIATION_COLUMNS, Summary
from csm_retopo.scene.measure.metrics import METRICS

FIRST, SECOND = "SESSION_1747336753_0000001", "SESSION_1747336753_0000002"


def report(session_id: str, *names: str, error: str | None = None) -> dict[str, Any]:
    variations = [
        {
            "index": index,
            "asset_id": "ASSET_1",
            "name": name,
            "status": "imported",
            "error": None,
            "metrics": {**dict.fromkeys(METRICS), "faces": 6 + index, "has_uv": True},
        }
        for index, name in enumerate(names)
    ]
    return {
        "session_id": session_id,
        "status": "complete",
        "model": "swift",
        "quads": True,
        "created_at": "2025-05-15T19:19:13.720Z",
        "error": error,
        "source": None,
        "variations": variations,
        "warnings": [],
    }


def put(output: Output, fields: dict[str, Any]) -> None:
    """What a run does with a session."""
    staged = output.staging(fields["session_id"])
    (staged / "report.json").write_text(json.dumps(fields), encoding="utf-8")
    output.publish(fields["session_id"])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reported(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))["sessions"]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    opened = Output(tmp_path / "out")
    opened.open()
    return opened


def test_the_summary_is_of_what_the_folder_holds(output: Output) -> None:
    put(output, report(SECOND, "B 1", "B 2"))
    summary = Summary(output)
    put(output, report(FIRST, "A 1"))
    fields = report(FIRST, "A 1")
    summary.add(SessionResult(FIRST, Status.IMPORTED, output.folder / FIRST, report=fields))
    summary.add(SessionResult("nonsense", Status.FAILED, error="That is no session ID"))
    summary.close()
    found = rows(output.folder)
    assert list(found[0]) == [*SESSION_COLUMNS, *VARIATION_COLUMNS, BEST_COLUMN, *METRICS]
    assert [(each["session_id"], each["name"]) for each in found] == [
        (FIRST, "A 1"),
        (SECOND, "B 1"),
        (SECOND, "B 2"),
        ("nonsense", ""),
    ]
    assert [each["faces"] for each in found] == ["6", "6", "7", ""]
    assert found[0]["has_uv"] == "true"
    assert found[0]["folder"] == FIRST
    assert (found[3]["session_status"], found[3]["session_error"]) == (
        "failed",
        "That is no session ID",
    )
    assert [each["session_id"] for each in reported(output.folder)] == [FIRST, SECOND, "nonsense"]
    output.close()
    assert sorted(os.listdir(output.folder)) == sorted(
        [FIRST, SECOND, "index.html", "summary.csv", "summary.json"]
    )


def test_what_others_do_meanwhile_is_seen(output: Output) -> None:
    summary = Summary(output)
    other = Output(output.folder)
    other.open()
    put(other, report(FIRST, error="not found"))
    summary.write()
    assert rows(output.folder)[0]["session_error"] == "not found"
    path = output.folder / FIRST / "report.json"
    before = path.stat().st_mtime_ns
    put(other, report(FIRST, "A 1"))
    os.utime(path, ns=(before + 1, before + 1))
    summary.close()
    assert [each["name"] for each in rows(output.folder)] == ["A 1"]
    other.close()


def test_a_folder_that_is_not_seen_yet(output: Output) -> None:
    summary = Summary(output)
    result = SessionResult(FIRST, Status.IMPORTED, report=report(FIRST, "A 1"))
    summary.add(result)
    summary.write()
    assert [each["name"] for each in rows(output.folder)] == ["A 1"]
    put(output, report(FIRST, "A 1", "A 2"))
    summary.close()
    assert [each["name"] for each in rows(output.folder)] == ["A 1", "A 2"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"session_id": 5}', "\x00\xff", "[" * 100_000]
)
def test_a_damaged_report_is_no_session(output: Output, text: str) -> None:
    (output.folder / FIRST).mkdir()
    (output.folder / FIRST / "report.json").write_text(text, encoding="latin-1")
    (output.folder / "a file").write_text("")
    put(output, report(SECOND, "B 1"))
    Summary(output).close()
    assert [each["session_id"] for each in reported(output.folder)] == [SECOND]


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")']
)
def test_no_formula_in_the_csv(output: Output, name: str) -> None:
    put(output, report(FIRST, name, error=name))
    Summary(output).close()
    (row,) = rows(output.folder)
    assert row["name"] == f"'{name}"
    assert row["session_error"] == f"'{name}"


def test_names_of_any_kind(output: Output) -> None:
    names = ['a,b\n"c"', "\ud800", "</script><script>", "\u2028"]
    put(output, report(FIRST, *names))
    Summary(output).close()
    assert [each["name"] for each in rows(output.folder)] == [names[0], "?", *names[2:]]
    page = (output.folder / "index.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 3  # those of the page itself
    assert reported(output.folder)[0]["variations"][2]["name"] == "</script><script>"


def test_writing_takes_a_small_share_of_the_time(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    written = []
    monkeypatch.setattr(batch_summary.time, "monotonic", lambda: clock[0])

    def replace(self: Summary, name: str, parts: object) -> None:
        clock[0] += 2.0
        written.append(name)

    monkeypatch.setattr(Summary, "_replace", replace)
    summary = Summary(output)
    for _ in range(10_000):
        clock[0] += 0.1
        summary.write_if_due()
    # Each time takes 6 s of these 1000 and more.
    assert 1 <= len(written) / 3 <= 8


def test_a_folder_appears_whole(output: Output) -> None:
    staged = output.staging(FIRST)
    (staged / "report.json").write_text("{}")
    assert sorted(each.name for each in output.sessions()) == []
    output.publish(FIRST)
    assert [each.name for each in output.sessions()] == [FIRST]
    assert not staged.exists()


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code = f"""
import os, sys, types
package = types.ModuleType("csm_retopo")
package.__path__ = [{str(Path(__file__).resolve().parents[2])!r}]
sys.modules["csm_retopo"] = package
from pathlib import Path
from csm_retopo.batch.output import Output
output = Output(Path({str(folder)!r}))
output.open()
output.claim({FIRST!r})
(output.staging({FIRST!r}) / "session.blend").write_text("a part")
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    output = Output(folder)
    output.open()
    # While it lives, what it works on is its own.
    assert output.claim(FIRST) is None
    assert len(list((folder / HIDDEN).glob("run-*/"))) == 2
    output.close()
    process.kill()
    process.communicate()
    output = Output(folder)
    output.open()
    assert [each.name for each in (folder / HIDDEN).glob("run-*/")] == [output.own.name]
    lock = output.claim(FIRST)
    assert lock is not None
    lock.release()
    output.close()
    assert os.listdir(folder) == []


def test_the_summary_tells_what_a_rule_has_chosen(output: Output) -> None:
    chosen = {"rule": "max faces", "index": 1, "name": "Two"}
    put(output, {**report(FIRST, "One", "Two"), "best": chosen})
    put(output, {**report(SECOND, "One"), "best": {**chosen, "index": None, "name": None}})
    Summary(output).close()
    assert [each["best"] for each in rows(output.folder)] == ["false", "true", "false"]


def test_a_pause_is_kept_by_the_next_run_as_long_as_it_lasts(output: Output) -> None:
    over, lasting = (output.hidden / f"{name}.pause" for name in ("over", "lasting"))
    for path, end_s in ((over, time.time() - 1.0), (lasting, time.time() + 900.0)):
        path.touch()
        os.utime(path, (end_s, end_s))
    Output(output.folder).open()
    assert not over.exists()
    assert lasting.exists()


def test_without_locks_a_live_run_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (batch_output, locking):
        monkeypatch.setattr(module, "try_lock", lambda descriptor: None)
    first, second = Output(tmp_path), Output(tmp_path)
    first.open()
    first.staging(FIRST)
    second.open()
    assert (first.own / FIRST).is_dir()
    # It has long been forgotten.
    path = first.own.with_suffix(".lock")
    os.utime(path, (0, 0))
    Output(tmp_path).open()
    assert not first.own.exists()
    assert second.own.exists()


def test_a_lock_is_for_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock.take(path)
    assert first is not None
    assert Lock.take(path) is None
    first.release()
    second = Lock.take(path)
    assert second is not None
    second.release()
    assert not path.exists()


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "list"
    lines = ["", "# comment", f"  {FIRST} # the first", SECOND, f"https://x.example/{FIRST}?sig=S"]
    path.write_text("\ufeff" + "\n".join([*lines, "nonsense", "https://x.example/a?sig=S"]))
    sources = find_sources(read_list(path))
    assert [each.name for each in sources] == [FIRST, SECOND, "nonsense", "the URL given"]
    assert [bool(each.problem) for each in sources] == [False, False, True, True]


def test_a_batch_started_in_its_own_output_folder_knows_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (FIRST, SECOND):
        (tmp_path / name).mkdir()
    (tmp_path / FIRST / "report.json").write_text("{}")
    (tmp_path / SECOND / "session.json").write_text("<html>")
    first, second = find_sources([FIRST, SECOND])
    assert (first.session_id, first.folder, first.problem) == (FIRST, None, "")
    assert second.problem  # that is a session folder, and says what is wrong with it


def test_a_summary_file_that_is_open_elsewhere_stops_no_other(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "summary.csv":
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    put(output, report(FIRST, "One"))
    summary = Summary(output)
    with pytest.raises(PermissionError):
        summary.close()
    assert [each["session_id"] for each in reported(output.folder)] == [FIRST]
    assert FIRST in (output.folder / "index.html").read_text(encoding="utf-8")


def test_the_last_summary_has_what_came_while_it_was_written(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(output, report(FIRST, "One"))
    summary = Summary(output)
    write = Summary.write

    def write_while_another_ends(self: Summary) -> None:
        write(self)
        if not (output.folder / SECOND).exists():
            put(output, report(SECOND, "Two"))

    monkeypatch.setattr(Summary, "write", write_while_another_ends)
    summary.close()
    assert [each["session_id"] for each in reported(output.folder)] == [FIRST, SECOND]
