# SPDX-License-Identifier: GPL-3.0-or-later
"""What turns the pages of a list in the sidebar."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_


def draw_pages(
    layout: bpy.types.UILayout, name: str, first: int, last: int, count: int | None, has_next: bool
) -> None:
    """Buttons to the page before and to the next, of the list that `turn_page` knows by this name.
    Between them, what is shown: from `first`, counted from 0, up to before `last`, of `count` if
    that is known.
    """
    row = layout.row(align=True)
    before = row.row(align=True)
    before.enabled = first > 0
    _turn(before.operator("csm_retopo.turn_page", text="Previous", icon="TRIA_LEFT"), name, -1)
    middle = row.row(align=True)
    middle.alignment = "CENTER"
    text = f"{first + 1}-{last}"
    if count is not None:
        text = iface_("{:d}-{:d} of {:d}").format(first + 1, last, count)
    middle.label(text=text, translate=False)
    after = row.row(align=True)
    after.enabled = has_next
    _turn(after.operator("csm_retopo.turn_page", text="Next", icon="TRIA_RIGHT"), name, 1)


def _turn(button: bpy.types.OperatorProperties, name: str, step: int) -> None:
    button.pages = name
    button.step = step
