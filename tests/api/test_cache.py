# SPDX-License-Identifier: GPL-3.0-or-later
"""What was fetched is kept: used again if it is whole, fetched again if not, removed when asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fetching import (
    CACHED_AS,
    FILES,
    SESSION_ID,
    VARIATIONS,
    Run,
    download_job,
    obj,
    run,
    session_document,
)

from csm_retopo.api.cache import IN_USE_S, Cache, Cleared, hash_file
from csm_retopo.api.errors import CacheError, CsmError, FolderError
from csm_retopo.api.holding import Hold, if_free
from csm_retopo.api.jobs import FileKind, Finished, FolderJob, SessionRead
from limits import files_no_larger_than, read_only
from standin import Fault, StandIn

MESH, PREVIEW, SOURCE = FileKind.MESH, FileKind.PREVIEW, FileKind.SOURCE
OBJ_NAME = "retopo_mesh_0.obj"


@pytest.fixture
def fetched(service: StandIn, cache_root: Path) -> StandIn:
    """The stand-in after its session was brought once; what it was asked is forgotten."""
    run(download_job(service, cache_root)).require_whole()
    service.clear()
    return service


def fetched_names(service: StandIn) -> list[str]:
    return sorted(request.name for request in service.file_requests)


# Through a job


def test_a_second_run_asks_for_the_session_only(fetched: StandIn, cache_root: Path) -> None:
    told = run(download_job(fetched, cache_root))
    told.require_whole()
    assert len(fetched.api_requests) == 1
    assert fetched.file_requests == []
    image = told.ready[PREVIEW, 0]
    assert (image.width, image.height) == (4, 3)
    last = told.progress[-1]
    assert (last.files_done, last.files) == (len(FILES), len(FILES))


def test_all_is_fetched_again_when_that_is_asked_for(fetched: StandIn, cache_root: Path) -> None:
    run(download_job(fetched, cache_root, refetch=True)).require_whole()
    assert fetched_names(fetched) == sorted(FILES)


def test_what_is_asked_for_anew_and_fails_stays_as_it_was(
    fetched: StandIn, cache_root: Path
) -> None:
    fetched.add_fault(OBJ_NAME, Fault("status", status=404))
    told = run(download_job(fetched, cache_root, refetch=True))
    assert set(told.failed) == {(MESH, 0)}
    fetched.clear()
    run(download_job(fetched, cache_root)).require_whole()
    assert fetched.file_requests == []


def test_a_file_of_another_name_at_the_service_is_fetched(
    fetched: StandIn, cache_root: Path
) -> None:
    document = session_document()
    data = document["output"]["meshes"][0]["data"]
    data["obj_url"] = data["obj_url"].replace("mesh_0", "mesh_0b")
    files = {**FILES, "retopo_mesh_0b.obj": obj(50)}
    fetched.add_session(document=document, files=files)
    told = run(download_job(fetched, cache_root))
    told.require_whole({**FILES, OBJ_NAME: obj(50)})
    assert fetched_names(fetched) == ["retopo_mesh_0b.obj"]


def test_a_file_replaced_at_the_service_is_never_passed_off_as_the_new_one(
    fetched: StandIn, cache_root: Path
) -> None:
    document = session_document()
    data = document["output"]["meshes"][0]["data"]
    data["obj_url"] = data["obj_url"].replace("mesh_0", "mesh_gone")
    fetched.add_session(document=document, files=FILES)
    assert set(run(download_job(fetched, cache_root)).failed) == {(MESH, 0)}
    fetched.add_fault(SESSION_ID, Fault("reset"), times=None)
    assert set(run(download_job(fetched, cache_root)).failed) == {(MESH, 0)}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def of_format(change: int) -> Callable[[Path], None]:
    """What another version of the add-on has written."""

    def alter(path: Path) -> None:
        fields = json.loads(record(path).read_bytes())
        fields["csm_retopo_cache"]["format"] += change
        record(path).write_text(json.dumps(fields))

    return alter


def unsealed(path: Path) -> None:
    fields = json.loads(record(path).read_bytes())
    del fields["csm_retopo_cache"]
    record(path).write_text(json.dumps(fields))


def spoil_record(text: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        record(path).write_text(text)

    return spoil


DAMAGE: list[Callable[[Path], None]] = [
    flip,
    cut,
    empty,
    Path.unlink,
    lambda path: record(path).unlink(),
    spoil_record(""),
    spoil_record("[]"),
    spoil_record("{}"),
    spoil_record('{"size": 1, "sha256": 3, "notes": null}'),
    spoil_record("[" * 100_000),
    lambda path: flip(record(path)),
    of_format(-1),
    of_format(1),
    unsealed,
]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("key", [(MESH, 0), (PREVIEW, 1), (SOURCE, -1)], ids=str)
def test_what_was_damaged_on_disk_is_fetched_again(
    fetched: StandIn,
    cache_root: Path,
    key: tuple[FileKind, int],
    damage: Callable[[Path], None],
) -> None:
    cached_as, name = CACHED_AS[key]
    damage(cache_root / SESSION_ID / cached_as)
    run(download_job(fetched, cache_root)).require_whole()
    assert fetched_names(fetched) == [name]


def test_a_run_that_was_killed_is_taken_up_where_it_was(fetched: StandIn, cache_root: Path) -> None:
    folder = cache_root / SESSION_ID
    (folder / "variation_1.obj.abc.part").write_bytes(b"v 1")
    (folder / "variation_2.obj").unlink()
    (folder / "session.json").unlink()
    run(download_job(fetched, cache_root)).require_whole()
    assert fetched_names(fetched) == ["retopo_mesh_2.obj"]
    assert not (folder / "variation_1.obj.abc.part").exists()


@pytest.mark.parametrize("attempt", range(5))
def test_two_jobs_on_one_session_do_not_harm_each_other(
    service: StandIn, cache_root: Path, attempt: int
) -> None:
    first, second = (download_job(service, cache_root) for _ in range(2))
    second.start()
    run(first).require_whole()
    told = Run()
    deadline_s = time.monotonic() + 10.0
    while not told.of(Finished) and time.monotonic() < deadline_s:
        if message := second.poll(0.1):
            told.messages.append(message)
    told.require_whole()


# Without the service

OUTAGES = [
    (Fault("reset"), "127.0.0.1 can't be reached: no connection. Check the network and try again"),
    (Fault("status", status=503), "127.0.0.1 answered with an error (503): try again later"),
    (
        Fault("status", status=429),
        "The service asks for fewer requests: try again in a few minutes",
    ),
    (
        Fault("html_200"),
        (
            "The answer is not a session (it is a web page): check the service's address in the "
            "add-on's preferences, or try again later"
        ),
    ),
]
"""The last is how networks that want a log-in, and domains that were sold, answer."""


@pytest.mark.parametrize(("fault", "reason"), OUTAGES, ids=["down", "error", "busy", "web page"])
def test_what_was_fetched_before_opens_without_the_service(
    fetched: StandIn, cache_root: Path, fault: Fault, reason: str
) -> None:
    fetched.add_fault(SESSION_ID, fault, times=None)
    told = run(download_job(fetched, cache_root))
    told.require_whole()
    assert told.notices == [f"{reason}. This is what was fetched before"]
    assert fetched.file_requests == []


def test_not_when_all_is_to_be_fetched_again(fetched: StandIn, cache_root: Path) -> None:
    fetched.add_fault(SESSION_ID, Fault("reset"), times=None)
    told = run(download_job(fetched, cache_root, refetch=True))
    assert "can't be reached" in str(told.error)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_not_when_the_service_says_no(fetched: StandIn, cache_root: Path, status: int) -> None:
    fetched.add_fault(SESSION_ID, Fault("status", status=status))
    told = run(download_job(fetched, cache_root))
    assert told.error
    assert told.notices == []


@pytest.mark.parametrize(
    "text", ["", "<html>", "{}", '{"_id": "SESSION_1", "type": "image_to_3d"}']
)
def test_a_damaged_record_of_the_session_does_not_hide_the_outage(
    fetched: StandIn, cache_root: Path, text: str
) -> None:
    (cache_root / SESSION_ID / "session.json").write_text(text)
    fetched.add_fault(SESSION_ID, Fault("reset"), times=None)
    assert "can't be reached" in str(run(download_job(fetched, cache_root)).error)


@pytest.mark.parametrize("by_folder", [False, True], ids=["by ID", "by folder"])
def test_without_the_service_damage_costs_one_file(
    fetched: StandIn, cache_root: Path, by_folder: bool
) -> None:
    folder = cache_root / SESSION_ID
    flip(folder / "variation_0.obj")
    (folder / "variation_1.obj").unlink()
    fetched.add_fault(SESSION_ID, Fault("reset"), times=None)
    if by_folder:
        told = run(FolderJob(folder, Cache(cache_root)))
    else:
        told = run(download_job(fetched, cache_root))
    assert isinstance(told.end, Finished)
    assert told.failed == {
        (MESH, 0): "what was fetched before is damaged",
        (MESH, 1): "variation_1.obj is not in the folder",
    }
    assert len(told.ready) == len(CACHED_AS) - 2


def test_the_cache_s_folder_is_a_session_folder(
    fetched: StandIn, cache_root: Path, tmp_path: Path
) -> None:
    folder = cache_root / SESSION_ID
    assert "://" not in (folder / "session.json").read_text()
    moved = folder.rename(tmp_path / "handed over")
    told = run(FolderJob(moved, Cache(cache_root)))
    told.require_whole()
    (read,) = told.of(SessionRead)
    first = run(download_job(fetched, tmp_path / "other cache")).of(SessionRead)[0]
    for name in ("session_id", "status", "created_at", "model", "quads"):
        assert getattr(read.session, name) == getattr(first.session, name)
    assert [(each.name, each.asset_id, each.status) for each in read.session.variations] == [
        (each.name, each.asset_id, each.status) for each in first.session.variations
    ]
    assert read.session.source is not None
    assert read.session.source.name == "Cube"


def test_a_session_that_is_not_complete_is_not_kept(service: StandIn, cache_root: Path) -> None:
    service.add_session(document=session_document(status="incomplete"))
    assert isinstance(run(download_job(service, cache_root)).error, CsmError)
    assert not cache_root.exists()


# Where nothing can be written


@pytest.mark.parametrize("place", ["root", "above", "session"])
def test_a_cache_that_can_t_be_written_is_told(
    service: StandIn, tmp_path: Path, place: str
) -> None:
    # A file in the folder's place stands for missing permissions, which some users don't need.
    root = tmp_path / "above" / "cache"
    at = {"root": root, "above": tmp_path / "above", "session": root / SESSION_ID}[place]
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text("in the way")
    told = run(download_job(service, root))
    assert type(told.error) is CacheError
    assert str(told.error).startswith("The cache folder can't be written (")
    assert str(told.error).endswith("): make room on the disk, or check the folder's permissions")
    assert at.read_text() == "in the way"


def test_one_file_that_can_t_be_written_costs_no_other(service: StandIn, cache_root: Path) -> None:
    (cache_root / SESSION_ID / "variation_0.obj").mkdir(parents=True)
    told = run(download_job(service, cache_root))
    assert isinstance(told.end, Finished)
    assert set(told.failed) == {(MESH, 0)}
    assert "The cache folder can't be written (" in told.failed[MESH, 0]


def test_a_disk_that_is_full_is_told(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 10_000:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    told = run(download_job(service, cache_root))
    assert isinstance(told.end, Finished)
    assert {key for key in told.failed if key[0] is MESH} == {(MESH, n) for n in range(VARIATIONS)}
    assert "(No space left on device)" in told.failed[MESH, 0]
    assert (PREVIEW, 0) in told.ready


@pytest.mark.parametrize("way", ["by ID", "by ID, without the service", "from the cache"])
def test_what_is_cached_opens_where_nothing_can_be_written(
    fetched: StandIn, cache_root: Path, way: str
) -> None:
    if way == "by ID, without the service":
        fetched.add_fault(SESSION_ID, Fault("reset"), times=None)
    with read_only(cache_root):
        if way == "from the cache":
            told = run(FolderJob(cache_root / SESSION_ID, Cache(cache_root)))
        else:
            told = run(download_job(fetched, cache_root))
        Cache(cache_root).remove_leftovers()
        Cache(cache_root).prune(0)
        assert Cache(cache_root).clear().freed_bytes == 0
    told.require_whole()
    assert fetched.file_requests == []


@pytest.mark.parametrize("missing", ["variation_1.obj", "variation_1.png.json", "source.glb"])
def test_what_is_not_cached_can_not_be_fetched_there(
    fetched: StandIn, cache_root: Path, missing: str
) -> None:
    (cache_root / SESSION_ID / missing).unlink()
    document = session_document(created_at="2025-06-01T00:00:00Z")
    fetched.add_session(document=document, files=FILES)
    with read_only(cache_root):
        told = run(download_job(fetched, cache_root))
    assert type(told.error) is CacheError
    assert "(Permission denied)" in str(told.error)
    run(download_job(fetched, cache_root)).require_whole()


def test_a_disk_with_room_for_small_files_only(service: StandIn, cache_root: Path) -> None:
    with files_no_larger_than(20_000):
        told = run(download_job(service, cache_root))
    assert {key for key in told.failed if key[0] is MESH} == {(MESH, n) for n in range(VARIATIONS)}
    assert (PREVIEW, 0) in told.ready
    run(download_job(service, cache_root)).require_whole()


def test_the_cache_s_folder_by_another_name(
    fetched: StandIn, cache_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(cache_root, target_is_directory=True)
    flip(cache_root / SESSION_ID / "variation_0.obj")
    told = run(FolderJob(tmp_path / "link" / SESSION_ID, Cache(cache_root)))
    assert told.failed == {(MESH, 0): "what was fetched before is damaged"}


# By itself


@pytest.fixture
def cache(cache_root: Path) -> Cache:
    return Cache(cache_root)


def fill(cache: Cache, session_id: str, size: int = 1000, *, age_s: float = 0.0) -> Path:
    """A session's folder with a file of that size, last used that long ago."""
    folder = cache.folder(session_id)
    (folder / "variation_0.obj").write_bytes(bytes(size))
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_what_is_kept_is_found_by_all_its_notes(cache: Cache) -> None:
    path = cache.folder("SESSION_1") / "variation_0.obj"
    with cache.writing(path) as file:
        file.write(b"v 1 2 3\n")
    assert cache.find(path, {}) is None
    kept = cache.keep(path, hash_file(path), {"origin": "a", "version": 2})
    assert cache.find(path, {"origin": "a"}) == kept
    assert cache.find(path, {"origin": "a", "version": 2}) == kept
    assert cache.find(path, {"origin": "b"}) is None
    assert cache.find(path, {"other": 1}) is None
    cache.distrust(path)
    assert cache.find(path, {}) is None
    assert path.read_bytes() == b"v 1 2 3\n"
    cache.keep(path, hash_file(path), {})
    cache.forget(path)
    assert cache.find(path, {}) is None
    assert list(path.parent.iterdir()) == []
    cache.forget(path)


