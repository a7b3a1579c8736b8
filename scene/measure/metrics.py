# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics: their keys, what they mean, which values are better, and how they are written.

What computes them is in `measuring`, `edge_flow` and `deviation`, which need numpy; nothing here
does, so that a panel can show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import bpy

MetricValue = int | float | bool | None
Kind = Literal["count", "number", "ratio", "relative", "quality", "length", "area", "flag"]
Better = Literal["higher", "lower"]

NOTHING = "-"
"""What is shown for a metric that a mesh doesn't have."""


@dataclass(frozen=True)
class Metric:
    """One column of the table.

    `heading` is the label made short. `kind` says how to show a value: a whole number (`count`), a
    decimal one (`number`), a share, 1 being all (`ratio`), a small share of a length (`relative`),
    a figure from -1 to 1 (`quality`), scene units (`length`) or their square (`area`), yes or no
    (`flag`). `better` says which values are to be preferred, None where that is for the artist to
    say.
    """

    key: str
    label: str
    heading: str
    description: str
    kind: Kind
    better: Better | None = None


_METRICS = (
    Metric("vertices", "Vertices", "Verts", "Number of vertices", "count"),
    Metric("edges", "Edges", "Edges", "Number of edges", "count"),
    Metric("faces", "Faces", "Faces", "Number of faces", "count"),
    Metric("triangles", "Triangles", "3-Gons", "Faces with three corners", "count", "lower"),
    Metric("quads", "Quads", "4-Gons", "Faces with four corners", "count"),
    Metric("ngons", "N-Gons", "N-Gons", "Faces with five or more corners", "count", "lower"),
    Metric(
        "triangle_count",
        "Triangle Count",
        "Tris",
        "Number of triangles after triangulation, which is what a game engine draws",
        "count",
    ),
    Metric(
        "quad_ratio", "Quad Ratio", "Quads", "Share of the faces that are quads", "ratio", "higher"
    ),
    Metric(
        "boundary_edges",
        "Boundary Edges",
        "Boundary",
        "Edges with exactly one face: the rims of holes and open borders",
        "count",
        "lower",
    ),
    Metric(
        "non_manifold_edges",
        "Non-Manifold Edges",
        "Non-Mfld",
        "Edges with three or more faces, which no real surface has",
        "count",
        "lower",
    ),
    Metric(
        "loose_vertices", "Loose Vertices", "Loose V", "Vertices without an edge", "count", "lower"
    ),
    Metric("loose_edges", "Loose Edges", "Loose E", "Edges without a face", "count", "lower"),
    Metric(
        "components",
        "Components",
        "Pieces",
        "Separate pieces that the faces make up over the edges",
        "count",
    ),
    Metric(
        "inconsistent_edges",
        "Inconsistent Edges",
        "Flipped",
        "Edges whose two faces point to opposite sides: flipped normals",
        "count",
        "lower",
    ),
    Metric(
        "degenerate_faces",
        "Degenerate Faces",
        "Degen",
        "Faces with next to no area, collapsed to a line or a point",
        "count",
        "lower",
    ),
    Metric(
        "poles_3",
        "3-Poles",
        "3-Poles",
        "Vertices inside the surface where three edges meet",
        "count",
        "lower",
    ),
    Metric(
        "poles_5",
        "5-Poles",
        "5-Poles",
        "Vertices inside the surface where five edges meet",
        "count",
        "lower",
    ),
    Metric(
        "poles_6_plus",
        "6+ Poles",
        "6+ Poles",
        "Vertices inside the surface where six or more edges meet",
        "count",
        "lower",
    ),
    Metric(
        "loops_closed",
        "Closed Loops",
        "Closed",
        "Edge loops that come back to where they began: they can be selected and slid as a whole",
        "count",
    ),
    Metric(
        "loops_open",
        "Open Loops",
        "Open",
        "Edge loops that end, at a pole or at a border",
        "count",
    ),
    Metric(
        "loop_length_mean",
        "Mean Loop Length",
        "Loop Len",
        "Number of edges of an edge loop on average: the longer, the better the edges flow",
        "number",
        "higher",
    ),
    Metric(
        "spirals",
        "Spirals",
        "Spirals",
        "Edge loops that wind along beside themselves, and so can't be cut or selected as a ring",
        "count",
        "lower",
    ),
    Metric(
        "scaled_jacobian_min",
        "Worst Quad Shape",
        "Worst",
        "Scaled Jacobian of the worst quad: 1 is a rectangle, 0 is collapsed, below 0 is concave",
        "quality",
        "higher",
    ),
    Metric(
        "scaled_jacobian_mean",
        "Mean Quad Shape",
        "Shape",
        "Scaled Jacobian averaged over the quads: 1 if all of them are rectangles",
        "quality",
        "higher",
    ),
    Metric("edge_length_min", "Shortest Edge", "Min Edge", "Length of the shortest edge", "length"),
    Metric(
        "edge_length_mean", "Mean Edge", "Mean Edge", "Length of the edges on average", "length"
    ),
    Metric("edge_length_max", "Longest Edge", "Max Edge", "Length of the longest edge", "length"),
    Metric("area", "Area", "Area", "Area of all faces together", "area"),
    Metric(
        "bbox_diagonal",
        "Diagonal",
        "Diagonal",
        "Diagonal of the box, parallel to the axes, that holds all vertices",
        "length",
    ),
    Metric(
        "has_uv",
        "Has UVs",
        "UVs",
        "Whether there is a UV map with an area that is not zero",
        "flag",
        "higher",
    ),
    Metric(
        "deviation_mean",
        "Mean Deviation",
        "Dev Mean",
        "How far the variation lies from the source's surface on average",
        "length",
        "lower",
    ),
    Metric(
        "deviation_rms",
        "RMS Deviation",
        "Dev RMS",
        "How far the variation lies from the source's surface, as a root mean square, in which "
        "large distances count more",
        "length",
        "lower",
    ),
    Metric(
        "deviation_max",
        "Largest Deviation",
        "Dev Max",
        "How far the variation lies from the source's surface where it is farthest from it",
        "length",
        "lower",
    ),
    Metric(
        "coverage_mean",
        "Mean Coverage Gap",
        "Cov Mean",
        "How far the source lies from the variation's surface on average: the detail that was lost",
        "length",
        "lower",
    ),
    Metric(
        "coverage_rms",
        "RMS Coverage Gap",
        "Cov RMS",
        "How far the source lies from the variation's surface, as a root mean square, in which "
        "large distances count more",
        "length",
        "lower",
    ),
    Metric(
        "coverage_max",
        "Largest Coverage Gap",
        "Cov Max",
        "How far the source lies from the variation's surface at the detail that was lost most",
        "length",
        "lower",
    ),
    Metric(
        "hausdorff",
        "Hausdorff Distance",
        "Hausdorff",
        "The larger of the largest deviation and the largest coverage gap",
        "length",
        "lower",
    ),
    Metric(
        "hausdorff_relative",
        "Relative Hausdorff Distance",
        "Error",
        "The Hausdorff distance from the source as a share of the source's diagonal: the largest "
        "error anywhere, whatever the size",
        "relative",
        "lower",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.key: metric for metric in _METRICS})
