# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of what the cache holds: what is in it, in which order, and what is passed over."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fetching import SESSION_ID, VARIATIONS, download_job, png, run

from csm_retopo.api import cache as cache_module
from csm_retopo.api.cache import Cache, mesh_name, preview_name, read_document, seal, unseal
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.errors import Cancelled
from csm_retopo.api.jobs import FileKind, FolderJob
from csm_retopo.api.recent import RecentSessions
from csm_retopo.api.session import Session
from hostile.images import images
from standin import StandIn


def session_id(number: int) -> str:
    return f"SESSION_1763900000_{number:07}"


def keep(root: Path, number: int, variations: int = 1, **changes: Any) -> Path:
    """A session as the cache keeps it. The higher its number, the later it was used."""
    folder = root / session_id(number)
    folder.mkdir(parents=True)
    meshes = [
        {
            "_id": f"ASSET_{index}",
            "status": "complete",
            "data": {"obj_url": mesh_name(index), "image_url": preview_name(index)},
        }
        for index in range(variations)
    ]
    document = {
        "_id": folder.name,
        "type": "retopology",
        "status": "complete",
        "created_at": "2025-11-23T12:13:20.000Z",
        "input": {"model": "swift"},
        "output": {"meshes": meshes},
        **changes,
    }
    (folder / "session.json").write_bytes(seal(document))
    for index in range(variations):
        for name in (mesh_name(index), preview_name(index)):
            content = png(1 + number, 1) if name.endswith(".png") else b"0123"
            (folder / name).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            record = {"size": len(content), "sha256": sha256, "notes": {}}
            (folder / f"{name}.json").write_bytes(seal(record))
    os.utime(folder, (1_763_900_000 + number, 1_763_900_000 + number))
    return folder


def listed(root: Path, first: int = 0, count: int = 100, text: str = "") -> list[int]:
    """The numbers of the sessions that are listed."""
    page = RecentSessions(Cache(root)).page(first, count, text)
    assert not page.problem
    return [int(each.session_id[-7:]) for each in page.sessions]


def test_a_session_that_was_fetched_is_listed(service: StandIn, cache_root: Path) -> None:
    before = cache_module.changes()
    run(download_job(service, cache_root)).require_whole()
    assert cache_module.changes() != before
    (found,) = RecentSessions(Cache(cache_root)).page(0, 8).sessions
    assert found.session_id == SESSION_ID
    assert found.model == "swift"
    assert found.created_at == "2025-05-15T19:19:13.720Z"
    assert found.variations == found.available == VARIATIONS
    assert found.used_at == (cache_root / SESSION_ID).stat().st_mtime
    assert found.preview is not None
    assert found.preview.path == cache_root / SESSION_ID / preview_name(0)


def test_the_latest_used_comes_first(cache_root: Path) -> None:
    for number in (3, 1, 2):
        keep(cache_root, number)
    assert listed(cache_root) == [3, 2, 1]
    Cache(cache_root).folder(session_id(1))
    assert listed(cache_root) == [1, 3, 2]


def test_pages_of_many(cache_root: Path) -> None:
    for number in range(20):
        keep(cache_root, number)
    sessions = RecentSessions(Cache(cache_root))
    numbers = []
    for first in (0, 8, 16):
        page = sessions.page(first, 8)
        assert page.first == first
        assert page.has_more == (first < 16)
        numbers += [each.session_id for each in page.sessions]
    assert numbers == [session_id(number) for number in reversed(range(20))]
    beyond = sessions.page(80, 8)
    assert (beyond.first, len(beyond.sessions), beyond.has_more) == (16, 4, False)


def test_of_thousands_only_the_page_is_read(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3000):
        keep(cache_root, number)
    opened: list[Path] = []
    read = Path.read_bytes

    def reading(path: Path) -> bytes:
        opened.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    page = RecentSessions(Cache(cache_root)).page(0, 8)
    assert [each.session_id for each in page.sessions] == [
        session_id(number) for number in range(2999, 2991, -1)
    ]
    assert len({path.parent for path in opened}) <= 9


def test_what_was_read_is_not_read_again_unless_it_has_changed(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache_root, 1)
    changed = keep(cache_root, 2)
    sessions = RecentSessions(Cache(cache_root))
    sessions.page(0, 8)
    _change_document(changed, input={"model": "precision"})
    read: list[Path] = []
    monkeypatch.setattr("csm_retopo.api.recent.read_document", _noting(read))
    page = sessions.page(0, 8)
    assert {each.session_id: each.model for each in page.sessions} == {
        session_id(1): "swift",
        session_id(2): "precision",
    }
    assert read == [changed / "session.json"]


def _noting(calls: list[Path]) -> Callable[[Path], Session]:
    def call(path: Path) -> Session:
        calls.append(path)
        return read_document(path)

    return call


def test_words_in_id_model_and_date(cache_root: Path) -> None:
    keep(cache_root, 1)
    keep(cache_root, 2, input={"model": "precision"})
    keep(cache_root, 3, input={"model": "precision"}, created_at="2024-01-02T00:00:00Z")
    assert listed(cache_root, text="Precision") == [3, 2]
    assert listed(cache_root, text="precision 2024-01") == [3]
    assert listed(cache_root, text=session_id(1)) == [1]
    assert listed(cache_root, text="nothing like it") == []


def _not_json(folder: Path) -> None:
    (folder / "session.json").write_bytes(b'{"_id": "SESS')


def _no_document(folder: Path) -> None:
    (folder / "session.json").unlink()


def _a_pipe(folder: Path) -> None:
    (folder / "session.json").unlink()
    os.mkfifo(folder / "session.json")


