# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the checks: `check.py lint types`, or `check.py all` for all of them and a summary."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import environments
import hardening
import stubs
from environments import BLENDERS, ROOT, WINDOWS, SetupError

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


Log = Path | None
"""The file to which what a check prints is added; without one it is shown at once."""


def lint(log: Log = None) -> str:
    """Check style, likely bugs and formatting."""
    python = environments.interpreter("lint")
    _run([python, "-m", "ruff", "check", ROOT], 300, log=log)
    _run([python, "-m", "ruff", "format", "--check", ROOT], 300, log=log)
    return "ruff"


def types(log: Log = None) -> str:
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
    _run(command, 900, folder=folder, log=log)
    return "mypy"


def api(name: str, log: Log = None) -> Tests:
    """Test `api/` with the requirements of that name."""
    return _pytest(name, environments.interpreter(name), "tests/api", 1800, log)


def build(log: Log = None) -> str:
    """Validate and build the extension with the oldest supported Blender's own tool."""
    python = environments.interpreter(f"blender-{BLENDERS[0]}")
    tool = ROOT / "tests" / "tools" / "extension.py"
    archive = _archive()
    archive.unlink(missing_ok=True)
    for arguments in (["validate", ROOT], ["build", archive], ["validate", archive]):
        _run([python, "-B", tool, *arguments], 120, log=log)
    return f"extension built ({archive.stat().st_size / 1e6:.1f} MB)"


def blender(version: str, log: Log = None) -> Tests:
    """Test the built extension in that Blender."""
    _require_archive()
    python = environments.blender_interpreter(version)
    return _pytest(f"blender-{version}", python, "tests/blender", 3600, log)


def browser(log: Log = None) -> Tests:
    """Test the report's page in a real browser."""
    environments.browser()
    return _pytest("browser", environments.interpreter("api"), "tests/browser", 900, log)


def dask(log: Log = None) -> Tests:
    """Test batches on a cluster, where Dask is installed beside Blender."""
    _require_archive()
    environments.blender_interpreter("5.0")  # it is the same Blender
    return _pytest(
        "dask", environments.interpreter("dask"), "tests/blender/test_cluster.py", 900, log
    )


def gui(log: Log = None) -> Tests | str:
    """Test the built extension in the windows of Blenders, as tests/gui/conftest.py describes.

    A text says that no Blender has a window here, where not all tests have to run.
    """
    _require_archive()
    reasons = environments.missing_windows()
    if len(reasons) == len(WINDOWS):
        return f"no window tested: {'; '.join(dict.fromkeys(reasons.values()))}"
    return _pytest("gui", environments.interpreter("api"), "tests/gui", 5400, log)


def soak(log: Log = None) -> Tests:
    """Try for long what the other tests try briefly; the table in SECURITY.md is made of it."""
    _require_archive()
    environments.strace()
    for version in BLENDERS:
        environments.blender_interpreter(version)
    try:
        tests = _pytest("soak", environments.interpreter("api"), "tests/soak", 6 * 3600, log)
    finally:
        print(hardening.write(), flush=True)
    return tests


CHECKS: dict[str, Callable[[Log], str | Tests]] = {
    "build": build,
    "gui": gui,
    **{f"blender-{version}": partial(blender, version) for version in BLENDERS},
    "lint": lint,
    "types": types,
    "api": partial(api, "api"),
    "api-oldest": partial(api, "api-oldest"),
    "browser": browser,
    "dask": dask,
    "soak": soak,
}
"""In the order in which they are begun: others need what is built, and the long ones come early, so
that all that run side by side end at the same time.
"""
NOT_IN_ALL = ("soak",)
"""It takes many minutes."""


def main() -> int:
    """Run the checks that the command line names; return 1 if one failed."""
    names = sys.argv[1:]
    if names == ["all"]:
        return _run_all()
    for name in names:
        print(f"\n== {name}", flush=True)
        try:
            result = CHECKS[name](None)
        except (CheckFailed, SetupError) as error:
            print(f"{name}: FAILED: {error}", flush=True)
            return 1
        print(f"{name}: passed: {_counted(name, result)}", flush=True)
    return 0


