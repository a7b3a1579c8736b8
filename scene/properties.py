# SPDX-License-Identifier: GPL-3.0-or-later
"""What the objects and collections of a session carry, so that they are found again, and what
the panel shows.

Pointers die at undo and file load; the former live in the .blend, and no URL is among them.
"""

from __future__ import annotations

import functools
import json

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..api.errors import InvalidSessionID
from ..api.session import find_session_id
from .models import Metrics, Role


class CSM_RETOPO_PG_object(bpy.types.PropertyGroup):
    """`Object.csm_retopo`: which part of which session an object is."""

    role: EnumProperty(
        name="Role",
        description="What this object is in its session",
        items=(
            ("NONE", "None", "Not part of a session"),
            (Role.VARIATION, "Variation", "One retopology of the source"),
            (Role.SOURCE, "Source", "The mesh that was retopologised"),
            (Role.PREVIEW, "Preview", "The preview image of a variation"),
            (Role.LABEL, "Label", "The label of a variation or of the source"),
        ),
    )
    session_id: StringProperty(name="Session", description="The session it belongs to")
    asset_id: StringProperty(name="Asset", description="The service's ID of the mesh")
    index: IntProperty(
        name="Index",
        description="The variation's place in the session, from 0; -1 for the source",
        default=-1,
        min=-1,
    )
    file_sha256: StringProperty(
        name="File Hash", description="SHA-256 of the file that the data was made from"
    )
    metrics: StringProperty(
        name="Metrics",
        description="The metrics of a mesh, as a JSON object",
        default="{}",
    )


class CSM_RETOPO_PG_collection(bpy.types.PropertyGroup):
    """`Collection.csm_retopo`: the session that a collection holds."""

    session_id: StringProperty(name="Session", description="The session it holds")
    created_at: StringProperty(name="Created", description="When the session was made (ISO 8601)")
    model: StringProperty(name="Model", description="The service's model: swift or precision")
    quads: BoolProperty(name="Quads", description="Whether quads were asked for")
    input_asset_id: StringProperty(
        name="Input Asset", description="The service's ID of the mesh that was retopologised"
    )


def _keep_only_id(state: CSM_RETOPO_PG_state, _context: bpy.types.Context) -> None:
    """A pasted URL can hold credentials: keep the session ID in it, and nothing else."""
    try:
        session_id = find_session_id(state.session_id)
    except InvalidSessionID:
        return
    if state.session_id != session_id:
        state.session_id = session_id


class CSM_RETOPO_PG_job(bpy.types.PropertyGroup):
    """An import under way, as the panel shows it."""

    key: StringProperty(name="Session", description="What is being imported")
    stage: StringProperty(name="Stage", description="What it is doing")
    progress: FloatProperty(
        name="Progress", description="How far it is", min=0.0, max=1.0, subtype="FACTOR"
    )


class CSM_RETOPO_PG_state(bpy.types.PropertyGroup):
    """`WindowManager.csm_retopo`: what the panel shows and no .blend keeps."""

    session_id: StringProperty(
        name="Session",
        description="The ID of a retopology session, or a URL that contains it",
        update=_keep_only_id,
        options={"SKIP_SAVE"},
    )
    jobs: CollectionProperty(type=CSM_RETOPO_PG_job, options={"SKIP_SAVE"})
    message: StringProperty(name="Message", description="What happened last", options={"SKIP_SAVE"})
    message_is_error: BoolProperty(
        name="Trouble", description="Whether something went wrong", options={"SKIP_SAVE"}
    )


def read_metrics(obj: bpy.types.Object) -> Metrics:
    """The metrics that an object carries, by key; empty for an object that has none.

    A function: a property of Python's own in a PropertyGroup crashes Blender 4.2 at exit, where it
    is a Python module.
    """
    return _parse_metrics(obj.csm_retopo.metrics)


@functools.lru_cache(maxsize=4096)
def _parse_metrics(text: str) -> Metrics:
    # Panels ask for the same few hundred texts at every redraw.
    try:
        metrics = json.loads(text)
    except ValueError:
        return {}
    return metrics if isinstance(metrics, dict) else {}


_register, _unregister = bpy.utils.register_classes_factory(
    (CSM_RETOPO_PG_object, CSM_RETOPO_PG_collection, CSM_RETOPO_PG_job, CSM_RETOPO_PG_state)
)


def register() -> None:
    """Make the properties known to Blender."""
    _register()
    bpy.types.Object.csm_retopo = PointerProperty(type=CSM_RETOPO_PG_object, name="CSM Retopo")
    bpy.types.Collection.csm_retopo = PointerProperty(
        type=CSM_RETOPO_PG_collection, name="CSM Retopo"
    )
    bpy.types.WindowManager.csm_retopo = PointerProperty(
        type=CSM_RETOPO_PG_state, name="CSM Retopo", options={"SKIP_SAVE"}
    )


def unregister() -> None:
    """Take them away again."""
    del bpy.types.WindowManager.csm_retopo
    del bpy.types.Collection.csm_retopo
    del bpy.types.Object.csm_retopo
    _unregister()
