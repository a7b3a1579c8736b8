# SPDX-License-Identifier: GPL-3.0-or-later
"""A session kept as a folder: no account, no network, no file from anywhere else."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from fetching import CACHED_AS, FILES, SESSION_ID, png, run, session_document, write_folder

from csm_retopo.api.cache import Cache
from csm_retopo.api.errors import (
    FolderError,
    NotJSON,
    NotRetopology,
    NoVariations,
    SessionFailed,
    StillRunning,
)
from csm_retopo.api.jobs import FileKind, Finished, FolderJob, SessionRead

MESH, PREVIEW, SOURCE = FileKind.MESH, FileKind.PREVIEW, FileKind.SOURCE
SAMPLE = Path(__file__).resolve().parents[2] / "sample"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        pytest.fail(f"A folder needs no connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small session as a folder, with the service's own answer in it."""
    return write_folder(tmp_path / "session", session_document(), FILES)


def folder_job(folder: Path, **options: Any) -> FolderJob:
    return FolderJob(folder, Cache(folder.parent / "cache"), **options)


def named(folder: Path, link: str) -> tuple[FolderJob, tuple[FileKind, int]]:
    """A job on the folder whose first OBJ has this link, and the OBJ's key."""
    document = session_document()
    document["output"]["meshes"][0]["data"]["obj_url"] = link
    (folder / "session.json").write_text(json.dumps(document), encoding="utf-8")
    return folder_job(folder), (MESH, 0)


def test_the_files_are_taken_where_they_are(folder: Path) -> None:
    told = run(folder_job(folder))
    assert isinstance(told.end, Finished)
    assert isinstance(told.messages[0], SessionRead)
    assert told.failed == {}
    assert {key: file.path for key, file in told.ready.items()} == {
        key: folder / name for key, (_, name) in CACHED_AS.items()
    }
    assert (told.ready[PREVIEW, 1].width, told.ready[PREVIEW, 1].height) == (5, 3)
    last = told.progress[-1]
    assert (last.files_done, last.files) == (len(FILES), len(FILES))
    assert not [each for each in (folder.parent / "cache").rglob("*") if each.is_file()]


def test_the_source_can_be_left_out(folder: Path) -> None:
    told = run(folder_job(folder, with_source=False))
    assert (SOURCE, -1) not in told.ready


def test_a_notice_comes_first(folder: Path) -> None:
    told = run(folder_job(folder, notice="There is no key"))
    assert told.notices == ["There is no key"]


def test_the_sample_is_whole(tmp_path: Path) -> None:
    told = run(FolderJob(SAMPLE, Cache(tmp_path)))
    assert isinstance(told.end, Finished)
    assert told.failed == {}
    assert len([kind for kind, _ in told.ready if kind is MESH]) >= 4


@pytest.mark.parametrize("link", ["{}", "./{}", "/some/where/{}", "C:\\some\\where\\{}", "a\\{}"])
@pytest.mark.parametrize("query", ["", "?se=2099&sig=a%2Fb%3D", "#part"])
def test_only_the_last_part_of_a_link_counts(folder: Path, link: str, query: str) -> None:
    job, key = named(folder, link.format("retopo_mesh_1.obj") + query)
    assert run(job).ready[key].path == folder / "retopo_mesh_1.obj"


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("https://files.example/a/Red%20Cube.obj?sig=x", "Red Cube.obj"),
        ("https://files.example/a/Red%20Cube.obj?sig=x", "Red%20Cube.obj"),
        ("https://files.example/a/W%C3%BCrfel.obj", "W\u00fcrfel.obj"),
        ("Red Cube.obj", "Red Cube.obj"),
        ("100%.obj", "100%.obj"),
        ("cube #1.obj", "cube #1.obj"),
        ("http://[not.valid/cube.obj", "cube.obj"),
        ("file:///C:/x/cube.obj", "cube.obj"),
    ],
)
def test_names_are_found_however_they_were_saved(folder: Path, link: str, name: str) -> None:
    (folder / name).write_bytes(b"v 1 2 3\n")
    job, key = named(folder, link)
    assert run(job).ready[key].path == folder / name


