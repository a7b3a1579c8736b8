# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches: many sessions side by side, interrupted, killed, two at once, and called from Python."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import batches
import pytest
import sessions
from sessions import nothing_left

from bl_ext.user_default.csm_retopo import batch, cli
from bl_ext.user_default.csm_retopo.api.errors import CsmError
from bl_ext.user_default.csm_retopo.batch import output as batch_output
from bl_ext.user_default.csm_retopo.scene.background import converter
from standin import Fault, StandIn

__all__ = ["nothing_left"]


def write_list(folder: Path, ids: list[str]) -> Path:
    path = folder / "ids.txt"
    path.write_text("\n".join(ids), encoding="utf-8")
    return path


def summary(output: Path) -> dict[str, dict]:
    document = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return {each["session_id"]: each for each in document["sessions"]}


def test_called_from_python(service: StandIn, tmp_path: Path) -> None:
    good, partial = sessions.serve(service, 2, 3)
    service.add_fault(f"*{partial}/retopo_mesh_1.obj", Fault("html_200"), times=None)
    unknown = sessions.new_id()
    folder = sessions.new_folder(tmp_path / "folder", 1)
    output = tmp_path / "out"
    given = [good, unknown, f"https://app.example/{good}?sig=CANARY", partial, good, str(folder)]
    results = {each.name: each for each in batch.run(given, output, jobs=2)}
    in_folder = json.loads((folder / "session.json").read_text())["_id"]
    assert set(results) == {good, unknown, partial, in_folder}
    assert {name: str(each.status) for name, each in results.items()} == {
        good: "imported",
        unknown: "failed",
        partial: "partly",
        in_folder: "imported",
    }
    assert results[good].folder == output / good
    assert results[good].is_whole
    assert results[good].session_id == good
    assert len(results[good].report["variations"]) == 3
    assert results[unknown].error == f"The service knows no session {unknown}: check the ID"
    assert not results[partial].is_whole
    assert results[partial].error is None

    again = {each.name: str(each.status) for each in batch.run([good, unknown], output)}
    assert again == {good: "already", unknown: "failed"}
    # The summary is of all that the folder holds.
    assert set(summary(output)) == set(results)
    assert summary(output)[unknown]["error"] == results[unknown].error
    with (output / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 + 3 + 1 + 1
    of_partial = [each for each in rows if each["session_id"] == partial]
    assert [each["status"] for each in of_partial] == ["imported", "failed", "imported"]
    assert {each["session_status"] for each in of_partial} == {"partly"}
    assert of_partial[0]["faces"] == "6"
    page = (output / "index.html").read_text(encoding="utf-8")
    for name in results:
        assert name in page
    assert "data:image/webp" in page
    assert page.count('"UklGR') == 3  # a strip of thumbnails for each session with images


def test_it_can_be_left_early(service: StandIn, tmp_path: Path) -> None:
    ids = sessions.serve(service, 5)
    running = batch.run(ids, tmp_path / "out", jobs=2)
    first = next(running)
    running.close()
    assert first.name in summary(tmp_path / "out")
    assert not list(tmp_path.glob("out/.*"))


def test_nothing_to_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CsmError, match="no session"):
        next(batch.run([], tmp_path / "out"))
    path = write_list(tmp_path, ["", "# none"])
    assert cli.main(["import", "--from-file", str(path), "--output", str(tmp_path / "out")]) == 2
    assert f"{path} names no session" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CsmError) as caught:
        next(batch.run([sessions.new_id()], tmp_path / "out", scheduler="tcp://127.0.0.1:1"))
    assert f'"{sys.executable}" -m pip install distributed' in str(caught.value)


