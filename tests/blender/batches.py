# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches in a process of their own, to be interrupted and killed, and what they leave.

For the soak tests, too: it needs no Blender itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_RUN = """
import sys
import bpy
from bl_ext.user_default.csm_retopo import cli
sys.exit(cli.main(["import", *sys.argv[1:]]))
"""
TIMEOUT_S = 120.0
SUMMARY_FILES = ("index.html", "summary.csv", "summary.json")


def start(
    output: Path, *arguments: str | Path, python: str | Path = sys.executable
) -> subprocess.Popen[str]:
    """Start a batch, in this environment and with its settings, or by another Python."""
    return subprocess.Popen(
        [python, "-c", _RUN, *map(str, arguments), "--output", str(output)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed until its end."""
    try:
        return process.communicate(timeout=TIMEOUT_S)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_begun(output: Path, process: subprocess.Popen[str]) -> None:
    """Return when it has made its folder, where it works on sessions."""
    _wait_until(lambda: any(output.glob(".csm_retopo/run-*/")), process)


def wait_until_paused(output: Path, process: subprocess.Popen[str]) -> None:
    """Return when the service has asked it for a pause, and it has told others."""
    _wait_until(lambda: any(output.glob(".csm_retopo/*.pause")), process)


def done_sessions(output: Path) -> int:
    """How many sessions are there whole."""
    return sum(1 for _ in output.glob("*/session.blend"))


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def tree(output: Path) -> dict[str, bytes]:
    """All files below the folder with what is in them; of what Blender writes, only that it is
    there: no two are the same.
    """
    return {
        str(path.relative_to(output)): b"" if path.suffix == ".blend" else path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


def kill_until_done(
    output: Path,
    arguments: list[str | Path],
    kills: int,
    sessions: int,
    python: str | Path = sys.executable,
) -> list[int]:
    """Kill the batch (SIGKILL) so often, at random moments of its work on so many sessions; then
    let it get done. After every kill, what is there of a session is all of it.

    Returns how many sessions were there after each kill.
    """
    there = [0]
    for left in range(kills, 0, -1):
        # So that the last kill, too, comes while there is work.
        goal = there[-1] + random.randint(0, (sessions - there[-1]) // left // 2)
        process = start(output, *arguments, python=python)
        wait_until_begun(output, process)
        _wait_until(functools.partial(_has_done, output, goal), process)
        time.sleep(random.uniform(0.0, 0.1))
        process.kill()
        process.communicate(timeout=TIMEOUT_S)
        for folder in output.iterdir():
            if folder.is_dir() and not folder.name.startswith("."):
                files = sorted(path.name for path in folder.iterdir())
                assert files in (
                    ["report.json"],
                    ["report.json", "session.blend", "thumbnails.webp"],
                )
        there.append(done_sessions(output))
    process = start(output, *arguments, python=python)
    said = finish(process)
    assert process.returncode == 1, said  # one of them is not known
    return there[1:]


def _has_done(output: Path, sessions: int) -> bool:
    return done_sessions(output) >= sessions
