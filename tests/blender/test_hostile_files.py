# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of bad files goes through the background Blender, which is killed, stopped, starved
of memory and left without a disk: what is lost is one file at a time, and never the artist's work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import pytest
import sessions

from bl_ext.user_default.csm_retopo.api import errors, image_files, kinds
from bl_ext.user_default.csm_retopo.api.cache import Cache
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene import models, pending
from bl_ext.user_default.csm_retopo.scene.background import converter, memory
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import, Outcome, Status
from bl_ext.user_default.csm_retopo.scene.report import models as report_models
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget
from hostile import building, tracing
from hostile.images import images
from hostile.meshes import Mesh, meshes
from hostile.mutation import mutants

DECODED = 600
"""Mutants of images, of which Blender decodes those that are let through."""
KILLS = int(os.environ.get("CSM_RETOPO_KILLS", "3"))
IS_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, for this process and its children."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


Convert = Callable[..., list[converter.Converted]]


@pytest.fixture
def convert(tmp_path: Path) -> Iterator[Convert]:
    """Converts files in one background Blender; the answers come in their order."""
    made: list[converter.Converter] = []

    def run(paths: list[Path]) -> list[converter.Converted]:
        running = converter.Converter(Cache(tmp_path / "cache"), processes=1)
        made.append(running)
        folder = running._cache.folder("SESSION_1_1")
        for number, path in enumerate(paths):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            blend = str(folder / f"{number}.blend")
            running.submit(models.ConvertRequest(str(path), sha256, blend))
        answers = [running.poll(100.0) for _ in paths]
        running.close()
        running.join(10.0)
        assert all(isinstance(each, converter.Converted) for each in answers)
        return answers  # type: ignore[return-value]

    yield run
    for running in made:
        running.close()
        running.join(10.0)


def _check(name: str, mesh: Mesh, answer: converter.Converted) -> None:
    if answer.mesh is None:
        assert "unforeseen" not in answer.reason and "crashed" not in answer.reason, name
        assert mesh.may_fail or (mesh.reason and mesh.reason in answer.reason), (name, answer)
        return
    assert not mesh.reason, (name, answer.mesh)
    faces, warnings = answer.mesh.metrics["faces"], answer.mesh.warnings
    assert mesh.faces in (faces, -1), (name, faces)
    if mesh.warning:
        assert any(mesh.warning in each for each in warnings), (name, warnings)
    elif mesh.faces >= 0:
        assert not warnings, (name, warnings)
    assert Path(answer.mesh.blend).parent.name == "SESSION_1_1", name
    json.dumps(answer.mesh.metrics, allow_nan=False)


def test_the_corpus_opens_nothing_and_breaks_nothing(
    tmp_path: Path, temporary: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, log = converter._command(), tmp_path / "strace.log"
    has_strace = bool(shutil.which("strace"))
    assert has_strace or not IS_CI, "strace is not installed"
    if has_strace:
        traced = tracing.traced(command or [], log)
        monkeypatch.setattr(converter, "_command", lambda *_: traced)
    # Where Blender was started, there may be anything: the session's files, say.
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    corpus = meshes()
    paths = [mesh.write(tmp_path / "files" / str(n)) for n, mesh in enumerate(corpus.values())]
    before = {(each.id_type, each.name) for each in bpy.data.user_map()}
    for (name, mesh), answer in zip(corpus.items(), convert(paths), strict=True):
        _check(name, mesh, answer)
    assert {(each.id_type, each.name) for each in bpy.data.user_map()} == before
    assert not list(temporary.iterdir())
    assert not list((tmp_path / "cache").rglob("*.part*"))
    if not has_strace:
        pytest.skip("strace is not installed: what is opened was not looked at")

    opened = tracing.opened(log)
    assert str(paths[0]) in opened, "strace saw nothing"
    allowed = [tmp_path / "cache", temporary, Path(os.environ["BLENDER_USER_RESOURCES"])]
    assert tracing.outside(opened - {str(path) for path in paths}, *allowed) == []
    assert tracing.connected(log) == []


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Outcome]:
    """Imports a session folder with a cache of its own; calls `meanwhile` with the converter."""

    def run(
        folder: Path, meanwhile: Callable[[converter.Converter], None] | None = None
    ) -> Outcome:
        cache = Cache(tmp_path / "cache")
        target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
        working = converter.Converter(cache, processes=1)
        running = Import(FolderJob(folder, cache), target, working)
        running.start()
        if meanwhile is not None:
            thread = threading.Thread(target=meanwhile, args=(working,))
            thread.start()
        outcome = running.run()
        running.close(5.0)
        if meanwhile is not None:
            thread.join()
        return outcome

    return run