def test_every_tenth_is_unknown(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    process = converter._Process

    def start(command: list[str]) -> object:
        started.append(command)
        return process(command)

    monkeypatch.setattr(converter, "_Process", start)
    known = sessions.serve(service, 36, 1)
    ids = [*known, *(sessions.new_id() for _ in range(4))]
    random.Random(1).shuffle(ids)
    path = write_list(tmp_path, [*ids, *ids])
    output = tmp_path / "out"
    arguments = ["import", "--from-file", str(path), "--output", str(output), "--jobs", "2"]
    assert cli.main(arguments) == 1
    assert len(started) == 2  # a background Blender for each job, not for each session
    assert len(service.api_requests) == len(ids)
    found = summary(output)
    assert list(found) == sorted(ids)
    assert {name for name, each in found.items() if each["error"]} == set(ids) - set(known)
    assert all((output / each / "session.blend").is_file() for each in known)
    assert not (output / ".csm_retopo").exists()


def test_killed_and_started_again(service: StandIn, tmp_path: Path) -> None:
    """At three random moments; tests/soak has more of them."""
    path = write_list(tmp_path, [*sessions.serve(service, 40), sessions.new_id()])
    arguments: list[str | Path] = ["--from-file", path, "--jobs", "2"]
    undisturbed = batches.start(tmp_path / "undisturbed", *arguments)
    batches.finish(undisturbed)
    assert undisturbed.returncode == 1
    there = batches.kill_until_done(tmp_path / "killed", arguments, 3, 40)
    assert there[0] < 40
    expected = batches.tree(tmp_path / "undisturbed")
    assert len(expected) == 40 * 3 + 1 + 3
    assert batches.tree(tmp_path / "killed") == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal(service: StandIn, tmp_path: Path, number: signal.Signals) -> None:
    ids = sessions.serve(service, 30)
    output = tmp_path / "out"
    process = batches.start(output, "--from-file", write_list(tmp_path, ids), "--jobs", "2")
    end = time.monotonic() + batches.TIMEOUT_S
    while not any(output.glob("*/session.blend")) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, number)
    said = batches.finish(process)
    assert process.returncode == 130, said
    assert "interrupted: what is done stays" in said
    assert "Traceback" not in said
    done = {path.parent.name for path in output.glob("*/session.blend")}
    assert 0 < len(done) < len(ids)
    assert set(summary(output)) == done
    assert sorted(os.listdir(output)) == sorted([*done, *batches.SUMMARY_FILES])


def test_two_batches_share_a_folder(service: StandIn, tmp_path: Path) -> None:
    ids = sessions.serve(service, 20)
    path = write_list(tmp_path, ids)
    both = [batches.start(tmp_path / "out", "--from-file", path, "--jobs", "1") for _ in range(2)]
    said = [batches.finish(each) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    # Each session was fetched by one of them.
    assert sorted(each.name for each in service.api_requests) == sorted(ids)
    assert set(summary(tmp_path / "out")) == set(ids)
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*ids, *batches.SUMMARY_FILES])


def test_a_pause_that_one_batch_is_asked_for_is_kept_by_another(
    service: StandIn, tmp_path: Path
) -> None:
    ids = sessions.serve(service, 2)
    output = tmp_path / "out"
    service.add_fault("/v3/*", Fault("status", status=429, headers={"Retry-After": "12"}))
    first = batches.start(output, ids[0], "--jobs", "1")
    batches.wait_until_paused(output, first)
    second = batches.start(output, ids[1], "--jobs", "1")
    said = [batches.finish(each) for each in (second, first)]
    assert [each.returncode for each in (second, first)] == [0, 0], said
    asked, *others = [each.time_s for each in service.api_requests]
    assert len(others) == 2
    assert min(others) >= asked + 12.0
    assert sorted(os.listdir(output)) == sorted([*ids, *batches.SUMMARY_FILES])


