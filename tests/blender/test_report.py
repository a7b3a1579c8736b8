# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as an artist, a script and a batch get it: which files there are and what is in them.

How the page looks and works is tested in tests/browser, what is on its pictures in
test_rendering.py.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import bpy
import numpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.batch import session_work
from bl_ext.user_default.csm_retopo.operators import reporting
from bl_ext.user_default.csm_retopo.scene import runner, sessions as ready
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.measure.metrics import METRICS
from bl_ext.user_default.csm_retopo.scene.report import contact_sheet, publishing
from bl_ext.user_default.csm_retopo.scene.report.models import RenderRequest
from bl_ext.user_default.csm_retopo.scene.report.publishing import Files, Publication

__all__ = ["nothing_left"]

write_report = bpy.ops.csm_retopo.write_report

HOSTILE = (
    '<script>alert("x")</script><img src=x onerror=alert(1)>',
    "تجربة طويلة جدا " * 5 + "\u202egnp",
)
NO_EGL = "/nonexistent"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files; nothing is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert os.listdir(folder) == []


class Page(HTMLParser):
    """What a browser would find on a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.policy = ""
        self.images: list[tuple[str, bytes]] = []
        self._in: list[str] = []
        self._texts: list[tuple[str, str]] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append(tag)
        self._in.append(tag)
        assert not [name for name in found if name.startswith("on")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag == "img" and "src" in found:
            data = re.fullmatch(r"data:image/(?:png|webp);base64,(.+)", found["src"] or "")
            assert data is not None
            self.images.append((found["alt"] or "", base64.b64decode(data[1], validate=True)))
        for name in ("src", "href"):
            assert (found.get(name) or "data:").startswith("data:")

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] not in ("script", "style"):
            self._texts.append((self._in[-1], data.strip()))

    @property
    def text(self) -> str:
        """All that can be read."""
        return "\n".join(text for _, text in self._texts if text)

    def check_alone(self, *secrets: str) -> None:
        """It needs nothing else, and tells nothing that it should not."""
        assert self.policy.startswith("default-src 'none'; img-src data:;")
        assert self.tags.count("script") == 1
        for secret in ("://", "CANARY", tempfile.gettempdir(), "csm-retopo-", *secrets):
            assert secret not in self.html, secret


def write(tmp_path: Path, **options: Any) -> Page:
    path = tmp_path / "report.html"
    assert write_report(filepath=str(path), **options) == {"FINISHED"}
    page = Page(path)
    page.check_alone(str(tmp_path))
    return page


def message() -> str:
    return bpy.context.window_manager.csm_retopo.message


def pixels(path: Path) -> Any:
    """Red, green and blue of a PNG, its highest row first: (height, width, 3)."""
    assert path.read_bytes().startswith(b"\x89PNG")
    return contact_sheet._read(path)[::-1, :, :3]


def test_the_sample(tmp_path: Path) -> None:
    bpy.ops.csm_retopo.import_sample()
    before = set(bpy.data.user_map())
    page = write(tmp_path, contact_sheet=True)
    assert set(bpy.data.user_map()) == before
    assert sorted(os.listdir(tmp_path)) == ["report.html", "report.png", "temporary"]
    assert message() == "Wrote report.html and report.png"

    variations = objects("VARIATION")
    kinds = [alt.rpartition(": ")[2] for alt, _ in page.images]
    assert kinds.count("mesh") == 1 + len(variations)
    assert kinds.count("deviation") == kinds.count("preview") == len(variations)
    # No two are the same, and none is empty.
    assert len({data for _, data in page.images}) == len(page.images)
    assert min(len(data) for _, data in page.images) > 5_000
    for obj in objects("SOURCE") + variations:
        assert obj.name in page.text
        faces = json.loads(obj.csm_retopo.metrics)["faces"]
        assert f"{faces:,}" in page.text
    for metric in METRICS.values():
        assert metric.heading in page.text and metric.description in page.text
    assert "% of the source's diagonal" in page.text

    sheet = pixels(tmp_path / "report.png")
    ground = sheet[0, 0]
    is_ground = numpy.abs(sheet - ground).max(axis=2) < 0.02
    # Columns and rows of pictures are apart from each other.
    assert _stretches(~is_ground.all(axis=0)) == 3
    # A head of two lines, then two rows of a picture, a name and numbers each.
    assert _stretches(~is_ground.all(axis=1)) >= 2 + 2 * 3
    assert _count_colors(sheet) > 100


def _count_colors(sheet: Any) -> int:
    levels = (sheet * 255).round().astype(int)
    return len(numpy.unique(levels @ (1 << 16, 1 << 8, 1)))


def _stretches(flags: Any) -> int:
    """How many stretches of True there are."""
    return int((numpy.diff(flags.astype(int), prepend=0) == 1).sum())


def test_what_the_objects_carry_is_reported(tmp_path: Path) -> None:
    """Also when an artist has renamed, deleted, hidden or emptied something."""
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 4)))
    first, second, third, fourth = objects("VARIATION")
    first.name = HOSTILE[0][:60]
    first.csm_retopo.metrics = json.dumps({"faces": 123_456, "quads": "<b>many</b>"})
    second.csm_retopo.metrics = "no JSON"
    second.hide_set(True)
    second.name = HOSTILE[1][:30]
    bpy.data.objects.remove(third)
    fourth.data.clear_geometry()
    page = write(tmp_path, contact_sheet=True)
    assert first.name in page.text and second.name.replace("\u202e", " ") in page.text
    assert "123,456" in page.text
    assert "<b>many" not in page.html
    assert "Box retopo 3" not in page.text
    assert len([alt for alt, _ in page.images if alt.endswith(": mesh")]) == 1 + 3
    assert not bpy.context.window_manager.csm_retopo.message_is_error


def test_one_variation_without_a_source(tmp_path: Path) -> None:
    document = sessions.document(sessions.new_id(), 1, input={"mesh": None, "model": "swift"})
    folder = sessions.write_folder(tmp_path / "in", document, sessions.files(1))
    bpy.ops.csm_retopo.import_folder(directory=str(folder))
    page = write(tmp_path, contact_sheet=True)
    assert "without its source" in page.text
    assert [alt.rpartition(": ")[2] for alt, _ in page.images] == ["mesh", "preview"]
    assert pixels(tmp_path / "report.png").shape[1] > 400


def test_two_sessions_of_one_input(tmp_path: Path) -> None:
    for name in ("swift", "precision"):
        document = sessions.document(sessions.new_id(), 2)
        document["input"]["model"] = name
        folder = sessions.write_folder(tmp_path / name, document, sessions.files(2))
        bpy.ops.csm_retopo.import_folder(directory=str(folder))
    page = write(tmp_path)
    assert page.text.startswith("Box · Retopology Report\n")
    assert page.html.count('<table class="metrics sortable">') == 1
    assert len([alt for alt, _ in page.images if alt.endswith(": mesh")]) == 1 + 4
    assert len([alt for alt, _ in page.images if alt.endswith(": deviation")]) == 4
    assert "swift" in page.text and "precision" in page.text


def test_without_a_graphics_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cycles draws where Workbench would take Blender down."""
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", NO_EGL)
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 1)))
    page = write(tmp_path)
    assert len(page.images) == 1 + 3
    assert message() == "Wrote report.html"


