# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests in a window share. Needs pytest and requests, no bpy.

`window.py` says what command runs Blender in a window. Where CI is set, a Blender that can't be had
fails the tests; elsewhere they are skipped. Pictures are kept in build/gui/VERSION.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import window
from window import Blender

from standin import StandIn
from tools import environments

ROOT = environments.ROOT
VERSIONS = environments.WINDOWS

_TEST_TIMEOUT_S = 1800

__all__ = ["ROOT", "VERSIONS", "Blender"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave it to the plays to be over in time: they say what Blender printed."""
    for item in items:
        item.add_marker(pytest.mark.timeout(_TEST_TIMEOUT_S))


@pytest.fixture(scope="session", params=VERSIONS)
def blender(request: pytest.FixtureRequest) -> Iterator[Blender]:
    """Blender of each version in turn, with the extension installed as a user would install it."""
    version = request.param
    try:
        environments.window(version)
    except environments.SetupError as error:
        if environments.is_ci():
            raise
        pytest.skip(str(error))
    given = os.environ.get("CSM_RETOPO_ZIP")
    with window.installed(version, ROOT / given if given else None) as installed:
        yield installed


@pytest.fixture
def sample() -> Path:
    """The folder of the sample session."""
    return ROOT / "sample"


@pytest.fixture
def service(sample: Path) -> Iterator[StandIn]:
    """The stand-in service with the sample session, as fast as it can be."""
    with StandIn() as running:
        running.add_session(folder=sample)
        yield running


@pytest.fixture
def slow_service(sample: Path) -> Iterator[StandIn]:
    """The same behind a bad line: an import takes seven seconds or more."""
    with StandIn(bandwidth_bps=90_000) as running:
        running.add_session(folder=sample)
        yield running
