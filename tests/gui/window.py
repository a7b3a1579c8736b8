# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts real Blenders with a window and has `driver.py` use them, one at a time.

CSM_RETOPO_BLENDER_GUI names a command that runs Blender in a window, on a screen of its own of
1600 x 1000; without it, it is looked for beside the checkout. BLENDER_GUI tells it which version:

    COMMAND install VERSION    get that Blender, unless it is there; only asked for where CI is set
    COMMAND run ARG ...        Blender with a window and with ImageMagick's `import` on its PATH
    COMMAND blender ARG ...    Blender without a window

Limits of time are only there to end what hangs: they are generous, for machines that do much else
meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tools import environments

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
PICTURES = environments.ROOT / "build" / "gui"
SCREEN = (1600, 1000)
"""Its width and height in pixels."""

_INSTALL_TIMEOUT_S = 180
_PLAY_TIMEOUT_S = 300
# From 5.0 on, Blender loses some memory with every data transfer of UV maps, and says so at exit.
_BLENDERS_OWN = "Error: Not freed memory blocks"
_TROUBLE = ("Traceback (most recent call last)", "Error: ", "segmentation fault", "Python: ")


class WindowError(Exception):
    """What was to be done in a window failed; the text says how, and what Blender printed."""


class ActFailed(WindowError):
    """An act did not find what it was to find. Where the machine is busy, that can be because a key
    was pressed before Blender was ready for it.
    """


class Service(Protocol):
    """Where the extension is to find sessions."""

    @property
    def api_url(self) -> str:
        """Its address."""

    @property
    def key(self) -> str:
        """What it lets in."""


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

    def prepare(self, *arguments: str) -> None:
        """Run it without its window, with the settings that every act begins with.

        Raises:
            WindowError: it failed.
        """
        settings = _environment(self.version, self.folder)
        _run([self.command, "blender", *arguments], settings, _INSTALL_TIMEOUT_S)

    def run(self, *arguments: str) -> str:
        """Run it without its window, with fresh settings. Returns what it printed.

        Raises:
            WindowError: it failed.
        """
        settings = _environment(self.version, self._fresh_folder(f"{next(self.numbers):02}"))
        return _run([self.command, "blender", *arguments], settings, _PLAY_TIMEOUT_S)

    def _fresh_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        shutil.copytree(self.resources, folder / "resources")
        return folder

    def play(
        self,
        act: str,
        *options: str,
        service: Service | None = None,
        environment: dict[str, str] | None = None,
        timeout_s: float = _PLAY_TIMEOUT_S,
        size: tuple[int, int] = (1200, 1000),
        antialiasing: str = "OFF",
        leaves_at_once: bool = False,
        **arguments: Any,
    ) -> Played:
        """Run an act in a new Blender, with fresh settings.

        `options` are Blender's, `arguments` the act's. `size` is the window's width and height in
        pixels: as it is, all of the sidebar has room, and it is drawn faster than the whole screen.
        `antialiasing` is how edges are made smooth in pictures: where a processor draws them, that
        takes a third of all the time. What `leaves_at_once` doesn't quit: with --debug-all, that
        aborts, also without any add-on.

        Raises:
            ActFailed: the act did not come to its end.
            WindowError: Blender printed an error, crashed, or left something behind.
        """
        number = f"{next(self.numbers):02}"
        folder = self._fresh_folder(number)
        plan = {
            "act": act,
            "antialiasing": antialiasing,
            "arguments": arguments,
            "leaves_at_once": leaves_at_once,
            "number": f"{number}-{act.rpartition('.')[2].replace('_', '-')}",
            "paths": [str(HERE), str(HERE.parent / "blender")],
            "pictures": str(PICTURES / self.version),
            "result": str(folder / "result.json"),
        }
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        variables = {**_environment(self.version, folder), **(environment or {})}
        # Compiled once, and not by each Blender: that takes some seconds of a processor.
        variables["MESA_SHADER_CACHE_DIR"] = str(self.folder / "shaders")
        if service is not None:
            variables |= {"CSM_API_URL": service.api_url, "CSM_API_KEY": service.key}
        started_s = time.monotonic()
        width, height = size
        from_lower_left = (0, SCREEN[1] - height, width, height)
        command = [self.command, "run", "--enable-event-simulate", *options]
        command += ["--window-geometry", *from_lower_left]
        command += ["--python-exit-code", "1", "--python", HERE / "driver.py"]
        try:
            output = _run([*command, "--", folder / "plan.json"], variables, timeout_s)
        finally:
            ended_at = time.time()
        (folder / "output.txt").write_text(output, encoding="utf-8")
        try:
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WindowError(f"The act left no result. Blender printed:\n{output}") from None
        played = Played(**result, output=output, ended_at=ended_at)
        seconds = time.monotonic() - started_s
        log.info("%s %s: %.1f s, %s", self.version, act, seconds, result["facts"])
        said = "\n".join(line for line in output.splitlines() if _BLENDERS_OWN not in line)
        if any(trouble in said for trouble in _TROUBLE):
            problem = f"{played.problem}\n" if played.problem else ""
            raise WindowError(f"{problem}Blender printed:\n{output}")
        left = [*_processes_with(str(folder)), *(folder / "tmp").glob("csm-retopo-*")]
        left += folder.glob("resources/**/*.part")
        if left:
            raise WindowError(f"Blender is gone, but not what it made: {left}")
        if played.problem:
            raise ActFailed(f"{played.problem}\nBlender printed:\n{output}")
        return played


@contextlib.contextmanager
def installed(version: str, archive: Path | None = None) -> Iterator[Blender]:
    """A Blender with the extension, installed as a user would: from `archive`, or newly built.

    Raises:
        SetupError: there is no such Blender with a window here.
        WindowError: the extension could not be built or installed.
    """
    command = environments.window(version)
    # Under /tmp, whatever anybody was told: the command may see no other folder.
    folder = Path(tempfile.mkdtemp(prefix="csm_retopo_gui_", dir="/tmp"))
    try:
        settings = _environment(version, folder)
        if archive is None:
            archive = folder / "csm_retopo.zip"
            build = ["--source-dir", environments.ROOT, "--output-filepath", archive]
            tool = [command, "blender", "--command", "extension", "build"]
            _run([*tool, *build], settings, _INSTALL_TIMEOUT_S)
        tool = [command, "blender", "--online-mode", "--command", "extension", "install-file"]
        install = [*tool, "-r", "user_default", "--enable", archive]
        _run(install, settings, _INSTALL_TIMEOUT_S)
        shutil.rmtree(PICTURES / version, ignore_errors=True)
        yield Blender(command, version, folder, folder / "resources")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(version: str, folder: Path) -> dict[str, str]:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    (folder / "cache").mkdir(exist_ok=True)
    return {
        **os.environ,
        "BLENDER_GUI": version,
        "BLENDER_USER_RESOURCES": str(folder / "resources"),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(folder / "cache"),  # thumbnails
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
        raise WindowError(f"Not done after {timeout_s:g} s. It printed:\n{output}") from None
    if process.returncode:
        raise WindowError(f"Exit code {process.returncode}, printed:\n{output}")
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
