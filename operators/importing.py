# SPDX-License-Identifier: GPL-3.0-or-later
"""Import a session: by its ID, from a folder, or the sample.

Started from the panel, an import runs while the artist goes on. Called from a script, the operator
returns when it is done, and raises RuntimeError with what the panel would show.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty
from mathutils import Vector

from ..api.errors import CsmError, FolderError
from ..api.jobs import FolderJob, Job
from ..api.session import find_session_id
from ..api.texts import Text
from ..scene import runner, sessions
from ..scene.background.converter import Converter
from ..scene.layout import Facing, facing_of_view
from ..scene.pipeline import Import
from ..scene.targets import SceneTarget, WhenReady
from ..scene.texts import told

CLOSE_TIMEOUT_S = 5.0

_J = TypeVar("_J", bound=Job)
_DIALOG_WIDTH = 400


def _facing(context: bpy.types.Context) -> Facing:
    """The facing that the artist can read in the 3D view nearest at hand."""
    region_3d = getattr(context, "region_data", None)
    if region_3d is None:
        spaces = [area.spaces.active for area in (context.screen.areas if context.screen else ())]
        views = [each.region_3d for each in spaces if isinstance(each, bpy.types.SpaceView3D)]
        region_3d = views[0] if views else None
    if region_3d is None:
        return Facing.FRONT
    direction = region_3d.view_rotation @ Vector((0.0, 0.0, -1.0))
    return facing_of_view(tuple(direction))


def import_job(
    operator: bpy.types.Operator,
    context: bpy.types.Context,
    key: str,
    job: _J,
    kind: Callable[[_J, SceneTarget, Converter], Import] = Import,
) -> set[str]:
    """Import what `job` brings: alongside the artist, or, for a script, to the end.

    Raises CsmError.
    """
    alongside = is_alongside(operator)
    chosen = sessions.preferences()
    when_ready = WhenReady(chosen.when_ready if chosen else WhenReady.OBJECT_MODE)
    target = SceneTarget(
        context.scene.session_uid, _facing(context), when_ready if alongside else None
    )
    converter = Converter(job.cache, sessions.cache_limit_bytes())
    running = kind(job, target, converter)
    if alongside:
        runner.start(key, running)
        return {"FINISHED"}
    running.start()
    try:
        outcome = running.run()
    finally:
        running.close(CLOSE_TIMEOUT_S)
    running.note_failures()
    if outcome.error is not None:
        raise outcome.error
    text, is_error = running.conclusion(key)
    runner.show_message(text, is_error=is_error)
    for text in outcome.warnings:
        operator.report({"WARNING"}, told(text))
    operator.report({"INFO"} if outcome.is_complete else {"WARNING"}, told(outcome.summary()))
    return {"FINISHED"}


def default_folder() -> str:
    """Where the file browser begins, from the preferences; empty for where it was last."""
    chosen = sessions.preferences()
    folder = bpy.path.abspath(chosen.default_folder) if chosen and chosen.default_folder else ""
    return os.path.join(folder, "") if os.path.isdir(folder) else ""


def is_alongside(operator: bpy.types.Operator) -> bool:
    """Whether an artist started it, and goes on working."""
    return operator.options.is_invoke and not bpy.app.background


def under_way(session_id: str) -> Text:
    """Why a session can't be imported now."""
    return Text("{} is under way already: wait until it is done, or cancel it", session_id)


def fail(operator: bpy.types.Operator, error: CsmError) -> set[str]:
    """Tell what went wrong, as it suits whoever started the operator."""
    runner.show_message(error.text, is_error=True)
    # An error pops up over the very field that the artist has to correct; the panel says it too.
    operator.report({"WARNING"} if is_alongside(operator) else {"ERROR"}, told(error.text))
    return {"CANCELLED"}


