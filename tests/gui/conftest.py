# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts real Blenders with a window and has `driver.py` use them, one at a time.

CSM_RETOPO_BLENDER_GUI names a command that runs Blender in a window, on a screen of its own of
1600 x 1000; without it, it is looked for beside the checkout. BLENDER_GUI tells it which version:

    COMMAND run ARG ...        Blender with a window and with ImageMagick's `import` on its PATH
    COMMAND blender ARG ...    Blender without a window

Needs pytest and requests, no bpy. Pictures are kept in build/gui/VERSION.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from standin import StandIn

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
VERSIONS = ("5.2", "4.3")
COMMAND_VARIABLE = "CSM_RETOPO_BLENDER_GUI"

_INSTALL_TIMEOUT_S = 60
# From 5.0 on, Blender loses some memory with every data transfer of UV maps, and says so at exit.
_BLENDERS_OWN = "Error: Not freed memory blocks"
_TROUBLE = ("Traceback (most recent call last)", "Error: ", "segmentation fault", "Python: ")


@dataclass
class Played:
    """What became of an act."""

    problem: str | None
    facts: dict[str, Any]
    pictures: list[str]
    output: str
    ended_at: float


@dataclass
class Blender:
    """A Blender of one version in which the extension is installed."""

    command: Path
    version: str
    folder: Path
    resources: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def play(
        self,
        act: str,
        *options: str,
        service: StandIn | None = None,
        environment: dict[str, str] | None = None,
        timeout_s: float = 90,
        **arguments: Any,
    ) -> Played:
        """Run an act in a new Blender, with fresh settings, and fail the test if it fails.

        `options` are Blender's, `arguments` the act's.
        """
        number = f"{next(self.numbers):02}"
        folder = self.folder / number
        folder.mkdir()
        shutil.copytree(self.resources, folder / "resources")
        plan = {
            "act": act,
            "arguments": arguments,
            "number": f"{number}-{act.rpartition('.')[2].replace('_', '-')}",
            "paths": [str(HERE), str(HERE.parent / "blender")],
            "pictures": str(ROOT / "build" / "gui" / self.version),
            "result": str(folder / "result.json"),
        }
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        variables = {**_environment(self.version, folder), **(environment or {})}
        if service is not None:
            variables |= {"CSM_API_URL": service.api_url, "CSM_API_KEY": service.key}
        started_s = time.monotonic()
        command = [self.command, "run", "--enable-event-simulate", *options]
        command += ["--python", HERE / "driver.py", "--", folder / "plan.json"]
        try:
            output = _run(command, variables, timeout_s)
        except subprocess.CalledProcessError as error:
            pytest.fail(f"Exit code {error.returncode}, printed:\n{error.output}", pytrace=False)
        ended_at = time.time()
        (folder / "output.txt").write_text(output, encoding="utf-8")
        try:
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            pytest.fail(f"The act left no result. Blender printed:\n{output}", pytrace=False)
        played = Played(**result, output=output, ended_at=ended_at)
        seconds = time.monotonic() - started_s
        print(f"{self.version} {act}: {seconds:.1f} s, {result['facts']}")
        if played.problem:
            pytest.fail(f"{played.problem}\nBlender printed:\n{output}", pytrace=False)
        said = "\n".join(line for line in output.splitlines() if _BLENDERS_OWN not in line)
        if any(trouble in said for trouble in _TROUBLE):
            pytest.fail(f"Blender printed:\n{output}", pytrace=False)
        left = _processes_with(str(folder))
        assert not left, f"Blender is gone, but not what it started: {left}"
        return played


@pytest.fixture(scope="session")
def command() -> Path:
    """The command that runs Blender in a window."""
    given = os.environ.get(COMMAND_VARIABLE)
    path = Path(given) if given else ROOT.parent / "shared" / "tools" / "blender-gui"
    if not (path.is_file() and os.access(path, os.X_OK)):
        found = f"names {given}, which is no program" if given else "is not set"
        _give_up(
            f"tests/gui needs a command that runs Blender in a window: {COMMAND_VARIABLE} {found}"
        )
    return path


@pytest.fixture(scope="session", params=VERSIONS)
def blender(request: pytest.FixtureRequest, command: Path) -> Iterator[Blender]:
    """Blender of each version in turn, with the extension installed as a user would install it."""
    version = request.param
    # Under /tmp, whatever pytest was told: the command may see no other folder for temporary files.
    folder = Path(tempfile.mkdtemp(prefix="csm_retopo_gui_", dir="/tmp"))
    try:
        settings = _environment(version, folder)
        without_window = [command, "blender", "--online-mode"]
        try:
            _run([*without_window, "--version"], settings, 30)
        except subprocess.CalledProcessError as error:
            _give_up(f"{command.name} has no Blender {version}: {error.output.strip()}")
        archive = _archive(command, folder, settings)
        extension = ["--command", "extension", "install-file", "-r", "user_default", "--enable"]
        _run([*without_window, *extension, archive], settings, _INSTALL_TIMEOUT_S)
        shutil.rmtree(ROOT / "build" / "gui" / version, ignore_errors=True)
        yield Blender(command, version, folder, folder / "resources")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _archive(command: Path, folder: Path, settings: dict[str, str]) -> Path:
    """The extension's zip: the one that CSM_RETOPO_ZIP names, else one built by this Blender."""
    if given := os.environ.get("CSM_RETOPO_ZIP"):
        return ROOT / given
    archive = folder / "csm_retopo.zip"
    build = ["--command", "extension", "build", "--source-dir", ROOT, "--output-filepath", archive]
    _run([command, "blender", *build], settings, _INSTALL_TIMEOUT_S)
    return archive


def _environment(version: str, folder: Path) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return {
        **os.environ,
        "BLENDER_GUI": version,
        "BLENDER_USER_RESOURCES": str(folder / "resources"),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _run(command: list[Any], environment: dict[str, str], timeout_s: float) -> str:
    """Run it to its end and return what it printed; end it with all its children when it takes
    too long.
    """
    process = subprocess.Popen(
        [str(each) for each in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"Not done after {timeout_s:g} s. It printed:\n{output}", pytrace=False)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return output


def _processes_with(folder: str) -> list[str]:
    """The command lines of processes that run with settings in this folder."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"={folder}".encode() in environ.read_bytes():
                command = (environ.parent / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(command.decode(errors="replace"))
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return found


def _give_up(reason: str) -> NoReturn:
    """Skip on a developer's machine; fail where all tests must have run."""
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(reason)
    pytest.fail(reason, pytrace=False)
