# SPDX-License-Identifier: GPL-3.0-or-later
"""The first minutes with the add-on: no key yet, or no permission to go online; the preferences."""

from __future__ import annotations

import sys

import bpy
from driver import MODULE, PREFERENCES, Gui, Steps


def settings(gui: Gui) -> Steps:
    """Follow the panel to the key, then to online access."""
    yield from gui.open_tab()
    yield from gui.look("no-key")
    yield from gui.click("preferences.addon_show")
    yield from type_key(gui, "key-0123")

    yield from gui.look("offline")
    yield from gui.click("screen.userpref_show")
    yield from _wait_for_preferences(gui)
    gui.equal(bpy.context.preferences.active_section, "SYSTEM", "the section shown")
    # Only pointed at: with it, Blender itself would begin to use the network.
    yield from gui.hover("use_online_access", PREFERENCES, column=0.5)
    gui.picture("system-preferences")
    yield from _close_preferences(gui)
    found = yield from gui.is_there("preferences.addon_show")
    gui.check(not found, "the panel still asks for the key")


def type_key(gui: Gui, key: str) -> Steps:
    """Type the API key in the preferences, which are being opened, and close them."""
    yield from _wait_for_preferences(gui)
    gui.picture("addon-preferences")
    yield from gui.fill_in("api_key", key, PREFERENCES)
    gui.equal(_preferences().api_key, key, "the key that was typed")
    gui.picture("key-typed")
    yield from _close_preferences(gui)


def clear_cache(gui: Gui) -> Steps:
    """Import, clear the cache in the preferences, and import again."""
    sessions = sys.modules[f"{MODULE}.scene.sessions"]
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    root = sessions.open_cache().root
    gui.check(list(root.rglob("*.blend")), "nothing was kept in the cache")
    yield from gui.click("preferences.addon_show")
    yield from _wait_for_preferences(gui)
    yield from gui.click("csm_retopo.clear_cache", PREFERENCES, column=0.83)
    yield 0.1
    gui.picture("cache-cleared")
    gui.equal(list(root.rglob("*.blend")), [], "what the cache still holds")
    yield from _close_preferences(gui)
    yield from gui.click("import_sample")
    yield from gui.finished()
    gui.check(not gui.state.message_is_error, gui.state.message)


def _windows() -> list[bpy.types.Window]:
    return bpy.context.window_manager.windows[:]


def _preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[MODULE].preferences


def _wait_for_preferences(gui: Gui) -> Steps:
    yield from gui.wait(lambda: len(_windows()) == 2, "no preferences opened")
    yield 0.6


def _close_preferences(gui: Gui) -> Steps:
    # As the button in the title bar does, which belongs to the desktop and not to Blender.
    with bpy.context.temp_override(window=_windows()[-1]):
        bpy.ops.wm.window_close()
    yield from gui.wait(lambda: len(_windows()) == 1, "the preferences did not close")
    yield 0.1
