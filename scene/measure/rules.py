# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule by which a batch says which of a session's variations is the best, such as
`hausdorff_relative < 0.01, max quad_ratio`.

Parts are separated by commas. A filter, `METRIC OPERATOR NUMBER`, says what a variation must
fulfil; an objective, `max METRIC` or `min METRIC`, which of them is to be preferred. The first
objective decides, the next one only among those that are equal by it, and in the end the session's
order. A variation that lacks a metric fulfils no filter on it, and comes after those that have it.

Nothing here needs Blender.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...api.errors import CsmError
from .metrics import METRICS, MetricValue

EXAMPLE = "hausdorff_relative < 0.01, max quad_ratio"

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FILTER = re.compile(r"(\w+)\s*([<>=!]+)\s*(.*)", re.ASCII)
_OBJECTIVE = re.compile(r"(max|min)\s+(.+)", re.ASCII)


class InvalidRule(CsmError):
    """A rule can't be understood; the text says where, and what is meant perhaps."""


@dataclass(frozen=True)
class Filter:
    """What a variation must fulfil."""

    key: str
    operator: str
    limit: float

    def accepts(self, metrics: Mapping[str, MetricValue]) -> bool:
        """Whether a mesh of these metrics fulfils it. One that lacks the metric doesn't."""
        value = _number(metrics.get(self.key))
        return value is not None and _OPERATORS[self.operator](value, self.limit)


@dataclass(frozen=True)
class Objective:
    """Which of two values is to be preferred."""

    key: str
    highest: bool

    def cost(self, metrics: Mapping[str, MetricValue]) -> float:
        """The lower, the better; infinite without a value."""
        value = _number(metrics.get(self.key))
        if value is None:
            return math.inf
        return -value if self.highest else value


@dataclass(frozen=True)
class Rule:
    """A rule that was understood. `text` is what was written."""

    text: str
    filters: tuple[Filter, ...]
    objectives: tuple[Objective, ...]

    def best(self, metrics_of: Mapping[int, Mapping[str, MetricValue]]) -> int | None:
        """The index of the best variation, given the metrics of each by its index in the session;
        None if none passes the filters. Among equals it is the lowest index.
        """
        passing = [
            index
            for index, metrics in metrics_of.items()
            if all(each.accepts(metrics) for each in self.filters)
        ]

        def rank(index: int) -> tuple[float, ...]:
            return (*(each.cost(metrics_of[index]) for each in self.objectives), index)

        return min(passing, key=rank, default=None)


def parse_rule(text: str) -> Rule:
    """The rule that the text states. Raises InvalidRule."""
    filters: list[Filter] = []
    objectives: list[Objective] = []
    for part in (each.strip() for each in text.split(",")):
        if not part:
            raise InvalidRule(f"A part of the rule is empty: write it like '{EXAMPLE}'")
        if found := _OBJECTIVE.fullmatch(part):
            objectives.append(Objective(_key(found[2]), highest=found[1] == "max"))
        elif found := _FILTER.fullmatch(part):
            filters.append(Filter(_key(found[1]), _operator(found[2]), _limit(found[3])))
        else:
            raise InvalidRule(
                f"'{part}' is neither 'METRIC < NUMBER' nor 'max METRIC' or 'min METRIC'"
            )
    if not objectives:
        raise InvalidRule(
            "The rule doesn't say which of those that fulfil it is the best: add 'max METRIC' or "
            f"'min METRIC', as in '{EXAMPLE}'"
        )
    return Rule(text, tuple(filters), tuple(objectives))


def _key(name: str) -> str:
    if name in METRICS:
        return name
    near = difflib.get_close_matches(name.lower(), METRICS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise InvalidRule(f"There is no metric '{name}'.{hint} The metrics are: {', '.join(METRICS)}")


def _operator(text: str) -> str:
    if text in _OPERATORS:
        return text
    raise InvalidRule(f"'{text}' compares nothing: use one of {' '.join(_OPERATORS)}")


def _limit(text: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise InvalidRule(f"'{text}' is no number to compare with; yes is 1, no is 0")
    return limit


def _number(value: MetricValue) -> float | None:
    return None if value is None or math.isnan(value) else value