def test_when_a_driver_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_workbench(*arguments: Any, **options: Any) -> RenderRequest:
        return RenderRequest(*arguments, **options, engine="WORKBENCH")

    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", NO_EGL)
    monkeypatch.setattr(publishing, "RenderRequest", with_workbench)
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 1)))
    page = write(tmp_path)
    assert len(page.images) == 1 + 3
    assert message() == "Wrote report.html"


def test_a_mesh_that_can_not_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gather = publishing.gather

    def damaged(*arguments: Any) -> Any:
        report = yield from gather(*arguments)
        Path(report.sessions[0].meshes[1].blend).write_bytes(b"BLENDER, but not really")
        return report

    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 2)))
    monkeypatch.setattr(publishing, "gather", damaged)
    monkeypatch.setattr(Publication, "_survey", _survey_the_rest)
    page = write(tmp_path, contact_sheet=True)
    assert "Box retopo 1 has no picture: its mesh is gone" in message()
    assert "No picture: its mesh is gone" in page.text
    assert len([alt for alt, _ in page.images if alt.endswith(": mesh")]) == 2


def _survey_the_rest(self: Publication, report: Any) -> Any:
    from bl_ext.user_default.csm_retopo.scene.report.models import SurveyRequest, view

    (session,) = report.sessions
    request = SurveyRequest((session.meshes[0].blend,))
    (answer,) = yield from self._ask([request])
    return {session.input_key: view(answer.result)}


