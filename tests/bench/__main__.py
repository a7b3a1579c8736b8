# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the measurements, prints what came out beside what must be reached, and writes it as JSON.

Exit code 0 when every limit holds. `--profile` shows instead where the time of an import goes.
What an artist feels is measured in the windows of Blender 5.2 and 4.3, by `--only window` alone:
that needs the command that tests/gui/window.py describes, and is left out where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import batch, reporting, window as in_window  # noqa: E402
from bench.reporting import Limit  # noqa: E402
from bench.service import Network, Service, serving  # noqa: E402
from bench.sessions import SessionSize, write_session  # noqa: E402
from tools import environments, extension  # noqa: E402

RESULTS = extension.ROOT / "build" / "bench.json"
TIMEOUT_S = 120.0

REALISTIC = Network(latency_s=0.08, connect_latency_s=0.16, bandwidth_bps=5e6)
# Everything arrives at once: the hardest for the main thread.
FAST = Network()

NORMAL = SessionSize("SESSION_1747336753_0000001", 8, 8_000, 300_000)
WITH_SOURCE = SessionSize("SESSION_1747336753_0000002", 8, 8_000, 300_000, source_faces=100_000)
LARGE = SessionSize("SESSION_1747336753_0000003", 6, 200_000, 300_000)
HUGE = SessionSize("SESSION_1747336753_0000004", 1, 1_000_000, 300_000)

IN_WINDOW = (
    (SessionSize("SESSION_1747336753_0000005", 8, 8_000, 300_000, source_faces=500_000), 50.0),
    (SessionSize("SESSION_1747336753_0000006", 6, 200_000, 300_000, source_faces=500_000), 50.0),
    (SessionSize("SESSION_1747336753_0000007", 1, 1_000_000, 300_000, source_faces=500_000), 100.0),
)
"""With the limit of each in milliseconds for a step of the add-on."""
WINDOW_ROUNDS = 3
DRAW_LIMIT_MS = 1.0

Runs = list[dict[str, Any]]


class BenchError(Exception):
    """Something could not be measured; the text says why."""


