# SPDX-License-Identifier: GPL-3.0-or-later
"""A session's row in a .blend of its own, for batches."""

from __future__ import annotations

import logging
from pathlib import Path

import bpy

from ...api.errors import CsmError
from ...api.files import replacing
from .. import placing
from ..assets import marking
from ..layout import Facing
from ..models import AssembleRequest
from . import thumbnails

log = logging.getLogger(__name__)


def write_row(request: AssembleRequest) -> list[str]:
    """Write the row to `request.blend`, which appears whole or not at all. Returns warnings.

    It starts from an empty file, so what was open is gone: for a background Blender. Main thread.
    Raises CsmError.
    """
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.name = request.plan.session_id
    warnings = placing.place(scene, request.plan, Facing.FRONT, request.arrangement)
    marking.mark_variations(scene, request.assets, as_best=request.assets_are_best)
    try:
        with replacing(Path(request.blend)) as temporary:
            # As a copy, so that the open file doesn't take the temporary name for its own.
            bpy.ops.wm.save_as_mainfile(filepath=str(temporary), copy=True, check_existing=False)
    except (OSError, RuntimeError) as error:
        log.warning("%s", error)
        raise CsmError("make room on the disk, or check the folder's permissions") from None
    if request.thumbnails:
        try:
            thumbnails.write(request.plan, Path(request.thumbnails))
        except (OSError, RuntimeError, TypeError) as error:  # TypeError: no WebP in this Blender
            log.warning("no thumbnails: %s", error)
    return warnings