@pytest.mark.parametrize(
    ("reason", "scarce_bytes"), [(errno.ENOSPC, 2**80), (errno.EDQUOT, 0), (errno.ENOSPC, 0)]
)
def test_a_full_disk(
    service: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: int,
    scarce_bytes: int,
) -> None:
    """Also where there is room, but no quota or no inode is left."""
    ids = sessions.serve(service, 6)
    publish = batch_output.Output.publish

    def fill(self: batch_output.Output, session_id: str) -> Path:
        if session_id in ids[2:]:
            raise OSError(reason, os.strerror(reason))
        return publish(self, session_id)

    results = []
    with monkeypatch.context() as patch:
        patch.setattr(batch_output.Output, "publish", fill)
        patch.setattr(batch_output, "_SCARCE_BYTES", scarce_bytes)
        with pytest.raises(CsmError, match="There is no room left on the disk of"):
            results.extend(batch.run(ids, tmp_path / "out", jobs=1))
    assert [each.is_whole for each in results] == [True, True, False]
    assert set(summary(tmp_path / "out")) == set(ids[:3])
    assert all(each.is_whole for each in batch.run(ids, tmp_path / "out", jobs=1))


def test_what_others_left_in_the_folder_stays(service: StandIn, tmp_path: Path) -> None:
    (session_id,) = sessions.serve(service, 1)
    note = tmp_path / "out" / session_id / "note.txt"
    note.parent.mkdir(parents=True)
    note.write_text("mine")
    assert [each.is_whole for each in batch.run([session_id], tmp_path / "out")] == [True]
    assert note.read_text() == "mine"
    assert (note.parent / "session.blend").is_file()


def test_what_was_imported_stays_when_a_later_run_brings_less(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sessions.serve(service, 2, 3)
    output = tmp_path / "out"
    assert all(each.is_whole for each in batch.run([first, second], output))
    before = batches.tree(output / first), batches.tree(output / second)
    forced = batch.Options(force=True)
    service.add_fault(f"*{second}/retopo_mesh_1.obj", Fault("status", status=404), times=None)
    (partly,) = batch.run([second], output, options=forced)
    assert str(partly.status) == "partly"
    with monkeypatch.context() as patch:
        patch.setenv("CSM_API_KEY", "wrong")
        (failed,) = batch.run([first], output, options=forced)
    assert str(failed.status) == "failed"
    assert failed.error is not None
    assert failed.error.endswith("; what was imported before stays")
    assert (batches.tree(output / first), batches.tree(output / second)) == before
    imported = [
        each["status"] for name in (first, second) for each in summary(output)[name]["variations"]
    ]
    assert imported == ["imported"] * 6
    assert not list(output.glob(".*"))


def test_a_background_blender_that_can_not_be_started_for_a_moment(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    process = converter._Process

    def start(command: list[str]) -> object:
        tries.append(command)
        if len(tries) == 1:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return process(command)

    monkeypatch.setattr(converter, "_Process", start)
    ids = sessions.serve(service, 3)
    assert all(each.is_whole for each in batch.run(ids, tmp_path / "out", jobs=1))
    assert len(tries) == 2


def test_without_a_background_blender_a_batch_reads_no_file_itself(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "_command", lambda *_: None)
    (result,) = batch.run(sessions.serve(service, 1), tmp_path / "out", jobs=1)
    assert str(result.status) == "failed"
    assert result.error is not None
    assert "no background Blender starts" in result.error


def test_sessions_that_another_machine_keeps_are_done_with_their_pages(
    service: StandIn, tmp_path: Path
) -> None:
    (session_id,) = sessions.serve(service, 1)
    output = tmp_path / "out"
    assert all(each.is_whole for each in batch.run([session_id], output))
    path = output / session_id / "report.json"
    fields = {**json.loads(path.read_text()), "kept_on": "elsewhere", "kept_in": "/kept"}
    path.write_text(json.dumps(fields))
    (path.parent / "session.blend").unlink()
    asked = len(service.api_requests)
    options = batch.Options(report=True, contact_sheet=True)
    (again,) = batch.run([session_id], output, options=options)
    assert str(again.status) == "already"
    assert len(service.api_requests) == asked