def test_a_file_appears_when_it_is_whole(cache: Cache) -> None:
    path = cache.folder("SESSION_1") / "variation_0.obj"
    path.write_bytes(b"old")
    cache.keep(path, hash_file(path), {})
    with cache.writing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert cache.find(path, {}) is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_file_that_is_given_up_leaves_nothing(cache: Cache, error: type[BaseException]) -> None:
    path = cache.folder("SESSION_1") / "variation_0.obj"

    def give_up() -> None:
        with cache.writing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises((error, CacheError)):
        give_up()
    assert list(path.parent.iterdir()) == []


def test_size_and_clear(cache: Cache, cache_root: Path, tmp_path: Path) -> None:
    assert cache.size_bytes() == 0
    assert cache.clear() == Cleared(0, 0)
    fill(cache, "SESSION_1", 1000)
    fill(cache, "SESSION_2", 500)
    (cache_root / "SESSION_2" / "deeper").mkdir()
    (cache_root / "SESSION_2" / "deeper" / "x").write_bytes(bytes(20))
    assert cache.size_bytes() == 1520
    assert cache.clear() == Cleared(1520, 0)
    assert list(cache_root.iterdir()) == []


def test_clearing_follows_no_link(cache: Cache, cache_root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "scene.blend").write_bytes(b"mine")
    fill(cache, "SESSION_1")
    try:
        (cache_root / "SESSION_2").symlink_to(outside, target_is_directory=True)
        (cache_root / "SESSION_1" / "link").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("links can't be made here")
    cache.clear()
    cache.prune(0)
    assert (outside / "scene.blend").read_bytes() == b"mine"


