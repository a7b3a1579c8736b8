# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything of a session's row stands. Numbers only: nothing here changes a scene.

A row runs along X: the source, then a slot for each variation of the session, be it there or not,
all of the same width. A slot holds a mesh, its preview, and the label below both. Meshes are moved
along X and Y only, never scaled or turned, so that all keep the source's frame.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .measure.metrics import percent_text
from .models import Arrangement, PlannedMesh, PreviewSide, Role, RowPlan, Vector3

_GAP = 0.08
"""Between a mesh and its preview, as a share of the row's unit."""
_SLOT_GAP = 0.3
_ROW_GAP = 0.6
_LABEL_LINE = 0.1
_LABEL_GAP = 0.06


class Facing(enum.Enum):
    """Which way labels and previews look: the degrees that they are turned about Z, seen from
    above and counted from the front (-Y); or up, for who looks from above.
    """

    FRONT = 0
    FRONT_RIGHT = 45
    RIGHT = 90
    BACK_RIGHT = 135
    BACK = 180
    BACK_LEFT = 225
    LEFT = 270
    FRONT_LEFT = 315
    TOP = -1

    @property
    def rotation(self) -> Vector3:
        """Euler XYZ angles, in radians, of an object whose plane is its own XY."""
        if self is Facing.TOP:
            return (0.0, 0.0, 0.0)
        return (math.pi / 2, 0.0, math.radians(self.value))

    @property
    def breadth(self) -> float:
        """How broad the row is to the viewer, as a share of how long it is. From its ends, where
        all stands one behind the other, half of it is reckoned with.
        """
        if self is Facing.TOP:
            return 1.0
        return max(abs(math.cos(math.radians(self.value))), 0.5)


@dataclass(frozen=True)
class RowShape:
    """How a row is laid out. It is kept with the row, so that what comes later, when meshes or
    settings are others, finds its place free and what stands stays.

    `unit` is the size that gaps and letters are measured in, `pitch` how far it is from a variation
    to the next, in scene units.
    """

    facing: Facing
    preview_side: PreviewSide
    spacing: float
    unit: float
    pitch: float


@dataclass(frozen=True)
class PreviewPlace:
    """The centre of a preview image and its size, in scene units."""

    location: Vector3
    width: float
    height: float


@dataclass(frozen=True)
class LabelPlace:
    """The middle of a label's upper edge, and its letters' size, in scene units."""

    location: Vector3
    text_size: float


@dataclass(frozen=True)
class Slot:
    """Where a mesh, its preview and its label stand."""

    location: Vector3
    preview: PreviewPlace | None
    label: LabelPlace


def facing_of_view(direction: Vector3) -> Facing:
    """The facing that is readable for someone who looks along `direction` (of length 1)."""
    x, y, z = direction
    if abs(z) > 0.85:
        return Facing.TOP
    return Facing(round(math.degrees(math.atan2(-x, y)) / 45) * 45 % 360)


def shape_row(plan: RowPlan, facing: Facing, arrangement: Arrangement) -> RowShape:
    """The shape of a new row: its slots are as wide as the widest that the plan needs."""
    unit = _largest_extent(plan)
    spacing = arrangement.spacing
    shape = RowShape(facing, arrangement.preview_side, spacing, unit, 0.0)
    widest = max((_slot_width(planned, shape) for planned in plan.meshes), default=0.0)
    return dataclasses.replace(shape, pitch=widest + _SLOT_GAP * unit * spacing)


def _largest_extent(plan: RowPlan) -> float:
    """Of any mesh of the row, in scene units; 1 when all are points."""
    extents = [
        high - low
        for planned in plan.meshes
        for low, high in zip(planned.mesh.lower, planned.mesh.upper, strict=True)
    ]
    return max(extents, default=0.0) or 1.0


def row_start(
    plan: RowPlan, shape: RowShape, slots: Sequence[Slot], occupied_back: float | None
) -> float:
    """What to add to the slots' Y: 0 for the first row, else so much that it stands behind what
    reaches to `occupied_back`.
    """
    if occupied_back is None:
        return 0.0
    fronts = [planned.mesh.lower[1] for planned in plan.meshes]
    fronts += [
        slot.preview.location[1] - _half_depth(slot.preview, shape.facing)
        for slot in slots
        if slot.preview is not None
    ]
    gap = _ROW_GAP * shape.spacing
    if shape.facing is Facing.TOP:
        gap = max(gap, _LABEL_GAP + 2.5 * _LABEL_LINE)  # the labels lie in it
    return occupied_back + gap * shape.unit - min(fronts, default=0.0)


def _half_depth(preview: PreviewPlace, facing: Facing) -> float:
    """How far a preview reaches to either side along Y."""
    if facing is Facing.TOP:
        return preview.height / 2
    return preview.width / 2 * abs(math.sin(math.radians(facing.value)))


