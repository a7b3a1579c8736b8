# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a scene's variations: a line each, across all sessions; sorting, the best values,
and the export. Nothing here draws, and nothing changes the scene but `order_by` and
`toggle_column`, which change its settings.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ...api.files import replacing
from ..layout import short_names
from ..measure.metrics import METRICS, Metric, MetricValue, best_value, csv_field, value_text
from ..models import Metrics
from ..properties import read_metrics
from ..rows import Row, find_rows

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Size",
        ("triangle_count", "faces", "vertices", "edges", "area", "bbox_diagonal"),
    ),
    ("Faces", ("quad_ratio", "triangles", "quads", "ngons", "has_uv")),
    ("Poles", ("poles_3", "poles_5", "poles_6_plus")),
    ("Edge Flow", ("loops_closed", "loops_open", "loop_length_mean", "spirals")),
    (
        "Shape",
        (
            "scaled_jacobian_mean",
            "scaled_jacobian_min",
            "edge_length_min",
            "edge_length_mean",
            "edge_length_max",
        ),
    ),
    (
        "Flaws",
        (
            "boundary_edges",
            "non_manifold_edges",
            "loose_vertices",
            "loose_edges",
            "components",
            "inconsistent_edges",
            "degenerate_faces",
        ),
    ),
)
"""The metrics by what they are about; those that no group names are about the distance from the
source."""

_LAST_DIGITS = 4
_COPY_NUMBER = re.compile(r"\.\d{3,}$")


@dataclass(frozen=True)
class Line:
    """A variation. `title` is its name made short, and tells which session it is of where there
    are several; `short_title` lacks the word that all begin with, too. `object_name` finds the
    object, unless it is deleted or renamed meanwhile.
    """

    session_id: str
    model: str
    index: int
    object_name: str
    title: str
    short_title: str
    is_over: bool
    is_selected: bool
    metrics: Metrics


@dataclass(frozen=True)
class Table:
    """The lines in their order, and each column's best value, None where none is."""

    columns: tuple[Metric, ...]
    lines: tuple[Line, ...]
    best: tuple[MetricValue, ...]


def read_table(scene: bpy.types.Scene) -> Table:
    """The table with the columns and the order that the scene's settings ask for. Main thread."""
    settings = scene.csm_retopo
    columns = shown_columns(settings.columns)
    lines = read_lines(scene)
    best = tuple(
        best_value(column.key, (line.metrics.get(column.key) for line in lines))
        for column in columns
    )
    return Table(columns, tuple(ordered(lines, settings.sort_by, settings.sort_descending)), best)


def shown_columns(keys: str) -> tuple[Metric, ...]:
    """The metrics that these keys name, in their order in METRICS; unknown keys are passed over."""
    wanted = set(keys.split())
    return tuple(metric for key, metric in METRICS.items() if key in wanted)


def read_lines(scene: bpy.types.Scene) -> list[Line]:
    """The scene's variations, in the sessions' order. Main thread."""
    rows = find_rows(scene)
    budget = scene.csm_retopo.triangle_budget
    tags = session_tags(rows)
    lines = []
    for row in rows:
        session_id = row.session_id
        names = [obj.name for obj in row.variations.values()]
        titles = short_titles(names, may_be_numbered=len(rows) > 1)
        model = row.collection.csm_retopo.model
        tag = f" {tags[session_id]}" if tags[session_id] else ""
        for (index, obj), (title, short_title) in zip(row.variations.items(), titles, strict=True):
            metrics = read_metrics(obj)
            lines.append(
                Line(
                    session_id=session_id,
                    model=model,
                    index=index,
                    object_name=obj.name,
                    title=f"{title}{tag}",
                    short_title=f"{short_title}{tag}",
                    is_over=is_over_budget(metrics, budget),
                    is_selected=obj.select_get(),
                    metrics=metrics,
                )
            )
    return lines


def short_titles(names: list[str], *, may_be_numbered: bool) -> Iterator[tuple[str, str]]:
    """Each name made short, with the last of the words that all begin with, and without it.

    `may_be_numbered` where names can be the same but for a number that Blender has added.
    """
    if may_be_numbered:
        names = [_COPY_NUMBER.sub("", name) for name in names]
    titles = short_names(names)
    firsts = {title.partition(" ")[0] for title in titles}
    for title in titles:
        rest = title.partition(" ")[2]
        yield title, rest if rest and len(firsts) == 1 else title


