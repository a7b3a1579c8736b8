# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json: what became of a session, for people and programs. It holds no URL.

The page that shows it, with pictures, is in `page`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ...api.files import replacing
from ..assets.choice import Choice
from ..pipeline import MeshOutcome, Outcome, Status
from .models import (
    PAGE_NAME as PAGE_NAME,
    REPORT_NAME as REPORT_NAME,
    SHEET_NAME as SHEET_NAME,
    Report,
    ReportMesh,
    ReportSession,
)


def report(session_id: str, outcome: Outcome, choice: Choice | None = None) -> dict[str, Any]:
    """The report as JSON-safe data.

    `error` is null unless nothing could be imported; a mesh's `metrics` are null unless it was.
    `best` is null without a rule, `assets` are the indices of the variations that are assets.
    """
    session = outcome.session
    choice = choice or Choice()
    fields: dict[str, Any] = {
        "session_id": session_id,
        "status": session.status if session else None,
        "model": session.model if session else None,
        "quads": session.quads if session else None,
        "created_at": session.created_at if session else None,
        "error": str(outcome.error) if outcome.error else None,
        "source": _mesh(outcome.source) if outcome.source else None,
        "variations": [{"index": each.index, **_mesh(each)} for each in outcome.variations],
        "best": None,
        "assets": [],
        "warnings": outcome.warnings,
    }
    return {**with_best(fields, choice), "assets": _wanted_assets(fields, choice)}


def with_best(fields: dict[str, Any], choice: Choice) -> dict[str, Any]:
    """The report with the best variation by the choice's rule, as it is without one.

    `best` has the `rule`, and the `index` and `name` of the variation, which are null where none
    fulfils it. Raises KeyError and TypeError for other fields.
    """
    if choice.rule is None:
        return fields
    index = choice.best(_metrics_of(fields))
    names = {each["index"]: each["name"] for each in fields["variations"]}
    name = None if index is None else names[index]
    return {**fields, "best": {"rule": choice.rule.text, "index": index, "name": name}}


def has_assets(fields: dict[str, Any], choice: Choice) -> bool:
    """Whether all is an asset that is to be one, and nothing else is; or nothing is to be.

    Raises KeyError and TypeError for other fields.
    """
    return not choice.as_assets or fields.get("assets") == _wanted_assets(fields, choice)


def _wanted_assets(fields: dict[str, Any], choice: Choice) -> list[int]:
    return list(choice.assets(_metrics_of(fields)))


def _metrics_of(fields: dict[str, Any]) -> dict[int, dict[str, Any]]:
    variations = fields["variations"]
    return {each["index"]: each["metrics"] for each in variations if each["metrics"] is not None}


def write_report(path: Path, fields: dict[str, Any]) -> None:
    """Write it; it appears whole or not at all. Raises OSError."""
    text = json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")


def read_report(path: Path) -> dict[str, Any]:
    """What `write_report` wrote. Raises OSError and ValueError."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict):
        raise ValueError(f"{path.name} holds no report")
    return fields


def with_outcome(page: Report, fields: dict[str, Any]) -> Report:
    """The report of one session's .blend with what its meshes don't tell: which variations are
    missing and why, and the warnings. Other sessions, which somebody may have imported into that
    .blend, stay as they are. Raises KeyError and TypeError for other fields.
    """
    return dataclasses.replace(
        page,
        sessions=tuple(
            _completed(each, fields) if each.session_id == fields["session_id"] else each
            for each in page.sessions
        ),
    )


def _completed(session: ReportSession, fields: dict[str, Any]) -> ReportSession:
    meshes = {each.index: each for each in session.meshes}
    variations = [(each["index"], each) for each in fields["variations"]]
    source = [(-1, fields["source"])] if fields["source"] else []
    for index, each in source + variations:
        if index not in meshes and each["error"] is not None:
            meshes[index] = ReportMesh(index, each["name"], error=each["error"])
    return dataclasses.replace(
        session,
        meshes=tuple(meshes[index] for index in sorted(meshes)),
        warnings=tuple(fields["warnings"]),
    )


def _mesh(outcome: MeshOutcome) -> dict[str, Any]:
    return {
        "asset_id": outcome.asset_id,
        "name": outcome.name,
        "status": str(outcome.status),
        "error": outcome.error,
        "metrics": outcome.metrics if outcome.status is Status.IMPORTED else None,
    }