@pytest.mark.parametrize(
    ("link", "named_as"),
    [
        ("https://files.example/gone.obj?sig=CANARY", "gone.obj"),
        ("../secret.obj", "secret.obj"),
        ("..%2Fsecret.obj", "secret.obj"),
        ("..%5Csecret.obj", "secret.obj"),
        ("..\\secret.obj", "secret.obj"),
        ("https://files.example/..", ".."),
        ("https://files.example/.", "."),
        ("https://files.example/", "its file"),
        ("https://files.example", "files.example"),
        ("?sig=CANARY", "its file"),
        ("a\x1b[31m%00%0A.obj", "a [31m .obj"),
        ("inner", "inner"),
        ("javascript:alert(1)", "javascript:alert(1)"),
    ],
)
def test_no_file_from_anywhere_else_is_opened(folder: Path, link: str, named_as: str) -> None:
    (folder.parent / "secret.obj").write_bytes(b"secret")
    (folder / "inner").mkdir()
    job, key = named(folder, link)
    told = run(job)
    assert isinstance(told.end, Finished)
    assert told.failed == {key: f"{named_as} is not in the folder"}
    assert len(told.ready) == len(CACHED_AS) - 1


def test_a_name_longer_than_any_file_s_costs_one_file(folder: Path) -> None:
    job, key = named(folder, "x" * 5000 + ".obj")
    told = run(job)
    assert set(told.failed) == {key}
    assert len(told.failed[key]) < 200


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("retopo_mesh_1.obj", (MESH, 1)),
        ("retopo_render_2.png", (PREVIEW, 2)),
        ("mesh.glb", (SOURCE, -1)),
    ],
)
def test_a_missing_file_costs_no_other(folder: Path, name: str, key: tuple[FileKind, int]) -> None:
    (folder / name).unlink()
    told = run(folder_job(folder))
    assert told.failed == {key: f"{name} is not in the folder"}
    assert set(told.ready) == set(CACHED_AS) - {key}


@pytest.mark.parametrize("content", [b"", b"<html></html>", png()[:-5]])
def test_a_preview_that_is_no_image_costs_no_other(folder: Path, content: bytes) -> None:
    (folder / "retopo_render_0.png").write_bytes(content)
    told = run(folder_job(folder))
    assert set(told.failed) == {(PREVIEW, 0)}
    assert isinstance(told.end, Finished)


def test_a_folder_without_a_session_is_told(tmp_path: Path) -> None:
    (tmp_path / "my meshes").mkdir()
    told = run(folder_job(tmp_path / "my meshes"))
    assert type(told.error) is FolderError
    assert str(told.error) == ("my meshes holds no session.json: choose the folder of one session")
    assert "gone holds no session.json" in str(run(folder_job(tmp_path / "gone")).error)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_session_json_that_is_no_file_is_told(folder: Path, kind: str) -> None:
    (folder / "session.json").unlink()
    if kind == "folder":
        (folder / "session.json").mkdir()
    elif hasattr(os, "mkfifo"):
        os.mkfifo(folder / "session.json")
    else:
        pytest.skip("there are no pipes here")
    assert type(run(folder_job(folder)).error) is FolderError


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", FolderError),
        (b"<html>", NotJSON),
        (b'{"_id": "SESS', NotJSON),
        (json.dumps(session_document(type="text_to_image")).encode(), NotRetopology),
        (json.dumps(session_document(status="failed")).encode(), SessionFailed),
        (json.dumps(session_document(status="incomplete")).encode(), StillRunning),
        (json.dumps(session_document(output=None)).encode(), NoVariations),
    ],
)
def test_a_session_that_can_t_be_imported_is_told(
    folder: Path, content: bytes, error: type[Exception]
) -> None:
    (folder / "session.json").write_bytes(content)
    assert type(run(folder_job(folder)).error) is error


def test_a_session_json_that_is_too_large_is_not_read(folder: Path) -> None:
    with (folder / "session.json").open("ab") as file:
        file.truncate(1 << 40)  # it takes no room
    assert "session.json can't be read: it is larger than" in str(run(folder_job(folder)).error)


def test_a_byte_order_mark_is_passed_over(folder: Path) -> None:
    path = folder / "session.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    told = run(folder_job(folder))
    assert told.of(SessionRead)[0].session.session_id == SESSION_ID
