# SPDX-License-Identifier: GPL-3.0-or-later
"""What the colors on the variations' surfaces mean: kinds, palettes, scale, legends.

`coloring` puts them there. Nothing here changes anything, so that a picture elsewhere can say the
same with the same colors.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..models import Metrics
from ..properties import COLORS, read_metrics
from ..rows import Row

Color = tuple[float, float, float]
"""Red, green and blue as a screen shows them (sRGB), 0 to 1."""


class Colors(enum.StrEnum):
    """What the colors show. `Scene.csm_retopo.colors` is one of these."""

    NONE = "NONE"
    FACE_TYPES = "FACE_TYPES"
    POLES = "POLES"
    QUAD_SHAPE = "QUAD_SHAPE"
    DEVIATION = "DEVIATION"
    COVERAGE = "COVERAGE"


TITLES: Mapping[str, str] = MappingProxyType({name: title for name, title, _ in COLORS})

BANDS = 16
"""A quantity is shown in so many colors; the last is for all that is beyond the scale."""


def _color(code: str) -> Color:
    red, green, blue = (int(code[start : start + 2], 16) / 255 for start in (0, 2, 4))
    return red, green, blue


# Okabe and Ito's palette, which the color-blind can tell apart.
NEUTRAL: Color = _color("B4B4B4")
"""What has no value: no quad, or no source to compare with."""
FACE_TYPES: Mapping[str, Color] = MappingProxyType(
    {"Triangle": _color("E69F00"), "Quad": _color("56B4E9"), "N-Gon": _color("D55E00")}
)
POLES: Mapping[str, Color] = MappingProxyType(
    {"3 Edges": _color("0072B2"), "5 Edges": _color("F0E442"), "6 or More": _color("D55E00")}
)

_STOPS = ("3F6FC2", "79AEDC", "D3E6EF", "F8F3D0", "F8C67F", "E2734F", "B2222F")


def _ramp() -> tuple[Color, ...]:
    """From blue over a pale yellow to red, `BANDS` colors."""
    stops = [_color(stop) for stop in _STOPS]
    colors = []
    for band in range(BANDS):
        place = band / (BANDS - 1) * (len(stops) - 1)
        first = min(int(place), len(stops) - 2)
        red, green, blue = (
            low + (high - low) * (place - first)
            for low, high in zip(stops[first], stops[first + 1], strict=True)
        )
        colors.append((red, green, blue))
    return tuple(colors)


RAMP = _ramp()
"""The colors of a quantity's bands, from good to bad."""


@dataclass(frozen=True)
class Scale:
    """How distances are colored. Deviation and coverage gap of all of a scene's variations share
    one, so that colors can be compared.

    `limit` is where the last band begins, as a share of the source's diagonal. `diagonal` is that
    diagonal in scene units, None where sources of different size are compared.
    """

    limit: float
    diagonal: float | None = None


NO_DISTANCES = Scale(0.01)
"""The scale where nothing has been compared with a source."""


def find_scale(rows: Iterable[Row], limit_percent: float = 0.0) -> Scale:
    """The scale of these rows. Its limit is the largest distance, or four times the largest RMS
    if that is less, so that a few strays don't take all the color; or what `limit_percent` of the
    source's diagonal says, if it isn't 0.
    """
    diagonals = []
    maxima = []
    rms = []
    for row in rows:
        source = read_metrics(row.source) if row.source else {}
        for obj in row.variations.values():
            metrics = read_metrics(obj)
            diagonal = _source_diagonal(metrics, source)
            if diagonal is None:
                continue
            found = [_length(metrics, f"{kind}_max") for kind in ("deviation", "coverage")]
            largest = [each / diagonal for each in found if each is not None]
            if not largest:
                continue
            diagonals.append(diagonal)
            maxima += largest
            found = [_length(metrics, f"{kind}_rms") for kind in ("deviation", "coverage")]
            rms += [each / diagonal for each in found if each is not None]
    limit = limit_percent / 100 if limit_percent > 0 else max(maxima, default=0.0)
    if limit_percent <= 0 and rms:
        limit = min(limit, 4 * max(rms))
    diagonal = diagonals[0] if diagonals else None
    if diagonal and not all(math.isclose(each, diagonal, rel_tol=1e-4) for each in diagonals):
        diagonal = None
    # A mesh that lies in its source exactly is good everywhere.
    return Scale(limit or NO_DISTANCES.limit, diagonal)


def _source_diagonal(metrics: Metrics, source: Metrics) -> float | None:
    """The diagonal of a variation's source, in scene units; also when the source is deleted."""
    diagonal = _length(source, "bbox_diagonal")
    if diagonal:
        return diagonal
    hausdorff, relative = _length(metrics, "hausdorff"), _length(metrics, "hausdorff_relative")
    return hausdorff / relative if hausdorff and relative else None


def _length(metrics: Metrics, key: str) -> float | None:
    value = metrics.get(key)
    return float(value) if value is not None and value >= 0 else None


@dataclass(frozen=True)
class Legend:
    """What the colors mean: a title, the unit, and each color with its text. `is_ramp` where they
    are the bands of a quantity, from good to bad; a band's text says where it begins, and is ""
    where the bands beside it tell enough. `neutral` is what has no value.
    """

    title: str
    unit: str
    entries: tuple[tuple[Color, str], ...]
    is_ramp: bool
    neutral: tuple[Color, str] | None = None


_LABELLED = 3
"""Of so many bands, the first says where it begins."""


def legend(colors: str, scale: Scale = NO_DISTANCES) -> Legend:
    """The legend of these colors; `scale` is needed for deviation and coverage only."""
    title = TITLES[colors]
    match colors:
        case Colors.FACE_TYPES:
            return _categories(title, FACE_TYPES)
        case Colors.POLES:
            return _categories(title, POLES)
        case Colors.QUAD_SHAPE:
            texts = [f"{1 - band / (BANDS - 1):.1f}" for band in range(BANDS)]
            texts[-1] = "≤ 0"
            return _bands(title, "Scaled Jacobian", texts, "Not a quad")
        case Colors.DEVIATION | Colors.COVERAGE:
            texts = [distance_text(band_start(band, scale), scale) for band in range(BANDS)]
            texts[-1] = f"≥ {texts[-1]}"
            unit = "% of the source's diagonal"
            if scale.diagonal:
                unit = f"{unit} · scene units"
            return _bands(title, unit, texts, "Not compared")
    return Legend(title, "", (), is_ramp=False)


def _categories(title: str, colors: Mapping[str, Color]) -> Legend:
    return Legend(title, "", tuple((color, text) for text, color in colors.items()), is_ramp=False)


def _bands(title: str, unit: str, texts: list[str], neutral: str) -> Legend:
    shown = (text if band % _LABELLED == 0 else "" for band, text in enumerate(texts))
    entries = tuple(zip(RAMP, shown, strict=True))
    return Legend(title, unit, entries, is_ramp=True, neutral=(NEUTRAL, neutral))


def band_start(band: int, scale: Scale) -> float:
    """The least distance that gets this band's color, as a share of the source's diagonal."""
    return scale.limit * band / (BANDS - 1)


def distance_text(share: float, scale: Scale) -> str:
    """A share of the source's diagonal as people read it, with scene units where there are any."""
    percent = f"{share * 100:.3g} %"
    return f"{percent} · {share * scale.diagonal:.3g}" if scale.diagonal else percent