class Bench:
    """A folder with settings of its own for Blender, the extension installed there."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.rounds = rounds
        self.limits: list[Limit] = []
        self.raw: dict[str, Any] = {}
        self._folder = folder
        self._count = 0
        self._resources = folder / "resources"

    def install(self) -> None:
        """Build the extension and install it."""
        archive = self._folder / "csm_retopo.zip"
        extension.build(archive)
        self.run("install", None, archive=str(archive))

    def write(self, size: SessionSize) -> Path:
        """Make a session's folder."""
        folder = self._folder / size.session_id
        write_session(folder, size)
        return folder

    def clear_cache(self) -> None:
        """Have the next import fetch and convert everything."""
        for folder in self._resources.glob("extensions/.user/*/csm_retopo/cache"):
            shutil.rmtree(folder)

    def scratch(self) -> str:
        """A new, empty folder."""
        self._count += 1
        folder = self._folder / f"scratch_{self._count}"
        folder.mkdir()
        return str(folder)

    def run(
        self,
        contender: str,
        service: Service | None,
        on_ask: Callable[[str], None] = lambda what: None,
        *,
        python: str | Path = sys.executable,
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> dict[str, Any]:
        """One contender in a fresh Blender, and its result."""
        process = subprocess.Popen(
            [python, HERE / "contenders.py", contender, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(service),
            start_new_session=True,
        )
        return _result_of(contender, process, on_ask, timeout_s)

    def environment(self, service: Service | None) -> dict[str, str]:
        """The variables for a Blender with the extension."""
        environment = {
            name: value
            for name, value in os.environ.items()
            # Blender compiles what it runs once, and so is it here.
            if name not in ("PYTHONDONTWRITEBYTECODE", "CSM_API_KEY", "CSM_API_URL")
        }
        environment["BLENDER_USER_RESOURCES"] = str(self._resources)
        if service is not None:
            environment.update(CSM_API_URL=service.api_url, CSM_API_KEY=service.key)
        return environment

    def remove(self, folder: str) -> None:
        """Remove what `scratch` made."""
        shutil.rmtree(folder)

    def check(self, limit: Limit) -> None:
        """Note and print a limit."""
        self.limits.append(limit)
        reporting.print_limit(limit)

    def click_to_placed(self) -> None:
        """Click to last object placed, beside the obvious script and beside the floor."""
        reporting.print_title(
            f"Click to last object placed ({NORMAL.variations} variations of {NORMAL.faces:,} "
            "quads, previews, no source)"
        )
        runs: dict[str, Runs] = {"script": [], "floor": [], "called": [], "pumped": []}
        with serving([self._folder / NORMAL.session_id], REALISTIC) as service:
            access = {"api_url": service.api_url, "key": service.key}
            session = {"session_id": NORMAL.session_id}
            for number in range(self.rounds):
                # Whoever comes first finds the machine in another state than the others.
                names = list(runs)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    if name in ("script", "floor"):
                        extra = {**access, "folder": self.scratch()}
                    else:
                        extra = {}
                        self.clear_cache()
                    result = self.run(name, service, **session, **extra)
                    _expect_faces(name, result, NORMAL)
                    runs[name].append(result)
        self.raw["click_to_placed"] = runs
        script_s, floor_s = _median(runs["script"]), _median(runs["floor"])
        parts = ", ".join(
            f"{text} {_median(runs['floor'], key):.3f}"
            for text, key in (
                ("fetch", "fetch_s"),
                ("start", "start_s"),
                ("import", "import_s"),
                ("append", "append_s"),
            )
        )
        reporting.print_times("obvious script", [each["total_s"] for each in runs["script"]])
        reporting.print_times("floor", [each["total_s"] for each in runs["floor"]], parts)
        for name, text in (("called", "called by a script"), ("pumped", "moved on by the timer")):
            times = [each["total_s"] for each in runs[name]]
            reporting.print_times(f"extension, {text}", times)
            ours_s = median(times)
            self.check(
                Limit(f"as fast as the script ({text})", script_s / ours_s, 4.0, "x", at_least=True)
            )
            self.check(Limit(f"of the floor ({text})", ours_s / floor_s, 1.3, "x"))

    def second_import(self) -> None:
        """The same session again: one request, nothing converted."""
        reporting.print_title("The same session again")
        asked: list[str] = []
        with serving([self._folder / NORMAL.session_id], REALISTIC) as service:
            self.clear_cache()
            result = self.run(
                "again",
                service,
                lambda what: asked.clear() if service.take_requests() else None,
                api_url=service.api_url,
                key=service.key,
                session_id=NORMAL.session_id,
                times=self.rounds,
            )
            asked += service.take_requests()
            restarted = [
                self.run("restarted", service, session_id=NORMAL.session_id)
                for _ in range(self.rounds)
            ]
            asked += service.take_requests()
        self.raw["second_import"] = {**result, "restarted": restarted, "requests": asked}
        others = [each for each in asked if not each.startswith("api ")]
        bare_s = median(result["bare_s"])
        reporting.print_times("the bare request", result["bare_s"])
        reporting.print_times("into the scene that has it", result["same_s"])
        reporting.print_times("into an empty file", result["empty_s"])
        reporting.print_times(
            "in a Blender just started", [each["total_s"] for each in restarted], "not judged"
        )
        for text, key in (("the scene that has it", "same_s"), ("an empty file", "empty_s")):
            beyond_ms = (median(result[key]) - bare_s) * 1e3
            self.check(Limit(f"beyond the request, into {text}", beyond_ms, 100.0, "ms"))
        # A bare request and two imports a round, then the restarted ones.
        expected = 4 * self.rounds
        self.check(Limit("requests too many or too few", abs(len(asked) - expected), 0, ""))
        self.check(Limit("requests for files", len(others), 0, ""))
        self.check(Limit("processes started", result["processes"], 0, ""))

    def holds(self, size: SessionSize, limit_ms: float) -> None:
        """The longest hold of the main thread."""
        count = f"{size.variations} variations" if size.variations > 1 else "1 variation"
        reporting.print_title(f"Longest hold of the main thread ({count} of {size.faces:,} faces)")
        runs: dict[str, Runs] = {"script": [], "pumped": []}
        with serving([self._folder / size.session_id], FAST) as service:
            for _ in range(self.rounds):
                folder = self.scratch()
                runs["script"].append(
                    self.run(
                        "script",
                        service,
                        api_url=service.api_url,
                        key=service.key,
                        session_id=size.session_id,
                        folder=folder,
                    )
                )
                shutil.rmtree(folder)
                self.clear_cache()
                runs["pumped"].append(self.run("pumped", service, session_id=size.session_id))
                for name, results in runs.items():
                    _expect_faces(name, results[-1], size)
        self.raw[f"holds_{size.faces}"] = runs
        reporting.print_holds(runs)
        longest_ms = median(each["longest_s"] for each in runs["pumped"]) * 1e3
        self.check(Limit("longest hold", longest_ms, limit_ms, "ms"))

    def enabling(self) -> None:
        """What enabling the extension costs."""
        reporting.print_title("Enabling")
        runs = [self.run("enabling", None) for _ in range(self.rounds)]
        self.raw["enabling"] = runs
        reporting.print_times("import and register", [each["whole_s"] for each in runs])
        register_ms = median(each["register_s"] for each in runs) * 1e3
        self.check(Limit("register()", register_ms, 10.0, "ms"))
        requests = sum(each["brings_requests"] for each in runs)
        self.check(Limit("times that it imports requests", requests, 0, ""))

    def deviation(self) -> None:
        """The distances between a variation and its source, beside MeshLab's."""
        meshes = str(Path(self.scratch(), "meshes.npz"))
        ours = self.run("deviation", None, meshes=meshes, rounds=self.rounds)
        reporting.print_title(
            f"Deviation and coverage, {ours['variation_faces']:,} quads and a source of "
            f"{ours['source_faces']:,} triangles"
        )
        command = [environments.interpreter("meshlab"), HERE / "deviation.py", meshes]
        done = subprocess.run(
            [*command, str(ours["samples"]), str(self.rounds)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
        )
        theirs = json.loads(done.stdout)
        self.raw["deviation"] = {"ours": ours, "meshlab": theirs}
        reporting.print_times("a Python loop over BVHTree, vertices only", ours["loop_s"])
        for name, what, allowed_percent in (
            ("vertices", "at the vertices", 0.1),
            ("surface", "also on the surfaces", 2.0),
        ):
            ours_s, theirs_s = ours[name]["times_s"], theirs[name]["times_s"]
            reporting.print_times(f"MeshLab, {what}", theirs_s)
            reporting.print_times(f"extension, {what}", ours_s)
            self.check(
                Limit(f"of MeshLab's time ({what})", median(ours_s) / median(theirs_s), 1.0, "x")
            )
            metrics = ours[name]["metrics"]
            apart = max(
                abs(metrics[f"{kind}_{of}"] / theirs[name]["metrics"][f"{kind}_{of}"] - 1)
                for kind in ("deviation", "coverage")
                for of in ("mean", "rms", "max")
            )
            text = f"apart from MeshLab at most ({what})"
            self.check(Limit(text, apart * 100, allowed_percent, "%"))

    def metrics(self, size: SessionSize) -> None:
        """What measuring a mesh takes, beside its import and beside the loops over a bmesh."""
        reporting.print_title(f"Metrics of {size.faces:,} faces")
        mesh = self._folder / size.session_id / "retopo_mesh_0.obj"
        runs = []
        for number in range(self.rounds):
            # Whoever comes second finds memory that the process has used before.
            loops_first = number % 2 == 1
            runs.append(self.run("measured", None, path=str(mesh), loops_first=loops_first))
            _expect_faces("measured", runs[-1], size)
        self.raw["metrics"] = runs
        for text, key in (
            ("loops over a bmesh", "bmesh_s"),
            ("Blender's import of the mesh", "import_s"),
            ("extension", "measure_s"),
        ):
            reporting.print_times(text, [each[key] for each in runs])
        measure_s = _median(runs, "measure_s")
        times_as_fast = _median(runs, "bmesh_s") / measure_s
        self.check(Limit("as fast as the loops", times_as_fast, 10.0, "x", at_least=True))
        self.check(Limit("of the import", measure_s / _median(runs, "import_s"), 1.5, "x"))

    def colors(self) -> None:
        """What it takes until all variations show colors."""
        variations, faces = 8, 50_000
        # Of triangles only, nearly every vertex is a pole.
        for what, share in (("quads, a few triangles", 0.04), ("triangles", 1.0)):
            reporting.print_title(f"Colors on {variations} variations of {faces:,} {what}")
            options = {"variations": variations, "faces": faces, "triangles_share": share}
            result = self.run("colors", None, **options, rounds=self.rounds)
            if result["faces"] != variations * faces:
                raise BenchError(f"colors: {result['faces']:,} faces in the scene")
            self.raw[f"colors of {what}"] = result
            for kind, times_s in result["times_s"].items():
                reporting.print_times(kind, times_s, "" if share < 1 else "not judged")
            if share < 1:
                slowest_ms = max(median(each) for each in result["times_s"].values()) * 1e3
                self.check(Limit("the slowest of them", slowest_ms, 100.0, "ms"))

    def window(self) -> None:
        """What an artist feels, in the windows that there are here."""
        missing = environments.missing_windows()
        for version, why in missing.items():
            reporting.print_title(f"In the window of Blender {version}: NOT MEASURED: {why}")
        sizes = [(size, limit_ms, self.write(size)) for size, limit_ms in IN_WINDOW]
        for version in environments.WINDOWS:
            if version in missing:
                continue
            with in_window.installed(version, self._folder / "csm_retopo.zip") as blender:
                for size, limit_ms, folder in sizes:
                    self._window_import(blender, size, limit_ms, folder)
                self._window_draw(blender)

    def _window_import(
        self, blender: in_window.Blender, size: SessionSize, limit_ms: float, folder: Path
    ) -> None:
        reporting.print_title(
            f"In the window of Blender {blender.version}: {size.variations} x {size.faces:,} "
            f"faces, a source of {size.source_faces:,}"
        )
        rounds = min(self.rounds, WINDOW_ROUNDS)
        both = list(in_window.imports(blender, folder, size, rounds))
        script, ours = ([pair[each] for pair in both] for each in (0, 1))
        self.raw[f"window_{blender.version}_{size.faces}"] = {"script": script, "ours": ours}
        for runs in (script, ours):
            for each in runs:
                _expect_faces("window", each, size)
        reporting.print_times("script, all of it is one hold", [each["total_s"] for each in script])
        reporting.print_times("script, longest gap", [each["gap_s"] for each in script])
        reporting.print_times("extension, click to placed", [each["total_s"] for each in ours])
        reporting.print_times("extension, longest gap", [each["gap_s"] for each in ours])
        reporting.print_times("extension, longest step", [each["step_s"] for each in ours])
        slowest = max(ours, key=lambda each: each["step_s"])
        for each in slowest["longest"]:
            parts = ", ".join(f"{name} {ms:.1f} ms" for name, ms in each["parts_ms"].items())
            print(f"     {each['s'] * 1e3:7.1f} ms  {each['name']}: {parts or 'nothing known'}")
        step_ms = _median(ours, "step_s") * 1e3
        self.check(Limit("longest step of the add-on", step_ms, limit_ms, "ms"))
        gap = _median(ours, "gap_s") / _median(script, "gap_s")
        self.check(Limit("longest gap, of the script's", gap, 0.999, "x"))
        timers = max(each["timers_before"] + each["timers_after"] for each in ours)
        self.check(Limit("timers when nothing runs", timers, 0, ""))

    def _window_draw(self, blender: in_window.Blender) -> None:
        reporting.print_title(
            f"In the window of Blender {blender.version}: draw() with 20 sessions of 8 variations"
        )
        picture = next((extension.ROOT / "sample").glob("*.png"))
        taken_ms = in_window.draw_ms(blender, picture)
        self.raw[f"window_{blender.version}_draw"] = taken_ms
        print("   " + ", ".join(f"{name[:-3]} {ms:.3f} ms" for name, ms in taken_ms.items()))
        self.check(Limit("all panels together", sum(taken_ms.values()), DRAW_LIMIT_MS, "ms"))

    def profile(self) -> None:
        """Where the time of an import goes."""
        for size in (NORMAL, WITH_SOURCE):
            folder = self.write(size)
            with serving([folder], REALISTIC) as service:
                results = []
                for _ in range(self.rounds):
                    self.clear_cache()
                    log = Path(self.scratch(), "log")
                    options = {"session_id": size.session_id, "log": str(log)}
                    results.append(self.run("profiled", service, **options))
            results.sort(key=lambda each: each["total_s"])
            reporting.print_profile(size, results[len(results) // 2])


def _result_of(
    contender: str,
    process: subprocess.Popen[str],
    on_ask: Callable[[str], None],
    timeout_s: float,
) -> dict[str, Any]:
    """What the contender's process has to say, which it must within the time-out."""
    assert process.stdin is not None
    assert process.stdout is not None
    result = None
    printed = []

    def give_up(signum: int, frame: object) -> None:
        raise BenchError(f"{contender} took over {timeout_s:.0f} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        for line in process.stdout:
            printed.append(line)
            if line.startswith("bench-ask:"):
                on_ask(line.rstrip().removeprefix("bench-ask:"))
                process.stdin.write("\n")
                process.stdin.flush()
            elif line.startswith("bench-result:"):
                result = json.loads(line.removeprefix("bench-result:"))
        code = process.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    if result is None or code:
        raise BenchError(f"{contender} ended with exit code {code}:\n{''.join(printed[-30:])}")
    return result


def _expect_faces(name: str, result: dict[str, Any], size: SessionSize) -> None:
    expected = size.variations * size.faces + size.source_faces
    if result["faces"] != expected:
        raise BenchError(f"{name}: {result['faces']:,} faces in the scene, not {expected:,}")


def _median(runs: Runs, key: str = "total_s") -> float:
    return median(each[key] for each in runs)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    # Under /tmp: the command for the window may see no other folder.
    with tempfile.TemporaryDirectory(
        prefix="csm_retopo_bench_", ignore_cleanup_errors=True, dir="/tmp"
    ) as name:
        yield Path(name)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    parser.add_argument("--rounds", type=int, default=5, help="how often to measure (5)")
    parser.add_argument(
        "--only",
        choices=(
            *("click", "second", "holds", "enabling", "metrics", "deviation", "colors"),
            *("window", "batch"),
        ),
        help="measure only this",
    )
    parser.add_argument("--sessions", type=int, help="how many sessions a batch has")
    options = parser.parse_args()
    start = time.monotonic()
    load = _load_text()
    with _temporary_folder() as folder:
        bench = Bench(folder, options.rounds)
        try:
            bench.install()
            if options.profile:
                bench.profile()
                return 0
            _measure(bench, options.only, options.sessions)
        except (
            BenchError,
            in_window.WindowError,
            environments.SetupError,
            subprocess.CalledProcessError,
        ) as error:
            print(f"bench: FAILED: {error}")
            return 2
    document = {"limits": [reporting.as_json(each) for each in bench.limits], "runs": bench.raw}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1), encoding="utf-8")
    reached = sum(each.reached for each in bench.limits)
    print(f"\nmedians of {options.rounds}, {time.monotonic() - start:.0f} s{load}")
    print(f"written to {RESULTS.relative_to(extension.ROOT)}")
    print(f"bench: {reached} of {len(bench.limits)} limits reached")
    return 0 if reached == len(bench.limits) else 1


def _load_text() -> str:
    """What makes the figures doubtful: what else the machine was busy with when it began, and how
    long it takes to hand out memory. A virtual machine that gives unused memory back to its host
    takes several times what others take, and that is then most of an import's longest step.
    """
    size = 24_000_000
    start = time.perf_counter()
    with mmap.mmap(-1, size) as memory:
        for place in range(0, size, mmap.PAGESIZE):
            memory[place] = 1
    text = f", {(time.perf_counter() - start) * 1e3:.0f} ms for {size // 10**6} MB of new memory"
    if not hasattr(os, "getloadavg"):
        return text
    return f"{text}, load {os.getloadavg()[0]:.1f} before it on {os.cpu_count()} processors"


def _measure(bench: Bench, only: str | None, sessions: int | None) -> None:
    if only in (None, "click", "second"):
        bench.write(NORMAL)
    if only in (None, "click"):
        bench.click_to_placed()
    if only in (None, "second"):
        bench.second_import()
    if only in (None, "holds"):
        for size, limit_ms in ((LARGE, 50.0), (HUGE, 100.0)):
            folder = bench.write(size)
            bench.holds(size, limit_ms)
            shutil.rmtree(folder)
    if only in (None, "enabling"):
        bench.enabling()
    if only in (None, "metrics"):
        folder = bench.write(HUGE)
        bench.metrics(HUGE)
        shutil.rmtree(folder)
    if only in (None, "deviation"):
        bench.deviation()
    if only in (None, "colors"):
        bench.colors()
    if only in (None, "window"):
        bench.window()
    if only in (None, "batch"):
        batch.measure(bench, sessions)


if __name__ == "__main__":
    sys.exit(main())
