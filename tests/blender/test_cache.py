# SPDX-License-Identifier: GPL-3.0-or-later
"""Blenders that are killed while they import, several on one cache, and disks that fail.

tests/soak has the same hundreds of times.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left

from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.api.cache import Cache, hash_file
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene.background.converter import Converted, Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.models import ConvertRequest
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget
from importers import Importers, flip, wait_until_clean
from limits import read_only, without_privileges
from standin import StandIn

__all__ = ["nothing_left"]

VARIATIONS = 3


@pytest.fixture(scope="module")
def slow_service() -> Iterator[StandIn]:
    """With time for accidents."""
    with StandIn(latency_s=0.02) as running:
        yield running


@pytest.fixture(scope="module")
def importers(
    archive: Path, slow_service: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Importers:
    return Importers(archive, tmp_path_factory.mktemp("importers"), slow_service)


@pytest.fixture(scope="module")
def session_id(slow_service: StandIn) -> str:
    document = sessions.document(sessions.new_id(), VARIATIONS)
    return slow_service.add_session(document=document, files=sessions.files(VARIATIONS))


@pytest.fixture(scope="module")
def undisturbed(importers: Importers, session_id: str) -> dict[str, Any]:
    """What is placed when nothing happens, which files are in the cache then, and the time."""
    with importers.start() as importer:
        begin = time.monotonic()
        answer = importer.run("panel", session_id)
        took_s = time.monotonic() - begin
        assert answer["message"].startswith(f"Imported {VARIATIONS} variations")
        importer.close()
    assert len(answer["placed"]) == 1 + 2 * VARIATIONS
    files = importers.files()
    assert importers.leftovers() == []
    return {"placed": answer["placed"], "files": files, "took_s": took_s}


def test_killed_at_any_moment(
    importers: Importers, session_id: str, undisturbed: dict[str, Any]
) -> None:
    chance = random.Random(1)
    shutil.rmtree(importers.cache / session_id)
    for way in ("panel", "command", "panel"):
        with importers.start() as importer:
            importer.ask(way, session_id, refetch=way == "command")
            time.sleep(chance.uniform(0.0, undisturbed["took_s"]))
            importer.kill()
            assert "Traceback" not in importer.printed
    with importers.start() as importer:
        answer = importer.run("panel", session_id)
        importer.close()
        assert "Traceback" not in importer.printed
    assert answer["placed"] == undisturbed["placed"]
    assert wait_until_clean(importers) == []
    assert importers.files() == undisturbed["files"]


def test_two_blenders_on_one_cache_that_is_cleared(
    importers: Importers, session_id: str, undisturbed: dict[str, Any]
) -> None:
    shutil.rmtree(importers.cache / session_id)
    with importers.start() as first, importers.start() as second:
        first.ask("panel", session_id)
        second.ask("command", session_id, refetch=True)
        answers = [first.answer(), second.answer()]
        # Whoever is done lets go of the session; who is at work keeps it.
        first.ask("panel", session_id)
        second.run("clear_cache", "")
        answers.append(first.answer())
        for each in (first, second):
            each.close()
            assert "Traceback" not in each.printed
    for answer in answers:
        assert answer["placed"] == undisturbed["placed"], answer["message"]
    assert wait_until_clean(importers) == []


def test_a_mesh_is_never_missing_while_another_blender_converts_it_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    obj = tmp_path / "mesh.obj"
    obj.write_bytes(sessions.obj())
    path = cache.folder("SESSION_1_1") / "mesh.blend"
    request = ConvertRequest(str(obj), hash_file(obj), str(path))
    converter = Converter(cache)
    missing = 0
    for attempt in range(20):
        cache.distrust(path)
        converter.submit(request)
        while (answer := converter.poll()) is None:
            missing += attempt > 0 and not path.exists()
        assert isinstance(answer, Converted)
        assert answer.mesh is not None
    converter.close()
    converter.join(5.0)
    assert missing == 0


def test_bits_flipped_on_disk(
    importers: Importers, session_id: str, undisturbed: dict[str, Any]
) -> None:
    chance = random.Random(2)
    folder = importers.cache / session_id
    with importers.start() as importer:
        importer.run("panel", session_id)
        assert importers.files() == undisturbed["files"]
        names = sorted(each.name for each in folder.iterdir())
        for name in names:
            flip(folder / name, chance)
        # With the service, all is mended.
        assert importer.run("panel", session_id)["placed"] == undisturbed["placed"]
        assert importers.files() == undisturbed["files"]
        # Without it, what is damaged is missing, and nothing else.
        for name in ("variation_0.obj", "variation_1.png", "variation_2.blend.json"):
            flip(folder / name, chance)
        answer = importer.run("import_cached", session_id)
        expected = dict(undisturbed["placed"])
        for key in ("VARIATION 0", "PREVIEW 0", "PREVIEW 1"):
            del expected[key]
        assert answer["placed"] == expected
        flip(folder / "session.json", chance)
        answer = importer.run("import_cached", session_id)
        assert answer["placed"] == {}
        assert "import it by its ID" in answer["message"]
        assert importer.run("panel", session_id)["placed"] == undisturbed["placed"]
        importer.close()
        assert "Traceback" not in importer.printed


def test_where_nothing_can_be_written(
    importers: Importers,
    slow_service: StandIn,
    session_id: str,
    undisturbed: dict[str, Any],
) -> None:
    document = sessions.document(sessions.new_id(), 1)
    other_id = slow_service.add_session(document=document, files=sessions.files(1))
    with read_only(importers.cache), importers.start(*without_privileges()) as importer:
        for way in ("panel", "import_cached", "command"):
            answer = importer.run(way, session_id)
            assert answer["placed"] == undisturbed["placed"], (way, answer["message"])
        answer = importer.run("panel", other_id)
        assert answer["placed"] == {}
        assert "The cache folder can't be written (Permission denied)" in answer["message"]
        importer.close()
        assert "Traceback" not in importer.printed


def test_on_a_full_disk(importers: Importers, session_id: str, undisturbed: dict[str, Any]) -> None:
    shutil.rmtree(importers.cache / session_id)
    with importers.start("prlimit", "--fsize=5000") as importer:
        answer = importer.run("panel", session_id)
        assert answer["placed"] == {}, answer["message"]
        assert "make room on the disk" in answer["message"]
        answer = importer.run("command", session_id)
        assert answer["message"] == "exit code 1"
        importer.close()
        assert "Traceback" not in importer.printed
    assert wait_until_clean(importers) == []
    with importers.start() as importer:
        assert importer.run("panel", session_id)["placed"] == undisturbed["placed"]
        importer.close()


def test_a_cache_that_is_no_folder_or_has_no_place(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = sessions.document(sessions.new_id(), 1)
    session_id = service.add_session(document=document, files=sessions.files(1))
    (tmp_path / "cache").write_bytes(b"mine")
    for path, reason in ((str(tmp_path / "cache"), "can't be written"), ("", "set the variable")):
        monkeypatch.setattr(bpy.utils, "extension_path_user", lambda *_, found=path, **__: found)
        with pytest.raises(RuntimeError, match=reason):
            bpy.ops.csm_retopo.import_session(session_id=session_id)
        with pytest.raises(RuntimeError, match=reason):
            bpy.ops.csm_retopo.import_sample()
        assert cli.main(["import", session_id, "--output", str(tmp_path / "out")]) == 1
        assert not bpy.data.objects
    assert (tmp_path / "cache").read_bytes() == b"mine"
    with pytest.raises(RuntimeError, match="set the variable"):
        bpy.ops.csm_retopo.clear_cache()
    monkeypatch.undo()


def test_a_mesh_that_another_blender_has_replaced_is_not_taken_for_the_right_one(
    tmp_path: Path,
) -> None:
    cache = Cache(tmp_path / "cache")
    folder = sessions.new_folder(tmp_path / "folder", 2)
    target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
    running = Import(FolderJob(folder, cache), target, Converter(cache))
    running.start()
    while running._putting is None and not running.is_over:
        running.step(0.05)
    bpy.data.batch_remove(list(bpy.data.meshes))  # as an undo does
    (blend,) = cache.root.glob("*/variation_0.blend")
    shutil.copyfile(blend.with_name("variation_1.blend"), blend)
    outcome = running.run()
    running.close(2.0)
    assert "Box retopo 1 is gone: import the session again" in str(outcome.error)
    assert not bpy.data.objects
    assert not bpy.data.meshes
