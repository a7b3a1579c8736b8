# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that don't get on, until they are let go: to see what happens to an import meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from .faults import Fault
from .service import StandIn

STAGES = ("fetching", "downloading", "waiting", "converting", "placing", "placed", "ready")
"""Of an import. From `converting` on it is not the service that holds it."""


def hold(service: StandIn, session_id: str, stage: str, gate: Path) -> None:
    """Hold the session at that stage, as far as the service can, until the file `gate` is there."""
    match stage:
        case "fetching":
            service.add_fault(session_id, Fault("stall", until=gate.exists), times=None)
        case "waiting":
            running = {
                "_id": session_id,
                "status": "incomplete",
                "type": "retopology",
                "input": {"model": "swift", "quads": True},
                "output": {"meshes": []},
            }
            fault = Fault("replace", body=json.dumps(running).encode(), until=gate.exists)
            service.add_fault(session_id, fault, times=None)
        case "downloading":
            fault = Fault("stall", after_bytes=50, until=gate.exists)
            service.add_fault(f"*/{session_id}/retopo_mesh_1.obj", fault, times=None)
