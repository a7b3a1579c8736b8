# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions opened again from the cache, and the preview images in the sidebar."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import bpy
from driver import MODULE, SIDEBAR, Gui, Steps, attention, has_timers

SESSIONS = 20
"""In the cache: two full pages and a part of a third."""
FOLD = 22
"""Where a session's triangle is, in pixels from the left of the sidebar: clear of its edge, which
can be dragged.
"""


def from_cache(gui: Gui) -> Steps:
    """Import by ID, begin a new file, and import from the list, with key and service gone."""
    session_id = gui.arguments["session_id"]
    yield from gui.open_tab()
    yield from open_recent(gui)
    yield from gui.look("nothing-recent")
    yield from gui.fill_in("csm_retopo.session_id", session_id)
    yield from gui.click("import_session(")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    yield from _listed(gui, 1)
    yield from gui.look("imported")

    del os.environ["CSM_API_URL"], os.environ["CSM_API_KEY"]
    gui.check(not bpy.app.online_access, "Blender may go online")
    yield from gui.to_viewport()
    yield from gui.key("N", ctrl=True)
    yield 0.1
    yield from gui.key("G", text="g")
    yield from gui.wait(lambda: not _carrying(session_id), "no new file")
    yield from gui.open_tab()
    yield from open_recent(gui)
    yield from gui.hover("import_cached(", column=0.6)
    yield 1.2
    gui.picture("tooltip")
    yield from gui.click("import_cached(")
    yield from gui.finished()
    gui.check("Imported 5 variations" in gui.state.message, gui.state.message)
    gui.check(not gui.state.message_is_error, gui.state.message)
    gui.equal(len(_carrying(session_id)), 6 + 6 + 5, "objects placed")
    yield from gui.wait(lambda: not _is_listing(), "the list is read again and again")
    gui.check(not has_timers(), "a timer is still registered")
    yield from gui.look("imported-from-cache")


def pages(gui: Gui) -> Steps:
    """Turn the pages of the list, filter it, and clear the cache under it."""
    root = _module("scene.sessions").open_cache().root
    picture = Path(gui.arguments["picture"]).read_bytes()
    for number in range(SESSIONS):
        keep_session(root, number, picture)
    yield from gui.open_tab()
    yield from open_recent(gui)
    yield from _listed(gui, 8)
    gui.equal(_first_listed(), "SESSION_1763900000_1000019", "the latest")
    yield from gui.look("first-page", after_s=1.5)
    loaded = _loaded_files()
    gui.equal(len(loaded), 8, "thumbnails of the first page")

    yield from gui.click("turn_page(pages='RECENT', step=1)", column=0.75)
    yield from gui.wait(lambda: _first_listed().endswith("11"), "the second page did not appear")
    yield from gui.click("turn_page(pages='RECENT', step=1)", column=0.75)
    yield from _listed(gui, 4)
    yield from gui.look("last-page", after_s=1.5)
    yield from gui.wait(
        lambda: len(_loaded_files()) == 4 and not _loaded_files() & loaded,
        "thumbnails of other pages are kept",
    )
    yield from gui.hover("turn_page(pages='RECENT', step=1)", column=0.75)
    yield 1.2
    gui.picture("tooltip-of-a-grey-button")
    yield from gui.click("turn_page(pages='RECENT', step=-1)", column=0.34)
    yield from gui.wait(lambda: _first_listed().endswith("11"), "the page before did not appear")
    yield from gui.widen_sidebar(200)
    yield from gui.look("wide")
    yield from gui.widen_sidebar(-300)
    yield from gui.look("narrow")
    yield from gui.widen_sidebar(100)
    yield from gui.fill_in("recent_filter", "precision 1000004")
    yield from _listed(gui, 1)
    gui.equal(_first_listed(), "SESSION_1763900000_1000004", "what was filtered for")
    yield from gui.look("filtered")
    yield from gui.fill_in("recent_filter", "no such")
    yield from _listed(gui, 0)
    yield from gui.look("nothing-found")

    bpy.ops.csm_retopo.clear_cache()
    yield from gui.fill_in("recent_filter", " ")
    yield from _listed(gui, 0)
    yield from gui.wait(lambda: not _loaded_files(), "thumbnails of nothing are kept")
    yield from gui.wait(lambda: not _is_listing(), "the list is read again and again")
    yield from gui.look("cleared")