def test_what_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not write_report.poll()
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 1)))
    with pytest.raises(RuntimeError, match="Say which file"):
        write_report()
    with pytest.raises(RuntimeError, match="There is no folder"):
        write_report(filepath=str(tmp_path / "none" / "report.html"))
    with pytest.raises(RuntimeError, match="in can't be written: it is a folder"):
        write_report(filepath=f"{tmp_path / 'in'}/")
    (tmp_path / "taken.html").mkdir()
    with pytest.raises(RuntimeError, match=r"taken\.html can't be written"):
        write_report(filepath=str(tmp_path / "taken.html"))
    assert bpy.context.window_manager.csm_retopo.message_is_error
    assert sorted(os.listdir(tmp_path)) == ["in", "taken.html", "temporary"]
    monkeypatch.setattr(
        "bl_ext.user_default.csm_retopo.scene.background.converter._command", lambda *_: None
    )
    with pytest.raises(RuntimeError, match="no background Blender starts"):
        write_report(filepath=str(tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()


def test_a_suffix_and_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(reporting.webbrowser, "open", opened.append)
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 1)))
    write_report(filepath=str(tmp_path / "new report"))
    assert (tmp_path / "new report.html").is_file()
    assert opened == []
    write_report(filepath=str(tmp_path / "new report.html"), open_when_done=True)
    assert opened == [(tmp_path / "new report.html").as_uri()]


def publication(files: Files) -> Publication:
    return Publication(bpy.context.scene.name, files, Converter(ready.open_cache()))


def test_it_runs_alongside(tmp_path: Path) -> None:
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 2)))
    page = tmp_path / "report.html"
    state = bpy.context.window_manager.csm_retopo
    running = publication(Files(page))
    runner.start("Report", running)
    stages, fractions = set(), [0.0]
    while runner.is_running("Report"):
        assert [each.key for each in state.jobs] == ["Report"]
        stages.add(state.jobs[0].stage.partition(" ")[0])
        fractions.append(state.jobs[0].progress)
        pause_s = runner._pump()
        time.sleep(pause_s or 0.0)
    running.close(5.0)
    runner.stop_all()
    assert stages == {"Gathering", "Drawing", "Writing"}
    assert fractions == sorted(fractions)
    assert message() == "Wrote report.html"
    assert not state.jobs
    assert page.is_file()


@pytest.mark.parametrize("stage", ["Gathering", "Drawing", "Writing"])
def test_cancelled(tmp_path: Path, stage: str) -> None:
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 2)))
    page, sheet = tmp_path / "report.html", tmp_path / "sheet.png"
    page.write_text("of yesterday")
    before = set(bpy.data.user_map())
    running = publication(Files(page, sheet))
    runner.start("Report", running)
    while not running.stage.startswith(stage):
        runner._pump()
        time.sleep(0.002)
    assert bpy.ops.csm_retopo.cancel(key="Report") == {"FINISHED"}
    running.close(5.0)
    runner.stop_all()
    assert message() == "Cancelled: Report"
    assert page.read_text() == "of yesterday"
    assert sorted(os.listdir(tmp_path)) == ["in", "report.html", "temporary"]
    assert set(bpy.data.user_map()) == before


def test_what_goes_while_it_runs(tmp_path: Path) -> None:
    bpy.ops.csm_retopo.import_folder(directory=str(sessions.new_folder(tmp_path / "in", 2)))
    page = tmp_path / "report.html"
    running = publication(Files(page))
    running.start()
    bpy.data.objects.remove(objects("VARIATION")[1])
    running.run()
    running.close(5.0)
    assert running.error is None
    assert "Box retopo 2" not in Page(page).text

    running = publication(Files(page))
    running.start()
    bpy.context.scene.name = "Renamed"
    running.run()
    running.close(5.0)
    assert "is gone" in running.conclusion("Report")[0]


# The command line.

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_it(*arguments: str | Path) -> int:
        return cli.main(["import", *map(str, arguments), "--output", str(tmp_path / "out")])

    return run_it


@pytest.fixture
def out(tmp_path: Path) -> Callable[[], Path]:
    """The folder of the one session that was imported."""

    def find() -> Path:
        (folder,) = (each for each in (tmp_path / "out").iterdir() if each.is_dir())
        return folder

    return find


