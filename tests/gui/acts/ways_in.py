# SPDX-License-Identifier: GPL-3.0-or-later
"""Other ways in than the panel: File > Import, dropped files, F3, a row's context menu, and the
preferences that change where all of it is.
"""

from __future__ import annotations

import sys
from typing import Any

import bpy
from driver import FILES_BAR, MODULE, PREFERENCES, Gui, Steps, attention

MESHES = 6
"""In the sample: the source and five variations."""
_IMPORT_PX = 311
"""Where Import is in the File menu, from the window's upper edge."""
TEXTS = {
    ("*", "Compare"): "Vergleichen",
    ("*", "Triangle Budget"): "Dreiecksbudget",
    ("*", "Tris"): "Dreiecke",
    ("*", "{:d} of {:d}"): "{:d} von {:d}",
    ("Operator", "Export"): "Ausgeben",
    ("*", "Imported {} variations of {}"): "{} Varianten von {} eingelesen",
    ("*", "Variation"): "Variante",
}


def file_menu(gui: Gui) -> Steps:
    """File > Import > CSM Retopology Session, from an artist's folder."""
    _preferences().default_folder = gui.arguments["folder"]
    yield from _clear(gui)
    yield from gui.move(45, _window().height - 12, _window())
    yield from gui.press()
    yield 0.1
    gui.picture("file-menu")
    yield from gui.move(90, _window().height - _IMPORT_PX)
    yield 0.6
    gui.picture("import-menu")
    # The entries of add-ons come last.
    yield from gui.key("RIGHT_ARROW")
    yield from gui.key("UP_ARROW")
    yield 0.1
    gui.picture("import-menu-last")
    yield from gui.key("RET")
    yield from gui.wait(lambda: len(bpy.context.window_manager.windows) == 2, "no file browser")
    yield 0.8
    gui.picture("browser")
    browser = _area("FILE_BROWSER").spaces.active
    found = browser.params.directory.decode().rstrip("/")
    gui.equal(found, gui.arguments["folder"].rstrip("/"), "where the browser begins")
    yield from gui.click("file.execute", FILES_BAR, column=0.9)
    yield from gui.wait(lambda: gui.state.jobs, "nothing started")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from gui.look("imported")


def dropped(gui: Gui) -> Steps:
    """A session.json is imported at once; for meshes, Blender asks which importer is meant."""
    yield from _clear(gui)
    yield from gui.to_viewport()
    folder = gui.arguments["folder"]
    _drop(folder, "session.json")
    yield from gui.wait(lambda: gui.state.jobs, "nothing started")
    gui.equal(len(_manager().windows), 1, "windows")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from _clear(gui)

    yield from gui.to_viewport()
    _drop(folder, "retopo_mesh_0.obj", "retopo_mesh_3.obj")
    yield 0.1
    gui.picture("which-importer")
    yield from _choose(gui, "C")
    # From the cache, it can be over before one looks.
    yield from gui.wait(lambda: gui.state.jobs or _objects(), "nothing started")
    yield from gui.finished()
    gui.equal(len([o for o in _objects() if o.type == "MESH"]), MESHES, "meshes")

    yield from gui.to_viewport()
    _drop(gui.arguments["elsewhere"], "chair.obj")
    yield 0.1
    yield from _choose(gui, "C")
    yield 0.1
    gui.picture("no-session")
    gui.check("no session.json beside it" in gui.state.message, gui.state.message)
    yield from gui.nudge(300, 300)
    yield 0.1

    _preferences().drop_meshes = False
    yield from gui.to_viewport()
    _drop(folder, "retopo_mesh_0.obj")
    yield 0.1
    gui.picture("only-blenders-own")


def dragged(gui: Gui) -> Steps:
    """A session's files are dragged with the mouse out of Blender's own File Browser."""
    yield from _clear(gui)
    yield from _open_files(gui)
    yield from _drag_file(gui, "session.json")
    yield from gui.wait(lambda: gui.state.jobs or _objects(), "nothing started")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from gui.look("dropped")
    yield from _clear(gui)
    yield from _drag_file(gui, "retopo_mesh_3.obj")
    gui.picture("which-importer")
    yield from _choose(gui, "C")
    yield from gui.wait(lambda: gui.state.jobs or _objects(), "nothing started")
    yield from gui.finished()
    gui.equal(len([o for o in _objects() if o.type == "MESH"]), MESHES, "meshes")