def gallery(gui: Gui) -> Steps:
    """Select by a preview's name, fold the previews, close the sidebar, disable the add-on."""
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    yield from _drawn(gui, 5)
    yield from gui.hover("show_previews(", column=FOLD)
    for _ in range(12):
        yield from gui.key("WHEELDOWNMOUSE")
    yield 0.1
    yield from gui.look("previews")
    yield from gui.hover("show_previews(", column=FOLD)
    button = yield from _below(gui, "select(object_name=")
    yield from gui.press()
    yield 0.1
    gui.check(attention()["selected"] == [attention()["active"]], "not one is selected")
    gui.check(f'"{attention()["active"]}"' in button, f"{button} has selected another")
    yield from gui.look("selected")

    gui.equal(_sizes_in_file(), [], "previews of images whose files are there")
    yield from gui.click("show_previews(", column=FOLD)
    yield from _drawn(gui, 0)
    yield from gui.look("folded")
    (_module("scene.sessions").SAMPLE_FOLDER / "retopo_render_3.png").unlink()
    yield from gui.click("show_previews(", column=FOLD)
    yield from _drawn(gui, 5)
    gui.equal(len(_sizes_in_file()), 1, "previews of images whose files are gone")

    yield from gui.to_viewport()
    yield from gui.key("N", text="n")
    yield from _drawn(gui, 0)
    yield from gui.key("N", text="n")
    yield from _drawn(gui, 5)
    yield from gui.look("open-again")

    previews = [obj for obj in bpy.data.objects if obj.csm_retopo.role == "PREVIEW"]
    bpy.data.objects.remove(previews[0])
    previews[1].data.name = "Renamed"
    yield from _drawn(gui, 4)
    yield from gui.look("one-deleted")
    bpy.ops.preferences.addon_disable(module=MODULE)
    yield 0.1
    gui.equal(_sizes(), [], "previews after the add-on was disabled")


def _module(name: str) -> Any:
    return sys.modules[f"{MODULE}.{name}"]


def _carrying(session_id: str) -> list[bpy.types.Object]:
    return [each for each in bpy.data.objects if each.csm_retopo.session_id == session_id]


def _is_listing() -> bool:
    return bpy.app.timers.is_registered(_module("scene.recents")._tend)


def _listed(gui: Gui, count: int) -> Steps:
    recents = _module("scene.recents")
    yield from gui.wait(
        lambda: recents._page is not None and len(recents._page.sessions) == count,
        f"there are not {count} in the list",
    )


def _first_listed() -> str:
    return str(_module("scene.recents")._page.sessions[0].session_id)


def _loaded_files() -> set[str]:
    return set(_module("ui.thumbnails")._files or ())


def _sizes() -> list[tuple[int, int]]:
    """The sizes of the previews that are loaded, of images and of files."""
    thumbnails = sys.modules.get(f"{MODULE}.ui.thumbnails")
    files = (thumbnails and thumbnails._files) or {}
    found = [*_sizes_in_file(), *(tuple(each.image_size) for each in files.values())]
    return [each for each in found if each != (0, 0)]


def _sizes_in_file() -> list[tuple[int, int]]:
    """The sizes of the previews that images have."""
    found = [tuple(each.preview.image_size) for each in bpy.data.images if each.preview]
    return [each for each in found if each != (0, 0)]


def _drawn(gui: Gui, count: int) -> Steps:
    yield from gui.wait(lambda: len(_sizes()) == count, f"there are not {count} previews")


def open_recent(gui: Gui) -> Steps:
    """Click what is below the sample's button until the panel of recent sessions is open."""
    recents = _module("scene.recents")
    recents._wish = None
    yield from gui.hover("import_sample", column=0.66)
    for _ in range(8):
        if "import_sample" in (yield from _lower(gui)):
            continue
        yield from gui.press()
        yield 0.1
        if recents._wish is not None:
            return
    raise AssertionError("the recent sessions can't be unfolded")


def _below(gui: Gui, target: str) -> Steps:
    """Go down and to the right until such a button is under the mouse, and return its command."""
    yield from gui.nudge(40, 0)
    for _ in range(20):
        found = yield from _lower(gui)
        if target in found:
            return found
    raise AssertionError(f"No button for {target} below")


def _lower(gui: Gui) -> Steps:
    """Go down, by less than a button's height, and return what is there."""
    yield from gui.nudge(0, -14)
    return (yield from gui._what_is_at(*gui._mouse, SIDEBAR))


def keep_session(root: Path, number: int, picture: bytes) -> None:
    """A session as the cache keeps it, with one variation. The higher its number, the later it was
    used.
    """
    folder = root / f"SESSION_1763900000_{1_000_000 + number}"
    folder.mkdir(parents=True)
    names = {"obj_url": "variation_0.obj", "image_url": "variation_0.png"}
    document = {
        "_id": folder.name,
        "type": "retopology",
        "status": "complete",
        "created_at": f"2025-11-{number + 1:02}T12:13:20.000Z",
        "input": {"model": "precision" if number % 2 == 0 else "swift"},
        "output": {"meshes": [{"_id": "ASSET_1", "status": "complete", "data": names}]},
    }
    seal = _module("api.cache").seal
    (folder / "session.json").write_bytes(seal(document))
    for name, content in (("variation_0.obj", b"v 0 0 0\n"), ("variation_0.png", picture)):
        (folder / name).write_bytes(content)
        record = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "notes": {},
        }
        (folder / f"{name}.json").write_bytes(seal(record))
    os.utime(folder, (1_763_900_000 + number, 1_763_900_000 + number))
