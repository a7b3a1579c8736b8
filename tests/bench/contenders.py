# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, each in a fresh Blender: `contenders.py NAME OPTIONS`, options in JSON.

The last line of the output is the result, in JSON. All times are in seconds, from the click on:
Blender has started and the extension, if the contender uses it, is enabled.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bpy

MODULE = "bl_ext.user_default.csm_retopo"
RESULT = "bench-result:"

_FLOOR_PROCESS = """
import sys, time
import bpy
print("ready", flush=True)
for line in sys.stdin:
    source, blend = line.rstrip("\\n").split("\\t")
    start = time.perf_counter()
    bpy.ops.wm.obj_import(filepath=source)
    took = time.perf_counter() - start
    mesh = bpy.context.object.data
    bpy.data.libraries.write(blend, {mesh}, compress=False)
    print(f"took {took}", flush=True)
"""


def install(archive: str) -> dict[str, Any]:
    """Install the extension, and import a session of the sample kind once: what Python compiles
    at the first use is there for all that follow.
    """
    bpy.ops.extensions.package_install_files(
        filepath=archive, repo="user_default", enable_on_install=True
    )
    bpy.ops.csm_retopo.import_sample()
    bpy.ops.csm_retopo.clear_cache()
    return {}


def enabling() -> dict[str, Any]:
    """What enabling costs: importing the extension, and its `register`."""
    before = set(sys.modules)
    start = time.perf_counter()
    module = importlib.import_module(MODULE)
    imported = time.perf_counter()
    module.register()
    end = time.perf_counter()
    brought = set(sys.modules) - before
    module.unregister()
    return {
        "import_s": imported - start,
        "register_s": end - imported,
        "whole_s": end - start,
        "brings_requests": "requests" in brought,
        "brings_numpy": "numpy" in brought,
    }


def script(api_url: str, key: str, session_id: str, folder: str) -> dict[str, Any]:
    """What everybody would write first: each mesh beside its preview image, with a label."""
    import requests

    longest_s = 0.0
    start = time.perf_counter()
    session = requests.get(
        f"{api_url}/v3/sessions/{session_id}", headers={"x-api-key": key}, timeout=60
    ).json()
    if source := session["input"].get("mesh"):
        glb = Path(folder, "source.glb")
        glb.write_bytes(requests.get(source["data"]["glb_url"], timeout=60).content)
        bpy.ops.import_scene.gltf(filepath=str(glb))
    for index, mesh in enumerate(session["output"]["meshes"]):
        obj = Path(folder, f"{index}.obj")
        obj.write_bytes(requests.get(mesh["data"]["obj_url"], timeout=60).content)
        png = Path(folder, f"{index}.png")
        png.write_bytes(requests.get(mesh["data"]["image_url"], timeout=60).content)
        before = time.perf_counter()
        bpy.ops.wm.obj_import(filepath=str(obj))
        longest_s = max(longest_s, time.perf_counter() - before)
        mesh_object = bpy.context.object
        mesh_object.location.x = 3.0 * index
        picture = bpy.data.objects.new(f"{index} Preview", None)
        picture.empty_display_type = "IMAGE"
        picture.data = bpy.data.images.load(str(png))
        label = bpy.data.objects.new(f"{index} Label", bpy.data.curves.new(f"{index}", "FONT"))
        label.data.body = f"Variation {index}: {len(mesh_object.data.polygons)} faces"
        for each, below in ((picture, 2.0), (label, 4.0)):
            each.location = (3.0 * index, -below, 0.0)
            bpy.context.collection.objects.link(each)
    total_s = time.perf_counter() - start
    return {"total_s": total_s, "longest_call_s": longest_s, "faces": _faces()}


def floor(api_url: str, key: str, session_id: str, folder: str) -> dict[str, Any]:
    """What can't be done without, each part by itself, with nothing beside it."""
    start = time.perf_counter()
    files = _fetch_in_parallel(api_url, key, session_id, Path(folder))
    fetch_s = time.perf_counter() - start

    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _FLOOR_PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        _read_until(process.stdout, "ready")
        start_s = time.perf_counter() - start
        blends = []
        import_s = 0.0
        for obj in files:
            blends.append(f"{obj}.blend")
            process.stdin.write(f"{obj}\t{blends[-1]}\n")
            process.stdin.flush()
            import_s += float(_read_until(process.stdout, "took").split()[1])
        process.kill()

    start = time.perf_counter()
    for blend in blends:
        with bpy.data.libraries.load(blend, link=False) as (available, wanted):
            wanted.meshes = available.meshes[:1]
        obj = bpy.data.objects.new("mesh", wanted.meshes[0])
        bpy.context.collection.objects.link(obj)
    append_s = time.perf_counter() - start
    return {
        "total_s": max(fetch_s, start_s) + import_s + append_s,
        "fetch_s": fetch_s,
        "start_s": start_s,
        "import_s": import_s,
        "append_s": append_s,
        "faces": _faces(),
    }