def test_what_was_used_least_recently_goes_first(cache: Cache, cache_root: Path) -> None:
    for number in range(5):
        fill(cache, f"SESSION_{number}", age_s=IN_USE_S * (10 - number))
    cache.folder("SESSION_0")  # used again
    cache.prune(3000)
    assert sorted(path.name for path in cache_root.iterdir()) == [
        "SESSION_0",
        "SESSION_3",
        "SESSION_4",
    ]
    cache.prune(3000)
    assert len(list(cache_root.iterdir())) == 3


def test_what_is_in_use_stays(cache: Cache, cache_root: Path) -> None:
    fill(cache, "SESSION_1")
    fill(cache, "SESSION_2", age_s=IN_USE_S + 60)
    cache.prune(0)
    assert [path.name for path in cache_root.iterdir()] == ["SESSION_1"]


def test_opening_a_session_marks_it_as_used(fetched: StandIn, cache_root: Path) -> None:
    folder = cache_root / SESSION_ID
    os.utime(folder, (0, 0))
    run(download_job(fetched, cache_root)).require_whole()
    Cache(cache_root).prune(0)
    assert folder.is_dir()


@pytest.mark.parametrize("held", [False, True])
def test_leftovers_of_killed_jobs_go(cache: Cache, held: bool) -> None:
    folder = fill(cache, "SESSION_1")
    hold = cache.hold("SESSION_1") if held else None
    old, new = folder / "variation_1.obj.a.part", folder / "variation_2.obj.b.part"
    old.write_bytes(b"v")
    new.write_bytes(b"v")
    os.utime(old, (time.time() - IN_USE_S - 60,) * 2)
    cache.remove_leftovers()
    left = sorted(path.name for path in folder.iterdir())
    # Somebody who is at work may be writing it this moment.
    assert left == ["variation_0.obj", *([new.name] if held else [])]
    if hold:
        hold.end()


