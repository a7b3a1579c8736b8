# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs, enables and uninstalls the extension, and finds what it leaves behind.

For code that runs in a Blender of its own, see `run_blender` in conftest.py.
"""

from __future__ import annotations

import functools
import gc
import threading
import types
from collections.abc import Iterator

import bpy

MODULE = "bl_ext.user_default.csm_retopo"


def install(archive: str, *, enable: bool = True) -> None:
    """Install the zip as the preferences' "Install from Disk" does.

    Raises:
        RuntimeError: it was not installed or, if asked for, not enabled.
    """
    bpy.ops.extensions.package_install_files(
        filepath=archive, repo="user_default", enable_on_install=enable
    )
    if enable:
        check_enabled()


def uninstall() -> None:
    """Disable the extension and remove its files; nothing is done where it isn't enabled."""
    preferences = bpy.context.preferences
    modules = [repository.module for repository in preferences.extensions.repos]
    if MODULE in preferences.addons:
        bpy.ops.extensions.package_uninstall(
            repo_index=modules.index("user_default"), pkg_id="csm_retopo"
        )


def check_enabled() -> None:
    """Raise RuntimeError unless the extension is there and registered."""
    import addon_utils

    is_default, is_loaded = addon_utils.check(MODULE)
    if not (is_default and is_loaded and "csm_retopo" in bpy.types.Object.bl_rna.properties):
        raise RuntimeError("The extension is not enabled")


def check_nothing_left() -> None:
    """Raise RuntimeError with a list of what Blender still holds of the extension."""
    left = sorted(
        {
            *_classes(),
            *_properties(),
            *_draw_functions(),
            *_handlers(),
            *find_timers(),
            *_threads(),
            *_keys(),
        }
    )
    if left:
        raise RuntimeError(f"Left behind: {', '.join(left)}")


def _is_ours(thing: object) -> bool:
    while True:
        if isinstance(thing, functools.partial):
            thing = thing.func
        elif isinstance(thing, types.MethodType):
            thing = thing.__func__
        else:
            return str(getattr(thing, "__module__", "")).startswith(MODULE)


def _classes() -> Iterator[str]:
    yield from (f"class {name}" for name in dir(bpy.types) if "csm_retopo" in name.lower())
    # Not every version lists every class of an add-on in bpy.types.
    for base in bpy.types.bpy_struct.__subclasses__():
        for cls in _subclasses(base):
            if _is_ours(cls) and getattr(cls, "is_registered", False):
                yield f"class {cls.__name__}"


def _subclasses(base: type) -> Iterator[type]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def _properties() -> Iterator[str]:
    for name in dir(bpy.types):
        rna = getattr(getattr(bpy.types, name), "bl_rna", None)
        for key in rna.properties.keys() if rna else ():
            if "csm_retopo" in key:
                yield f"property {name}.{key}"


def _draw_functions() -> Iterator[str]:
    for name in dir(bpy.types):
        functions = getattr(getattr(getattr(bpy.types, name), "draw", None), "_draw_funcs", ())
        yield from (f"{name} draws {f.__name__}" for f in functions if _is_ours(f))


def _handlers() -> Iterator[str]:
    for name in dir(bpy.app.handlers):
        functions = getattr(bpy.app.handlers, name)
        if isinstance(functions, list) and any(_is_ours(function) for function in functions):
            yield f"handler {name}"


def find_timers() -> Iterator[str]:
    """The timers that the extension has registered."""
    # Blender tells of a function whether it is a timer, but keeps no list.
    kinds = (types.FunctionType, types.MethodType, functools.partial)
    for thing in gc.get_objects():
        if isinstance(thing, kinds) and _is_ours(thing) and bpy.app.timers.is_registered(thing):
            yield f"timer {thing}"


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            yield f"thread {thread.name}"


def _keys() -> Iterator[str]:
    configuration = bpy.context.window_manager.keyconfigs.addon
    for keymap in configuration.keymaps if configuration else ():
        for item in keymap.keymap_items:
            if item.idname.startswith("csm_retopo."):
                yield f"key of {item.idname}"
