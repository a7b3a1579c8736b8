# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to Blender while an import is under way, at whatever stage.

tests/gui has the same in a window, where timers fire and an artist quits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sessions
import stages

from standin import StandIn
from standin.holding import STAGES, hold

RunBlender = Callable[..., str]

MATRIX_TIMEOUT_S = 300
"""For all events at one stage."""

_SET_UP = """
import importlib, json, sys
from pathlib import Path
import bpy, lifecycle, stages

plan = json.loads(sys.argv[2])
lifecycle.install(sys.argv[1])


def begin(session_id):
    modules = ("sessions", "targets", "pipeline", "runner", "layout", "background.converter")
    sessions, targets, pipeline, runner, layout, converter = (
        importlib.import_module(f"{lifecycle.MODULE}.scene.{name}") for name in modules
    )
    chosen = sessions.preferences()
    target = targets.SceneTarget(
        bpy.data.scenes["Scene"].session_uid,
        layout.Facing.FRONT,
        targets.WhenReady(chosen.when_ready),
    )
    job = sessions.session_job(session_id, sessions.open_cache(), wait_s=600.0, early=True)
    runner.start(session_id, pipeline.Import(job, target, converter.Converter(job.cache)))


def cell(session_id):
    return stages.Cell(
        plan["stage"], session_id, Path(plan["folder"]), begin, bpy.ops.csm_retopo.import_sample
    )

"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files in which nobody else's are."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.timeout(MATRIX_TIMEOUT_S + 60)
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_lost_left_or_misplaced(
    run_blender: RunBlender, archive: Path, service: StandIn, tmp_path: Path, stage: str
) -> None:
    ids = {event: held(service, stage, tmp_path) for event in stages.EVENTS}
    plan = {"stage": stage, "folder": str(tmp_path), "ids": ids}
    printed = run_blender(
        _SET_UP
        + """
for event, session_id in plan["ids"].items():
    if event == "reload scripts" and bpy.app.version < (5, 0):
        continue  # these modules crash or hang at their exit then, also without any add-on
    print(event, flush=True)
    stages.run(stages.play(cell(session_id), event))
stages.run(stages.sample_works(cell("")))
lifecycle.uninstall()
lifecycle.check_nothing_left()
""",
        archive,
        json.dumps(plan),
        timeout_s=MATRIX_TIMEOUT_S,
    )
    assert "Traceback" not in printed, printed
    assert "CANARY" not in printed


@pytest.mark.parametrize("stage", STAGES)
def test_blender_quits_at_once(
    run_blender: RunBlender,
    archive: Path,
    service: StandIn,
    tmp_path: Path,
    temporary: Path,
    stage: str,
) -> None:
    plan = {"stage": stage, "folder": str(tmp_path), "id": held(service, stage, tmp_path)}
    printed = run_blender(
        _SET_UP + "stages.run(stages.reach(cell(plan['id'])))", archive, json.dumps(plan)
    )
    assert "Traceback" not in printed, printed
    assert not list(temporary.iterdir())
    assert not list(tmp_path.glob("resources/**/*.part"))


def test_all_threads_end_before_python_does(
    run_blender: RunBlender, archive: Path, service: StandIn, tmp_path: Path
) -> None:
    """Python freezes what is left of them, with all that they hold: then Blender crashes."""
    plan = {"stage": "fetching", "folder": str(tmp_path), "id": held(service, "fetching", tmp_path)}
    printed = run_blender(
        """
import atexit, threading, time
atexit.register(lambda: print("At the end:", *(each.name for each in threading.enumerate())))
"""
        + _SET_UP
        + """
process_class = importlib.import_module(f"{lifecycle.MODULE}.scene.background.converter")._Process
read = process_class._read


def slow_read(process):
    read(process)
    time.sleep(0.3)


process_class._read = slow_read
stages.run(stages.reach(cell(plan["id"])))
""",
        archive,
        json.dumps(plan),
    )
    assert "At the end: MainThread\n" in printed, printed


def held(service: StandIn, stage: str, folder: Path) -> str:
    """A new session that the service holds at that stage until there is a file of its name."""
    session_id = sessions.new_id()
    document = sessions.document(session_id, stages.VARIATIONS)
    service.add_session(document=document, files=sessions.files(stages.VARIATIONS))
    hold(service, session_id, stage, folder / session_id)
    return session_id
