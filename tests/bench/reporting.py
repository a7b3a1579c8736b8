# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.sessions import SessionSize


@dataclass
class Limit:
    """One thing that must be reached."""

    what: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether it was."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def print_title(text: str) -> None:
    """Begin a group of measurements."""
    print(f"\n== {text}", flush=True)


def print_times(what: str, times_s: list[float], note: str = "") -> None:
    """Print a median in seconds with its extremes."""
    spread = f"{min(times_s):.3f} to {max(times_s):.3f}"
    note = f"; {note}" if note else ""
    print(f"   {what:40} {median(times_s):8.3f} s   ({spread}{note})", flush=True)


def print_limit(limit: Limit) -> None:
    """Print a value, what it must be, and whether it is."""
    bound = "at least" if limit.at_least else "at most"
    digits = {"x": 2, "%": 3, "": 0}.get(limit.unit, 1)
    value = f"{limit.value:.{digits}f} {limit.unit}".rstrip()
    verdict = "ok" if limit.reached else "MISSED"
    print(
        f" * {limit.what:55} {value:>9}, {bound} {limit.limit:g} {limit.unit}: {verdict}",
        flush=True,
    )


def as_json(limit: Limit) -> dict[str, Any]:
    """The limit and what was measured."""
    return {
        "what": limit.what,
        "value": limit.value,
        "limit": limit.limit,
        "unit": limit.unit,
        "at_least": limit.at_least,
        "reached": limit.reached,
    }


def print_holds(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Print the holds of the script and of the extension."""
    script, ours = runs["script"], runs["pumped"]
    print_times("script, all of it is one hold", [each["total_s"] for each in script])
    print_times("script, its longest obj_import", [each["longest_call_s"] for each in script])
    print_times("extension, longest hold", [each["longest_s"] for each in ours])
    for text, key in (
        ("longest append", "append_s"),
        ("placing", "place_s"),
        ("undo push", "undo_s"),
        ("garbage collection in a step", "gc_in_steps_s"),
    ):
        print_times(f"  of its steps: {text}", [each[key] for each in ours])
    print_times("  after it: update by Blender", [each["update_s"] for each in ours], "not judged")
    print_times("  after it: gc.collect()", [each["gc_full_s"] for each in ours], "not judged")
    print_times("extension, click to last object placed", [each["total_s"] for each in ours])


def print_profile(size: SessionSize, result: dict[str, Any]) -> None:
    """Print when an import did what, and when the same again did."""
    source = "a source" if size.source_faces else "no source"
    what = f"{size.variations} variations of {size.faces:,} quads, {source}"
    for times, part in (("the first time", "first"), ("again, into an empty file", "second")):
        print_title(f"An import of {what}: {times}")
        _print_events(result[part]["events"])
        if result[part]["conversions"]:
            _print_conversions(result[part]["conversions"])


def _print_events(events: list[tuple[str, float, float]]) -> None:
    print("   from ms     to ms        ms")
    for name, start_s, end_s in events:
        took = f"{(end_s - start_s) * 1e3:9.1f}" if end_s > start_s else " " * 9
        print(f" {start_s * 1e3:9.1f} {end_s * 1e3:9.1f} {took}  {name}")


def _print_conversions(conversions: list[dict[str, Any]]) -> None:
    print("\n   in the background Blender, ms for each mesh")
    for each in conversions:
        # What is left of the reading is the importer's, and the writing of its copy.
        parts = each["parts"]
        others = parts.get("read, check", 0.0) + parts.get("join", 0.0)
        parts["import"] = parts.pop("_read", 0.0) - others
    columns = ["read, check", "import", "join", "measure", "bounds", "write"]
    heads = "".join(f"{column:>13}" for column in ("at", *columns, "rest", "whole"))
    print(f"   {'':18}{heads}")
    for each in conversions:
        known = [each["parts"].get(column, 0.0) for column in columns]
        values = [each["begin"], *known, each["whole"] - sum(known), each["whole"]]
        print(f"   {each['name']:18}{''.join(f'{value * 1e3:13.1f}' for value in values)}")