class CSM_RETOPO_OT_import_session(bpy.types.Operator):
    """Fetch a retopology session and place its variations in a row"""

    bl_idname = "csm_retopo.import_session"
    bl_label = "Import Session"

    session_id: StringProperty(
        name="Session",
        description="The ID of a retopology session, or a URL that contains it. "
        "Left empty, it is the one in the sidebar",
        options={"SKIP_SAVE"},
    )
    wait_min: FloatProperty(
        name="Wait",
        description="How many minutes to wait for a session that is still running on the service. "
        "Not set, it is the limit in the preferences for an artist, and 0 for a script",
        min=0.0,
        soft_max=600.0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: Any) -> str:
        """What it does for the session that a button names, or why it can't."""
        session_id = properties.session_id
        if not session_id:
            return told("Fetch a retopology session and place its variations in a row")
        if runner.is_running(session_id):
            return told(under_way(session_id))
        return told(Text("Fetch what is missing of {}, and place it in its row", session_id))

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the ID, where neither button nor sidebar names one."""
        if self.session_id or context.window_manager.csm_retopo.session_id.strip():
            return self.execute(context)
        return context.window_manager.invoke_props_dialog(
            self, width=_DIALOG_WIDTH, confirm_text="Import"
        )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the dialog."""
        layout = self.layout
        layout.activate_init = True
        # The sidebar's: what is typed into an operator's own is listed in the Info editor, before
        # anything can be done about a URL, which can be a credential.
        state = context.window_manager.csm_retopo
        layout.prop(state, "session_id", text="", placeholder="Session ID or URL")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        text = self.session_id or context.window_manager.csm_retopo.session_id
        alongside = is_alongside(self)
        is_told = self.properties.is_property_set("wait_min") or not alongside
        wait_s = 60.0 * self.wait_min if is_told else sessions.wait_limit_s()
        # Blender keeps and logs what an operator was called with, and a URL can be a credential.
        self.session_id = ""
        try:
            session_id = self.session_id = find_session_id(text)
            job = sessions.session_job(
                session_id, sessions.open_cache(), wait_s=wait_s, early=alongside
            )
            return import_job(self, context, session_id, job)
        except CsmError as error:
            return fail(self, error)


class CSM_RETOPO_OT_import_folder(bpy.types.Operator):
    """Import a session kept as a folder: session.json, with its meshes and images beside it"""

    bl_idname = "csm_retopo.import_folder"
    bl_label = "Import Session Folder"

    directory: StringProperty(
        name="Folder",
        description="The folder that holds session.json",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the folder."""
        if not self.directory and (folder := default_folder()):
            self.directory = folder
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        folder = Path(bpy.path.abspath(self.directory))
        try:
            if not self.directory:
                raise FolderError("Choose the folder of a session, the one that holds session.json")
            job = FolderJob(folder, sessions.open_cache())
            return import_job(self, context, folder.name or str(folder), job)
        except CsmError as error:
            return fail(self, error)


class CSM_RETOPO_OT_import_sample(bpy.types.Operator):
    """Import the sample session that comes with the add-on: no account and no network needed"""

    bl_idname = "csm_retopo.import_sample"
    bl_label = "Try the Sample"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        try:
            job = FolderJob(sessions.SAMPLE_FOLDER, sessions.open_cache())
            return import_job(self, context, "Sample", job)
        except CsmError as error:
            return fail(self, error)


class CSM_RETOPO_OT_place(bpy.types.Operator):
    """Put what is ready in its place in the scene now. Mode, selection and active object stay as \
they are; outside Object Mode, it is no undo step of its own
    """

    bl_idname = "csm_retopo.place"
    bl_label = "Place"

    key: StringProperty(
        name="Key",
        description="What to place, as the panel calls it. Left empty, everything that is ready",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether anything is ready."""
        cls.poll_message_set("Nothing is ready to be placed")
        return bool(runner.waiting_for_artist())

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Place it."""
        return {"FINISHED"} if runner.place(self.key) else {"CANCELLED"}


class CSM_RETOPO_OT_end_import(bpy.types.Operator):
    """What undo takes back of an import that ran while the artist went on. There is nothing to be \
done but to be the last operation
    """

    bl_idname = "csm_retopo.end_import"
    bl_label = "Import Retopology Session"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """All is there already."""
        return {"FINISHED"}


class CSM_RETOPO_OT_cancel(bpy.types.Operator):
    """Stop it. The scene stays as it was; what was fetched is kept for the next time"""

    bl_idname = "csm_retopo.cancel"
    bl_label = "Cancel"

    key: StringProperty(
        name="Key",
        description="What to stop, as the panel calls it. Left empty, everything",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether anything is under way."""
        cls.poll_message_set("Nothing is under way")
        return runner.is_running()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Stop it."""
        return {"FINISHED"} if runner.cancel(self.key) else {"CANCELLED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        CSM_RETOPO_OT_import_session,
        CSM_RETOPO_OT_import_folder,
        CSM_RETOPO_OT_import_sample,
        CSM_RETOPO_OT_place,
        CSM_RETOPO_OT_end_import,
        CSM_RETOPO_OT_cancel,
    )
)