def called(session_id: str) -> dict[str, Any]:
    """The extension, as a script calls it."""
    enable_s = _enable()
    start = time.perf_counter()
    bpy.ops.csm_retopo.import_session(session_id=session_id)
    total_s = time.perf_counter() - start
    return {"total_s": total_s, "enable_s": enable_s, "faces": _faces()}


def pumped(session_id: str) -> dict[str, Any]:
    """The extension, as the panel uses it: moved on by its timer's function, which a Blender
    without a window never calls by itself. Every call is a hold of the main thread.
    """
    enable_s = _enable()
    runner = importlib.import_module(f"{MODULE}.scene.runner")
    parts = _watch_parts()
    collections = _watch_collections()
    bpy.ops.ed.undo_push(message="Original")  # as a Blender with a window has it from the start
    placed = _session_of(importlib.import_module(f"{MODULE}.scene.pipeline"))

    holds: list[dict[str, Any]] = []

    def hold(function: Callable[[], Any]) -> Any:
        parts.clear()
        collections.clear()
        before = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - before
        holds.append({"s": seconds, "parts": dict(parts), "gc_s": sum(collections)})
        return result

    start = time.perf_counter()
    hold(lambda: _click(session_id))
    while runner.is_running():
        pause_s = hold(runner._pump)
        if pause_s is not None:
            time.sleep(pause_s)
    total_s = time.perf_counter() - start
    # What it returned would have told Blender to forget it.
    if bpy.app.timers.is_registered(runner._pump):
        bpy.app.timers.unregister(runner._pump)

    before = time.perf_counter()
    bpy.context.view_layer.update()
    update_s = time.perf_counter() - before
    before = time.perf_counter()
    gc.collect()
    gc_s = time.perf_counter() - before
    # Blender 4.2's module crashes at its exit when there is one left.
    gc.callbacks.clear()
    (running,) = placed
    running.close(10.0)
    if running.outcome.error is not None:
        raise running.outcome.error
    longest = max(holds, key=lambda each: each["s"])
    return {
        "total_s": total_s,
        "enable_s": enable_s,
        "faces": _faces(),
        "longest": longest,
        "longest_s": longest["s"],
        "undo_s": max(each["parts"].get("undo", 0.0) for each in holds),
        "append_s": max(each["parts"].get("append", 0.0) for each in holds),
        "place_s": max(each["parts"].get("place", 0.0) for each in holds),
        "gc_in_steps_s": max(each["gc_s"] for each in holds),
        "gc_full_s": gc_s,
        "update_s": update_s,
        "holds_over_10_ms": sum(each["s"] > 0.01 for each in holds),
    }


def again(api_url: str, key: str, session_id: str, times: int) -> dict[str, Any]:
    """A session imported before, in turn: its bare request, imported into the scene that has it,
    imported into an empty file. The caller compares the requests; processes are counted here.
    """
    _enable()
    bpy.ops.csm_retopo.import_session(session_id=session_id)
    faces = _faces()
    started: list[str] = []
    sys.addaudithook(
        lambda event, arguments: started.append(event) if event == "subprocess.Popen" else None
    )
    _tell("requests")
    bare, same, empty = [], [], []
    for _ in range(times):
        start = time.perf_counter()
        _get(f"{api_url}/v3/sessions/{session_id}", {"x-api-key": key})
        bare.append(time.perf_counter() - start)

        start = time.perf_counter()
        bpy.ops.csm_retopo.import_session(session_id=session_id)
        same.append(time.perf_counter() - start)
        _expect(_faces(), faces)

        bpy.ops.wm.read_homefile(use_empty=True)
        _expect(_faces(), 0)
        start = time.perf_counter()
        bpy.ops.csm_retopo.import_session(session_id=session_id)
        empty.append(time.perf_counter() - start)
        _expect(_faces(), faces)
    return {"bare_s": bare, "same_s": same, "empty_s": empty, "processes": len(started)}


def restarted(session_id: str) -> dict[str, Any]:
    """A session imported before, in a Blender just started."""
    return called(session_id)


