# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests against the installed extension, in a Blender with settings of its own.

`import bl_ext.user_default.csm_retopo` works in every test module. The extension's zip is built by
this Blender, or is the one that CSM_RETOPO_ZIP names.
"""

from __future__ import annotations

import compileall
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standin import StandIn
from tools import extension

HERE = Path(__file__).parent
RunBlender = Callable[..., str]

# Only one environment has Dask: `make dask`.
collect_ignore = [] if importlib.util.find_spec("distributed") else ["test_cluster.py"]

_folder = pytest.StashKey[Path]()
_archive = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Install the extension before the test modules, which import it, are collected."""
    folder = Path(tempfile.mkdtemp(prefix="csm_retopo_"))
    config.stash[_folder] = folder
    given = os.environ.get("CSM_RETOPO_ZIP")
    archive = extension.ROOT / given if given else folder / "csm_retopo.zip"
    config.stash[_archive] = archive
    # Blender reads it once, when it starts: that is when bpy is first imported.
    os.environ["BLENDER_USER_RESOURCES"] = str(folder / "resources")
    try:
        if not given:
            extension.build(archive)
        import lifecycle

        lifecycle.install(str(archive))
        # Once, and not in each process that a test starts.
        compileall.compile_dir(folder / "resources", quiet=1)
    except (subprocess.CalledProcessError, RuntimeError) as error:
        pytest.exit(f"The extension could not be installed: {error}", returncode=3)


def pytest_sessionfinish() -> None:
    """Leave nothing registered: the bpy module could crash or hang at exit."""
    import lifecycle

    lifecycle.uninstall()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the tests have written."""
    shutil.rmtree(config.stash[_folder], ignore_errors=True)


@pytest.fixture(autouse=True)
def empty_file() -> None:
    """Every test starts in a new file without objects."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meshes as small as the tests' need no second background Blender, whose start takes a second
    of a processor. That several share the work is tested in test_conversion.py, and in windows.
    """
    from bl_ext.user_default.csm_retopo.scene.background import converter

    monkeypatch.setattr(converter, "PROCESSES", 1)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in service; the extension, here and in child processes, talks to it."""
    with StandIn() as running:
        monkeypatch.setenv("CSM_API_URL", running.api_url)
        monkeypatch.setenv("CSM_API_KEY", running.key)
        yield running


@pytest.fixture(scope="session")
def archive(pytestconfig: pytest.Config) -> Path:
    """The zip that was installed."""
    return pytestconfig.stash[_archive]


@pytest.fixture
def run_blender(tmp_path: Path) -> RunBlender:
    """Runs Python code in a Blender of its own, whose settings last as long as the test.

    `run_blender(code, *arguments, timeout_s=60)` returns what it printed and fails the test when
    it doesn't end with exit code 0. The code finds the arguments in `sys.argv[1:]` and may import
    what lies in this folder.
    """

    def run(code: str, *arguments: str | Path, timeout_s: float = 60) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            env={
                **os.environ,
                "BLENDER_USER_RESOURCES": str(tmp_path / "resources"),
                "PYTHONPATH": str(HERE),
                # Or each background Blender would compile the extension anew.
                "PYTHONDONTWRITEBYTECODE": "",
            },
        )
        if done.returncode:
            pytest.fail(f"Exit code {done.returncode}, printed:\n{done.stdout}", pytrace=False)
        return done.stdout

    return run
