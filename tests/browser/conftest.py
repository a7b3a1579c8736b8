# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser, Chromium, for the report's page. Needs no Blender.

CSM_RETOPO_BROWSER names the command; without it, it is looked for. Pictures are kept in
build/browser.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest

from tools import environments

ROOT = Path(__file__).resolve().parents[2]

# The checkout's folder may have any name, and its __init__.py needs Blender.
package = types.ModuleType("csm_retopo")
package.__path__ = [str(ROOT)]
sys.modules["csm_retopo"] = package


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Browser]:
    """A running Chromium."""
    try:
        command = environments.browser()
    except environments.SetupError as error:
        pytest.fail(str(error), pytrace=False)
    with chromium.started(command) as running:
        yield running


@pytest.fixture
def pictures() -> Path:
    """The folder for pictures of what the test saw."""
    return ROOT / "build" / "browser"
