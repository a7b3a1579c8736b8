# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to an import when something happens to Blender: every stage by every event.

A cell of that matrix is a generator that yields what has to come true before it goes on, and
raises AssertionError. Who plays it lets Blender go on meanwhile: in a window by doing nothing,
elsewhere by calling the import's timer.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from lifecycle import MODULE, check_enabled, check_nothing_left, find_timers

VARIATIONS = 2
"""In the sessions that are imported."""
PAUSE_S = 2.0
CLEAN_TIMEOUT_S = 20.0

Wish = tuple[Callable[[], object], str]
"""What has to come true, and what is wrong if it doesn't."""
Wishes = Iterator[Any]
"""Of those; what else there is among them, who plays it knows."""


@dataclass
class Cell:
    """One import at one stage, and what it takes to get there."""

    stage: str
    """One of `standin.holding`. `placed` is when all is in the scene, but is no undo step yet;
    `ready` waits for Place.
    """
    session_id: str
    folder: Path
    """For files. While it holds none of the session's name, the service holds the session."""
    begin: Callable[[str], None]
    """Starts to import a session as the panel does."""
    import_sample: Callable[[], None]
    """Does the same with the sample, or does it to the end."""

    @property
    def gate(self) -> Path:
        """The file that lets the session go."""
        return self.folder / self.session_id


def play(cell: Cell, event: str, happen: Callable[[Cell], Wishes] | None = None) -> Wishes:
    """One cell. `happen` replaces what the event is made with."""
    bpy.ops.wm.read_homefile()
    yield _has_window, "there is no window after a new file"
    # Something to be undone that has nothing to do with the import.
    bpy.data.objects.new("Keepsake", None)
    bpy.context.scene.collection.objects.link(bpy.data.objects["Keepsake"])
    bpy.ops.ed.undo_push(message="Keepsake")
    bpy.data.scenes.new("Other")
    bpy.ops.ed.undo_push(message="Other")
    bpy.ops.wm.save_as_mainfile(filepath=str(_another(cell)), copy=True)
    if event in ON_PLACED:
        cell.gate.touch()
        bpy.ops.csm_retopo.import_session(session_id=cell.session_id)
        bpy.ops.ed.undo_push(message="Earlier")
        shutil.rmtree(_cache_root() / cell.session_id)
        cell.gate.unlink()
    if event == "redo":
        bpy.ops.ed.undo()
    hold = _Hold(cell)
    try:
        cell.begin(cell.session_id)
        yield hold.is_reached, f"{cell.stage} is not reached"
        yield from (happen or EVENTS[event])(cell)
        if event in ENDING:
            yield from _ended(cell, hold, event)
        elif event == "delete the scene":
            yield from _fails(cell, hold)
        else:
            yield from _goes_on(cell, hold, event)
    finally:
        hold.release()
    if event in RELOADING:
        check_enabled()
        yield from sample_works(cell)


def sample_works(cell: Cell) -> Wishes:
    """The extension still does what it is for."""
    bpy.ops.wm.read_homefile()
    yield _has_window, "there is no window after a new file"
    _preferences().when_ready = "OBJECT_MODE"
    _module("scene.background.converter").PROCESSES = 1  # enough here, as at the stages
    cell.import_sample()
    yield _is_idle, "the sample's import does not end"
    state = bpy.context.window_manager.csm_retopo
    assert "Imported 5 variations" in state.message, state.message
    yield from _cleaned()


def run(wishes: Wishes, timeout_s: float = 60.0) -> None:
    """Play where Blender has no window, and so never calls a timer."""
    for condition, what in wishes:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"{what}: {_message()}"
            runner = sys.modules.get(f"{MODULE}.scene.runner")
            if runner is not None and bpy.app.timers.is_registered(runner._pump):
                pause_s = runner._pump()
                if pause_s is None:
                    bpy.app.timers.unregister(runner._pump)
            time.sleep(0.005)


