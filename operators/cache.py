# SPDX-License-Identifier: GPL-3.0-or-later
"""Look after what was fetched and converted."""

from __future__ import annotations

import bpy

from ..api.errors import CsmError
from ..api.texts import Text
from ..scene import runner, sessions
from ..scene.texts import told
from .importing import fail


class CSM_RETOPO_OT_clear_cache(bpy.types.Operator):
    """Remove all fetched and converted files. Sessions in your scenes stay; to import one again, \
it has to be fetched again
    """

    bl_idname = "csm_retopo.clear_cache"
    bl_label = "Clear Cache"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether nothing uses the cache."""
        cls.poll_message_set("Wait until what is under way is done, or cancel it")
        return not runner.is_running()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Remove them."""
        try:
            cleared = sessions.open_cache().clear()
        except CsmError as error:
            return fail(self, error)
        runner.redraw()
        text = Text("Freed {:,.1f} MB", cleared.freed_bytes / 1e6)
        if cleared.in_use:
            stay = Text("Another Blender uses {} of the sessions: they stay", cleared.in_use)
            text = Text("{}. {}", text, stay)
        self.report({"INFO"}, told(text))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_clear_cache,))
