# SPDX-License-Identifier: GPL-3.0-or-later
"""Import a session: by its ID, from a folder, or the sample.

Started from the panel, an import runs while the artist goes on. Called from a script, the operator
returns when it is done, and raises RuntimeError with what the panel would show.
"""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty
from mathutils import Vector

from ..api.errors import CsmError, FolderError
from ..api.jobs import FolderJob, Job
from ..api.session import find_session_id
from ..scene import runner, sessions
from ..scene.background.converter import Converter
from ..scene.layout import Facing, facing_of_view
from ..scene.pipeline import Import
from ..scene.targets import SceneTarget

CLOSE_TIMEOUT_S = 5.0


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


def _import(
    operator: bpy.types.Operator, context: bpy.types.Context, key: str, job: Job
) -> set[str]:
    """Import what `job` brings: alongside the artist, or, for a script, to the end.

    Raises CsmError.
    """
    alongside = is_alongside(operator)
    target = SceneTarget(context.scene.name, _facing(context), interactive=alongside)
    converter = Converter(job.cache, sessions.cache_limit_bytes())
    running = Import(job, target, converter)
    if alongside:
        runner.start(key, running)
        return {"FINISHED"}
    running.start()
    try:
        outcome = running.run()
    finally:
        running.close(CLOSE_TIMEOUT_S)
    if outcome.error is not None:
        raise outcome.error
    text, is_error = running.conclusion(key)
    runner.show_message(text, is_error=is_error)
    for text in outcome.warnings:
        operator.report({"WARNING"}, text)
    operator.report({"INFO"} if outcome.is_complete else {"WARNING"}, outcome.summary())
    return {"FINISHED"}


def is_alongside(operator: bpy.types.Operator) -> bool:
    """Whether an artist started it, and goes on working."""
    return operator.options.is_invoke and not bpy.app.background


def fail(operator: bpy.types.Operator, error: CsmError) -> set[str]:
    """Tell what went wrong, as it suits whoever started the operator."""
    runner.show_message(str(error), is_error=True)
    # An error pops up over the very field that the artist has to correct; the panel says it too.
    operator.report({"WARNING"} if is_alongside(operator) else {"ERROR"}, str(error))
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

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        text = self.session_id or context.window_manager.csm_retopo.session_id
        try:
            session_id = find_session_id(text)
            job = sessions.session_job(session_id, sessions.open_cache())
            return _import(self, context, session_id, job)
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
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        folder = Path(bpy.path.abspath(self.directory))
        try:
            if not self.directory:
                raise FolderError("Choose the folder of a session, the one that holds session.json")
            job = FolderJob(folder, sessions.open_cache())
            return _import(self, context, folder.name or str(folder), job)
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
            return _import(self, context, "Sample", job)
        except CsmError as error:
            return fail(self, error)


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
        CSM_RETOPO_OT_cancel,
    )
)