def _huge(folder: Path) -> None:
    with (folder / "session.json").open("ab") as file:
        file.write(b" " * 2**21)


def _of_another(folder: Path) -> None:
    _change_document(folder, _id=session_id(77))


def _of_another_version(folder: Path) -> None:
    document = json.loads((folder / "session.json").read_bytes())
    document["csm_retopo_cache"]["format"] += 1
    (folder / "session.json").write_text(json.dumps(document))


def _bit_flipped(folder: Path) -> None:
    body = (folder / "session.json").read_bytes()
    (folder / "session.json").write_bytes(body.replace(b"swift", b"swigt"))


def _no_mesh(folder: Path) -> None:
    (folder / mesh_name(0)).unlink()


def _cut_short(folder: Path) -> None:
    (folder / mesh_name(0)).write_bytes(b"01")


def _no_record(folder: Path) -> None:
    (folder / f"{mesh_name(0)}.json").unlink()


def _odd_record(folder: Path) -> None:
    (folder / f"{mesh_name(0)}.json").write_text("[1, 2]", encoding="utf-8")


def _still_running(folder: Path) -> None:
    _change_document(folder, status="incomplete")


def _change_document(folder: Path, **changes: Any) -> None:
    document = unseal((folder / "session.json").read_bytes())
    assert document is not None
    (folder / "session.json").write_bytes(seal({**document, **changes}))


def _foreign_name(folder: Path) -> None:
    folder.rename(folder.with_name("thumbnails"))


def _a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def _a_link(folder: Path) -> None:
    elsewhere = folder.parent.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere, target_is_directory=True)


@pytest.mark.parametrize(
    "damage",
    [
        _not_json,
        _no_document,
        _a_pipe,
        _huge,
        _of_another,
        _of_another_version,
        _bit_flipped,
        _no_mesh,
        _cut_short,
        _no_record,
        _odd_record,
        _still_running,
        _foreign_name,
        _a_file,
        _a_link,
    ],
)
def test_what_can_not_be_opened_is_left_out(
    cache_root: Path, damage: Callable[[Path], None]
) -> None:
    for number in (1, 2, 3):
        keep(cache_root, number)
    assert listed(cache_root) == [3, 2, 1]
    damage(cache_root / session_id(2))
    assert sorted(listed(cache_root)) == [1, 3]
    page = RecentSessions(Cache(cache_root)).page(0, 2)
    assert len(page.sessions) == 2
    assert not page.has_more


def test_what_is_left_of_a_session_is_told_and_can_be_opened(cache_root: Path) -> None:
    folder = keep(cache_root, 1, variations=3)
    (folder / mesh_name(1)).unlink()
    (folder / preview_name(0)).unlink()
    (found,) = RecentSessions(Cache(cache_root)).page(0, 8).sessions
    assert (found.variations, found.available) == (3, 2)
    assert found.preview is not None
    assert found.preview.path == folder / preview_name(1)

    (folder / mesh_name(0)).write_bytes(b"v 0 0 0\n")
    Cache(cache_root).keep(folder / mesh_name(0), cache_module.hash_file(folder / mesh_name(0)), {})
    told = run(FolderJob(folder, Cache(cache_root)))
    assert (FileKind.MESH, 0) in told.ready
    assert "not in the folder" in told.failed[FileKind.MESH, 1]


def test_without_a_cache_nothing_is_listed(cache_root: Path) -> None:
    assert listed(cache_root) == []


def test_a_cache_that_can_not_be_read_says_why(cache_root: Path) -> None:
    cache_root.write_bytes(b"")
    page = RecentSessions(Cache(cache_root)).page(0, 8)
    assert page.sessions == ()
    assert page.problem == f"The cache can't be read ({os.strerror(20)})"


def test_reading_can_be_cancelled(cache_root: Path) -> None:
    keep(cache_root, 1)
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        RecentSessions(Cache(cache_root)).page(0, 8, "", cancellation)


@pytest.mark.parametrize("change", ["folder", "clear", "prune", "keep", "distrust"])
def test_a_change_makes_lists_outdated(cache_root: Path, change: str) -> None:
    folder = keep(cache_root, 1)
    cache = Cache(cache_root)
    before = cache_module.changes()
    listed(cache_root)
    assert cache_module.changes() == before
    match change:
        case "folder":
            cache.folder(folder.name)
        case "clear":
            cache.clear()
        case "prune":
            cache.prune(0)
        case "keep":
            cache.keep(folder / mesh_name(0), "0", {})
        case "distrust":
            cache.distrust(folder / mesh_name(0))
    assert cache_module.changes() != before


def test_a_preview_that_was_changed_is_not_shown(cache_root: Path) -> None:
    folder = keep(cache_root, 1, variations=2)
    recent = RecentSessions(Cache(cache_root))
    (before,) = recent.page(0, 8).sessions
    assert before.preview is not None and before.preview.is_unchanged
    path = before.preview.path
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    assert not before.preview.is_unchanged
    (after,) = recent.page(0, 8).sessions
    assert after.preview is not None and after.preview.path == folder / preview_name(1)

    # Not even if the record has been made to fit.
    bomb = images()["20,000 x 20,000"].content
    for index in range(2):
        path = folder / preview_name(index)
        path.write_bytes(bomb)
        record = {"size": len(bomb), "sha256": hashlib.sha256(bomb).hexdigest(), "notes": {}}
        path.with_name(f"{path.name}.json").write_text(json.dumps(record), encoding="utf-8")
    (last,) = recent.page(0, 8).sessions
    assert last.preview is None