def _process_of(working: converter.Converter) -> int:
    """The background Blender, when it has started."""
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        process = working._servers[0]._process
        if process is not None:
            return process._popen.pid
        time.sleep(0.005)
    pytest.fail("no process")


def _large_folder(folder: Path) -> Path:
    """Three variations, of which each takes a while."""
    lines = [
        f"f {1 + n % 8} {1 + (n + 1) % 8} {1 + (n + 2 + n // 8 % 5) % 8}" for n in range(60_000)
    ]
    large = building.obj(*lines)
    return sessions.new_folder(
        folder, 3, retopo_mesh_0_obj=large, retopo_mesh_1_obj=large, retopo_mesh_2_obj=large
    )


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_any_moment(
    tmp_path: Path, temporary: Path, imported: Callable[..., Outcome], number: int
) -> None:
    bpy.data.objects.new("Mine", None)
    randomness = random.Random(number)

    def kill(working: converter.Converter) -> None:
        pid = _process_of(working)
        time.sleep(randomness.uniform(0.0, 2.0))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    outcome = imported(_large_folder(tmp_path / "folder"), kill)
    _at_most_one_lost(outcome)
    assert "Mine" in bpy.data.objects
    assert not list(temporary.iterdir())
    assert not list((tmp_path / "cache").rglob("*.part*"))


def _at_most_one_lost(outcome: Outcome) -> None:
    assert outcome.error is None
    rows = [*outcome.variations, *([outcome.source] if outcome.source else [])]
    lost = [each for each in rows if each.status is not Status.IMPORTED]
    assert len(lost) <= 1
    for each in lost:
        assert each.error is not None and "crashed" in each.error
    placed = sum(each.status is Status.IMPORTED for each in outcome.variations)
    assert len(sessions.objects("VARIATION")) == placed >= 2


