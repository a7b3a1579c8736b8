# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the checks: `check.py lint types`, or `check.py all` for all of them and a summary."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tomllib
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import environments
import stubs
from environments import BLENDERS, ROOT, SetupError

BUILD = ROOT / "build"
NOT_CODE = {"build", "sample", "tests"}


class CheckFailed(Exception):
    """A check did not pass; the text says which and how, in a few words."""


@dataclass(frozen=True)
class Tests:
    """How many tests passed and were skipped."""

    passed: int
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} ({self.skipped} skipped)" if self.skipped else str(self.passed)


def lint() -> str:
    """Check style, likely bugs and formatting."""
    python = environments.interpreter("lint")
    _run([python, "-m", "ruff", "check", ROOT], 120)
    _run([python, "-m", "ruff", "format", "--check", ROOT], 120)
    return "ruff"


def types() -> str:
    """Check the types of the extension as the package `csm_retopo`."""
    python = environments.interpreter("types")
    (installed,) = python.parent.parent.glob("lib/python*/site-packages")
    folder = BUILD / "types"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        stubs.write(installed, folder)
    except stubs.StubsChanged as error:
        raise CheckFailed(f"tests/tools/stubs.py: {error}") from None
    _link_package(folder / "csm_retopo")
    command = [python, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
    command += ["--cache-dir", BUILD / "mypy", "--package", "csm_retopo"]
    _run(command, 600, folder=folder)
    return "mypy"


def api(name: str) -> Tests:
    """Test `api/` with the requirements of that name."""
    return _pytest(name, environments.interpreter(name), "tests/api", 900)


def build() -> str:
    """Validate and build the extension with the oldest supported Blender's own tool."""
    python = environments.interpreter(f"blender-{BLENDERS[0]}")
    tool = ROOT / "tests" / "tools" / "extension.py"
    archive = _archive()
    archive.unlink(missing_ok=True)
    for arguments in (["validate", ROOT], ["build", archive], ["validate", archive]):
        _run([python, "-B", tool, *arguments], 120)
    return f"extension built ({archive.stat().st_size / 1e6:.1f} MB)"


def blender(version: str, log: Path | None = None) -> Tests:
    """Test the built extension in that Blender. What pytest prints goes to `log`, if given."""
    if not _archive().is_file():
        raise CheckFailed("there is no extension to install")
    python = environments.blender_interpreter(version)
    return _pytest(f"blender-{version}", python, "tests/blender", 1200, log)


def browser() -> Tests:
    """Test the report's page in a real browser."""
    environments.browser()
    return _pytest("browser", environments.interpreter("api"), "tests/browser", 600)


def gui() -> Tests:
    """Test the built extension in the window of a Blender, as tests/gui/conftest.py describes."""
    if not _archive().is_file():
        raise CheckFailed("there is no extension to install")
    return _pytest("gui", environments.interpreter("api"), "tests/gui", 1800)


CHECKS: dict[str, Callable[[], str | Tests]] = {
    "lint": lint,
    "types": types,
    "api": partial(api, "api"),
    "api-oldest": partial(api, "api-oldest"),
    "browser": browser,
    "build": build,
}
BY_NAME = {
    **CHECKS,
    **{f"blender-{version}": partial(blender, version) for version in BLENDERS},
    "gui": gui,
}
"""`gui` is no part of `all`: it needs a Blender with a window."""


def main() -> int:
    """Run the checks that the command line names; return 1 if one failed."""
    names = sys.argv[1:]
    if names == ["all"]:
        return _run_all()
    for name in names:
        _announce(name)
        try:
            result = BY_NAME[name]()
        except (CheckFailed, SetupError) as error:
            print(f"{name}: FAILED: {error}", flush=True)
            return 1
        print(f"{name}: passed: {_counted(name, result)}", flush=True)
    return 0


def _run_all() -> int:
    results: dict[str, str | Tests] = {}
    problems: list[str] = []

    def attempt(name: str, check: Callable[[], str | Tests]) -> None:
        try:
            results[name] = check()
        except (CheckFailed, SetupError) as error:
            print(f"{name}: FAILED: {error}", flush=True)
            problems.append(f"{name}: {error}")

    def attempt_blender(version: str) -> None:
        name = f"blender-{version}"
        log = BUILD / "reports" / f"{name}.log"
        attempt(name, partial(blender, version, log))
        if log.is_file():
            print(f"\n== {name}\n{log.read_text(errors='replace')}", end="", flush=True)

    for name, check in CHECKS.items():
        _announce(name)
        attempt(name, check)
    _announce(f"the tests in Blender {', '.join(BLENDERS)}, two at a time")
    with contextlib.suppress(SetupError):  # told below
        for version in BLENDERS:  # one after the other: only one can install system packages
            environments.blender_interpreter(version)
    # Much of a test's time is waiting for a process of its own.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(attempt_blender, BLENDERS))
    if problems:
        print(f"test: FAILED: {'; '.join(problems)}")
        return 1
    print(f"test: passed: {', '.join(_summary(results))}")
    return 0


def _summary(results: dict[str, str | Tests]) -> Iterator[str]:
    for name in ("lint", "types", "api", "api-oldest", "browser"):
        yield _counted(name, results[name])
    in_blender = [str(results[f"blender-{version}"]) for version in BLENDERS]
    if len(set(in_blender)) == 1:
        yield f"{in_blender[0]} x {len(BLENDERS)} Blenders"
    else:
        yield f"{' + '.join(in_blender)} in {len(BLENDERS)} Blenders"
    yield str(results["build"])


def _counted(name: str, result: str | Tests) -> str:
    return f"{result} {name}" if isinstance(result, Tests) else result


def _announce(name: str) -> None:
    print(f"\n== {name}", flush=True)


def _archive() -> Path:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    return BUILD / f"csm_retopo-{manifest['version']}.zip"


def _link_package(package: Path) -> None:
    """Make the folder `package` hold links to the extension's code.

    The checkout itself may have any name, and holds more than the package.
    """
    package.mkdir()
    for path in ROOT.iterdir():
        is_room = (path / "__init__.py").is_file() and path.name not in NOT_CODE
        if is_room or path.suffix == ".py":
            (package / path.name).symlink_to(path)


def _pytest(
    name: str, python: Path, folder: str, timeout_s: float, log: Path | None = None
) -> Tests:
    """Run the tests in `folder` and count them."""
    report = BUILD / "reports" / f"{name}.xml"
    report.unlink(missing_ok=True)
    report.parent.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "pytest", f"--junitxml={report}", folder]
    try:
        if log is None:
            _run(command, timeout_s)
        else:
            with log.open("wb") as output:
                _run(command, timeout_s, output=output)
    except CheckFailed as failure:
        raise CheckFailed(f"{failure}{_broken_tests(report)}") from None
    counts = _counts(report)
    passed = counts["tests"] - counts["skipped"]
    if not passed:
        raise CheckFailed("no test ran")
    return Tests(passed, counts["skipped"])


def _broken_tests(report: Path) -> str:
    if not report.is_file():
        return ""
    counts = _counts(report)
    return f", {counts['failures'] + counts['errors']} of {counts['tests']} tests failed"


def _counts(report: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for suite in xml.etree.ElementTree.parse(report).iter("testsuite"):
        for key in ("tests", "skipped", "failures", "errors"):
            counts[key] += int(suite.get(key, 0))
    return counts


def _run(
    command: list[str | Path],
    timeout_s: float,
    folder: Path = ROOT,
    output: BinaryIO | None = None,
) -> None:
    """Run the command to its end, and end it with all its children after `timeout_s`.

    Raises:
        CheckFailed: its exit code was not 0, or it took too long.
    """
    environment = {**os.environ, "CSM_RETOPO_ZIP": str(_archive())}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"not done after {timeout_s:g} s") from None
    finally:
        # What it started and left running must not outlive it, nor hold a terminal or a pipe.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code < 0:
        raise CheckFailed(f"ended by {signal.Signals(-code).name}")
    if code:
        raise CheckFailed(f"exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
