# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the virtual environments that the checks run in, one for each tests/requirements/*.txt.

As a program it prints the interpreter of one: `environments.py blender-5.0`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / os.environ.get("ENVS", ".venv")
REQUIREMENTS = ROOT / "tests" / "requirements"
BLENDERS = tuple(
    sorted(path.stem.removeprefix("blender-") for path in REQUIREMENTS.glob("blender-*.in"))
)

# Libraries that the bpy module takes from the system, with the Debian and Ubuntu package of each.
SYSTEM_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libICE.so.6": "libice6",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libgomp.so.1": "libgomp1",
    "libxkbcommon.so.0": "libxkbcommon0",
}

WINDOWS = ("5.2", "4.3")
"""The Blenders whose window is tested."""
WINDOW_COMMAND_VARIABLE = "CSM_RETOPO_BLENDER_GUI"

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_PACKAGES = ("chromium", "fonts-dejavu-core")


class SetupError(Exception):
    """An environment could not be made; the text says what to do."""


def python_version(name: str) -> str:
    """Return the Python that the environment `name` is made with."""
    return "3.13" if name == "blender-5.2" else "3.11"


def interpreter(name: str) -> Path:
    """Return the Python of the environment `name`, made first unless it is there and up to date.

    Raises:
        SetupError: no fitting Python, or the installation failed.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    if not requirements.is_file():
        raise SetupError(f"there is no {requirements.relative_to(ROOT)}")
    folder = ENVS / name
    python = folder / "bin" / "python"
    ENVS.mkdir(parents=True, exist_ok=True)
    with (ENVS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "installed.txt"
        if not _is_current(python, stamp, requirements):
            print(f"{name}: installing", file=sys.stderr, flush=True)
            _install(name, folder, requirements)
            shutil.copyfile(requirements, stamp)
    return python


def blender_interpreter(version: str) -> Path:
    """Return the Python in which `import bpy` gives that Blender.

    Raises:
        SetupError: as `interpreter`, or system libraries are missing.
    """
    python = interpreter(f"blender-{version}")
    problem = _import_problem(python)
    if problem and (missing := _missing_libraries(python)):
        packages = sorted({SYSTEM_PACKAGES.get(library, library) for library in missing})
        _install_packages(
            packages, f"Blender {version} does not start: the system lacks {', '.join(missing)}"
        )
        problem = _import_problem(python)
    if problem:
        raise SetupError(f"Blender {version} does not start: {problem}")
    return python


def browser() -> str:
    """Return the command of a Chromium or Chrome: what CSM_RETOPO_BROWSER names, else one of PATH.

    Raises:
        SetupError: there is none, and none could be installed.
    """
    if given := os.environ.get("CSM_RETOPO_BROWSER"):
        if command := shutil.which(given):
            return command
        raise SetupError(f"CSM_RETOPO_BROWSER names {given}, which is no program")
    if not any(map(shutil.which, BROWSERS)):
        _install_packages(list(BROWSER_PACKAGES), "there is no Chromium to look at pages with")
    return next(command for each in BROWSERS if (command := shutil.which(each)))


def strace() -> str:
    """Return the command that tells which files a process opens.

    Raises:
        SetupError: there is none, and none could be installed.
    """
    if not shutil.which("strace"):
        _install_packages(["strace"], "there is no strace to see with which files are opened")
    return "strace"


def window(version: str) -> Path:
    """Return the command that runs Blender in a window, as tests/gui/conftest.py describes it.

    That Blender is installed first where nobody can be asked to.

    Raises:
        SetupError: there is no such command, or it has no Blender of that version.
    """
    given = os.environ.get(WINDOW_COMMAND_VARIABLE)
    command = Path(given) if given else ROOT.parent / "shared" / "tools" / "blender-gui"
    if not (command.is_file() and os.access(command, os.X_OK)):
        found = f"names {given}, which is no program" if given else "is not set"
        raise SetupError(
            f"there is no command that runs Blender in a window: {WINDOW_COMMAND_VARIABLE} {found}"
        )
    if problem := _window_problem(command, version):
        install = [str(command), "install", version]
        if not _may_install_packages():
            raise SetupError(f"{problem}; as root: {' '.join(install)}")
        print(f"the window of Blender {version}: installing", file=sys.stderr, flush=True)
        _run([*install])
        problem = _window_problem(command, version)
    if problem:
        raise SetupError(problem)
    return command


def missing_windows() -> dict[str, str]:
    """Why a Blender's window can't be had, by version; where all tests must run, that is an error.

    Raises:
        SetupError: as `window`.
    """
    reasons = {}
    for version in WINDOWS:
        try:
            window(version)
        except SetupError as error:
            if is_ci():
                raise
            reasons[version] = str(error)
    return reasons


def is_ci() -> bool:
    """Whether nobody answers questions, and all tests must run."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _window_problem(command: Path, version: str) -> str:
    """Return why the command can't run that Blender, or an empty string."""
    tried = subprocess.run(
        [command, "blender", "--version"],
        check=False,
        env={**os.environ, "BLENDER_GUI": version},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120,
    )
    if tried.returncode == 0:
        return ""
    return f"{command.name} has no Blender {version}: {tried.stdout.strip()[-200:]}"


