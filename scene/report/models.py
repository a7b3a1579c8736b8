# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report is made of, as it travels to the background Blender: plain, JSON-safe data."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass, field
from typing import Any

from ..models import Metrics, Vector3

REPORT_NAME = "report.json"
PAGE_NAME = "report.html"
SHEET_NAME = "contact_sheet.png"


class PictureKind(enum.StrEnum):
    """What a picture shows."""

    MESH = "MESH"
    DEVIATION = "DEVIATION"
    PREVIEW = "PREVIEW"


class Engine(enum.StrEnum):
    """What draws a mesh: Workbench where there is a graphics context, else Cycles."""

    WORKBENCH = "WORKBENCH"
    CYCLES = "CYCLES"


@dataclass(frozen=True)
class View:
    """What the camera sees: a box around `center`, in scene units, `width` and `height` as the
    camera sees it.
    """

    center: Vector3
    width: float
    height: float
    depth: float


@dataclass(frozen=True)
class GatherRequest:
    """Write what a report needs of a session's .blend into `folder`. The answer is a Report."""

    blend: str
    folder: str


@dataclass(frozen=True)
class SurveyRequest:
    """Find the View that shows the meshes in all of these files whole."""

    blends: tuple[str, ...]


@dataclass(frozen=True)
class RenderRequest:
    """Make the Pictures of the mesh in `blend`: files of `folder` whose names begin with `name`.

    `preview` is the file of its preview image, "" if it has none. `deviation_limit` is where the
    last color of the deviation begins, as a share of the source's diagonal; None for no such
    picture. `engine` is "" for the one that will do.
    """

    blend: str
    preview: str
    view: View
    deviation_limit: float | None
    folder: str
    name: str
    engine: str = ""


@dataclass(frozen=True)
class Pictures:
    """The files of a mesh's pictures by their kind, the size in pixels of those that were drawn,
    and what is to be said about them.
    """

    files: dict[str, str] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportMesh:
    """A variation, or the source (index -1), in a report.

    `blend` is the file that its mesh was written to, `preview` that of its preview image, "" for
    none; `pictures` are what was made of them, by PictureKind. `error` says why there is no mesh,
    None where there is one.
    """

    index: int
    name: str
    metrics: Metrics = field(default_factory=dict)
    blend: str = ""
    preview: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str | None = None

    @property
    def is_source(self) -> bool:
        """Whether it is what the others were made from."""
        return self.index < 0


@dataclass(frozen=True)
class ReportSession:
    """A session in a report: the source first, if there is one, then the variations.

    `width` and `height` are the size in pixels of the pictures that were drawn.
    """

    session_id: str
    created_at: str
    model: str
    input_asset_id: str
    meshes: tuple[ReportMesh, ...]
    warnings: tuple[str, ...] = ()
    width: int = 1
    height: int = 1

    @property
    def input_key(self) -> str:
        """The same for all sessions that retopologise the same mesh."""
        return self.input_asset_id or f"session {self.session_id}"


@dataclass(frozen=True)
class ReportLegend:
    """What the colors of the deviation mean: `entries` are colors as CSS writes them, from good
    to bad, and their texts.
    """

    title: str
    unit: str
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    `deviation_limit` is where the last color of the deviation begins, as a share of the source's
    diagonal.
    """

    sessions: tuple[ReportSession, ...]
    legend: ReportLegend
    deviation_limit: float

    @property
    def title(self) -> str:
        """What it is about: the names of the sources, each once, else the sessions."""
        names: dict[str, str] = {}
        for session in self.sessions:
            for mesh in session.meshes:
                if mesh.is_source:
                    names.setdefault(session.input_key, mesh.name)
        return ", ".join(names.values() or dict.fromkeys(s.session_id for s in self.sessions))


@dataclass(frozen=True)
class PublishRequest:
    """Write the report to `page`, and to `sheet`, the contact sheet; "" for what isn't wanted.

    `folder` is for what is made on the way.
    """

    report: Report
    page: str
    sheet: str
    folder: str


ReportRequest = GatherRequest | SurveyRequest | RenderRequest | PublishRequest


def files_of(request: ReportRequest) -> list[str]:
    """The files whose size says how long the request may take."""
    match request:
        case GatherRequest(blend=blend) | RenderRequest(blend=blend):
            return [blend]
        case SurveyRequest(blends):
            return list(blends)
        case PublishRequest(report=report):
            meshes = [mesh for session in report.sessions for mesh in session.meshes]
            return [file for mesh in meshes for file in mesh.pictures.values()]


def to_json(value: ReportRequest | Report | View | Pictures) -> dict[str, Any]:
    """The dataclass as what `json.dumps` takes."""
    return dataclasses.asdict(value)


def view(fields: dict[str, Any]) -> View:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    x, y, z = fields["center"]
    return View(**{**fields, "center": (x, y, z)})


def pictures(fields: dict[str, Any]) -> Pictures:
    """The inverse of `to_json`. Raises as `view`."""
    return Pictures(**{**fields, "notes": tuple(fields["notes"])})


def report(fields: dict[str, Any]) -> Report:
    """The inverse of `to_json`. Raises as `view`."""
    legend = fields["legend"]
    entries = tuple((color, text) for color, text in legend["entries"])
    sessions = tuple(_session(each) for each in fields["sessions"])
    return Report(
        **{**fields, "sessions": sessions, "legend": ReportLegend(**{**legend, "entries": entries})}
    )


def report_request(kind: str, fields: dict[str, Any]) -> ReportRequest:
    """The inverse of `to_json`, of a request of this class. Raises as `view`."""
    match kind:
        case "GatherRequest":
            return GatherRequest(**fields)
        case "SurveyRequest":
            return SurveyRequest(tuple(fields["blends"]))
        case "RenderRequest":
            return RenderRequest(**{**fields, "view": view(fields["view"])})
        case "PublishRequest":
            return PublishRequest(**{**fields, "report": report(fields["report"])})
    raise ValueError(kind)


def _session(fields: dict[str, Any]) -> ReportSession:
    meshes = tuple(
        ReportMesh(**{**each, "notes": tuple(each["notes"])}) for each in fields["meshes"]
    )
    return ReportSession(**{**fields, "meshes": meshes, "warnings": tuple(fields["warnings"])})