def test_no_bit_of_what_is_known_of_a_session_can_flip_unseen(
    fetched: StandIn, cache_root: Path
) -> None:
    cache = Cache(cache_root)
    path = cache_root / SESSION_ID / "session.json"
    body = path.read_bytes()
    right = cache.load_session(SESSION_ID)
    seen = 0
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert cache.load_session(SESSION_ID) == right
        except FolderError:
            seen += 1
    assert seen > 0.7 * len(body)  # the rest is blanks


def test_what_stands_in_another_session_s_folder_is_not_that_session(
    fetched: StandIn, cache_root: Path
) -> None:
    (cache_root / SESSION_ID).rename(cache_root / "SESSION_2")
    with pytest.raises(FolderError, match="SESSION_2 is damaged"):
        Cache(cache_root).load_session("SESSION_2")
    with pytest.raises(FolderError, match=f"{SESSION_ID} is not in the cache"):
        Cache(cache_root).load_session(SESSION_ID)


def test_what_is_held_is_not_removed(cache: Cache, cache_root: Path) -> None:
    for session_id in ("SESSION_1", "SESSION_2"):
        fill(cache, session_id, age_s=2 * IN_USE_S)
    first, second = cache.hold("SESSION_1"), Cache(cache_root).hold("SESSION_1")
    os.utime(cache_root / "SESSION_1", (0, 0))
    cache.prune(0)
    assert [each.name for each in cache_root.iterdir()] == ["SESSION_1"]
    assert cache.clear() == Cleared(0, 1)
    first.end()
    first.end()
    assert cache.clear() == Cleared(0, 1)
    second.end()
    assert cache.clear() == Cleared(1000, 0)


