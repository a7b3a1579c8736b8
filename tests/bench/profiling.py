# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes when an import does what, in the artist's Blender and in the background one.

What it watches is found by name, and left out where that name is gone: the rest is shown.
As a program it is the background Blender's script, in place of the extension's own.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WORKER = "CSM_RETOPO_BENCH_WORKER"
_LOG = "CSM_RETOPO_BENCH_LOG"

Note = Callable[[str, float, float], None]


def profiled(session_id: str, log: str) -> dict[str, Any]:
    """An import by a script's call, and the same again into an empty file, each with what
    happened when.
    """
    import bpy
    import contenders

    contenders._enable()
    events: list[tuple[str, float, float]] = []
    _watch_here(lambda *event: events.append(event), Path(log))
    first = _events_of(session_id, events, Path(log))
    bpy.ops.wm.read_homefile(use_empty=True)
    second = _events_of(session_id, events, Path(log))
    return {"total_s": first["total_s"], "first": first, "second": second}


def _events_of(
    session_id: str, events: list[tuple[str, float, float]], log: Path
) -> dict[str, Any]:
    import bpy

    events.clear()
    log.unlink(missing_ok=True)
    start = time.monotonic()
    bpy.ops.csm_retopo.import_session(session_id=session_id)
    end = time.monotonic()
    conversions: list[dict[str, Any]] = []
    for line in log.read_text().splitlines() if log.exists() else ():
        name, began, ended = json.loads(line)
        if name.startswith("background Blender: "):
            events.append((name, began, ended))
        elif name.startswith("convert "):
            conversions.append({"name": name.split()[1], "begin": began, "end": ended, "parts": {}})
    for line in log.read_text().splitlines() if log.exists() else ():
        name, began, ended = json.loads(line)
        for each in conversions:
            if not name.startswith(("background", "convert ")) and (
                each["begin"] <= began <= each["end"]
            ):
                each["parts"][name] = each["parts"].get(name, 0.0) + ended - began
    for each in conversions:
        each["whole"] = each.pop("end") - each["begin"]
        each["begin"] -= start
    events.append(("click to return", start, end))
    shown = [(name, began - start, ended - start) for name, began, ended in events]
    shown.sort(key=lambda event: (event[1], -event[2]))
    return {"total_s": end - start, "events": shown, "conversions": conversions}


def _watch_here(note: Note, log: Path) -> None:
    module = _module
    jobs, converter, pending, placing = (
        module("api.jobs"),
        module("scene.background.converter"),
        module("scene.pending"),
        module("scene.placing"),
    )
    _watch_messages(jobs, note)
    _watch(getattr(jobs, "DownloadJob", None), "_fetch_session", "the session's request", note)
    _watch(getattr(jobs, "DownloadJob", None), "_bring", _file_label, note)
    _watch(getattr(converter, "_Process", None), "__init__", "start of the process", note)
    _watch(getattr(converter, "_Process", None), "wait_until_ready", "wait for the process", note)
    _watch(getattr(converter, "_Server", None), "serve", _request_label, note)
    _watch(getattr(converter, "Converter", None), "join", "the converter's end", note)
    _watch(getattr(jobs, "Job", None), "join", "the job's end", note)
    _watch(pending, "_append", "append", note)
    _watch(placing, "place", "place", note)
    _watch(placing, "_place_preview", "  preview", note)
    _watch(placing, "_place_label", "  label", note)
    command = getattr(converter, "_command", None)
    if command is not None:
        converter._command = lambda: _profiled_command(command(), log)


def _module(name: str) -> Any:
    import contenders

    return importlib.import_module(f"{contenders.MODULE}.{name}")


def _watch_messages(jobs: Any, note: Note) -> None:
    """Note the first bytes, and the end of the fetching, as the job's threads tell of them."""
    emit = jobs.Job._emit
    first = True

    def watched(self: Any, message: Any) -> None:
        nonlocal first
        now = time.monotonic()
        kind = type(message).__name__
        if kind == "Progress":
            if first and message.received_bytes:
                first = False
                note("first bytes of a file told", now, now)
        elif kind == "SessionRead":
            first = True
            note("session read", now, now)
        elif kind != "FileReady":
            note(f"job: {kind}", now, now)
        emit(self, message)

    jobs.Job._emit = watched


def _file_label(_self: Any, _transport: Any, file: Any) -> str:
    return f"file {file.cache_name}"


def _request_label(_self: Any, request: Any) -> str:
    return f"conversion of {Path(getattr(request, 'path', request.blend)).name}"


def _watch(owner: Any, name: str, label: str | Callable[..., str], note: Note) -> None:
    function = getattr(owner, name, None)
    if function is None:
        return

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            text = label if isinstance(label, str) else label(*args)
            note(text, began, time.monotonic())

    setattr(owner, name, watched)


def _profiled_command(command: list[str] | None, log: Path) -> list[str] | None:
    """The command with this script in place of the worker, its last argument."""
    if command is None:
        return None
    os.environ[_WORKER] = command[-1]
    os.environ[_LOG] = str(log)
    return [*command[:-1], __file__]


def _work() -> None:
    """Be the background Blender, and note what it does."""
    began = time.monotonic()
    log = open(os.environ[_LOG], "a", buffering=1)  # noqa: SIM115 - until the process is killed

    def note(name: str, start: float, end: float) -> None:
        log.write(f"{json.dumps([name, start, end])}\n")

    import bpy  # noqa: F401

    note("background Blender: import bpy", began, time.monotonic())
    began = time.monotonic()
    worker = runpy.run_path(os.environ[_WORKER])
    worker["_adopt_package"]()
    name = "csm_retopo"
    conversion = importlib.import_module(f"{name}.scene.background.conversion")
    measuring = importlib.import_module(f"{name}.scene.measure.measuring")
    importlib.import_module(f"{name}.scene.background.assembly")
    note("background Blender: import the extension's modules", began, time.monotonic())
    for owner, function, label in (
        (conversion.mesh_files, "read_obj", "read, check"),
        (conversion.mesh_files, "read_glb", "read, check"),
        (conversion, "_read_obj", "_read"),
        (conversion, "_read_glb", "_read"),
        (conversion, "_joined_mesh", "join"),
        (measuring, "measure", "measure"),
        (conversion, "_bounds", "bounds"),
        (conversion, "write_blend", "write"),
    ):
        _watch(owner, function, label, note)
    _watch(conversion, "convert", lambda _, request: f"convert {Path(request.path).name}", note)
    worker["main"]()


if __name__ == "__main__":
    sys.path.pop(0)
    _work()