"""Every metric by its key, in the order in which they are shown and written."""

DEVIATION_KEYS = tuple(
    key for key in METRICS if key.startswith(("deviation_", "coverage_", "hausdorff"))
)
"""What only a comparison with the source tells: null without one."""

SCALED_JACOBIAN_ATTRIBUTE = "csm_scaled_jacobian"
"""A variation's mesh has it per face: NaN for a face that is not a quad."""
DEVIATION_ATTRIBUTE = "csm_deviation"
"""Per face, as a share of the source's diagonal: how far it lies from the source at most. Absent
where there is no source to compare with."""
COVERAGE_ATTRIBUTE = "csm_coverage"
"""Per face, likewise: how far what lies nearest to it of the source is away from it at most."""
COMPARED_ATTRIBUTES = (DEVIATION_ATTRIBUTE, COVERAGE_ATTRIBUTE)
ATTRIBUTES = (SCALED_JACOBIAN_ATTRIBUTE, *COMPARED_ATTRIBUTES)
"""All that a variation's mesh has of ours."""


def remove_attributes(mesh: bpy.types.Mesh, names: Iterable[str] = ATTRIBUTES) -> None:
    """Remove these attributes from a mesh, if it has them. Main thread."""
    for name in names:
        if (attribute := mesh.attributes.get(name)) is not None:
            mesh.attributes.remove(attribute)


def value_text(key: str, value: MetricValue) -> str:
    """A metric's value as people read it; `NOTHING` for None."""
    if value is None:
        return NOTHING
    match METRICS[key].kind:
        case "count":
            return f"{value:,}"
        case "number":
            return f"{value:.1f}"
        case "ratio":
            return percent_text(value)
        case "relative":
            return f"{value * 100:.2g} %"
        case "quality":
            return f"{value:.2f}"
        case "length" | "area":
            return f"{value:.4g}"
        case "flag":
            return "Yes" if value else "No"


def csv_field(value: object) -> object:
    """The value as it is to be given to Python's csv writer."""
    # A spreadsheet takes a text that begins like this for a formula, and computes it.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    if isinstance(value, bool):
        return str(value).lower()
    return value


def best_value(key: str, values: Iterable[MetricValue]) -> MetricValue:
    """The best of several variations' values; None where none is better than the others."""
    known = {value for value in values if value is not None}
    better = METRICS[key].better
    if better is None or len(known) < 2:
        return None
    return max(known) if better == "higher" else min(known)


def percent_text(ratio: float | None) -> str:
    """A share as a percentage that says 100 % only of all, and 0 % only of none."""
    if ratio is None:
        return "no"
    if 0 < ratio < 1:
        return f"{min(max(ratio * 100, 0.1), 99.9):.1f} %"
    return f"{ratio * 100:.0f} %"
