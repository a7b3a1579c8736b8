# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the README's pictures anew: `pytest tests/gui/portraits.py`. No test, so not collected."""

from __future__ import annotations

import pytest

from conftest import ROOT, VERSIONS, Blender
from standin import StandIn


@pytest.mark.parametrize("blender", VERSIONS[:1], indirect=True)
def test_portraits(blender: Blender, service: StandIn) -> None:
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    (session_id,) = service.session_ids
    blender.play("drawing.portraits", service=service, session_id=session_id, folder=str(folder))