def test_stopped(
    tmp_path: Path,
    temporary: Path,
    imported: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(converter, "TIMEOUT_S", 3.0)

    def stop(working: converter.Converter) -> None:
        pid = _process_of(working)
        while not list((tmp_path / "cache").rglob("*.blend")):
            time.sleep(0.005)
        os.kill(pid, signal.SIGSTOP)

    _at_most_one_lost(imported(_large_folder(tmp_path / "folder"), stop))
    assert not list(temporary.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux heeds the limit")
def test_out_of_memory(
    tmp_path: Path,
    temporary: Path,
    imported: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree, data = building.gltf()
    tree["accessors"][0] = {"componentType": 5126, "count": 80_000_000, "type": "VEC3"}
    tree["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}}]}]
    bomb = building.pack_glb(tree, data)
    folder = sessions.new_folder(tmp_path / "folder", 3, mesh_glb=bomb)
    monkeypatch.setattr(memory, "BASE_BYTES", 500 << 20)
    monkeypatch.setattr(memory, "BYTES_PER_CORE", 0)
    monkeypatch.setattr(memory, "BYTES_PER_FILE_BYTE", 1)
    outcome = imported(folder)
    assert all(each.status is Status.IMPORTED for each in outcome.variations)
    assert outcome.source is not None and outcome.source.status is Status.FAILED
    error = outcome.source.error
    assert error is not None and ("memory" in error.lower() or "crashed" in error)
    assert not list(temporary.iterdir())


def test_more_memory_for_larger_files() -> None:
    assert memory.allowed_bytes(0) < memory.allowed_bytes(50 << 20)
    assert memory.allowed_bytes(1 << 50) == memory.allowed_bytes(1 << 51)


def test_a_full_disk(tmp_path: Path, run_blender: Callable[..., str], archive: Path) -> None:
    """In a private view of the file system, the cache is on a disk of a few hundred kilobytes."""
    probe = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    if not shutil.which("unshare") or subprocess.run(probe, check=False).returncode:
        pytest.skip("no private mounts here")
    cache = tmp_path / "cache"
    cache.mkdir()
    script = tmp_path / "full.py"
    script.write_text(_FULL_DISK)
    folder = sessions.new_folder(tmp_path / "folder", 3)
    grid = [f"v {x} 0 {z}" for x in range(200) for z in range(200)]
    quads = [
        f"f {x * 200 + z + 1} {x * 200 + z + 2} {x * 200 + z + 202} {x * 200 + z + 201}"
        for x in range(199)
        for z in range(199)
    ]
    (folder / "retopo_mesh_1.obj").write_text("\n".join([*grid, *quads, ""]))
    shell = f'mount -t tmpfs -o size=1200k tmpfs "{cache}" && exec "$@"'
    done = subprocess.run(
        [*probe[:-1], "sh", "-c", shell, "sh", sys.executable, script, folder, cache, archive],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **os.environ,
            "BLENDER_USER_RESOURCES": str(tmp_path / "resources"),
            "PYTHONPATH": str(Path(__file__).parent),
        },
    )
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("RESULT ")] or [""]
    assert line, done.stdout + done.stderr
    result = json.loads(line.removeprefix("RESULT "))
    assert result["statuses"] == ["imported", "failed", "imported"]
    assert "make room on the disk" in result["errors"][1]
    assert result["left"] == []
    assert result["mine"]


_FULL_DISK = """
import json, sys
from pathlib import Path
import bpy, lifecycle
folder, cache, archive = sys.argv[1:]
lifecycle.install(archive)
from bl_ext.user_default.csm_retopo.api.cache import Cache
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene.background.converter import Converter
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget
bpy.data.objects.new("Mine", None)
held = Cache(Path(cache))
target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
running = Import(FolderJob(Path(folder), held), target, Converter(held, processes=1))
running.start()
outcome = running.run()
running.close(5.0)
result = {
    "statuses": [str(each.status) for each in outcome.variations],
    "errors": [each.error or "" for each in outcome.variations],
    "left": [str(each) for each in Path(cache).rglob("*.part*")],
    "mine": "Mine" in bpy.data.objects,
}
print("\\nRESULT " + json.dumps(result), flush=True)
lifecycle.uninstall()
"""


def test_what_is_let_through_is_what_blender_decodes(tmp_path: Path) -> None:
    """In a Blender of its own, since what is wrong here may end it."""
    seeds = [each.content for each in images().values() if len(each.content) < 20_000]
    paths = []
    for number, data in enumerate(
        [*(each.content for each in images().values()), *mutants(seeds, DECODED, seed=3)]
    ):
        path = tmp_path / f"{number}.png"
        path.write_bytes(data)
        with contextlib.suppress(errors.DamagedFile):
            image_files.check_png(path)
            paths.append(str(path))
    assert len(paths) > DECODED / 50, "the mutants teach nothing"
    (tmp_path / "names").write_text("\n".join(paths), encoding="utf-8")
    script = Path(__file__).parents[1] / "hostile" / "decoding.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path / "names"],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "resources")},
    )
    assert done.returncode == 0, done.stdout[-2000:]
    decoded = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [each["name"] for each in decoded] == paths
    assert [each for each in decoded if each["told"] != each["found"]] == []


def test_a_preview_that_was_changed_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "variation_0.png"
    path.write_bytes(building.png())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    preview = models.Preview(str(path), sha256, 8, 8)
    assert tuple(pending.bring_preview("SESSION_1_1", 0, preview).size) == (8, 8)
    pending.discard("SESSION_1_1")
    path.write_bytes(images()["20,000 x 20,000"].content)
    with pytest.raises(OSError, match="changed"):
        pending.bring_preview("SESSION_1_1", 0, preview)
    assert not bpy.data.images


def test_the_report_decodes_no_bomb(tmp_path: Path) -> None:
    from bl_ext.user_default.csm_retopo.scene.report import rendering

    for name in ("50,000 x 50,000", "EXR", "cut in its pixels"):
        path = tmp_path / "preview"
        path.write_bytes(images()[name].content)
        request = report_models.RenderRequest.__new__(report_models.RenderRequest)
        object.__setattr__(request, "preview", str(path))
        assert rendering._shrink_preview(request) is None
    assert not bpy.data.images


def test_a_pipe_that_takes_a_files_place_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mesh.obj"
    path.write_bytes(building.obj())
    status = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(kinds.os, "stat", lambda _: status)
    with pytest.raises(errors.DamagedFile, match="not a file"), kinds.opened(path, 1000):
        pass


def test_a_file_that_changes_meanwhile_is_not_taken_for_the_old_one(
    tmp_path: Path, convert: Convert
) -> None:
    paths = []
    for name, content in {"a.obj": building.obj(), "b.glb": building.glb()}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    running = converter.Converter(Cache(tmp_path / "cache"), processes=1)
    for path in paths:
        blend = str(running._cache.folder("SESSION_1_1") / f"{path.stem}.blend")
        running.submit(models.ConvertRequest(str(path), "0" * 64, blend))
    for _ in paths:
        answer = running.poll(60.0)
        assert isinstance(answer, converter.Converted)
        assert answer.mesh is None and answer.damaged
        assert answer.reason == "it was changed while it was read"
    running.close()
    running.join(10.0)
