# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in the sidebar, large enough to judge: loaded by Blender's own background job when they
are drawn first, and freed when no sidebar shows them any more.

An image of the .blend has its preview from Blender, as in Blender's own lists; a file's is kept
apart from the .blend. What is freed comes back when it is drawn again.
"""

from __future__ import annotations

from typing import Any

import bpy
import bpy.utils.previews

from ..api.recent import Picture
from ..scene import preview_files

_Key = int | str
"""An image by its `session_uid`, which outlives renaming and undo; a file by its path and hash."""

_REST_S = 0.3
_AGAIN_S = 1.0

_shown: dict[int, set[_Key]] = {}
"""What each region shows."""
_images: set[int] = set()
_files: Any = None
_handles: list[tuple[object, str]] = []


def begin(region: bpy.types.Region | None) -> None:
    """The region is laid out anew: what it shows is what is asked for from here on."""
    if region is not None:
        _shown[region.as_pointer()] = set()


def preview_icon(
    region: bpy.types.Region, layout: bpy.types.UILayout, image: bpy.types.Image, sha256: str
) -> int:
    """The icon of a preview image in the .blend, whose file has this hash, to be drawn with
    `template_icon`.

    It is the file's where that is still there: Blender averages a file's pixels, but only leaves
    out some of an image's, and holds still for 40 ms at the first image of all.
    """
    file = preview_files.find(sha256)
    icon = file_icon(region, file) if file is not None else 0
    return icon or _image_icon(region, layout, image)


def _image_icon(
    region: bpy.types.Region, layout: bpy.types.UILayout, image: bpy.types.Image
) -> int:
    key = image.session_uid
    _images.add(key)
    _shown.setdefault(region.as_pointer(), set()).add(key)
    return layout.icon(image)


def file_icon(region: bpy.types.Region, file: Picture) -> int:
    """The icon of an image file, to be drawn with `template_icon`: none for a file that has changed
    since it was checked. The file is read later.
    """
    global _files
    if _files is None:
        _files = bpy.utils.previews.new()
    key = f"{file.path} {file.sha256}"
    _shown.setdefault(region.as_pointer(), set()).add(key)
    preview = _files.get(key)
    if preview is None:
        if not file.is_unchanged:
            return 0
        preview = _files.load(key, str(file.path), "IMAGE")
    return int(preview.icon_id)


def _loaded() -> set[_Key]:
    return {*_images, *(_files or ())}


def _visible() -> set[_Key]:
    """What is shown in sidebars that are open."""
    open_ = {
        region.as_pointer()
        for window in bpy.context.window_manager.windows
        for area in window.screen.areas
        if isinstance(space := area.spaces.active, bpy.types.SpaceView3D) and space.show_region_ui
        for region in area.regions
        if region.type == "UI"
    }
    for closed in [each for each in _shown if each not in open_]:
        del _shown[closed]
    return set().union(*_shown.values())


def _on_drawn() -> None:
    """A 3D view, or its sidebar, was drawn: that is how one learns that another is closed."""
    if not _images and not _files:
        return
    if not bpy.app.timers.is_registered(_free) and _loaded() - _visible():
        bpy.app.timers.register(_free, first_interval=_REST_S)


def _free() -> float | None:
    """Free what is not shown."""
    unused = _loaded() - _visible()
    for key in [each for each in _files or () if each in unused]:
        del _files[key]
    if unused.isdisjoint(_images):
        return None
    if _is_drawing():
        return _AGAIN_S
    _free_images(unused & _images)
    return None


def _is_drawing() -> bool:
    """Whether Blender draws previews of images this moment: its job writes to where they are, and
    would go on after that is freed.
    """
    is_running: Any = bpy.app.is_job_running
    return bool(is_running("RENDER_PREVIEW"))


def _free_images(keys: set[Any]) -> None:
    for image in bpy.data.images:
        if image.session_uid in keys and image.preview is not None:
            image.preview.reload()
    _images.difference_update(keys)


def register() -> None:
    """Look out for what is no longer shown; without a window, nothing is."""
    if bpy.app.background:
        return
    for region_type in ("WINDOW", "UI"):
        handle = bpy.types.SpaceView3D.draw_handler_add(_on_drawn, (), region_type, "POST_PIXEL")
        _handles.append((handle, region_type))


def unregister() -> None:
    """Free all of them."""
    global _files
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(*_handles.pop())
    if bpy.app.timers.is_registered(_free):
        bpy.app.timers.unregister(_free)
    if _files is not None:
        bpy.utils.previews.remove(_files)
        _files = None
    if not _is_drawing():
        _free_images(set(_images))
    _images.clear()
    _shown.clear()