def session_tags(rows: Sequence[Row]) -> dict[str, str]:
    """By session ID, what tells each session from the others: its model if that does, else the
    last digits of its ID; "" for a single one.
    """
    ids = [row.session_id for row in rows]
    if len(ids) < 2:
        return dict.fromkeys(ids, "")
    models = [row.collection.csm_retopo.model for row in rows]
    if all(models) and len(set(models)) == len(models):
        return dict(zip(ids, models, strict=True))
    longest = max(len(each) for each in ids)
    for length in range(_LAST_DIGITS, longest):
        tails = [each[-length:] for each in ids]
        if len(set(tails)) == len(set(ids)):
            return dict(zip(ids, tails, strict=True))
    return dict(zip(ids, ids, strict=True))


def ordered(lines: Iterable[Line], key: str, descending: bool) -> list[Line]:
    """The lines sorted by a metric; as they are without one. Those that lack it come last."""
    lines = list(lines)
    if key not in METRICS:
        return lines
    known = [line for line in lines if line.metrics.get(key) is not None]
    missing = [line for line in lines if line.metrics.get(key) is None]
    known.sort(key=lambda line: line.metrics[key] or 0, reverse=descending)
    return known + missing


def is_over_budget(metrics: Metrics, budget: int) -> bool:
    """Whether a mesh of these metrics has more triangles than the budget; 0 allows all."""
    count = metrics.get("triangle_count")
    return budget > 0 and count is not None and count > budget


def full_text(key: str, value: MetricValue) -> str:
    """A metric's value with all its digits, where the short text has not all of them."""
    text = value_text(key, value)
    exact = f"{value:.7g}" if isinstance(value, float) else ""
    return f"{text} ({exact})" if exact and exact != text else text


def order_by(scene: bpy.types.Scene, key: str) -> None:
    """Sort by a metric, the best or least first; once more reverses it, and then the sessions'
    order is back.
    """
    settings = scene.csm_retopo
    begins_descending = METRICS[key].better == "higher"
    if settings.sort_by != key:
        settings.sort_by = key
        settings.sort_descending = begins_descending
    elif settings.sort_descending == begins_descending:
        settings.sort_descending = not begins_descending
    else:
        settings.sort_by = ""
        settings.sort_descending = False


def toggle_column(scene: bpy.types.Scene, key: str) -> None:
    """Show a metric in the table, or don't. A column that is not shown doesn't sort it either."""
    settings = scene.csm_retopo
    wanted = {column.key for column in shown_columns(settings.columns)} ^ {key}
    settings.columns = " ".join(each for each in METRICS if each in wanted)
    if settings.sort_by == key and key not in wanted:
        settings.sort_by = ""
        settings.sort_descending = False


def export_rows(scene: bpy.types.Scene) -> list[dict[str, Any]]:
    """Every variation with what it is and all its metrics, in the table's order; `over_budget`
    only where a budget is set.
    """
    settings = scene.csm_retopo
    lines = ordered(read_lines(scene), settings.sort_by, settings.sort_descending)
    exported = []
    for line in lines:
        row: dict[str, Any] = {
            "session_id": line.session_id,
            "model": line.model,
            "index": line.index,
            "name": line.object_name,
        }
        if settings.triangle_budget:
            row["over_budget"] = line.is_over
        for key in METRICS:
            row[key] = line.metrics.get(key)
        exported.append(row)
    return exported


def as_text(obj: bpy.types.Object) -> str:
    """A variation's name and metrics, a line each, to be pasted into a message."""
    metrics = read_metrics(obj)
    lines = [f"{METRICS[key].label}: {full_text(key, metrics.get(key))}" for key in METRICS]
    return "\n".join([f"{obj.name} ({obj.csm_retopo.session_id})", *lines])


def as_json(rows: list[dict[str, Any]]) -> str:
    """The rows as a JSON array of objects."""
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV (RFC 4180) with a heading; a missing value is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows({key: csv_field(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write it as UTF-8; the file appears whole or not at all. Raises OSError."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
