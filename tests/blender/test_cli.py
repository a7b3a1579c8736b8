# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, called as a function: what it writes, says and returns."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.api import jobs
from bl_ext.user_default.csm_retopo.scene import pipeline
from bl_ext.user_default.csm_retopo.scene.background import converter
from standin import ACCOUNT, Fault, StandIn

__all__ = ["nothing_left"]

SESSION_FILES = ["report.json", "session.blend", "thumbnails.webp"]
SUMMARY_FILES = ["index.html", "summary.csv", "summary.json"]


class Run:
    """The command with `import` and an output folder. Keeps what was said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], output: Path) -> None:
        self._capsys = capsys
        self.output = output
        self.said = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = cli.main(["import", *map(str, arguments), "--output", str(self.output)])
        self.said = self._capsys.readouterr().err
        for secret in ("CANARY", ACCOUNT, "artist@example.com", "://", "Traceback"):
            assert secret not in self.said
        return code

    def report(self, session_id: str) -> dict[str, Any]:
        text = (self.output / session_id / "report.json").read_text(encoding="utf-8")
        for secret in ("CANARY", ACCOUNT, "://", "127.0.0.1:", str(self.output.parent)):
            assert secret not in text
        return json.loads(text)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return Run(capsys, tmp_path / "out")


def add(service: StandIn, variations: int = 2, **changes: Any) -> str:
    document = sessions.document(sessions.new_id(), variations, **changes)
    return service.add_session(document=document, files=sessions.files(variations))


def test_a_session_becomes_a_blend_and_a_report(run: Run, service: StandIn) -> None:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="Cube")
    before = set(bpy.data.user_map())
    session_id = add(service)
    assert run(session_id) == 0
    assert set(bpy.data.user_map()) == before
    assert sorted(os.listdir(run.output / session_id)) == SESSION_FILES

    report = run.report(session_id)
    assert list(report) == [
        *("session_id", "status", "model", "quads", "created_at", "error"),
        *("source", "variations", "best", "assets", "warnings"),
    ]
    assert report["session_id"] == session_id
    assert (report["status"], report["model"], report["quads"]) == ("complete", "swift", True)
    assert report["created_at"] == "2025-05-15T19:19:13.720Z"
    assert report["error"] is None
    assert report["warnings"] == []
    assert (report["best"], report["assets"]) == (None, [])
    assert list(report["source"]) == ["asset_id", "name", "status", "error", "metrics"]
    assert report["source"]["metrics"]["triangles"] == 12
    assert [each["index"] for each in report["variations"]] == [0, 1]
    for each in report["variations"]:
        assert list(each) == ["index", "asset_id", "name", "status", "error", "metrics"]
        assert (each["status"], each["error"]) == ("imported", None)
        assert each["metrics"]["faces"] == 6

    lines = run.said.splitlines()
    for name in ("Box", "Box retopo 1", "Box retopo 2"):
        assert [line for line in lines if line.startswith(f"{session_id}: {name}: ")]
    assert f"{session_id}: Imported 2 variations of {session_id}" in lines
    assert lines[-1] == "1 of 1 sessions imported whole"

    bpy.ops.wm.open_mainfile(filepath=str(run.output / session_id / "session.blend"))
    assert bpy.context.scene.name == session_id
    assert len(objects("VARIATION", session_id)) == 2
    assert len(objects("SOURCE", session_id)) == 1
    assert len(bpy.data.objects) == 1 + 2 + 2 + 3
    for each in objects("PREVIEW"):
        assert each.data.packed_file is not None
        assert each.data.size[0] > 0


def test_the_blend_holds_no_secret(run: Run, service: StandIn) -> None:
    session_id = add(service)
    assert run(session_id) == 0
    path = run.output / session_id / "session.blend"
    bpy.ops.wm.open_mainfile(filepath=str(path))
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
    data = path.read_bytes()
    cache = os.environ["BLENDER_USER_RESOURCES"] + "/extensions"
    for secret in ("CANARY", ACCOUNT, service.key, service.files_url, cache, "csm-retopo-"):
        assert secret.encode() not in data, secret


def test_what_is_done_is_not_done_again(
    run: Run, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = add(service)
    assert run(session_id) == 0
    service.clear()
    written = (run.output / session_id / "session.blend").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(converter, "_Process", lambda _: pytest.fail("A converter was started"))
        assert run(session_id) == 0
    assert f"{session_id}: imported already" in run.said
    assert not service.requests
    assert (run.output / session_id / "session.blend").stat().st_mtime_ns == written

    assert run("--force", session_id) == 0
    assert len(service.file_requests) == 5
    assert (run.output / session_id / "session.blend").stat().st_mtime_ns > written
    assert sorted(os.listdir(run.output / session_id)) == SESSION_FILES


def test_sources_in_every_form(run: Run, service: StandIn, tmp_path: Path) -> None:
    by_id, by_url, in_file = add(service, 1), add(service, 1), add(service, 1)
    folder = sessions.new_folder(tmp_path / "folder", 1)
    in_folder = json.loads((folder / "session.json").read_text())["_id"]
    listed = tmp_path / "list.txt"
    listed.write_text(
        f"\ufeff# Sessions\n\n  {in_file}  # the third\r\n   # {sessions.new_id()}\n{by_id}\n",
        encoding="utf-8",
    )
    url = f"https://app.example/{ACCOUNT}/sessions/{by_url}?sig=CANARY"
    assert run(by_id, url, folder, f" {by_id} ", "--from-file", listed) == 0
    ids = [by_id, by_url, in_file, in_folder]
    assert sorted(os.listdir(run.output)) == sorted([*ids, *SUMMARY_FILES])
    assert run.said.splitlines()[-1] == "4 of 4 sessions imported whole"
    assert len(service.api_requests) == 3


def test_a_part_of_what_is_named(run: Run, service: StandIn, tmp_path: Path) -> None:
    ids = [sessions.new_id() for _ in range(5)]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*ids, ids[0], "", "# end"]))
    parts = []
    for number in (1, 2, 3):
        assert run("--from-file", listed, "--part", f"{number}/3") == 1  # nobody knows them
        parts.append(sorted(set(os.listdir(run.output)).difference(SUMMARY_FILES, *parts)))
    assert parts == [ids[:1], ids[1:3], ids[3:]]
    # A list that has become shorter than it was when it was shared out leaves nothing to do.
    assert run(ids[0], "--part", "2/3") == 0
    assert run.said.splitlines()[-1] == "there is nothing in this part of the list"


def test_without_the_source(run: Run, service: StandIn) -> None:
    session_id = add(service)
    assert run("--no-source", session_id) == 0
    assert run.report(session_id)["source"]["status"] == "skipped"
    assert "mesh.glb" not in {each.name for each in service.file_requests}
    # The source was not asked for then; now it is.
    assert run(session_id) == 0
    assert run.report(session_id)["source"]["status"] == "imported"


@pytest.mark.parametrize("mesh", [None, "ASSET_IN", {"_id": "ASSET_IN", "name": "Box"}])
def test_a_session_whose_source_has_no_file(run: Run, service: StandIn, mesh: object) -> None:
    session_id = add(service, input={"mesh": mesh, "model": "swift"})
    assert run(session_id) == 0
    source = run.report(session_id)["source"]
    if mesh is None:
        assert source is None
    else:
        assert (source["status"], source["metrics"]) == ("skipped", None)
        assert source["error"] == "the session names no file for it"
    # There is nothing to make up for.
    assert run(session_id) == 0
    assert f"{session_id}: imported already" in run.said


def test_the_sample(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--sample") == 0
    (session_id,) = set(os.listdir(run.output)) - set(SUMMARY_FILES)
    report = run.report(session_id)
    assert len(report["variations"]) >= 4
    assert report["source"]["metrics"]["faces"] > 1000


def test_what_fails_does_not_stop_the_rest(run: Run, service: StandIn) -> None:
    partial, good = add(service, 3), add(service, 1)
    unknown = sessions.new_id()
    service.add_fault("retopo_mesh_1.obj", Fault("html_200"), times=None)
    service.add_fault(f"*{partial}/retopo_render_2.png", Fault("status", status=404), times=None)
    nonsense = "https://storage.example/artist@example.com/mesh.obj?sig=CANARY"
    everything = (unknown, nonsense, "../../users/me", partial, good)
    assert run("--some-may-fail", *everything) == 0
    assert run("--some-may-fail", *everything[:3]) == 1
    assert run(*everything) == 1
    assert run.said.splitlines()[-1] == "1 of 5 sessions imported whole, 1 of them before this"
    assert "the URL given: That is no session ID" in run.said
    assert "../../users/me: That is no session ID" in run.said

    report = run.report(unknown)
    assert report["error"] == f"The service knows no session {unknown}: check the ID"
    assert (report["variations"], report["source"], report["status"]) == ([], None, None)
    assert os.listdir(run.output / unknown) == ["report.json"]

    report = run.report(partial)
    assert [each["status"] for each in report["variations"]] == ["imported", "failed", "imported"]
    assert report["variations"][1]["error"] == "it is a web page, not a mesh"
    assert report["variations"][1]["metrics"] is None
    assert report["error"] is None
    (warning,) = report["warnings"]
    assert warning.startswith("Box retopo 3 has no preview image: ")
    assert (run.output / partial / "session.blend").is_file()
    assert run.report(good)["variations"][0]["status"] == "imported"


@pytest.mark.parametrize(("wait", "polls", "code"), [("0", 1, 1), ("0.2", 99, 1), ("30", 3, 0)])
def test_waiting_for_a_session_that_runs(
    run: Run,
    service: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    wait: str,
    polls: int,
    code: int,
) -> None:
    defaults = jobs.DownloadJob.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "poll_interval_s", 0.05)
    document = sessions.document(sessions.new_id(), 1)
    session_id = service.add_session(
        document=document, files=sessions.files(1), polls_until_complete=polls
    )
    assert run("--wait", wait, session_id) == code
    report = run.report(session_id)
    if code:
        assert "is still running" in report["error"]
        assert not service.file_requests
    else:
        assert len(service.api_requests) == polls + 1
        assert report["variations"][0]["status"] == "imported"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["import"],
        ["import", "SESSION_1_1"],
        ["import", "--output", "out"],
        ["import", "SESSION_1_1", "--output", "out", "--wait", "long"],
        ["import", "SESSION_1_1", "--output", "out", "--wait", "-1"],
        ["import", "SESSION_1_1", "--output", "out", "--wait", "nan"],
        ["import", "SESSION_1_1", "--output", "out", "--fast"],
        ["import", "SESSION_1_1", "--output", "out", "--best", "max beauty"],
        ["import", "SESSION_1_1", "--output", "out", "--part", "3/2"],
        ["import", "SESSION_1_1", "--output", "out", "--part", "0/2"],
        ["import", "SESSION_1_1", "--output", "out", "--part", "2"],
        ["import", "SESSION_1_1", "--output", "out", "--worker-output", "out"],
        ["import", "SESSION_1_1", "--output", "out", "--scheduler", "tcp://a:1", "--jobs", "2"],
        ["import", "--output", "out", "--from-file", "nowhere.txt"],
        ["import", "--output", "out", "--from-file", "."],
        ["import", "--output", "out", "--from-file", "binary"],
        ["export"],
    ],
)
def test_wrong_usage(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said and "Traceback" not in said
    assert "_seconds" not in said
    assert not (tmp_path / "out").exists()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", "--help"]) == 0
    said = capsys.readouterr().out
    for option in ("--output", "--from-file", "--wait", "--no-source", "--sample", "--force"):
        assert option in said


def test_an_output_that_can_not_be_written(run: Run, service: StandIn) -> None:
    session_id = add(service)
    run.output.write_text("a file")
    assert run(session_id) == 1
    assert f"{run.output} can't be written (" in run.said
    assert not service.requests


def test_a_folder_that_can_not_be_written(run: Run, service: StandIn) -> None:
    session_id, other = add(service), add(service)
    in_the_way = run.output / session_id / "session.blend" / "note.txt"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("the user's own")
    assert run(session_id, other) == 1
    reason = f"{run.output / session_id} can't be written ("
    assert f"{session_id}: {reason}" in run.said
    assert in_the_way.read_text() == "the user's own"
    assert os.listdir(run.output / session_id) == ["session.blend"]
    assert sorted(os.listdir(run.output / other)) == SESSION_FILES


def test_without_a_process_the_open_file_is_safe(
    run: Run, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    bpy.ops.mesh.primitive_cube_add()
    before = set(bpy.data.user_map())
    monkeypatch.setattr(converter, "_command", lambda *_: None)
    session_id = add(service, 1)
    assert run(session_id) == 1
    assert "no background Blender starts" in run.report(session_id)["error"]
    assert set(bpy.data.user_map()) == before


def test_interrupted(run: Run, service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.Import, "step", interrupt)
    assert run(add(service)) == 130
    assert "interrupted" in run.said


def test_the_command_as_blender_runs_it(
    run_blender: Callable[..., str], archive: Path, service: StandIn, tmp_path: Path
) -> None:
    session_id = add(service, 1)
    printed = run_blender(
        """
import sys, lifecycle
lifecycle.install(sys.argv[1])
from bl_ext.user_default.csm_retopo import cli
code = cli.main(["import", sys.argv[2], "--output", sys.argv[3]])
print("code", code)
sys.exit(code)
""",
        archive,
        session_id,
        str(tmp_path / "out"),
    )
    assert "code 0" in printed
    assert (tmp_path / "out" / session_id / "session.blend").is_file()
    shutil.rmtree(tmp_path / "out")