def _is_current(python: Path, stamp: Path, requirements: Path) -> bool:
    if not stamp.is_file() or stamp.read_bytes() != requirements.read_bytes():
        return False
    try:
        return subprocess.run([python, "-c", ""], check=False).returncode == 0
    except OSError:
        return False


def _install(name: str, folder: Path, requirements: Path) -> None:
    python = folder / "bin" / "python"
    _run([_base_python(name), "-m", "venv", "--clear", folder])
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # What is built first would bring tools that no hash is known of.
    options = ["-qq", "--require-hashes", "--only-binary", ":all:"]
    _run([*pip, "install", *options, "-r", requirements])


def _base_python(name: str) -> str:
    found = subprocess.run(
        [ROOT / "tests" / "tools" / "python.sh", python_version(name)],
        check=False,
        capture_output=True,
        text=True,
    )
    if found.returncode:
        raise SetupError(found.stderr.strip())
    return found.stdout.strip()


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise SetupError(f"failed with exit code {done.returncode}: {' '.join(map(str, command))}")


def _import_problem(python: Path) -> str:
    """Return why `import bpy` fails, or an empty string."""
    tried = subprocess.run(
        [python, "-c", "import bpy"], check=False, capture_output=True, text=True, timeout=120
    )
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().splitlines()
    return lines[-1] if lines else f"import bpy ended with exit code {tried.returncode}"


def _missing_libraries(python: Path) -> list[str]:
    if not shutil.which("ldd"):
        return []
    modules = python.parent.parent.glob("lib/python*/site-packages/bpy/__init__.so")
    listed = subprocess.run(["ldd", *modules], check=False, capture_output=True, text=True).stdout
    return sorted({line.split()[0] for line in listed.splitlines() if "not found" in line})


def _may_install_packages() -> bool:
    return is_ci() and os.geteuid() == 0 and bool(shutil.which("apt-get"))


def _install_packages(packages: list[str], problem: str) -> None:
    """Install Debian's or Ubuntu's packages where nobody can be asked to.

    Raises:
        SetupError: elsewhere; the text says what to install, after `problem`.
    """
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if not _may_install_packages():
        raise SetupError(f"{problem}; on Debian and Ubuntu: sudo {' '.join(command)}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    _run(["apt-get", "update", "--quiet"])
    _run([*command])


def main() -> int:
    """Print the interpreter of the environment that the command line names."""
    name = sys.argv[1]
    try:
        if name.startswith("blender-"):
            print(blender_interpreter(name.removeprefix("blender-")))
        else:
            print(interpreter(name))
    except SetupError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
