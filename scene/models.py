# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels between the pipeline, the converter process and the scene: plain, JSON-safe data."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Vector3 = tuple[float, float, float]
Metrics = dict[str, int | float | bool | None]


class Role(enum.StrEnum):
    """What an object of a session is."""

    VARIATION = "VARIATION"
    SOURCE = "SOURCE"
    PREVIEW = "PREVIEW"
    LABEL = "LABEL"


@dataclass(frozen=True)
class ConvertRequest:
    """Make a .blend with one measured mesh of an OBJ or a GLB.

    `file_sha256` is the hash of the file at `path`, `blend` where the .blend goes.
    """

    path: str
    file_sha256: str
    blend: str


@dataclass(frozen=True)
class ConvertedMesh:
    """A .blend that holds exactly one mesh, and what is known of it.

    `lower` and `upper` are the corners of its bounding box, in scene units. `source_sha256` is the
    hash of the source's file that it was compared with, empty if it was with none.
    """

    blend: str
    file_sha256: str
    lower: Vector3
    upper: Vector3
    metrics: Metrics
    warnings: tuple[str, ...] = ()
    source_sha256: str = ""


@dataclass(frozen=True)
class CompareRequest:
    """Measure how far a variation is from its source, and write it to the same .blend again."""

    mesh: ConvertedMesh
    source: ConvertedMesh

    @property
    def blend(self) -> str:
        """Where the result goes."""
        return self.mesh.blend


@dataclass(frozen=True)
class Preview:
    """A preview image: where, its hash, and its size in pixels."""

    path: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class PlannedMesh:
    """A mesh that is to stand in the row. `index` is -1 for the source."""

    role: Role
    index: int
    asset_id: str
    name: str
    mesh: ConvertedMesh
    preview: Preview | None = None


@dataclass(frozen=True)
class RowPlan:
    """A session's row: the source first, if there is one, then the variations in their order."""

    session_id: str
    created_at: str
    model: str
    quads: bool | None
    input_asset_id: str
    meshes: tuple[PlannedMesh, ...]


class PreviewSide(enum.StrEnum):
    """Where a preview stands, seen by who looks at its mesh."""

    BESIDE = "BESIDE"
    BELOW = "BELOW"
    ABOVE = "ABOVE"


@dataclass(frozen=True)
class Arrangement:
    """How the user wants new rows. `spacing` is a factor: 1 for the usual distances."""

    preview_side: PreviewSide = PreviewSide.BESIDE
    spacing: float = 1.0
    labels: bool = True


@dataclass(frozen=True)
class AssembleRequest:
    """Write a .blend that holds the row and nothing else, and to `thumbnails`, unless it is "", a
    strip of the preview images made small.

    `assets` are the indices of the variations that are to be assets; `assets_are_best` tells that a
    rule has chosen them.
    """

    plan: RowPlan
    blend: str
    arrangement: Arrangement
    assets: tuple[int, ...] = ()
    assets_are_best: bool = False
    thumbnails: str = ""


def to_json(
    value: ConvertRequest | CompareRequest | ConvertedMesh | AssembleRequest,
) -> dict[str, Any]:
    """The dataclass as what `json.dumps` takes."""
    return dataclasses.asdict(value)


def converted_mesh(fields: dict[str, Any]) -> ConvertedMesh:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    return ConvertedMesh(
        blend=str(fields["blend"]),
        file_sha256=str(fields["file_sha256"]),
        lower=_vector(fields["lower"]),
        upper=_vector(fields["upper"]),
        metrics=dict(fields["metrics"]),
        warnings=tuple(str(each) for each in fields["warnings"]),
        source_sha256=str(fields["source_sha256"]),
    )


def compare_request(fields: dict[str, Any]) -> CompareRequest:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    return CompareRequest(converted_mesh(fields["mesh"]), converted_mesh(fields["source"]))


def assemble_request(fields: dict[str, Any]) -> AssembleRequest:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    plan = fields["plan"]
    meshes = tuple(
        PlannedMesh(
            role=Role(each["role"]),
            index=int(each["index"]),
            asset_id=each["asset_id"],
            name=each["name"],
            mesh=converted_mesh(each["mesh"]),
            preview=Preview(**each["preview"]) if each["preview"] else None,
        )
        for each in plan["meshes"]
    )
    wanted = fields["arrangement"]
    return AssembleRequest(
        plan=RowPlan(**{**plan, "meshes": meshes}),
        blend=fields["blend"],
        arrangement=Arrangement(
            preview_side=PreviewSide(wanted["preview_side"]),
            spacing=float(wanted["spacing"]),
            labels=bool(wanted["labels"]),
        ),
        assets=tuple(int(each) for each in fields["assets"]),
        assets_are_best=bool(fields["assets_are_best"]),
        thumbnails=fields["thumbnails"],
    )


def blend_path(file: Path) -> Path:
    """Where the cache keeps the .blend made of a mesh file of the cache."""
    return file.with_suffix(".blend")


def _vector(values: Any) -> Vector3:
    x, y, z = (float(each) for each in values)
    return x, y, z
