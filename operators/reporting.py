# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a scene's sessions."""

from __future__ import annotations

import contextlib
import os
import webbrowser
from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from ..api.errors import CsmError
from ..api.texts import Text
from ..scene import rows, runner, sessions
from ..scene.background.converter import Converter
from ..scene.report.publishing import Files, Publication
from ..scene.texts import told
from .importing import CLOSE_TIMEOUT_S, fail, is_alongside

KEY = "Report"
DEFAULT_NAME = "retopology_report.html"


class CSM_RETOPO_OT_write_report(bpy.types.Operator):
    """Write a page that compares all sessions of this scene, with pictures and numbers, to look \
at in any browser
    """

    bl_idname = "csm_retopo.write_report"
    bl_label = "Write Report"

    filepath: StringProperty(
        name="File", description="The page to write", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.html", options={"HIDDEN", "SKIP_SAVE"})
    check_existing: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    contact_sheet: BoolProperty(
        name="Contact Sheet",
        description="Also write the pictures in a grid, as a PNG of the same name",
    )
    open_when_done: BoolProperty(
        name="Open When Done",
        description="Show the page in the browser when it is written",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is anything to report."""
        cls.poll_message_set("Import a session first")
        return bool(rows.session_collections(context.scene))

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        if not self.filepath:
            blend = bpy.data.filepath
            folder = Path(blend).parent if blend else Path(os.path.expanduser("~"))
            self.filepath = str(folder / DEFAULT_NAME)
        if not self.properties.is_property_set("open_when_done"):
            self.open_when_done = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it: alongside the artist, or, for a script, to the end."""
        alongside = is_alongside(self)
        try:
            running = self._publication(context.scene.name)
            if alongside:
                runner.start(KEY, running)
                return {"FINISHED"}
            running.start()
            try:
                running.run()
            finally:
                running.close(CLOSE_TIMEOUT_S)
        except CsmError as error:
            return fail(self, error)
        text, is_error = running.conclusion(KEY)
        if running.error is not None:
            return fail(self, CsmError(text))
        runner.show_message(text, is_error=is_error)
        self.report({"WARNING" if is_error else "INFO"}, told(text))
        return {"FINISHED"}

    def _publication(self, scene_name: str) -> Publication:
        """Raises CsmError."""
        if not self.filepath:
            raise CsmError("Say which file to write the report to")
        page = Path(bpy.path.abspath(self.filepath)).absolute()
        if os.path.isdir(page):
            raise CsmError(Text("{} can't be written: it is a folder", page.name))
        if page.suffix.lower() not in (".html", ".htm"):
            page = page.with_name(f"{page.name}.html")
        sheet = page.with_suffix(".png") if self.contact_sheet else None
        url = page.as_uri()
        return Publication(
            scene_name,
            Files(page, sheet),
            Converter(sessions.open_cache(), sessions.cache_limit_bytes()),
            at_end=(lambda: _show(url)) if self.open_when_done else None,
        )


def _show(url: str) -> None:
    # Without a browser, the page is there all the same.
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(url)


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_write_report,))
