# SPDX-License-Identifier: GPL-3.0-or-later
"""Object > Retopology: every entry, with the mouse and the letters that Blender underlines."""

from __future__ import annotations

import sys

import bpy
from driver import MODULE, Gui, Steps

_OBJECT_PX = 328
"""Where Object is in the 3D view's header, from its left."""
_KEEP_DIALOG = {
    "name": (266, 68),
    "delete": (266, 93),
    "materials": (170, 120),
    "normals": (170, 166),
    "mark as asset": (170, 218),
    "keep": (284, 249),
}
"""In pixels from the window's upper left."""


def every_entry(gui: Gui) -> Steps:
    """From an empty file to a variation that could be kept."""
    yield from gui.to_viewport()
    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not bpy.context.scene.objects[:], "the default objects stay")
    yield from _choose(gui, "T", picture="with-nothing-there")
    yield from gui.wait(lambda: gui.state.jobs, "Try the Sample starts nothing")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)

    # A dialog each: the first has a field that is typed in already.
    for letter, name, escapes in (("I", "import-session", 2), ("R", "request-another", 1)):
        yield from _choose(gui, letter)
        yield 0.4
        gui.picture(name)
        for _ in range(escapes):
            yield from gui.key("ESC")
            yield 0.2
    for letter, name in (("S", "import-folder"), ("E", "export-table"), ("O", "write-report")):
        yield from _choose(gui, letter)
        yield from gui.wait(lambda: len(_windows()) == 2, f"{letter} opens no file browser")
        yield 0.6
        gui.picture(name)
        with bpy.context.temp_override(window=_windows()[-1]):
            bpy.ops.wm.window_close()
        yield from gui.wait(lambda: len(_windows()) == 1, "the file browser does not close")
        yield 0.2
    gui.equal(len(gui.state.jobs), 0, "what is under way")

    yield from _compare(gui)
    yield from _flip(gui)
    yield from _keep(gui)
    yield from _place_and_cancel(gui)

    yield from _keep_for_good(gui)
    cache = sys.modules[f"{MODULE}.scene.sessions"].open_cache()
    gui.check(list(cache.root.rglob("*.blend")), "nothing is in the cache")
    yield from _choose(gui, "L")
    gui.check(not list(cache.root.rglob("*.blend")), "the cache is not cleared")


def _compare(gui: Gui) -> Steps:
    for letter, colors in (("D", "DEVIATION"), ("N", "NONE")):
        yield from _choose(gui, "H")
        yield from gui.key(letter)
        yield from gui.wait(
            lambda colors=colors: bpy.context.scene.csm_retopo.colors == colors,
            f"{colors} is not chosen",
        )
    yield from _choose(gui, "W")
    gui.check(bpy.context.scene.csm_retopo.wireframe, "no wires")


def _flip(gui: Gui) -> Steps:
    names = [each.name for each in bpy.context.scene.objects if _is_variation(each)]
    for letter, shown in (("F", 0), ("N", 1), ("N", 2), ("V", 1), ("A", 2)):
        yield from _choose(gui, letter)
        visible = [name for name in names if bpy.data.objects[name].visible_get()]
        gui.equal(visible, [names[shown]], f"shown after {letter}")
    yield from _choose(gui, "B")
    gui.check(not bpy.context.scene.csm_retopo.flip.is_on, "not back in the row")


def _keep(gui: Gui) -> Steps:
    chosen = next(each for each in bpy.context.scene.objects if _is_variation(each))
    bpy.context.view_layer.objects.active = chosen
    yield from _choose(gui, "Y")
    copied = bpy.context.window_manager.clipboard
    gui.check(copied.startswith(chosen.name), f"copied: {copied}")
    yield from _choose(gui, "K")
    yield 0.4
    gui.picture("keep")
    yield from gui.key("ESC")
    yield 0.2
    gui.check(_is_variation(chosen), "it was kept though refused")


def _keep_for_good(gui: Gui) -> Steps:
    """Change all that the dialog offers."""
    chosen = next(each for each in bpy.context.scene.objects if _is_variation(each))
    bpy.context.view_layer.objects.active = chosen
    yield from _choose(gui, "K")
    yield 0.4
    yield from _press(gui, "name")
    yield from gui.key("A", ctrl=True)
    yield from gui.type("Hero")
    yield from gui.key("RET")
    for control in ("delete", "materials", "normals", "mark as asset"):
        yield from _press(gui, control)
    gui.picture("keep-changed")
    yield from _press(gui, "keep")
    yield from gui.wait(lambda: "Hero" in bpy.data.objects, "nothing was kept")
    hero = bpy.data.objects["Hero"]
    gui.check(hero.asset_data is not None, "it is no asset")
    gui.check(hero.data.has_custom_normals, "no normals were transferred")
    gui.check(not any(hero.data.materials), "materials were transferred")
    gui.equal([each.name for each in bpy.context.scene.objects], ["Hero"], "what is left")
    yield from gui.look("kept")


def _press(gui: Gui, control: str) -> Steps:
    """Click what the dialog has there: it opens in the window's upper left, where the menu was."""
    window = _windows()[0]
    right, down = _KEEP_DIALOG[control]
    yield from gui.move(right, window.height - down, window)
    yield 0.1
    yield from gui.press()
    yield 0.1


def _place_and_cancel(gui: Gui) -> Steps:
    bpy.context.preferences.addons[MODULE].preferences.when_ready = "ASK"
    for letter, message in (("P", "Imported 5"), ("C", "Cancelled")):
        yield from _choose(gui, "T")
        yield from gui.wait(lambda: gui.state.jobs and gui.state.jobs[0].is_ready, "never ready")
        yield from _choose(gui, letter)
        yield from gui.finished()
        gui.check(gui.state.message.startswith(message), gui.state.message)


def _choose(gui: Gui, letter: str, picture: str = "") -> Steps:
    """Open the menu and choose the entry in which this letter is underlined."""
    window = _windows()[0]
    area = next(each for each in window.screen.areas if each.type == "VIEW_3D")
    header = next(each for each in area.regions if each.type == "HEADER")
    yield from gui.move(header.x + _OBJECT_PX, header.y + header.height // 2, window)
    yield 0.1
    yield from gui.press()
    yield 0.2
    # What add-ons add comes last.
    yield from gui.key("UP_ARROW")
    yield 0.1
    yield from gui.key("RIGHT_ARROW")
    yield 0.2
    if picture:
        gui.picture(picture)
    yield from gui.key(letter)
    yield 0.2


def _windows() -> list[bpy.types.Window]:
    return bpy.context.window_manager.windows[:]


def _is_variation(obj: bpy.types.Object) -> bool:
    return obj.csm_retopo.role == "VARIATION"
