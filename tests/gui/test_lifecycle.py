# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to Blender while an import is under way, at whatever stage, in the window.

tests/blender/stages.py says what can happen, and what is expected then.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Blender
from standin import StandIn
from standin.holding import STAGES, hold

EVENTS = 12
"""So many are in tests/blender/stages.py, which needs Blender to be read."""
VARIATIONS = 2
QUIT_DELAY_LIMIT_S = 2.0
SMALL = (900, 600)
"""The size of a window that is drawn in a third of the time: there is little to see."""

_numbers = itertools.count(1)


@pytest.fixture
def service() -> Iterator[StandIn]:
    """The stand-in service, without a session."""
    with StandIn() as running:
        yield running


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_lost_left_or_misplaced(
    blender: Blender, service: StandIn, sample: Path, stage: str
) -> None:
    folder = _folder(blender)
    ids = [_held(service, sample, stage, folder) for _ in range(EVENTS)]
    blender.play(
        "lifecycle.events",
        service=service,
        size=SMALL,
        stage=stage,
        ids=ids,
        folder=str(folder),
    )


def test_blender_saves_by_itself_while_an_import_waits(
    blender: Blender, service: StandIn, sample: Path
) -> None:
    folder = _folder(blender)
    held = _held(service, sample, "waiting", folder)
    blender.play(
        "lifecycle.autosave", service=service, stage="waiting", id=held, folder=str(folder)
    )


def test_blender_quits_at_once(blender: Blender, service: StandIn, sample: Path) -> None:
    took_s = {}
    for stage in ("", *STAGES):
        folder = _folder(blender)
        held = _held(service, sample, stage, folder)
        played = blender.play(
            "lifecycle.quit_blender",
            service=service,
            size=SMALL,
            stage=stage,
            id=held,
            folder=str(folder),
        )
        took_s[stage] = played.ended_at - played.facts["quit_at"]
    idle_s = took_s.pop("")
    delays_s = {stage: round(each - idle_s, 2) for stage, each in took_s.items()}
    print(f"{blender.version} quits in {idle_s:.2f} s, with an import later by {delays_s}")
    assert max(delays_s.values()) < QUIT_DELAY_LIMIT_S, delays_s


def _folder(blender: Blender) -> Path:
    folder = blender.folder / f"held-{next(_numbers)}"
    folder.mkdir()
    return folder


def _held(service: StandIn, sample: Path, stage: str, folder: Path) -> str:
    """A small session that the service holds at that stage until the folder has a file of its
    name.
    """
    document = json.loads((sample / "session.json").read_text(encoding="utf-8"))
    del document["output"]["meshes"][VARIATIONS:]
    session_id = f"SESSION_17640000{next(_numbers):02}_7654321"
    service.add_session(session_id, folder=sample, document=document)
    hold(service, session_id, stage, folder / session_id)
    return session_id
