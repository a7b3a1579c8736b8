# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the last imports could not be had and may be had another time: rows in the panel, until
an import of the same session brings it. Main thread only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy


@dataclass(frozen=True)
class Failure:
    """A variation, or the source, that is not there, and why."""

    name: str
    reason: str


def note(session_id: str, failures: list[Failure]) -> None:
    """Show these of the session, in place of what was shown of it before."""
    rows = _rows()
    for position in reversed(range(len(rows))):
        if rows[position].session_id == session_id:
            rows.remove(position)
    for each in failures:
        row = rows.add()
        row.session_id, row.title, row.reason = session_id, each.name, each.reason


def clear() -> None:
    """Show nothing any more."""
    _rows().clear()


def _rows() -> Any:
    return bpy.context.window_manager.csm_retopo.failures
