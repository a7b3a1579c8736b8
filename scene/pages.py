# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's lists that are shown a page at a time: drawing is not to take longer for more."""

from __future__ import annotations

TABLE_LINES = 16
"""How many variations a page of the table has."""
SESSIONS = 10
"""How many sessions a page of their list has."""


def within(page: int, lines: int, page_lines: int) -> int:
    """The page, or the nearest that a list of so many lines has, counted from 0."""
    return max(0, min(page, (lines - 1) // page_lines))
