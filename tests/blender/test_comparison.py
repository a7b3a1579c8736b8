# SPDX-License-Identifier: GPL-3.0-or-later
"""Variations are compared with the source on their way into the scene."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions

from bl_ext.user_default.csm_retopo.api.cache import Cache
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene.background import comparison, converter, worker
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.measure import metrics
from bl_ext.user_default.csm_retopo.scene.pipeline import Import, Outcome, Status
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget

ImportFolder = Callable[..., Outcome]
ATTRIBUTES = {metrics.DEVIATION_ATTRIBUTE, metrics.COVERAGE_ATTRIBUTE}


@pytest.fixture
def import_folder(tmp_path: Path) -> ImportFolder:
    """Imports a session folder, with a cache that lasts as long as the test."""

    def run(folder: Path, *, with_source: bool = True) -> Outcome:
        cache = Cache(tmp_path / "cache")
        target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
        job = FolderJob(folder, cache, with_source=with_source)
        running = Import(job, target, converter.Converter(cache))
        running.start()
        outcome = running.run()
        running.close(5.0)
        return outcome

    return run


def carried(obj: bpy.types.Object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(obj.csm_retopo.metrics)
    return found


def attributes(obj: bpy.types.Object) -> set[str]:
    return {each.name for each in obj.data.attributes} & ATTRIBUTES


def is_compared(outcome: Outcome, index: int) -> bool:
    """Whether all numbers are there; fails if only some are."""
    found = outcome.variations[index].metrics
    assert found is not None
    values = {found[key] is None for key in metrics.DEVIATION_KEYS}
    assert len(values) == 1
    return values == {False}


def test_what_an_import_measures(import_folder: ImportFolder, tmp_path: Path) -> None:
    outcome = import_folder(sessions.new_folder(tmp_path / "folder", 2))
    assert outcome.is_complete
    assert not outcome.warnings
    same, wider = sessions.objects("VARIATION")
    assert carried(same)["hausdorff"] == pytest.approx(0.0, abs=1e-6)
    assert carried(wider)["hausdorff"] == pytest.approx(0.05, rel=1e-4)
    assert carried(wider)["hausdorff_relative"] == pytest.approx(0.05 / 14**0.5, rel=1e-4)
    assert carried(wider)["deviation_max"] == pytest.approx(0.05, rel=1e-4)
    assert attributes(same) == attributes(wider) == ATTRIBUTES
    assert len(wider.data.attributes[metrics.DEVIATION_ATTRIBUTE].data) == 6
    (source,) = sessions.objects("SOURCE")
    assert all(carried(source)[key] is None for key in metrics.DEVIATION_KEYS)
    assert not attributes(source)


def test_again_nothing_is_measured(import_folder: ImportFolder, tmp_path: Path) -> None:
    folder = sessions.new_folder(tmp_path / "folder", 2)
    import_folder(folder)
    blends = sorted((tmp_path / "cache").rglob("*.blend"))
    assert len(blends) == 3
    written = [os.stat(each).st_mtime_ns for each in blends]
    bpy.ops.wm.read_homefile(use_empty=True)
    outcome = import_folder(folder)
    assert is_compared(outcome, 1)
    assert [os.stat(each).st_mtime_ns for each in blends] == written


def test_without_the_source_there_is_nothing_to_compare_with(
    import_folder: ImportFolder, tmp_path: Path
) -> None:
    folder = sessions.new_folder(tmp_path / "folder", 1)
    for with_source, expected in ((False, False), (True, True), (False, False), (True, True)):
        outcome = import_folder(folder, with_source=with_source)
        assert outcome.is_complete
        assert not outcome.warnings
        assert is_compared(outcome, 0) is expected
        (obj,) = sessions.objects("VARIATION")
        assert (carried(obj)["hausdorff"] is not None) is expected
        bpy.ops.wm.read_homefile(use_empty=True)


def test_a_session_without_a_source(import_folder: ImportFolder, tmp_path: Path) -> None:
    document = sessions.document(sessions.new_id(), 1, input={"model": "swift"})
    outcome = import_folder(sessions.write_folder(tmp_path / "folder", document, sessions.files(1)))
    assert outcome.is_complete
    assert not is_compared(outcome, 0)


def test_a_source_that_can_not_be_read(import_folder: ImportFolder, tmp_path: Path) -> None:
    for name, content in {"cut": sessions.glb()[:-9], "gone": None}.items():
        outcome = import_folder(sessions.new_folder(tmp_path / name, 2, mesh_glb=content))
        assert outcome.imported == 2
        assert outcome.source is not None and outcome.source.status is Status.FAILED
        assert not is_compared(outcome, 0)
        assert not is_compared(outcome, 1)


def test_another_source_is_measured_anew(import_folder: ImportFolder, tmp_path: Path) -> None:
    document = sessions.document(sessions.new_id(), 1)
    for width, expected in ((1.0, 0.0), (1.1, 0.1)):
        files = sessions.files(1, mesh_glb=sessions.glb((width, 2.0, 3.0)))
        outcome = import_folder(sessions.write_folder(tmp_path / str(width), document, files))
        found = outcome.variations[0].metrics
        assert found is not None
        assert found["hausdorff"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "source",
    [
        sessions.glb((1.0, 2.0, 3.0), nodes=[{"mesh": 0, "translation": [10, 0, 0]}]),
        sessions.glb((10.0, 20.0, 30.0)),
    ],
)
def test_a_source_of_another_frame_is_told_and_never_fitted(
    import_folder: ImportFolder, tmp_path: Path, source: bytes
) -> None:
    document = sessions.document(sessions.new_id(), 2)
    files = sessions.files(2, mesh_glb=source)
    folder = sessions.write_folder(tmp_path / "folder", document, files)
    for _ in range(2):  # the second time from the cache
        outcome = import_folder(folder)
        assert outcome.is_complete
        assert sorted(outcome.warnings) == [
            f"Box retopo {number}: {comparison.OTHER_FRAME}" for number in (1, 2)
        ]
        assert not is_compared(outcome, 0)
    for obj in sessions.objects("VARIATION"):
        assert not attributes(obj)
        assert tuple(obj.scale) == (1.0, 1.0, 1.0)
    # Once the source is right, the warning is gone.
    files["mesh.glb"] = sessions.glb((1.0, 2.0, 3.0))
    outcome = import_folder(sessions.write_folder(folder, document, files))
    assert not outcome.warnings
    assert is_compared(outcome, 1)


@pytest.mark.parametrize("size", [1e-9, 1e12])
def test_a_size_that_blender_can_not_reckon_with_is_told(
    import_folder: ImportFolder, tmp_path: Path, size: float
) -> None:
    lengths = (size, 2 * size, 3 * size)
    files = sessions.files(
        1, mesh_glb=sessions.glb(lengths), retopo_mesh_0_obj=sessions.obj(lengths)
    )
    document = sessions.document(sessions.new_id(), 1)
    for _ in range(2):  # the second time from the cache
        outcome = import_folder(sessions.write_folder(tmp_path / "folder", document, files))
        assert outcome.warnings == [f"Box retopo 1: {comparison.OTHER_SCALE}"]
        assert not is_compared(outcome, 0)


def test_a_comparison_that_dies_costs_the_deviation_only(
    import_folder: ImportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "unstable.py"
    script.write_text(
        textwrap.dedent(
            """
            import importlib.util, os, sys
            spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
            worker = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(worker)
            worker._adopt_package()
            from csm_retopo.scene.background import comparison
            compare = comparison.Comparer.compare

            def unstable(self, cache, request):
                if request.blend.endswith("variation_1.blend"):
                    os.kill(os.getpid(), 9)
                return compare(self, cache, request)

            comparison.Comparer.compare = unstable
            worker.main()
            """
        )
    )
    command = [sys.executable, str(script), worker.__file__]
    monkeypatch.setattr(converter, "_command", lambda *_: command)
    outcome = import_folder(sessions.new_folder(tmp_path / "folder", 3))
    assert outcome.imported == 3
    assert [is_compared(outcome, index) for index in range(3)] == [True, False, True]
    (warning,) = outcome.warnings
    assert warning.startswith("Box retopo 2: its deviation was not measured: the comparison")


def test_without_a_process_it_is_compared_in_place(
    import_folder: ImportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "_command", lambda *_: None)
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    outcome = import_folder(sessions.new_folder(tmp_path / "folder", 2))
    assert outcome.is_complete
    assert is_compared(outcome, 0) and is_compared(outcome, 1)
    assert bpy.context.object.mode == "EDIT"
    assert len(bpy.data.scenes) == 1
    assert not bpy.data.node_groups
    assert len(bpy.data.meshes) == 4  # the cube, the source, two variations