def _enable() -> float:
    """Enable the extension as Blender does when it starts."""
    import addon_utils

    start = time.perf_counter()
    if addon_utils.enable(MODULE, default_set=True) is None:
        raise RuntimeError("the extension can't be enabled")
    return time.perf_counter() - start


def _click(session_id: str) -> None:
    """What the operator does when the artist clicks."""
    runner, pipeline, targets, converter, layout, sessions = (
        importlib.import_module(f"{MODULE}.scene.{name}")
        for name in ("runner", "pipeline", "targets", "background.converter", "layout", "sessions")
    )
    job = sessions.session_job(session_id, sessions.open_cache())
    target = targets.SceneTarget(
        bpy.context.scene.session_uid, layout.Facing.FRONT, targets.WhenReady.OBJECT_MODE
    )
    running = pipeline.Import(job, target, converter.Converter(job.cache))
    runner.start(session_id, running)


def _session_of(pipeline: Any) -> list[Any]:
    """A list that every Import enters when it begins."""
    found: list[Any] = []
    start = pipeline.Import.start

    def started(self: Any) -> None:
        found.append(self)
        start(self)

    pipeline.Import.start = started
    return found


def _watch_parts() -> dict[str, float]:
    """A dictionary that gathers how long the parts of the placing take."""
    parts: dict[str, float] = {}
    pending = importlib.import_module(f"{MODULE}.scene.pending")
    placing = importlib.import_module(f"{MODULE}.scene.placing")
    targets = importlib.import_module(f"{MODULE}.scene.targets")

    def watch(module: Any, name: str, label: str) -> None:
        function = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                parts[label] = parts.get(label, 0.0) + time.perf_counter() - before

        setattr(module, name, watched)

    watch(pending, "_append", "append")
    watch(pending, "_load", "preview")
    watch(placing, "place", "place")
    watch(targets, "_push_undo_step", "undo")
    return parts


def _watch_collections() -> list[float]:
    """A list that gathers how long Python's garbage collections take."""
    took: list[float] = []
    began = 0.0

    def on_collection(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            took.append(time.perf_counter() - began)

    gc.callbacks.append(on_collection)
    return took


def _fetch_in_parallel(api_url: str, key: str, session_id: str, folder: Path) -> list[Path]:
    """The session, then all its files at once, a connection each. Returns the meshes' paths."""
    session = json.loads(_get(f"{api_url}/v3/sessions/{session_id}", {"x-api-key": key}))
    wanted: dict[Path, str] = {}
    for index, mesh in enumerate(session["output"]["meshes"]):
        wanted[folder / f"{index}.obj"] = mesh["data"]["obj_url"]
        wanted[folder / f"{index}.png"] = mesh["data"]["image_url"]
    threads = [
        threading.Thread(target=lambda path, url: path.write_bytes(_get(url, {})), args=each)
        for each in wanted.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [path for path in wanted if path.suffix == ".obj"]


def _get(url: str, headers: dict[str, str]) -> bytes:
    """The body of one answer, over a connection of its own."""
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=60)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}".rstrip("?"), headers=headers)
        response = connection.getresponse()
        body = response.read()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}")
    return body


def _read_until(lines: Iterator[str], prefix: str) -> str:
    for line in lines:
        if line.startswith(prefix):
            return line
    raise RuntimeError("the background Blender has ended")


def _tell(what: str) -> None:
    """Ask the caller to do something, and wait until it has."""
    print(f"bench-ask:{what}", flush=True)
    sys.stdin.readline()


def _faces() -> int:
    """The faces of all mesh objects in the scene."""
    meshes = [each for each in bpy.context.scene.objects if each.type == "MESH"]
    # The cube of Blender's start-up file has six.
    return sum(len(each.data.polygons) for each in meshes if each.name != "Cube")


def _expect(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found:,} faces in the scene, not {expected:,}")


def _main() -> None:
    contenders = (install, enabling, script, floor, called, pumped, again, restarted)
    name, options = sys.argv[1], json.loads(sys.argv[2])
    if name == "profiled":
        from profiling import profiled as function
    elif name == "measured":
        from topology import measured as function
    elif name == "deviation":
        from deviation import measured as function
    elif name == "batched":
        from batched import batched as function
    elif name == "colors":
        from coloring import measured as function
    else:
        function = {each.__name__: each for each in contenders}[name]
    print(f"{RESULT}{json.dumps(function(**options))}", flush=True)


if __name__ == "__main__":
    _main()