def test_a_hold_ends_with_its_process(cache: Cache, cache_root: Path) -> None:
    fill(cache, "SESSION_1")
    code = (
        "import sys, types; from pathlib import Path\n"
        "package = types.ModuleType('csm_retopo'); package.__path__ = [sys.argv[1]]\n"
        "sys.modules['csm_retopo'] = package\n"
        "from csm_retopo.api.cache import Cache\n"
        "held = Cache(Path(sys.argv[2])).hold('SESSION_1')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, root, cache_root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert cache.clear() == Cleared(0, 1)
        process.kill()
        process.wait(10.0)
        assert cache.clear() == Cleared(1000, 0)


def test_what_is_removed_while_it_is_wanted_is_made_anew(cache: Cache, cache_root: Path) -> None:
    folder = fill(cache, "SESSION_1")
    with if_free(folder) as free:
        assert free
        holds: list[Hold] = []
        waiting = threading.Thread(target=lambda: holds.append(cache.hold("SESSION_1")))
        waiting.start()
        shutil.rmtree(folder)
    waiting.join(10.0)
    assert cache.clear() == Cleared(0, 1)
    assert list(folder.iterdir()) == []
    holds.pop().end()


def test_a_job_holds_its_session_until_it_is_over(service: StandIn, cache_root: Path) -> None:
    job = download_job(service, cache_root)
    run(job).require_whole()
    assert Cache(cache_root).clear() == Cleared(0, 1)
    job.cancel()
    assert Cache(cache_root).clear().in_use == 0
    assert list(cache_root.iterdir()) == []


def test_a_clock_that_was_set_back_keeps_nothing_for_ever(cache: Cache, cache_root: Path) -> None:
    fill(cache, "SESSION_1", age_s=-10 * IN_USE_S)
    cache.prune(0)
    assert list(cache_root.iterdir()) == []


def test_a_cache_that_is_not_there_is_empty(cache: Cache, cache_root: Path) -> None:
    cache.prune(0)
    cache.remove_leftovers()
    assert cache.size_bytes() == cache.clear().freed_bytes == 0
    assert cache.find(cache_root / "SESSION_1" / "x", {}) is None
    assert not cache_root.exists()


def test_the_record_of_a_file_names_no_place(fetched: StandIn, cache_root: Path) -> None:
    text = record(cache_root / SESSION_ID / "variation_0.obj").read_text()
    assert "127.0.0.1" not in text
    assert set(json.loads(text)) == {"size", "sha256", "notes", "csm_retopo_cache"}
