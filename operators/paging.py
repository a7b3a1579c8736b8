# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the pages of the sidebar's lists."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty, IntProperty

from ..scene import pages, recents, runner
from ..scene.rows import find_rows, session_collections
from ..scene.texts import told


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

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        """What it shows, or that there is no more."""
        now, then = _turn(context, properties.pages, properties.step)
        if properties.step < 0:
            return told("Show the page before this one" if then < now else "This is the first page")
        return told("Show the next page" if then > now else "This is the last page")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Turn it, as far as there are any."""
        state = context.window_manager.csm_retopo
        _, page = _turn(context, self.pages, self.step)
        setattr(state, f"{self.pages.lower()}_page", page)
        runner.redraw()
        return {"FINISHED"}


def _turn(context: bpy.types.Context, name: str, step: int) -> tuple[int, int]:
    """The page that the list of this name shows, and the one so many further on, as far as there
    are any.
    """
    state = context.window_manager.csm_retopo
    if name == "RECENT":
        # How many there are is known when they are read: the panel finds the last page.
        now: int = state.recent_page
        is_last = step > 0 and not recents.has_more()
        return now, now if is_last else max(now + step, 0)
    if name == "TABLE":
        now, page_lines = state.table_page, pages.TABLE_LINES
        lines = sum(len(row.variations) for row in find_rows(context.scene))
    else:
        now, page_lines = state.sessions_page, pages.SESSIONS
        lines = len(session_collections(context.scene))
    now = pages.within(now, lines, page_lines)
    return now, pages.within(now + step, lines, page_lines)


register, unregister = bpy.utils.register_classes_factory((CSM_RETOPO_OT_turn_page,))
