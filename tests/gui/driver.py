# SPDX-License-Identifier: GPL-3.0-or-later
"""Uses Blender's window as a person does: mouse, keys, and a look at the screen after each step.

Runs inside Blender: `blender --enable-event-simulate --python driver.py -- PLAN.json`. The plan
names an act, that is a generator function in `acts/` that takes a `Gui`. The act runs in small
pieces off a timer, so that Blender handles events and draws in between. What it yields is how long
to let Blender go on: an `Until`, or seconds, which are as many more as it takes a busy machine to
come to rest. What became of the act is written as JSON to where the plan says.

Where a button is, no API tells. Blender itself is asked: the mouse is moved down the region, and at
each place "Copy Python Command" (of an operator's button) or "Copy Data Path" (of a property's)
says what is under it. A property that has no path, as those of the preferences, names itself to
the button's context menu. That is the hit test that a click goes through, so it holds for every
version, theme and scale, and finds nothing that a person could not click.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import bpy

MODULE = "bl_ext.user_default.csm_retopo"

Steps = Generator["float | Until", None, Any]

_TICK_S = 0.01
_IDLE_S = 0.005
_SURE_S = 0.05
_REST_TICKS = 12
_SHORTEST_REST_S = 0.1
_LONGEST_REST_S = 1.0
"""Where something is drawn all the time, as during an import."""
_SCAN_STEP_PX = 14
"""Less than the height of a button."""
_NOTE_KEY = "F19"
_UNNAMED = "?"
"""A button whose property has no path."""
RIGHT = 0.83
"""Where small buttons are at the right end of the sidebar's rows."""
_SCAN_COLUMNS = (0.3, 0.66, 0.83, 0.05, 0.93, 0.5, 0.15, 0.75, 0.4)
_FIND_TIMEOUT_S = 60.0
_WHEEL_STEPS = 6
_DRAG_STEPS = 8
_DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_KEYS = {
    **{str(number): name for number, name in enumerate(_DIGITS)},
    " ": "SPACE",
    "-": "MINUS",
    "_": "MINUS",
    "/": "SLASH",
    "?": "SLASH",
    ".": "PERIOD",
    ":": "SEMI_COLON",
    ";": "SEMI_COLON",
    "=": "EQUAL",
    ",": "COMMA",
    "&": "SEVEN",
}


@dataclass(frozen=True)
class Until:
    """Go on when `condition` holds; fail with `what` when it doesn't within the time."""

    condition: Callable[[], object]
    what: str
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Place:
    """A region in which to look for buttons."""

    area_type: str
    region_type: str


SIDEBAR = Place("VIEW_3D", "UI")
VIEWPORT = Place("VIEW_3D", "WINDOW")
PREFERENCES = Place("PREFERENCES", "WINDOW")
FILES_PATH = Place("FILE_BROWSER", "UI")
FILES_BAR = Place("FILE_BROWSER", "EXECUTE")
FILES_OPTIONS = Place("FILE_BROWSER", "TOOL_PROPS")