def test_headless(
    run: Run,
    out: Callable[[], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = sessions.new_folder(tmp_path / "in", 2)
    before = set(bpy.data.user_map())
    assert run(source) == 0
    imported = sorted(os.listdir(out()))
    written = (out() / "session.blend").stat().st_mtime_ns
    # Only the report is missing: nothing is imported for it.
    with monkeypatch.context() as patch:
        patch.setattr(session_work, "Import", lambda *_, **__: pytest.fail("It was imported again"))
        assert run(source, "--report", "--contact-sheet") == 0
        assert sorted(os.listdir(out())) == sorted([*imported, "report.html", "contact_sheet.png"])
        assert "Wrote report.html and contact_sheet.png" in capsys.readouterr().err
        first = (out() / "report.html").stat().st_mtime_ns
        # What is there is not made again; what is missing is.
        (out() / "contact_sheet.png").unlink()
        assert run(source, "--report", "--contact-sheet") == 0
        assert "Wrote contact_sheet.png" in capsys.readouterr().err
    assert (out() / "report.html").stat().st_mtime_ns == first
    assert (out() / "session.blend").stat().st_mtime_ns == written
    assert set(bpy.data.user_map()) == before
    page = Page(out() / "report.html")
    page.check_alone(str(tmp_path))
    assert len([alt for alt, _ in page.images if alt.endswith(": deviation")]) == 2
    assert "Box retopo 2" in page.text
    sheet = pixels(out() / "contact_sheet.png")
    assert _count_colors(sheet) > 50

    # A report of an earlier import is out of date.
    assert run(source, "--force") == 0
    assert (out() / "report.html").stat().st_mtime_ns == first
    assert run(source, "--report") == 0
    assert (out() / "report.html").stat().st_mtime_ns > first


def test_headless_with_failed_variations(run: Run, out: Callable[[], Path], tmp_path: Path) -> None:
    source = sessions.new_folder(tmp_path / "in", 3, retopo_mesh_1_obj=b"<html>Not found</html>")
    assert run(source, "--report", "--contact-sheet") == 1
    page = Page(out() / "report.html")
    page.check_alone(str(tmp_path))
    outcome = json.loads((out() / "report.json").read_text())
    reason = outcome["variations"][1]["error"]
    assert reason and reason in page.text
    assert "2 of 3 variations" in page.text
    assert len([alt for alt, _ in page.images if alt.endswith(": mesh")]) == 1 + 2


def test_headless_when_nothing_was_imported(
    run: Run, out: Callable[[], Path], tmp_path: Path
) -> None:
    source = sessions.new_folder(tmp_path / "in", 1, retopo_mesh_0_obj=b"nothing")
    assert run(source, "--report", "--contact-sheet") == 1
    assert os.listdir(out()) == ["report.json"]


def test_headless_when_the_report_can_not_be_written(
    run: Run, out: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sessions.new_folder(tmp_path / "in", 1)
    assert run(source) == 0
    (out() / "report.html").mkdir()
    assert run(source, "--report") == 1
    said = capsys.readouterr().err
    assert f"{out()} can't be written (" in said
    assert "Traceback" not in said
    files = ["report.html", "report.json", "session.blend", "thumbnails.webp"]
    assert sorted(os.listdir(out())) == files
    (out() / "report.html").rmdir()
    (out() / "session.blend").write_bytes(b"no .blend")
    assert run(source, "--report") == 1
    assert "There is no report: session.blend can't be read" in capsys.readouterr().err


def test_headless_after_somebody_has_edited_the_files(
    run: Run, out: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sessions.new_folder(tmp_path / "in", 1)
    other = sessions.new_folder(tmp_path / "other", 2)
    assert run(source) == 0
    bpy.ops.wm.open_mainfile(filepath=str(out() / "session.blend"))
    bpy.ops.csm_retopo.import_folder(directory=str(other))
    bpy.ops.wm.save_mainfile()
    assert run(source, "--report") == 0
    assert "Box retopo 2" in Page(out() / "report.html").text
    (out() / "report.html").unlink()
    (out() / "report.json").write_text('{"error": null, "source": null, "variations": []}')
    assert run(source, "--report") == 1
    said = capsys.readouterr().err
    assert "report.json is damaged" in said
    assert "Traceback" not in said
