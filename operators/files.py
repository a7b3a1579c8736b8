# SPDX-License-Identifier: GPL-3.0-or-later
"""Import a session by its files: from File > Import, or dropped on a 3D view."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty

from ..api.errors import CsmError, FolderError
from ..api.jobs import FolderJob, read_folder_session
from ..api.texts import Text
from ..scene import runner, sessions
from ..scene.texts import told
from .importing import default_folder, import_job

SESSION_FILE = "session.json"


class CSM_RETOPO_OT_import_file(bpy.types.Operator):
    """Import a session kept as files: choose its session.json, or the folder that holds it"""

    bl_idname = "csm_retopo.import_file"
    bl_label = "Import CSM Retopology Session"

    filepath: StringProperty(
        name="File",
        description="session.json, the folder that holds it, or one of the meshes beside it",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    # A drop tells these as well, and File > Import fills them in.
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.json", options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Import what was dropped, or ask for the file."""
        if self.filepath or any(each.name for each in self.files):
            return self.execute(context)
        if folder := default_folder():
            self.filepath = folder
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        try:
            folder = find_folder(self._paths())
            read_folder_session(folder)
            job = FolderJob(folder, sessions.open_cache())
            return import_job(self, context, folder.name or str(folder), job)
        except CsmError as error:
            # It pops up, for the sidebar may be closed.
            self.report({"ERROR"}, told(error.text))
            runner.show_message(error.text, is_error=True)
            return {"CANCELLED"}

    def _paths(self) -> list[Path]:
        folder = Path(bpy.path.abspath(self.directory))
        paths = [folder / each.name for each in self.files if each.name]
        if not paths and self.filepath:
            paths = [Path(bpy.path.abspath(self.filepath))]
        if not paths and self.directory:
            paths = [folder]
        return paths


def find_folder(paths: list[Path]) -> Path:
    """The folder of the session that one of these paths belongs to: a folder, its session.json, or
    a mesh beside that. Raises FolderError, and says what to do.
    """
    for path in paths:
        if path.name.lower() == SESSION_FILE:
            return path.parent
        if path.is_dir():
            return path
    meshes = [path for path in paths if path.suffix.lower() == ".obj"]
    for path in meshes:
        if (path.parent / SESSION_FILE).is_file():
            return path.parent
    if meshes:
        raise FolderError(
            Text(
                "{} is no mesh of a session: there is no session.json beside it. To import it on "
                "its own, use Wavefront (.obj)",
                meshes[0].name,
            )
        )
    if paths:
        raise FolderError(
            Text(
                "{} is no session: choose session.json, or the folder that holds it", paths[0].name
            )
        )
    raise FolderError("Choose session.json, or the folder that holds it")


class _Handler(bpy.types.FileHandler):
    """Files dropped on a 3D view. Blender asks which is meant where several handlers take them."""

    bl_label = "CSM Retopology Session"
    bl_import_operator = CSM_RETOPO_OT_import_file.bl_idname

    @classmethod
    def takes(cls, with_meshes: bool) -> bool:
        """Whether it is this handler's turn, as the preferences have it."""
        raise NotImplementedError

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Whether a session can be dropped here."""
        area = context.area
        if area is None or area.type != "VIEW_3D" or context.mode != "OBJECT":
            return False
        chosen = sessions.preferences()
        return cls.takes(bool(chosen and chosen.drop_meshes))


class CSM_RETOPO_FH_session(_Handler):
    """A session's session.json"""

    bl_idname = "CSM_RETOPO_FH_session"
    bl_file_extensions = ".json"

    @classmethod
    def takes(cls, with_meshes: bool) -> bool:
        return not with_meshes


class CSM_RETOPO_FH_session_or_mesh(_Handler):
    """The same, or meshes that lie beside it"""

    bl_idname = "CSM_RETOPO_FH_session_or_mesh"
    bl_file_extensions = ".json;.obj"

    @classmethod
    def takes(cls, with_meshes: bool) -> bool:
        return with_meshes


register, unregister = bpy.utils.register_classes_factory(
    (CSM_RETOPO_OT_import_file, CSM_RETOPO_FH_session, CSM_RETOPO_FH_session_or_mesh)
)
