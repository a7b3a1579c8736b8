# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything of a session's row stands. Numbers only: nothing here changes a scene.

A row runs along X. A slot is a mesh and, at its right, its preview; the label is below both. Meshes
are moved along X and Y only, never scaled or turned, so that all keep the source's frame.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .measure.metrics import percent_text
from .models import PlannedMesh, Role, RowPlan, Vector3

_GAP = 0.08
"""Between a mesh and its preview, as a share of the row's size."""
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


def row_size(plan: RowPlan) -> float:
    """The largest extent of any mesh of the row, in scene units; 1 when all are points."""
    extents = [
        high - low
        for planned in plan.meshes
        for low, high in zip(planned.mesh.lower, planned.mesh.upper, strict=True)
    ]
    return max(extents, default=0.0) or 1.0


def row_start(plan: RowPlan, occupied_back: float | None) -> float:
    """The Y offset of the row: 0 for the first, else behind what reaches to `occupied_back`."""
    if occupied_back is None:
        return 0.0
    front = min((planned.mesh.lower[1] for planned in plan.meshes), default=0.0)
    return occupied_back + _ROW_GAP * row_size(plan) - front


def lay_out(plan: RowPlan, facing: Facing, offset_y: float) -> list[Slot]:
    """A slot per mesh of the plan. The first mesh keeps its X: the source stays where the mesh it
    was made from stands, if that is still in the scene.
    """
    size = row_size(plan)
    slots = []
    edge: float | None = None
    for planned in plan.meshes:
        offset_x = 0.0 if edge is None else edge - planned.mesh.lower[0]
        slot, edge = _slot(planned, facing, size, offset_x, offset_y)
        edge += _SLOT_GAP * size
        slots.append(slot)
    return slots


def _slot(
    planned: PlannedMesh, facing: Facing, size: float, offset_x: float, offset_y: float
) -> tuple[Slot, float]:
    """The slot of a mesh moved by these offsets, and the X at which it ends."""
    lower, upper = planned.mesh.lower, planned.mesh.upper
    left, right = lower[0] + offset_x, upper[0] + offset_x
    near, far = lower[1] + offset_y, upper[1] + offset_y
    middle_y, middle_z = (near + far) / 2, (lower[2] + upper[2]) / 2

    preview = None
    end = right
    if planned.preview is not None:
        image = planned.preview
        height = (far - near) if facing is Facing.TOP else (upper[2] - lower[2])
        height = height or size
        width = height * image.width / image.height
        end = right + _GAP * size + width
        preview = PreviewPlace((end - width / 2, middle_y, middle_z), width, height)

    below = lower[2] - _LABEL_GAP * size
    if facing is Facing.TOP:
        anchor = ((left + end) / 2, near - _LABEL_GAP * size, lower[2])
    elif facing.value % 90:
        # Seen from a corner, what is beside the mesh is before or behind it as well.
        anchor = ((left + right) / 2, middle_y, below)
    else:
        front = far if facing is Facing.BACK else near
        anchor = ((left + end) / 2, front, below)
    # A long name is written smaller rather than let into the next slot.
    longest = max(sum(map(_letter_width, line)) for line in label_text(planned).splitlines())
    room = (end - left + 0.5 * _SLOT_GAP * size) * facing.breadth
    label = LabelPlace(anchor, min(_LABEL_LINE * size, room / longest))
    return Slot((offset_x, offset_y, 0.0), preview, label), end


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
