# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a session's previews in the sidebar."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from ..scene import runner


class CSM_RETOPO_OT_show_previews(bpy.types.Operator):
    """Show the preview images of this session in the sidebar, or don't"""

    bl_idname = "csm_retopo.show_previews"
    bl_label = "Show Previews"
    bl_options = {"INTERNAL"}

    session_id: StringProperty(
        name="Session", description="The ID of a session of the scene", options={"SKIP_SAVE"}
    )
    show: BoolProperty(
        name="Show", description="Whether to show them", default=True, options={"SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show them, or don't. Nothing of it is kept in the .blend."""
        galleries = context.window_manager.csm_retopo.galleries
        gallery = galleries.get(self.session_id)
        if gallery is None:
            gallery = galleries.add()
            gallery.name = self.session_id
        gallery.is_shown = self.show
        runner.redraw()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_show_previews,))
