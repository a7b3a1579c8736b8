# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the pages of the sidebar's lists."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty

from ..scene import pages, runner
from ..scene.rows import find_rows, session_collections


class CSM_RETOPO_OT_turn_page(bpy.types.Operator):
    """Show the lines of a list before these, or after them"""

    bl_idname = "csm_retopo.turn_page"
    bl_label = "Turn Page"
    bl_options = {"INTERNAL"}

    pages: EnumProperty(
        name="List",
        description="The list whose pages are turned",
        items=(
            ("TABLE", "Table", "The variations in the table"),
            ("SESSIONS", "Sessions", "The sessions of the scene"),
            ("RECENT", "Recent", "The sessions in the cache"),
        ),
        options={"SKIP_SAVE"},
    )
    step: IntProperty(
        name="Step", description="How many pages to go on", default=1, options={"SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Turn it, as far as there are any."""
        state = context.window_manager.csm_retopo
        scene = context.scene
        if self.pages == "TABLE":
            lines = sum(len(row.variations) for row in find_rows(scene))
            page = state.table_page + self.step
            state.table_page = pages.within(page, lines, pages.TABLE_LINES)
        elif self.pages == "SESSIONS":
            lines = len(session_collections(scene))
            page = state.sessions_page + self.step
            state.sessions_page = pages.within(page, lines, pages.SESSIONS)
        else:  # how many there are is known when they are read: the panel finds the last page
            state.recent_page = max(state.recent_page + self.step, 0)
        runner.redraw()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_turn_page,))
