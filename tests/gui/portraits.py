# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the README's pictures anew: `pytest tests/gui/portraits.py`. No test, so not collected."""

from __future__ import annotations

import pytest

from browser import chromium
from conftest import ROOT, VERSIONS, Blender
from standin import StandIn
from tools import environments

PICTURES = ROOT / "docs" / "pictures"

in_newest = pytest.mark.parametrize("blender", VERSIONS[:1], indirect=True)


@in_newest
@pytest.mark.parametrize(
    ("name", "width", "height"),
    [("sidebar", 1240, 760), ("row", 1240, 860), ("compare", 1240, 760), ("flip", 1240, 850)],
)
def test_portrait(blender: Blender, service: StandIn, name: str, width: int, height: int) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    (session_id,) = service.session_ids
    blender.play(
        f"portraits.{name}",
        service=service,
        size=(width, height),
        session_id=session_id,
        folder=str(PICTURES),
        antialiasing="16",
    )


@in_newest
def test_portrait_of_the_report(blender: Blender, service: StandIn) -> None:
    (session_id,) = service.session_ids
    page = blender.folder / "report.html"
    blender.play("portraits.report", service=service, session_id=session_id, page=str(page))
    with chromium.started(environments.browser()) as browser:
        picture = PICTURES / "report.png"
        browser.open(page, width=1400, height=1016).photograph(picture, whole=False)
    blender.play("portraits.shrink", picture=str(picture))
