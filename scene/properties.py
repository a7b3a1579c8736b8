# SPDX-License-Identifier: GPL-3.0-or-later
"""What the objects and collections of a session carry, so that they are found again, and what
the panel shows.

Pointers die at undo and file load; the former live in the .blend, and no URL is among them.
"""

from __future__ import annotations

import functools
import json
import math

import bpy
from bpy.props import (
    BoolProperty,
    BoolVectorProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..api.errors import InvalidSessionID
from ..api.session import find_session_id, without_urls
from .compare import flipping
from .layout import Facing
from .models import Metrics, PreviewSide, Role


class CSM_RETOPO_PG_before_flip(bpy.types.PropertyGroup):
    """`Object.csm_retopo.flip`: what an object was like before it took part in a flip."""

    is_in: BoolProperty(name="Flipped", description="Whether it takes part in a flip")
    hide_viewport: BoolProperty(name="Disable in Viewports")
    hide_render: BoolProperty(name="Disable in Renders")
    hide_select: BoolProperty(name="Disable Selection")
    locks: BoolVectorProperty(
        name="Locks", description="Of its location, rotation and scale", size=9
    )
    hidden_in: StringProperty(
        name="Hidden In",
        description="The names of the view layers that it was hidden in, as a JSON array",
        default="[]",
    )
    selected_in: StringProperty(
        name="Selected In",
        description="The names of the view layers that it was selected in when it was hidden, as "
        "a JSON array",
        default="[]",
    )


COLORS = (
    ("NONE", "None", "The variations as they are"),
    ("FACE_TYPES", "Face Types", "Triangles, quads and n-gons"),
    ("POLES", "Poles", "Vertices inside the surface where 3, 5, or 6 and more edges meet"),
    ("QUAD_SHAPE", "Quad Shape", "How far each quad is from a rectangle"),
    ("DEVIATION", "Deviation", "How far each face lies from the source"),
    (
        "COVERAGE",
        "Coverage Gap",
        "How far the source lies from each face: the detail that was lost",
    ),
)
"""What `Scene.csm_retopo.colors` can be."""


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
    wires_before: IntProperty(
        name="Wires Before",
        description="What of its wires the object showed before all variations did; -1 if they "
        "don't",
        default=-1,
    )
    flip: PointerProperty(type=CSM_RETOPO_PG_before_flip)


def _arrange_flip(flip: CSM_RETOPO_PG_flip, _context: bpy.types.Context) -> None:
    flipping.arrange(flip.id_data)


class CSM_RETOPO_PG_flip(bpy.types.PropertyGroup):
    """`Scene.csm_retopo.flip`: the mode in which variations lie over each other."""

    is_on: BoolProperty(name="Flipping", description="Whether the variations lie over each other")
    show_ghost: BoolProperty(
        name="Source as Ghost",
        description="While flipping, show the source through the variation, translucent",
        update=_arrange_flip,
    )
    session_id: StringProperty(
        name="Session", description="The session whose variations, and its like's, are flipped"
    )
    shown: StringProperty(name="Shown", description="The session and index of the one shown")
    previous: StringProperty(
        name="Previous", description="The session and index of the one shown before"
    )
    place: IntProperty(name="Place", description="Which of the variations is shown, from 0", min=0)


def _refresh_colors(comparison: CSM_RETOPO_PG_comparison, _context: bpy.types.Context) -> None:
    from .compare import coloring

    coloring.refresh(comparison.id_data)


def _refresh_wireframe(comparison: CSM_RETOPO_PG_comparison, _context: bpy.types.Context) -> None:
    from .compare import display

    display.refresh_wireframe(comparison.id_data)


class CSM_RETOPO_PG_comparison(bpy.types.PropertyGroup):
    """`Scene.csm_retopo`: how the scene's variations are compared."""

    columns: StringProperty(
        name="Columns",
        description="The metrics that the table shows, by their keys, separated by blanks",
        default="triangle_count quad_ratio scaled_jacobian_mean hausdorff_relative",
    )
    sort_by: StringProperty(
        name="Sort By",
        description="The metric that the table is sorted by; empty for the session's order",
    )
    sort_descending: BoolProperty(
        name="Descending", description="Whether the largest value comes first"
    )
    triangle_budget: IntProperty(
        name="Triangle Budget",
        description="How many triangles a variation may have; those that have more are marked. "
        "0 for no limit",
        min=0,
        soft_max=100_000,
    )
    flip: PointerProperty(type=CSM_RETOPO_PG_flip)
    colors: EnumProperty(
        name="Colors",
        description="What the colors on the variations' surfaces show",
        items=COLORS,
        update=_refresh_colors,
    )
    color_limit: FloatProperty(
        name="Limit",
        description="The distance at which the colors of deviation and coverage gap end, in "
        "percent of the source's diagonal. 0 for one that suits all variations",
        min=0.0,
        soft_max=10.0,
        max=100.0,
        precision=3,
        update=_refresh_colors,
    )
    wireframe: BoolProperty(
        name="Wireframe",
        description="Show the edges of all variations",
        update=_refresh_wireframe,
    )


class CSM_RETOPO_PG_row(bpy.types.PropertyGroup):
    """`Collection.csm_retopo.row`: how the session's row was laid out when it was begun."""

    facing: EnumProperty(
        name="Facing",
        description="From where labels and previews are read",
        items=tuple((each.name, each.name.replace("_", " ").title(), "") for each in Facing),
    )
    preview_place: EnumProperty(
        name="Previews",
        description="Where a variation's preview image stands",
        items=tuple((each.value, each.title(), "") for each in PreviewSide),
    )
    spacing: FloatProperty(name="Spacing", description="The factor of the usual distances")
    unit: FloatProperty(
        name="Unit", description="What gaps and letters are measured in, in scene units"
    )
    pitch: FloatProperty(
        name="Pitch",
        description="How far it is from a variation to the next, in scene units; 0 for a row of "
        "which this is not known",
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
    row: PointerProperty(type=CSM_RETOPO_PG_row)


_session_id = ""
"""What the sidebar's field holds. Blender's Info editor lists what is typed before any callback but
the one that sets it can do anything about that.
"""


def _get_session_id(_state: CSM_RETOPO_PG_state) -> str:
    return _session_id


def _set_session_id(state: CSM_RETOPO_PG_state, text: str) -> None:
    """A pasted URL can hold credentials: keep the session ID in it, and nothing else."""
    global _session_id
    try:
        _session_id = find_session_id(text)
    except InvalidSessionID as error:
        _session_id = without_urls(text, "")
        if _session_id != text:
            state.message, state.message_is_error = str(error), True


class CSM_RETOPO_PG_job(bpy.types.PropertyGroup):
    """An import or a report under way, as the panel shows it."""

    key: StringProperty(name="Key", description="What is under way")
    stage: StringProperty(name="Stage", description="What it is doing")
    detail: StringProperty(name="Detail", description="What else there is to know about the stage")
    is_ready: BoolProperty(name="Ready", description="Whether it waits to be placed")
    progress: FloatProperty(
        name="Progress", description="How far it is", min=0.0, max=1.0, subtype="FACTOR"
    )


class CSM_RETOPO_PG_failure(bpy.types.PropertyGroup):
    """A variation, or a source, that could not be had, as the panel shows it."""

    session_id: StringProperty(name="Session", description="The session it belongs to")
    title: StringProperty(name="Name", description="What it is called in its session")
    reason: StringProperty(name="Reason", description="Why it could not be had")


class CSM_RETOPO_PG_gallery(bpy.types.PropertyGroup):
    """Whether the artist has had a session's previews shown, or hidden; its name is the session's
    ID.
    """

    is_shown: BoolProperty(name="Shown", description="Whether the sidebar shows the previews")


def _show_first_recent(state: CSM_RETOPO_PG_state, _context: bpy.types.Context) -> None:
    state.recent_page = 0


class CSM_RETOPO_PG_state(bpy.types.PropertyGroup):
    """`WindowManager.csm_retopo`: what the panel shows and no .blend keeps."""

    session_id: StringProperty(
        name="Session",
        description="The ID of a retopology session, or a URL that contains it",
        get=_get_session_id,
        set=_set_session_id,
        options={"SKIP_SAVE"},
    )
    jobs: CollectionProperty(type=CSM_RETOPO_PG_job, options={"SKIP_SAVE"})
    failures: CollectionProperty(type=CSM_RETOPO_PG_failure, options={"SKIP_SAVE"})
    table_page: IntProperty(
        name="Page", description="Which page of the table is shown", min=0, options={"SKIP_SAVE"}
    )
    sessions_page: IntProperty(
        name="Page",
        description="Which page of the scene's sessions is shown",
        min=0,
        options={"SKIP_SAVE"},
    )
    galleries: CollectionProperty(type=CSM_RETOPO_PG_gallery, options={"SKIP_SAVE"})
    recent_page: IntProperty(
        name="Page",
        description="Which page of the recent sessions is shown",
        min=0,
        options={"SKIP_SAVE"},
    )
    recent_filter: StringProperty(
        name="Filter",
        description="Show only recent sessions that have these words in their ID, model or date",
        update=_show_first_recent,
        options={"SKIP_SAVE", "TEXTEDIT_UPDATE"},
    )
    message: StringProperty(name="Message", description="What happened last", options={"SKIP_SAVE"})
    message_is_error: BoolProperty(
        name="Trouble", description="Whether something went wrong", options={"SKIP_SAVE"}
    )


def read_metrics(obj: bpy.types.Object) -> Metrics:
    """The metrics that an object carries, by key; empty for an object that has none. Each is a
    finite number, a truth value or None, whatever somebody may have written there.

    A function: a property of Python's own in a PropertyGroup crashes Blender 4.2 at exit, where it
    is a Python module.
    """
    return _parse_metrics(obj.csm_retopo.metrics)


@functools.lru_cache(maxsize=4096)
def _parse_metrics(text: str) -> Metrics:
    # Panels ask for the same few hundred texts at every redraw.
    try:
        metrics = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(metrics, dict):
        return {}
    return {key: value for key, value in metrics.items() if value is None or _is_number(value)}


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


_register, _unregister = bpy.utils.register_classes_factory(
    (
        CSM_RETOPO_PG_before_flip,
        CSM_RETOPO_PG_object,
        CSM_RETOPO_PG_flip,
        CSM_RETOPO_PG_comparison,
        CSM_RETOPO_PG_row,
        CSM_RETOPO_PG_collection,
        CSM_RETOPO_PG_job,
        CSM_RETOPO_PG_failure,
        CSM_RETOPO_PG_gallery,
        CSM_RETOPO_PG_state,
    )
)


def register() -> None:
    """Make the properties known to Blender."""
    _register()
    bpy.types.Object.csm_retopo = PointerProperty(type=CSM_RETOPO_PG_object, name="CSM Retopo")
    bpy.types.Collection.csm_retopo = PointerProperty(
        type=CSM_RETOPO_PG_collection, name="CSM Retopo"
    )
    bpy.types.Scene.csm_retopo = PointerProperty(type=CSM_RETOPO_PG_comparison, name="CSM Retopo")
    bpy.types.WindowManager.csm_retopo = PointerProperty(
        type=CSM_RETOPO_PG_state, name="CSM Retopo", options={"SKIP_SAVE"}
    )


def unregister() -> None:
    """Take them away again."""
    del bpy.types.WindowManager.csm_retopo
    del bpy.types.Scene.csm_retopo
    del bpy.types.Collection.csm_retopo
    del bpy.types.Object.csm_retopo
    _unregister()