class Gui:
    """Eyes, mouse and keyboard. Methods that return `Steps` are used with `yield from`."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.arguments: dict[str, Any] = plan["arguments"]
        self.facts: dict[str, Any] = {}
        """What the test wants to know afterwards."""
        self.pictures: list[str] = []
        self._result = Path(plan["result"])
        self._folder = Path(plan["pictures"])
        self._prefix = plan["number"]
        self._window = 0
        self._mouse = (0, 0)
        self._columns: dict[str, float] = {}

    @property
    def state(self) -> Any:
        """What the panel shows."""
        return bpy.context.window_manager.csm_retopo

    def save(self, problem: str | None = None) -> None:
        """Write the result, so that it is there even if Blender ends with the next step."""
        result = {"problem": problem, "facts": self.facts, "pictures": self.pictures}
        self._result.write_text(json.dumps(result, indent=1), encoding="utf-8")

    def check(self, holds: object, what: str) -> None:
        """Fail with `what` unless it holds."""
        if not holds:
            raise AssertionError(what)

    def equal(self, found: object, expected: object, what: str) -> None:
        """Fail unless they are equal."""
        if found != expected:
            raise AssertionError(f"{what}: found {found!r} instead of {expected!r}")

    def picture(self, name: str) -> None:
        """Keep a picture of the whole screen."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._prefix}-{name}.png"
        # Quality 10: little compression, since it would take longer than all else in a step.
        command = ["import", "-window", "root", "-depth", "8", "-quality", "10", str(path)]
        start_s = time.monotonic()
        subprocess.run(command, check=True, timeout=20)
        self.facts["pictures_s"] = self.facts.get("pictures_s", 0) + time.monotonic() - start_s
        self.pictures.append(path.name)

    def redraw(self) -> None:
        """Have all drawn again, as after something that a script has changed."""
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                area.tag_redraw()

    def look(self, name: str, *, after_s: float = 0.1) -> Steps:
        """Let Blender draw, with the mouse out of the way, then keep a picture."""
        window, region = _region(VIEWPORT)
        yield from self.move(region.x + 60, region.y + 40, window)
        yield after_s
        self.picture(name)

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> Steps:
        """Let Blender go on until the condition holds."""
        yield Until(condition, what, timeout_s)

    def move(self, x: float, y: float, window: bpy.types.Window | None = None) -> Steps:
        """Move the mouse there, in the window's pixels from its lower left."""
        if window is not None:
            self._window = bpy.context.window_manager.windows[:].index(window)
        self._mouse = (int(x), int(y))
        self._event("MOUSEMOVE", "NOTHING")
        yield 0.0

    def press(self) -> Steps:
        """Click with the left button where the mouse is."""
        self._event("LEFTMOUSE", "PRESS")
        yield _TICK_S
        self._event("LEFTMOUSE", "RELEASE")
        yield 0.03

    def drag(
        self, start: tuple[int, int], end: tuple[int, int], window: bpy.types.Window, name: str
    ) -> Steps:
        """Drag from one place of the window to another, and keep a picture before letting go."""
        yield from self.move(*start, window)
        yield 0.2
        self._event("LEFTMOUSE", "PRESS")
        yield 0.1
        for step in range(1, _DRAG_STEPS + 1):
            yield from self.move(
                *(a + (b - a) * step // _DRAG_STEPS for a, b in zip(start, end, strict=True))
            )
            yield 0.1
        self.picture(name)
        self._event("LEFTMOUSE", "RELEASE")
        yield 0.5

    def nudge(self, x: int, y: int) -> Steps:
        """Move the mouse by so many pixels."""
        yield from self.move(self._mouse[0] + x, self._mouse[1] + y)

    def key(self, key: str, *, text: str = "", **modifiers: bool) -> Steps:
        """Press a key, where the mouse is."""
        self._event(key, "PRESS", unicode=text, **modifiers)
        self._event(key, "RELEASE", **modifiers)
        yield _TICK_S

    def type(self, text: str) -> Steps:
        """Type it, letter by letter."""
        for letter in text:
            shift = letter.isupper() or letter in "_?:&"
            yield from self.key(_KEYS.get(letter, letter.upper()), text=letter, shift=shift)

    def fill_in(self, target: str, text: str, place: Place = SIDEBAR) -> Steps:
        """Click the field, replace its text, press Enter."""
        yield from self.click(target, place)
        yield from self.key("A", ctrl=True)
        yield from self.type(text)
        yield from self.key("RET")
        yield 0.1

    def click(self, target: str, place: Place = SIDEBAR, column: float | None = None) -> Steps:
        """Click the button whose Python command, or whose property's path, contains `target`.

        `column` is where to look for it first: a share of the region's width, or, above 1, pixels.
        """
        yield from self.hover(target, place, column)
        yield from self.press()

    def press_at(self, place: Place, right: int, down: int) -> Steps:
        """Click so many pixels from the upper left of the region. In a File Browser, asking for
        what is there can press Escape too much, which closes it.
        """
        window, region = _region(place)
        yield from self.move(region.x + right, region.y + region.height - down, window)
        yield 0.1
        yield from self.press()
        yield 0.1

    def hover(self, target: str, place: Place = SIDEBAR, column: float | None = None) -> Steps:
        """Move the mouse onto that button."""
        if column is not None:
            self._columns.setdefault(target, column)
        deadline_s = time.monotonic() + _FIND_TIMEOUT_S
        while not (yield from self._scan(target, place)):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"No button for {target} in {place.area_type}")
            if place == PREFERENCES:
                yield from self.scroll(place)
            yield 0.1

    def scroll(self, place: Place = SIDEBAR) -> Steps:
        """Turn the wheel to see what is further down."""
        window, region = _region(place)
        yield from self.move(region.x + region.width // 2, region.y + region.height // 2, window)
        for _ in range(_WHEEL_STEPS):
            self._event("WHEELDOWNMOUSE", "PRESS")
            yield _TICK_S

    def is_there(self, target: str) -> Steps:
        """Return whether that button is in the sidebar."""
        return (yield from self._scan(target, SIDEBAR, _SCAN_COLUMNS[:2]))

    def to_viewport(self) -> Steps:
        """Move the mouse to the middle of the 3D view."""
        window, region = _region(VIEWPORT)
        yield from self.move(region.x + region.width // 2, region.y + region.height // 2, window)

    def open_tab(self) -> Steps:
        """Open the sidebar with N and click through its tabs until Retopo is there."""
        yield from self.to_viewport()
        yield from self.key("N", text="n")
        yield from self.wait(
            lambda: _region(SIDEBAR)[1].width > 100, "the sidebar did not open with N"
        )
        yield 0.1
        _, region = _region(SIDEBAR)
        for y in range(region.y + region.height - 20, region.y, -25):
            yield from self.move(region.x + region.width - 10, y)
            yield from self.press()
            if region.active_panel_category == "Retopo":
                break
        else:
            raise AssertionError("There is no tab Retopo")
        yield from self.to_viewport()
        yield 0.1

    def widen_sidebar(self, pixels: int) -> Steps:
        """Drag the sidebar's edge to the left by so many pixels."""
        window, region = _region(SIDEBAR)
        yield from self.move(region.x, region.y + region.height - 60, window)
        yield 0.1
        self._event("LEFTMOUSE", "PRESS")
        for _ in range(10):
            yield _TICK_S
            yield from self.nudge(-pixels // 10, 0)
        self._event("LEFTMOUSE", "RELEASE")
        yield 0.1

    def finished(self, timeout_s: float = 120.0) -> Steps:
        """Wait until nothing is being imported and a message is there."""
        yield Until(
            lambda: not self.state.jobs and self.state.message,
            "the import did not end",
            timeout_s,
        )
        yield 0.1

    def _event(self, type_: str, value: str, **more: Any) -> None:
        x, y = self._mouse
        # By its number: loading a file makes new windows.
        window = bpy.context.window_manager.windows[self._window]
        window.event_simulate(type=type_, value=value, x=x, y=y, **more)

    def _scan(self, target: str, place: Place, columns: tuple[float, ...] = _SCAN_COLUMNS) -> Steps:
        """Put the mouse on the button and return True, or return False."""
        known = self._columns.get(target)
        for column in columns if known is None else (known, *columns):
            _, region = _region(place)
            x = int(region.x + (column if column > 1 else region.width * column))
            for y, found in (yield from self._sweep(x, place)).items():
                if found != _UNNAMED and target not in found:
                    continue
                if target in (yield from self._what_is_at(x, y, place)):
                    self._columns[target] = column
                    return True
        return False

    def _sweep(self, x: int, place: Place) -> Steps:
        """Move the mouse down the region and return what is there, by the height in pixels.

        All moves are handled before Blender draws again, which takes it far longer than they do.
        """
        window, region = _region(place)
        self._window = bpy.context.window_manager.windows[:].index(window)
        _Note.found = {}
        for y in range(region.y + region.height - 4, region.y, -_SCAN_STEP_PX):
            self._mouse = (x, y)
            # The first only leaves the button before.
            for _ in range(2):
                self._event("MOUSEMOVE", "NOTHING")
            self._event(_NOTE_KEY, "PRESS")
            self._event(_NOTE_KEY, "RELEASE")
        yield _TICK_S
        return _Note.found

    def _what_is_at(self, x: float, y: float, place: Place) -> Steps:
        """Move the mouse there and return the command or the property of the button that is under
        it, or "".
        """
        window, region = _region(place)
        yield from self.move(x, y, window)
        yield _SURE_S  # at once, the answer can be that of the place before
        area = next(area for area in window.screen.areas if region in area.regions[:])
        with bpy.context.temp_override(window=window, area=area, region=region):
            found = _hovered()
        return (yield from self._name_in_menu()) if found == _UNNAMED else found

    def _name_in_menu(self) -> Steps:
        """Open the context menu of the button, note whose it is, and close it again."""
        named: list[str] = []

        def note(_menu: bpy.types.Menu, context: bpy.types.Context) -> None:
            pointer, prop = (
                getattr(context, f"button_{each}", None) for each in ("pointer", "prop")
            )
            if pointer is not None and prop is not None:
                named.append(f"{type(pointer).__name__}.{prop.identifier}")

        menu = bpy.types.UI_MT_button_context_menu
        menu.append(note)
        self._event("RIGHTMOUSE", "PRESS")
        self._event("RIGHTMOUSE", "RELEASE")
        yield 0.1
        menu.remove(note)
        yield from self.key("ESC")
        yield 0.05
        return named[-1] if named else _UNNAMED


def _hovered() -> str:
    """The command or the property of the button that the mouse is on in the context's region."""
    manager = bpy.context.window_manager
    manager.clipboard = ""
    if bpy.ops.ui.copy_python_command_button.poll():
        bpy.ops.ui.copy_python_command_button()
    elif bpy.ops.ui.copy_data_path_button.poll():
        bpy.ops.ui.copy_data_path_button(full_path=True)
    elif bpy.ops.ui.reset_default_button.poll():
        return _UNNAMED
    return manager.clipboard


class _Note(bpy.types.Operator):
    """Notes what the mouse is on, by its height in pixels."""

    bl_idname = "driver.note"
    bl_label = "Note What Is Here"
    bl_options: ClassVar[set[str]] = {"INTERNAL"}
    found: ClassVar[dict[int, str]] = {}

    def invoke(self, _context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.found[event.mouse_y] = _hovered()
        return {"FINISHED"}

    @classmethod
    def install(cls) -> None:
        """Bind it to a key that no keyboard has."""
        bpy.utils.register_class(cls)
        keymaps = bpy.context.window_manager.keyconfigs.addon.keymaps
        keymap = keymaps.new("User Interface", space_type="EMPTY", region_type="WINDOW")
        keymap.keymap_items.new(cls.bl_idname, _NOTE_KEY, "PRESS")


def contents() -> dict[str, Any]:
    """All that an import could leave behind or change, by name."""
    kinds = ("objects", "meshes", "curves", "images", "collections", "materials", "fonts", "texts")
    data = {kind: sorted(each.name for each in getattr(bpy.data, kind)) for kind in kinds}
    return {**data, **attention()}


def attention() -> dict[str, Any]:
    """What the artist is at: mode, active object, selection, active collection."""
    layer = bpy.context.window_manager.windows[0].view_layer
    active = layer.objects.active
    return {
        "mode": active.mode if active else None,
        "active": active.name if active else None,
        "selected": sorted(each.name for each in layer.objects if each.select_get()),
        "collection": layer.active_layer_collection.name,
    }


def has_timers() -> bool:
    """Whether the add-on has any timer registered."""
    return any(importlib.import_module("lifecycle").find_timers())


def children() -> list[str]:
    """The command lines of this Blender's child processes that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if parent == str(os.getpid()) and state != "Z":
                command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(command.decode(errors="replace"))
    return found


def _find_region(
    window: bpy.types.Window, place: Place
) -> tuple[bpy.types.Window, bpy.types.Region] | None:
    for area in window.screen.areas:
        if area.type == place.area_type:
            for region in area.regions:
                if region.type == place.region_type:
                    return window, region
    return None


def _region(place: Place) -> tuple[bpy.types.Window, bpy.types.Region]:
    """The region in the newest window that has one."""
    for window in reversed(bpy.context.window_manager.windows[:]):
        found = _find_region(window, place)
        if found is not None:
            return found
    raise AssertionError(f"No window shows {place.area_type}")


class _Rest:
    """Tells when Blender has handled what came in, and has nothing left to draw."""

    def __init__(self) -> None:
        self._drawn = 0
        self._seen = 0
        self._quiet_ticks = 0
        self._begin_s = 0.0
        self._end_s = 0.0
        for space, regions in (
            (bpy.types.SpaceView3D, ("WINDOW", "UI")),
            (bpy.types.SpacePreferences, ("WINDOW",)),
            (bpy.types.SpaceFileBrowser, ("WINDOW", "UI")),
        ):
            for region in regions:
                space.draw_handler_add(self._count, (), region, "POST_PIXEL")

    def begin(self, seconds: float) -> None:
        """Look out for it from now on, but for so long at least."""
        self._quiet_ticks = 0
        self._begin_s = time.monotonic() + seconds
        self._end_s = self._begin_s + _LONGEST_REST_S

    def is_reached(self) -> bool:
        """To be asked once a tick."""
        self._quiet_ticks = self._quiet_ticks + 1 if self._drawn == self._seen else 0
        self._seen = self._drawn
        now_s = time.monotonic()
        is_quiet = self._quiet_ticks >= _REST_TICKS and now_s > self._begin_s
        return is_quiet or now_s > self._end_s

    def _count(self) -> None:
        self._drawn += 1


class _Play:
    """Runs an act off a timer, then writes its result and quits."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._gui = Gui(plan)
        module, _, name = plan["act"].partition(".")
        self._steps: Steps = getattr(importlib.import_module(f"acts.{module}"), name)(self._gui)
        self._leaves_at_once: bool = plan["leaves_at_once"]
        self._until: Until | None = None
        self._deadline_s = 0.0
        self._rest = _Rest()
        self._gui.facts["version"] = bpy.app.version_string

    def tick(self) -> float | None:
        """Do the next piece. Returns seconds until the one after, None at the end."""
        try:
            if self._until is not None:
                if not self._until.condition():
                    if time.monotonic() > self._deadline_s:
                        raise AssertionError(self._until.what)
                    # What Blender does when it idles, but not where events are simulated.
                    time.sleep(_IDLE_S)
                    return 0.0
                self._until = None
            step = next(self._steps)
        except StopIteration:
            self._end(None)
            return None
        except Exception:  # noqa: BLE001 - whatever it is, the test gets it
            self._end(traceback.format_exc())
            return None
        self._until = self._pause(step) if isinstance(step, float) else step
        self._deadline_s = time.monotonic() + self._until.timeout_s
        return 0.0

    def _pause(self, seconds: float) -> Until:
        if seconds >= _SHORTEST_REST_S:
            self._rest.begin(seconds)
            return Until(self._rest.is_reached, "")
        end_s = time.monotonic() + seconds
        return Until(lambda: time.monotonic() >= end_s, "")

    def _end(self, problem: str | None) -> None:
        if problem is not None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                self._gui.picture("failed")
        self._gui.save(problem)
        if self._leaves_at_once:
            sys.stdout.flush()
            ctypes.CDLL(None).fflush(None)  # what Blender itself has printed
            os._exit(0)
        bpy.ops.wm.quit_blender()


def main() -> None:
    """Start the act that the plan names."""
    plan = json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8"))
    sys.path[:0] = plan["paths"]
    # Python runs this file as __main__; the acts import it by its name.
    sys.modules["driver"] = sys.modules["__main__"]
    view = bpy.context.preferences.view
    view.show_splash = False
    view.use_save_prompt = False
    view.smooth_view = 0  # the view is there at once, however busy the machine
    # Otherwise each view is drawn eight times, which takes a second of a processor.
    system = bpy.context.preferences.system
    system.viewport_aa = plan["antialiasing"]
    system.use_overlay_smooth_wire = plan["antialiasing"] != "OFF"
    _Note.install()
    play = _Play(plan)
    bpy.app.timers.register(play.tick, first_interval=0.5, persistent=True)


if __name__ == "__main__":
    main()
