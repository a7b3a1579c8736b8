# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what `make soak` has measured of the network into SECURITY.md."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "soak" / "network.json"
PAGE = ROOT / "SECURITY.md"

ROWS = {
    "faults": "faults tried, alone and in pairs, at every stage",
    "survived": "survived: what could be had is there, the rest is told",
    "lost": "lost",
    "longest_cancel_s": "longest time from a cancel to the end of all threads, in seconds",
}


def table(results: dict[str, float]) -> str:
    """The results as a Markdown table."""
    lines = ["| network | |", "|---|---:|"]
    lines += [f"| {text} | {results[key]:,} |" for key, text in ROWS.items()]
    return "\n".join(lines)


def main() -> int:
    """Put the table in its place."""
    try:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        print("Nothing was measured yet: make soak")
        return 1
    page = PAGE.read_text(encoding="utf-8")
    between = re.compile("(<!-- network -->\n).*?(\n<!-- /network -->)", re.DOTALL)
    written, places = between.subn(lambda found: found[1] + table(results) + found[2], page)
    if places != 1:
        print("SECURITY.md has no place for it")
        return 1
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