def left() -> list[str]:
    """What Blender and the disk still hold of imports that are over."""
    threads = [each.name for each in threading.enumerate() if each.name.startswith("csm-retopo")]
    temporary = [str(each) for each in Path(tempfile.gettempdir()).glob("csm-retopo-*")]
    unfinished: list[str] = []
    rows: list[str] = []
    if f"{MODULE}.scene.runner" in sys.modules and MODULE in bpy.context.preferences.addons:
        suffix = _module("api.files").TEMPORARY_SUFFIX
        unfinished = [str(each) for each in _cache_root().rglob(f"*{suffix}*")]
        rows = [f"row of {each.key}" for each in bpy.context.window_manager.csm_retopo.jobs]
    blocks = [*bpy.data.meshes, *bpy.data.images]
    pending = [each.name for each in blocks if each.get("csm_retopo_pending")]
    children = [f"process {each}" for each in child_pids()]
    found = [*threads, *temporary, *unfinished, *rows, *pending, *children]
    return found or list(find_timers())  # which takes long to find


def child_pids() -> list[int]:
    """The processes that this Blender has started and that still run."""
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += [int(each) for each in task.read_text().split()]
    return found


def reach(cell: Cell) -> Wishes:
    """Only get to the stage, for what ends Blender."""
    hold = _Hold(cell)
    cell.begin(cell.session_id)
    yield hold.is_reached, f"{cell.stage} is not reached"