def _open_files(gui: Gui) -> Steps:
    """Make the lower half of the 3D view a File Browser that shows the folder."""
    area = _area("VIEW_3D")
    before = _window().screen.areas[:]
    with bpy.context.temp_override(window=_window(), area=area, region=_region_of(area, "WINDOW")):
        bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.5)
    (made,) = [each for each in _window().screen.areas if each not in before]
    min(area, made, key=lambda each: each.y).ui_type = "FILES"
    yield from gui.wait(lambda: _area("FILE_BROWSER").spaces.active.params, "no files are shown")
    params = _area("FILE_BROWSER").spaces.active.params
    params.directory = gui.arguments["folder"].encode()
    yield 0.5


def _drag_file(gui: Gui, name: str) -> Steps:
    """Have the file shown alone, and drag it into the 3D view."""
    files, view = _area("FILE_BROWSER"), _area("VIEW_3D")
    files.spaces.active.params.filter_search = name
    yield 0.8
    region = _region_of(files, "WINDOW")
    # By its icon: a name can't be dragged.
    start = (region.x + 18, region.y + region.height - 36)
    end = (view.x + view.width // 2, view.y + view.height // 2)
    yield from gui.drag(start, end, _window(), f"dragging-{name.partition('.')[0]}")


def context_menu(gui: Gui) -> Steps:
    """Right-click on rows of the table."""
    yield from _clear(gui)
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    yield from gui.to_viewport()
    yield from gui.key("HOME")
    yield 0.1
    names = sorted(o.name for o in _objects() if o.csm_retopo.role == "VARIATION")

    yield from _right_click(gui, names[1])
    gui.picture("row-menu")
    yield from _choose(gui, "C")
    yield from gui.wait(lambda: _manager().clipboard.startswith(names[1]), "nothing was copied")
    gui.check("Faces: " in _manager().clipboard, _manager().clipboard)

    yield from _right_click(gui, names[2])
    yield from _choose(gui, "F")
    yield from gui.wait(lambda: bpy.context.scene.csm_retopo.flip.is_on, "no flip")
    shown = [o.name for o in _objects() if o.csm_retopo.role == "VARIATION" and o.visible_get()]
    gui.equal(shown, [names[2]], "shown")
    yield from gui.look("flipped-to-it")
    yield from gui.to_viewport()
    yield from gui.key("ESC")
    yield 0.1

    yield from _right_click(gui, names[3])
    yield from _choose(gui, "E")
    yield from gui.wait(lambda: len(attention()["selected"]) == MESHES, "the session")
    yield from _right_click(gui, names[3])
    yield from _choose(gui, "S")
    yield from gui.wait(lambda: attention()["selected"] == [names[3]], "the variation")
    yield from _right_click(gui, names[4])
    yield from _choose(gui, "K")
    yield 0.1
    gui.picture("keep-dialog")
    yield from gui.key("RET")
    yield from gui.wait(lambda: names[4] not in bpy.data.objects, "nothing was kept")
    yield from gui.look("kept")


def find_by_name(gui: Gui) -> Steps:
    """F3, a few letters, Enter."""
    yield from _clear(gui)
    yield from gui.to_viewport()
    yield from _search(gui, "sample", "f3-sample")
    yield from gui.key("RET")
    yield from gui.wait(lambda: gui.state.jobs, "nothing started")
    yield from gui.finished()
    for words, name in (("retopo", "f3-retopo"), ("flip in", "f3-flip")):
        yield from gui.to_viewport()
        yield from _search(gui, words, name)
        if words != "flip in":
            yield from gui.key("ESC")
            yield 0.1
            yield from gui.key("ESC")
            yield 0.1
    yield from gui.key("RET")
    yield from gui.wait(lambda: bpy.context.scene.csm_retopo.flip.is_on, "no flip")
    yield from gui.to_viewport()
    yield from gui.key("ESC")
    yield 0.1
    yield from _search(gui, "import session", "f3-import")
    yield from gui.key("RET")
    yield 0.1
    gui.picture("asks-for-the-id")
    # One Escape ends the typing, another one the dialog.
    yield from gui.key("ESC")
    yield 0.1
    yield from gui.key("ESC")
    yield 0.1

    # In another mode, too, where there is no menu Object.
    yield from gui.to_viewport()
    bpy.context.view_layer.objects.active = next(o for o in _objects() if o.type == "MESH")
    yield from gui.key("TAB")
    yield from gui.wait(lambda: bpy.context.object.mode == "EDIT", "no Edit Mode with Tab")
    yield from _search(gui, "try the", "f3-in-edit-mode")
    gui.state.message = ""
    yield from gui.key("RET")
    yield from gui.wait(lambda: gui.state.jobs, "nothing started in Edit Mode")
    yield from gui.wait(lambda: gui.state.jobs[0].is_ready, "it is never ready")
    yield from _search(gui, "place what", "f3-place")
    yield from gui.key("RET")
    yield from gui.finished()
    gui.equal(bpy.context.object.mode, "EDIT", "the mode")


def _search(gui: Gui, words: str, picture: str) -> Steps:
    """Type it into Blender's menu search, and keep a picture of what that finds."""
    yield from gui.key("F3")
    yield 0.1
    yield from gui.type(words)
    yield 0.1
    gui.picture(picture)


def preferences(gui: Gui) -> Steps:
    """Change layout and tab with the mouse, and see what becomes of them."""
    yield from _clear(gui)
    yield from gui.open_tab()
    yield from gui.click("preferences.addon_show")
    yield from gui.wait(lambda: len(_manager().windows) == 2, "no preferences opened")
    yield 0.8
    gui.picture("top")
    window = _manager().windows[-1]
    yield from gui.move(0.6 * window.width, 0.5 * window.height, window)
    for _ in range(20):
        yield from gui.key("WHEELDOWNMOUSE")
    yield 0.1
    gui.picture("bottom")
    yield from gui.fill_in("tab_name", "Studio", PREFERENCES)
    gui.equal(_preferences().tab_name, "Studio", "the name that was typed")
    yield from gui.fill_in("spacing", "2", PREFERENCES)
    yield from gui.click("labels", PREFERENCES, column=0.45)
    gui.check(not _preferences().labels, "Labels is still on")
    yield from gui.click("preview_place", PREFERENCES, column=0.7)
    yield 0.1
    gui.picture("changed")
    gui.equal(_preferences().preview_place, "BELOW", "where previews stand")
    with bpy.context.temp_override(window=_manager().windows[-1]):
        bpy.ops.wm.window_close()
    yield from gui.wait(lambda: len(_manager().windows) == 1, "the preferences did not close")
    yield from gui.look("renamed")
    sidebar = next(each for each in _area("VIEW_3D").regions if each.type == "UI")
    yield from gui.wait(lambda: sidebar.active_panel_category != "Retopo", "the tab is still there")
    for y in range(sidebar.y + sidebar.height - 20, sidebar.y, -25):
        yield from gui.move(sidebar.x + sidebar.width - 10, y, _window())
        yield from gui.press()
        if sidebar.active_panel_category == "Studio":
            break
    gui.equal(sidebar.active_panel_category, "Studio", "the sidebar's tab")
    yield from gui.to_viewport()
    yield 0.1
    yield from gui.click("import_sample")
    yield from gui.finished()
    yield from gui.to_viewport()
    yield from gui.key("HOME")
    yield from gui.look("below", after_s=0.8)
    gui.check(all(o.type != "FONT" for o in _objects()), "there are labels")


def every_preference(gui: Gui) -> Steps:
    """Change what the other acts leave as it is, with mouse and keys."""
    chosen = _preferences()
    yield from gui.open_tab()
    yield from gui.click("preferences.addon_show")
    yield from gui.wait(lambda: len(_manager().windows) == 2, "no preferences opened")
    yield 0.8
    yield from gui.fill_in("api_url", "https://csm.example", PREFERENCES)
    gui.equal(chosen.api_url, "https://csm.example", "the address that was typed")
    yield from gui.fill_in("wait_limit_min", "45", PREFERENCES)
    gui.equal(chosen.wait_limit_min, 45, "the limit that was typed")
    gui.equal(_module("scene.sessions").wait_limit_s(), 45 * 60, "how long is waited")
    yield from gui.click("wait_for_running", PREFERENCES, column=0.45)
    gui.check(not chosen.wait_for_running, "it still waits")
    gui.equal(_module("scene.sessions").wait_limit_s(), 0, "how long is waited")
    yield from gui.nudge(60, -22)
    yield 1.2
    gui.picture("grey-limit")
    for letter, when in (("A", "AT_ONCE"), ("W", "ASK")):
        yield from gui.click("when_ready", PREFERENCES, column=0.7)
        yield 0.1
        gui.picture(f"when-{when.lower().replace('_', '-')}")
        yield from gui.key(letter, text=letter.lower())
        yield from gui.wait(lambda when=when: chosen.when_ready == when, f"{when} is not chosen")
    folder = gui.arguments["folder"]
    yield from gui.fill_in("default_folder", folder, PREFERENCES)
    gui.equal(chosen.default_folder.rstrip("/"), folder, "the folder that was typed")
    yield from gui.click("drop_meshes", PREFERENCES, column=0.45)
    gui.check(not chosen.drop_meshes, "dropped meshes are still taken")
    yield from gui.fill_in("cache_limit_gb", "1.5", PREFERENCES)
    gui.equal(round(chosen.cache_limit_gb, 3), 1.5, "the limit of the cache that was typed")
    gui.picture("changed")


def translated(gui: Gui) -> Steps:
    """Another language, as a translator would bring it."""
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    gui.equal(_headings()[0], "Tris", "the heading of the triangles")
    view = bpy.context.preferences.view
    languages = [each.identifier for each in view.bl_rna.properties["language"].enum_items]
    gui.facts["has_languages"] = "de_DE" in languages
    if "de_DE" not in languages:
        return  # this Blender was built without them
    bpy.app.translations.register("made_up", {"de_DE": TEXTS})
    try:
        view.language = "de_DE"
        view.use_translate_interface = True
        yield from gui.look("translated", after_s=0.8)
        gui.equal(_headings()[0], "Dreiecke", "the heading of the triangles")
        yield from gui.click("import_sample")
        yield from gui.finished()
        gui.check("5 Varianten von" in gui.state.message, gui.state.message)
        yield from gui.look("told-in-german")
    finally:
        bpy.app.translations.unregister("made_up")
        view.language = "en_US"
    yield from gui.look("english-again", after_s=0.8)
    gui.equal(_headings()[0], "Tris", "the heading of the triangles in English again")


def _drop(folder: str, *names: str) -> None:
    """Call what Blender calls when files are dropped on the 3D view."""
    area = _area("VIEW_3D")
    with bpy.context.temp_override(window=_window(), area=area, region=_region_of(area, "WINDOW")):
        bpy.ops.wm.drop_import_file(
            "INVOKE_DEFAULT", directory=f"{folder}/", files=[{"name": name} for name in names]
        )


def _right_click(gui: Gui, name: str) -> Steps:
    yield from gui.hover(f'select(object_name="{name}"')
    yield from gui.key("RIGHTMOUSE")
    yield 0.1


def _choose(gui: Gui, letter: str) -> Steps:
    """Choose an entry of the open menu by its underlined letter."""
    yield from gui.key(letter)
    yield 0.1


def _clear(gui: Gui) -> Steps:
    yield from gui.to_viewport()
    yield from gui.key("A", text="a")
    yield from gui.key("DEL")
    yield from gui.wait(lambda: not _objects(), "the default objects stay")


def _objects() -> list[bpy.types.Object]:
    return bpy.context.scene.objects[:]


def _headings() -> list[str]:
    return _module("ui.compare")._page.headings


def _manager() -> bpy.types.WindowManager:
    return bpy.context.window_manager


def _window() -> bpy.types.Window:
    return _manager().windows[0]


def _module(name: str) -> Any:
    return sys.modules[f"{MODULE}.{name}"]


def _preferences() -> Any:
    return bpy.context.preferences.addons[MODULE].preferences


def _region_of(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    return next(each for each in area.regions if each.type == kind)


def _area(kind: str) -> Any:
    for window in _manager().windows:
        for area in window.screen.areas:
            if area.type == kind:
                return area
    raise AssertionError(f"No window shows {kind}")