def lay_out(plan: RowPlan, shape: RowShape) -> list[Slot]:
    """A slot per mesh of the plan. The first mesh keeps its X: the source stays where the mesh it
    was made from stands, if that is still in the scene.
    """
    slots = []
    start: float | None = None
    for planned in plan.meshes:
        if planned.role is Role.SOURCE:
            left = planned.mesh.lower[0]
            start = planned.mesh.upper[0] + _SLOT_GAP * shape.unit * shape.spacing
        else:
            if start is None:
                start = planned.mesh.lower[0] - planned.index * shape.pitch
            left = start + planned.index * shape.pitch
        slots.append(_slot(planned, shape, left))
    return slots


def _slot(planned: PlannedMesh, shape: RowShape, left: float) -> Slot:
    """The slot that begins at this X."""
    lower, upper = planned.mesh.lower, planned.mesh.upper
    near, far = lower[1], upper[1]
    middle_y, middle_z = (near + far) / 2, (lower[2] + upper[2]) / 2
    from_top = shape.facing is Facing.TOP
    side = shape.preview_side
    end = left + _slot_width(planned, shape)
    width = upper[0] - lower[0]
    # A preview below or above can be broader than its mesh, which then stands in the middle.
    mesh_left = left if side is PreviewSide.BESIDE else (left + end - width) / 2
    offset_x = mesh_left - lower[0]

    preview = None
    below = near if from_top else lower[2]  # the lower end, as the viewer sees it
    if planned.preview is not None:
        across, high = _preview_size(planned, shape)
        reach = high / 2 + _GAP * shape.unit
        if side is PreviewSide.BESIDE:
            x, up = end - across / 2, middle_y if from_top else middle_z
        elif side is PreviewSide.BELOW:
            x, up = (left + end) / 2, below - reach
            below = up - high / 2
        else:
            x, up = (left + end) / 2, (far if from_top else upper[2]) + reach
        at = (x, up, middle_z) if from_top else (x, middle_y, up)
        preview = PreviewPlace(at, across, high)

    below -= _LABEL_GAP * shape.unit
    if from_top:
        anchor = ((left + end) / 2, below, lower[2])
    elif shape.facing.value % 90:
        # Seen from a corner, what is beside the mesh is before or behind it as well.
        anchor = (mesh_left + width / 2, middle_y, below)
    else:
        anchor = ((left + end) / 2, far if shape.facing is Facing.BACK else near, below)
    # A long name is written smaller rather than let into the next slot.
    longest = max(sum(map(_letter_width, line)) for line in label_text(planned).splitlines())
    gap = _SLOT_GAP * shape.unit * shape.spacing
    room = ((end - left or shape.unit) + 0.5 * gap) * shape.facing.breadth
    label = LabelPlace(anchor, min(_LABEL_LINE * shape.unit, room / longest))
    return Slot((offset_x, 0.0, 0.0), preview, label)


def _slot_width(planned: PlannedMesh, shape: RowShape) -> float:
    """Of a mesh with its preview, along X."""
    width = planned.mesh.upper[0] - planned.mesh.lower[0]
    if planned.preview is None:
        return width
    across, _ = _preview_size(planned, shape)
    if shape.preview_side is PreviewSide.BESIDE:
        return width + _GAP * shape.unit + across
    return max(width, across)


def _preview_size(planned: PlannedMesh, shape: RowShape) -> tuple[float, float]:
    """Width and height of a mesh's preview: as high as the mesh if it is beside it, else as large.

    The mesh has a preview.
    """
    image = planned.preview
    assert image is not None
    x, y, z = (high - low for low, high in zip(planned.mesh.lower, planned.mesh.upper, strict=True))
    height = y if shape.facing is Facing.TOP else z
    if shape.preview_side is PreviewSide.BESIDE:
        height = height or shape.unit
        return height * image.width / image.height, height
    width = y if shape.facing in (Facing.LEFT, Facing.RIGHT) else x
    scale = (max(width, height) or shape.unit) / max(image.width, image.height)
    return image.width * scale, image.height * scale


def _letter_width(letter: str) -> float:
    """At most how wide a letter of Blender's own font is, as a share of the text's size."""
    if letter > "\u00ff":
        return 1.3 if letter > "\uffff" else 1.0
    if letter in "W@":
        return 1.05
    return 0.83 if letter.isupper() or letter in "mw%" else 0.6


def label_text(planned: PlannedMesh) -> str:
    """Two lines: the name, then faces and, of a variation, the share of quads."""
    metrics = planned.mesh.metrics
    faces = f"{metrics.get('faces') or 0:,} faces"
    if planned.role is Role.SOURCE:
        return f"{planned.name}\nSource · {faces}"
    return f"{planned.name}\n{faces} · {percent_text(metrics.get('quad_ratio'))} quads"


def short_names(names: Sequence[str]) -> list[str]:
    """The names without the words that all begin with, but for the last of these, so that what
    tells them apart can be read in a narrow panel.
    """
    words = [name.split() for name in names]
    shared = 0
    if len(names) > 1:
        for column in zip(*words, strict=False):
            if len(set(column)) > 1:
                break
            shared += 1
    dropped = max(shared - 1, 0)
    return [" ".join(each[dropped:]) or name for each, name in zip(words, names, strict=True)]