class _Hold:
    """Keeps an import at the cell's stage until it is released."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._stopped: list[int] = []
        self._is_armed = True
        self._is_at_put = False
        self._is_placed = False
        self._patches = contextlib.ExitStack()
        if cell.stage == "converting":
            self._hold_processes()
        elif cell.stage in ("placing", "placed"):
            self._hold_target()
        # A fraction of the half minute that a service should have to itself.
        init = _module("api.jobs").DownloadJob.__init__
        self._patch(init.__kwdefaults__, "poll_interval_s", 0.1)
        # One process is enough here, and half the work for the machine.
        self._patch(_module("scene.background.converter"), "PROCESSES", 1)
        _preferences().when_ready = "ASK" if cell.stage == "ready" else "OBJECT_MODE"

    def is_reached(self) -> bool:
        """Whether the import is where it is to be held, and has nothing else to do."""
        running = self._import()
        if running is None:
            raise AssertionError(f"Over too early: {_message()}")
        match self._cell.stage:
            case "fetching":
                return bool(running._job.is_under_way and running._job.cancellation._sockets)
            case "downloading":
                done, files = running.progress.files_done, running.progress.files
                # All but one of its meshes are there; the source is one.
                return bool(files) and done == files - 1 and running._converted == VARIATIONS
            case "waiting":
                return running._waiting_since is not None
            case "converting":
                return bool(self._stopped) and not running._fetching
            case "ready":
                return bool(running.waits_for_artist)
            case _:
                return self._is_at_put

    def release(self) -> None:
        """Let the import go on, if it is still there."""
        self._is_armed = False
        self._cell.gate.touch()
        for pid in self._stopped:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)
        self._patches.close()
        if self._cell.stage == "ready" and (running := self._import()) is not None:
            running.place()

    def _import(self) -> Any:
        return _module("scene.runner")._running.get(self._cell.session_id)

    def _hold_processes(self) -> None:
        process_class = _module("scene.background.converter")._Process
        ask = process_class.ask

        def stopped(process: Any, *arguments: Any) -> Any:
            if self._is_armed:
                os.kill(process._popen.pid, signal.SIGSTOP)
                self._stopped.append(process._popen.pid)
            return ask(process, *arguments)

        self._patch(process_class, "ask", stopped)

    def _hold_target(self) -> None:
        targets, placing = _module("scene.targets"), _module("scene.placing")
        put, place = targets.SceneTarget.put, placing.place

        def placed(*arguments: Any) -> Any:
            self._is_placed = True
            return place(*arguments)

        def slow_put(*arguments: Any) -> Iterator[bool | None]:
            for step in put(*arguments):
                yield step
                while self._is_armed and (self._is_placed or self._cell.stage == "placing"):
                    self._is_at_put = True
                    yield None

        self._patch(targets.SceneTarget, "put", slow_put)
        self._patch(placing, "place", placed)

    def _patch(self, owner: Any, name: str, value: Any) -> None:
        if isinstance(owner, dict):
            self._patches.callback(owner.__setitem__, name, owner[name])
            owner[name] = value
        else:
            self._patches.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)


def _ended(cell: Cell, hold: _Hold, event: str) -> Wishes:
    """Nothing is left of it, nothing comes, even when what held it is gone."""
    yield from _cleaned()
    # What was in its place already, in the file that is still open, stays there.
    roles = ["SOURCE", *["VARIATION"] * VARIATIONS]
    expected = roles if cell.stage == "placed" and event in RELOADING else []
    assert _mesh_roles() == expected, f"in the wrong file: {_ours()}"
    hold.release()
    since_s = time.monotonic()
    yield lambda: time.monotonic() - since_s > 0.3, "time does not pass"
    assert _mesh_roles() == expected, f"in the wrong file: {_ours()}"
    assert not left(), f"came back: {left()}"


def _fails(cell: Cell, hold: _Hold) -> Wishes:
    """It says that its scene is gone, and is in no other."""
    hold.release()
    yield _is_idle, "the import does not end"
    yield from _cleaned()
    assert not _ours(), f"in the wrong scene: {_ours()}"
    if cell.stage != "placed":
        assert "is gone" in _message(), _message()


def _goes_on(cell: Cell, hold: _Hold, event: str) -> Wishes:
    """It was not disturbed, and comes to a good end."""
    assert hold.is_reached()
    hold.release()
    yield _is_idle, "the import does not end"
    yield from _cleaned()
    assert not bpy.context.window_manager.csm_retopo.message_is_error, _message()
    if cell.stage == "placed" and event in ("undo", "redo") and not _ours():
        return  # undone with the rest, as it was no step of its own yet
    deleted = 1 if (cell.stage, event) == ("placed", "delete placed objects") else 0
    expected = ["SOURCE", *["VARIATION"] * (VARIATIONS - deleted)]
    assert _mesh_roles() == expected, f"{_mesh_roles()}: {_message()}"
    scenes = {scene.name for each in _ours() for scene in each.users_scene}
    assert scenes == {"Renamed" if event == "rename the scene" else "Scene"}, scenes
    if event in ("undo", "redo"):
        assert ("Other" in bpy.data.scenes) == (event == "redo")
    if event == "rename placed objects":
        assert "Hero" in bpy.data.objects
        assert "My Row" in bpy.data.collections


def _load_another(cell: Cell) -> Wishes:
    bpy.ops.wm.open_mainfile(filepath=str(_another(cell)))
    yield from ()


def _new_file(_cell: Cell) -> Wishes:
    bpy.ops.wm.read_homefile()
    yield from ()


def _undo(_cell: Cell) -> Wishes:
    bpy.ops.ed.undo()
    yield from ()


def _redo(_cell: Cell) -> Wishes:
    bpy.ops.ed.redo()
    yield from ()


def _delete_scene(_cell: Cell) -> Wishes:
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])
    yield from ()


def _delete_objects(_cell: Cell) -> Wishes:
    doomed = [
        each
        for each in _ours()
        if (each.csm_retopo.role, each.csm_retopo.index) in (("VARIATION", 0), ("PREVIEW", 1))
    ]
    assert len(doomed) == 2
    for each in doomed:
        bpy.data.objects.remove(each)
    yield from ()


def _rename_objects(cell: Cell) -> Wishes:
    next(each for each in _ours() if each.csm_retopo.role == "VARIATION").name = "Hero"
    bpy.data.collections[cell.session_id].name = "My Row"
    yield from ()


def _rename_scene(_cell: Cell) -> Wishes:
    bpy.data.scenes["Scene"].name = "Renamed"
    yield from ()


def _disable(_cell: Cell) -> Wishes:
    bpy.ops.preferences.addon_disable(module=MODULE)
    yield from _cleaned()
    check_nothing_left()
    bpy.ops.preferences.addon_enable(module=MODULE)


def _reload(_cell: Cell) -> Wishes:
    if bpy.app.background:
        bpy.utils.load_scripts(reload_scripts=True)
    else:
        bpy.ops.script.reload()  # which leaves it to the window's next moment
    yield from ()


def _pause(_cell: Cell) -> Wishes:
    """As a machine that sleeps: nothing runs, then all goes on as if nothing had been."""
    pids = [os.getpid(), *(each for each in child_pids() if not _is_stopped(each))]
    each = " ".join(map(str, pids))
    command = f"kill -STOP {each}; sleep {PAUSE_S}; kill -CONT {each} 2>/dev/null"
    start_s = time.monotonic()
    sleeper = subprocess.Popen(["sh", "-c", command], start_new_session=True)
    yield lambda: sleeper.poll() is not None, "it does not wake up"
    assert time.monotonic() - start_s >= PAUSE_S


def _save(cell: Cell) -> Wishes:
    path = cell.folder / "saved.blend"
    pending = {each.name for each in bpy.data.meshes if each.get("csm_retopo_pending")}
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    with bpy.data.libraries.load(str(path)) as (held, _):
        saved = set(held.meshes)
    assert not saved & pending, f"saved though not placed: {saved & pending}"
    yield from ()


EVENTS: dict[str, Callable[[Cell], Wishes]] = {
    "load another file": _load_another,
    "new file": _new_file,
    "undo": _undo,
    "redo": _redo,
    "delete the scene": _delete_scene,
    "delete placed objects": _delete_objects,
    "rename placed objects": _rename_objects,
    "rename the scene": _rename_scene,
    "disable and enable": _disable,
    "reload scripts": _reload,
    "pause": _pause,
    "save": _save,
}
ENDING = {"load another file", "new file", "disable and enable", "reload scripts"}
"""The import is over with them; others leave it alone."""
RELOADING = {"disable and enable", "reload scripts"}
ON_PLACED = {"delete placed objects", "rename placed objects"}
"""What it happens to was placed by an earlier import of the same session."""


def _another(cell: Cell) -> Path:
    return cell.folder / "another.blend"


def _is_stopped(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def _ours() -> list[Any]:
    """All that stands in any scene and is a part of a session."""
    return [each for each in bpy.data.objects if each.csm_retopo.session_id and each.users_scene]


def _mesh_roles() -> list[str]:
    roles = [each.csm_retopo.role for each in _ours()]
    return sorted(each for each in roles if each in ("SOURCE", "VARIATION"))


def _has_window() -> bool:
    """A file that is loaded brings other windows; operators need one."""
    return bool(bpy.app.background or bpy.context.window)


def _is_idle() -> bool:
    return not _module("scene.runner").is_running()


def _cleaned() -> Wishes:
    """Threads and processes take their moment to end."""
    end = time.monotonic() + CLEAN_TIMEOUT_S
    yield lambda: not left() or time.monotonic() > end, ""
    assert not left(), f"left behind: {left()}"


def _message() -> str:
    return str(bpy.context.window_manager.csm_retopo.message)


def _preferences() -> Any:
    return bpy.context.preferences.addons[MODULE].preferences


def _cache_root() -> Path:
    return Path(_module("scene.sessions").open_cache().root)


def _module(name: str) -> Any:
    return importlib.import_module(f"{MODULE}.{name}")
