# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches: one job, two jobs, and a Dask cluster of two workers with one thread each."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import reporting
from bench.reporting import Limit
from bench.service import Network, Service, serving
from bench.sessions import SessionSize
from tools import environments

if TYPE_CHECKING:
    from bench.__main__ import Bench

LATENCY = Network(latency_s=0.02)
WITH_SOURCE = SessionSize("SESSION_1747336753_0000008", 4, 8_000, 100_000, source_faces=50_000)
"""As the service makes them, with the mesh that they were made from."""
BARE = SessionSize("SESSION_1747336753_0000009", 4, 8_000, 100_000)
"""The same without: hardly anything to compute, so that all else weighs as much as it can."""
SESSIONS = 200
EARLY = 20
TIMEOUT_S = 3600.0

_BLENDER = """
import sys
import bpy
from bl_ext.user_default.csm_retopo import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def measure(bench: Bench, sessions: int | None) -> None:
    """All of it; `sessions` instead of the usual numbers."""
    python = environments.interpreter("dask")
    many = sessions or SESSIONS
    reporting.print_title(
        f"A batch of {many} sessions: {WITH_SOURCE.variations} variations of "
        f"{WITH_SOURCE.faces:,} quads, a source of {WITH_SOURCE.source_faces:,}"
    )
    with serving([bench.write(WITH_SOURCE)], LATENCY, copies=many) as service:
        ids = service.session_ids
        one = _run(bench, service, ids, python, jobs=1)
        two = _run(bench, service, ids, python, jobs=2)
        with _cluster(bench, service, python) as address:
            dask = _run(bench, service, ids, python, scheduler=address)
    bench.raw["batch"] = {"one": one, "two": two, "dask": dask}
    _print("1 job", one)
    _print("2 jobs", two)
    _print("Dask, 2 workers", dask)
    bench.check(
        Limit("2 jobs, as fast as 1", one["total_s"] / two["total_s"], 1.8, "x", at_least=True)
    )
    bench.check(Limit("Dask, of the time of 2 jobs", dask["total_s"] / two["total_s"], 1.15, "x"))
    bench.check(Limit("2 jobs: time beyond converting", 100 * _overhead(two, 2), 15.0, "%"))
    _check_memory(bench, "a cluster's driver", dask)

    reporting.print_title(f"The same without a source, {many} sessions")
    with serving([bench.write(BARE)], LATENCY, copies=many) as service:
        ids = service.session_ids
        one = _run(bench, service, ids, python, jobs=1)
        two = _run(bench, service, ids, python, jobs=2)
    bench.raw["batch_bare"] = {"one": one, "two": two}
    _print("1 job", one, "not judged")
    _print("2 jobs", two, "not judged")
    _check_memory(bench, "the driver", two)


def _check_memory(bench: Bench, whose: str, run: Mapping[str, Any]) -> None:
    held = run["memory_mb"]
    grown = held[-1] - held[min(EARLY, len(held)) - 1]
    text = f"memory of {whose} from session {EARLY} to {len(held)}"
    bench.check(Limit(text, grown, 10.0, "MB"))


def _print(text: str, run: Mapping[str, Any], note: str = "") -> None:
    seconds = run["total_s"] / len(run["memory_mb"])
    busy = f"{seconds:.2f} s a session, driver {run['memory_mb'][-1]:.0f} MB"
    busy += f" and {run['driver_cpu_s'] / run['total_s']:.0%} of a processor"
    reporting.print_times(text, [run["total_s"]], ", ".join(each for each in (busy, note) if each))


def _overhead(run: Mapping[str, Any], jobs: int) -> float:
    """The share of the time in which a background Blender had nothing to do, or waited for its
    processor while the driver was at work there.
    """
    return 1 - (run["converting_s"] - run["driver_cpu_s"]) / (jobs * run["total_s"])


def _run(
    bench: Bench, service: Service, ids: list[str], python: Path, **options: Any
) -> dict[str, Any]:
    bench.clear_cache()
    output = bench.scratch()
    result = bench.run(
        "batched",
        service,
        python=python,
        timeout_s=TIMEOUT_S,
        ids=ids,
        output=output,
        **options,
    )
    bench.remove(output)
    return result


@contextlib.contextmanager
def _cluster(bench: Bench, service: Service, python: Path) -> Iterator[str]:
    """A scheduler and two workers with a thread each; its address."""
    folder = Path(bench.scratch())
    blender = folder / "blender.py"
    blender.write_text(_BLENDER, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    environment = {
        **bench.environment(service),
        "CSM_RETOPO_COMMAND": f"{python} {blender}",
    }
    worker = ["worker", address, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"]
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-show"],
        *([*worker, "--local-directory", str(folder / name)] for name in ("first", "second")),
    ]
    processes = []
    try:
        for command in commands:
            processes.append(
                subprocess.Popen(
                    [python, "-m", "dask", *command],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            if command[0] == "scheduler":
                _wait_for(port)
        time.sleep(3.0)  # the workers are there
        yield address
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    print("the Dask scheduler does not start", file=sys.stderr)