def _run_all() -> int:
    """Run all checks, two at a time: much of a test's time is waiting for a process of its own."""
    results: dict[str, str | Tests] = {}
    problems: list[str] = []
    printing = threading.Lock()

    def attempt(name: str) -> None:
        start_s = time.monotonic()
        log = BUILD / "reports" / f"{name}.log"
        log.unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            results[name] = CHECKS[name](log)
            verdict = "passed"
        except (CheckFailed, SetupError) as error:
            problems.append(f"{name}: {error}")
            verdict = f"FAILED: {error}"
        with printing:
            said = log.read_text(errors="replace") if log.is_file() else ""
            took_s = time.monotonic() - start_s
            print(f"\n== {name}\n{said}{name}: {verdict} ({took_s:.0f} s)", flush=True)

    first, *others = (name for name in CHECKS if name not in NOT_IN_ALL)
    print(f"{1 + len(others)} checks, two at a time; each is shown at its end", flush=True)
    _set_up()
    attempt(first)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(attempt, others))
    if problems:
        print(f"test: FAILED: {'; '.join(problems)}")
        return 1
    print(f"test: passed: {', '.join(_summary(results))}")
    return 0


def _set_up() -> None:
    """Make what the checks need, one after the other: only one can install system packages."""
    needed: list[Callable[[], object]] = [
        *(partial(environments.blender_interpreter, version) for version in BLENDERS),
        environments.browser,
        environments.missing_windows,
        environments.strace,
    ]
    for each in needed:
        with contextlib.suppress(SetupError):  # the check that needs it tells
            each()


def _summary(results: dict[str, str | Tests]) -> Iterator[str]:
    for name in ("lint", "types", "api", "api-oldest", "browser", "dask"):
        yield _counted(name, results[name])
    in_blender = [str(results[f"blender-{version}"]) for version in BLENDERS]
    if len(set(in_blender)) == 1:
        yield f"{in_blender[0]} x {len(BLENDERS)} Blenders"
    else:
        yield f"{' + '.join(in_blender)} in {len(BLENDERS)} Blenders"
    in_windows = results["gui"]
    yield f"{in_windows} in windows" if isinstance(in_windows, Tests) else in_windows
    yield str(results["build"])


def _counted(name: str, result: str | Tests) -> str:
    return f"{result} {name}" if isinstance(result, Tests) else result


def _archive() -> Path:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    return BUILD / f"csm_retopo-{manifest['version']}.zip"


def _require_archive() -> None:
    if not _archive().is_file():
        raise CheckFailed("there is no extension to install")


def _link_package(package: Path) -> None:
    """Make the folder `package` hold links to the extension's code.

    The checkout itself may have any name, and holds more than the package.
    """
    package.mkdir()
    for path in ROOT.iterdir():
        is_room = (path / "__init__.py").is_file() and path.name not in NOT_CODE
        if is_room or path.suffix == ".py":
            (package / path.name).symlink_to(path)


def _pytest(name: str, python: Path, folder: str, timeout_s: float, log: Log) -> Tests:
    """Run the tests in `folder` and count them."""
    report = BUILD / "reports" / f"{name}.xml"
    report.unlink(missing_ok=True)
    report.parent.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "pytest", f"--junitxml={report}", folder]
    try:
        _run(command, timeout_s, log=log)
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
    command: list[str | Path], timeout_s: float, *, folder: Path = ROOT, log: Log = None
) -> None:
    """Run the command to its end, and end it with all its children after `timeout_s`.

    Raises:
        CheckFailed: its exit code was not 0, or it took too long.
    """
    environment = {**os.environ, "CSM_RETOPO_ZIP": str(_archive())}
    with log.open("ab") if log else contextlib.nullcontext() as output:
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
