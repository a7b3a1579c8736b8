# SPDX-License-Identifier: GPL-3.0-or-later
"""report.json: what became of a session, for people and programs. It holds no URL."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..api.cache import TEMPORARY_SUFFIX
from .pipeline import MeshOutcome, Outcome, Status

REPORT_NAME = "report.json"


def report(session_id: str, outcome: Outcome) -> dict[str, Any]:
    """The report as JSON-safe data.

    `error` is null unless nothing could be imported; a mesh's `metrics` are null unless it was.
    """
    session = outcome.session
    return {
        "session_id": session_id,
        "status": session.status if session else None,
        "model": session.model if session else None,
        "quads": session.quads if session else None,
        "created_at": session.created_at if session else None,
        "error": str(outcome.error) if outcome.error else None,
        "source": _mesh(outcome.source) if outcome.source else None,
        "variations": [{"index": each.index, **_mesh(each)} for each in outcome.variations],
        "warnings": outcome.warnings,
    }


def write_report(path: Path, fields: dict[str, Any]) -> None:
    """Write it; it appears whole or not at all. Raises OSError."""
    temporary = path.with_name(f"{path.name}{TEMPORARY_SUFFIX}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(fields, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _mesh(outcome: MeshOutcome) -> dict[str, Any]:
    return {
        "asset_id": outcome.asset_id,
        "name": outcome.name,
        "status": str(outcome.status),
        "error": outcome.error,
        "metrics": outcome.metrics if outcome.status is Status.IMPORTED else None,
    }
