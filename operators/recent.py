# SPDX-License-Identifier: GPL-3.0-or-later
"""Open again what the cache holds."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import StringProperty

from ..api.errors import CsmError
from ..api.jobs import FolderJob
from ..api.session import find_session_id
from ..api.texts import Text
from ..scene import recents, runner, sessions
from ..scene.texts import told
from .importing import fail, import_job, under_way


class CSM_RETOPO_OT_import_cached(bpy.types.Operator):
    """Import a session as it was fetched, from the cache: this needs neither key nor network"""

    bl_idname = "csm_retopo.import_cached"
    bl_label = "Import From Cache"
    bl_options = {"INTERNAL"}

    session_id: StringProperty(
        name="Session",
        description="The ID of a session that was fetched before",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: Any) -> str:
        """Which session it is, or why it can't be imported now."""
        session_id = properties.session_id
        if session_id and runner.is_running(session_id):
            return told(under_way(session_id))
        return told(
            Text(
                "Import {} as it was fetched before, from the cache: this needs neither key nor "
                "network",
                session_id or Text("a session"),
            )
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        text, self.session_id = self.session_id, ""
        try:
            session_id = self.session_id = find_session_id(text)
            cache = sessions.open_cache()
            folder = cache.root / session_id
            if not (folder / "session.json").is_file():
                raise CsmError(Text("{} is not in the cache: import it by its ID", session_id))
            return import_job(self, context, session_id, FolderJob(folder, cache))
        except CsmError as error:
            return fail(self, error)


register, _unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_import_cached,))


def unregister() -> None:
    """Read the cache no more, and take the operators away."""
    recents.stop()
    _unregister()
