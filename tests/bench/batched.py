# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch, in the process that drives it: how long, how much memory, how much converting."""

from __future__ import annotations

import importlib
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def batched(
    ids: list[str], output: str, jobs: int | None = None, scheduler: str = ""
) -> dict[str, Any]:
    """Import the sessions. `memory_mb` is what this process holds after each of them;
    `converting_s` sums up how long each background Blender of this machine was at work.
    """
    module = "bl_ext.user_default.csm_retopo"
    converter = importlib.import_module(f"{module}.scene.background.converter")
    batch = importlib.import_module(f"{module}.batch")
    busy = _Busy()
    converter._Server.serve = busy.of(converter._Server.serve)
    memory_mb = []
    start, cpu = time.perf_counter(), time.process_time()
    for result in batch.run(ids, output, jobs=jobs, scheduler=scheduler):
        if not result.is_whole:
            raise RuntimeError(f"{result.name}: {result.error}")
        memory_mb.append(_memory_mb())
        # A batch of the bench's size is not to fill the disk.
        (Path(output) / result.name / "session.blend").unlink()
    total_s = time.perf_counter() - start
    if len(memory_mb) != len(ids):
        raise RuntimeError(f"{len(memory_mb)} sessions of {len(ids)}")
    shutil.rmtree(output)
    Path(output).mkdir()
    return {
        "total_s": total_s,
        "driver_cpu_s": time.process_time() - cpu,
        "converting_s": busy.seconds,
        "memory_mb": memory_mb,
    }


class _Busy:
    """How long calls took, of all threads together."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                with self._lock:
                    self.seconds += time.perf_counter() - start

        return timed


def _memory_mb() -> float:
    """What this process holds of the machine's memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
