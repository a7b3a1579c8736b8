# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule that says which variation is the best: what it understands, and whom it chooses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import configuration, given, settings, strategies as st

from csm_retopo.scene.measure.metrics import METRICS
from csm_retopo.scene.measure.rules import EXAMPLE, InvalidRule, parse_rule

configuration.set_hypothesis_home_dir(Path(__file__).resolve().parents[2] / "build" / "hypothesis")

Metrics = dict[str, Any]

SESSION: dict[int, Metrics] = {
    0: {"hausdorff_relative": 0.004, "quad_ratio": 0.8, "triangle_count": 900, "has_uv": False},
    1: {"hausdorff_relative": 0.02, "quad_ratio": 1.0, "triangle_count": 400, "has_uv": True},
    2: {"hausdorff_relative": 0.009, "quad_ratio": 0.9, "triangle_count": 400, "has_uv": True},
    4: {"hausdorff_relative": None, "quad_ratio": 0.9, "triangle_count": 300, "has_uv": False},
}


@pytest.mark.parametrize(
    ("rule", "best"),
    [
        (EXAMPLE, 2),
        ("max quad_ratio", 1),
        ("min triangle_count", 4),
        # The second objective decides among those that are equal by the first, then the order.
        ("max has_uv, min hausdorff_relative", 2),
        ("min has_uv", 0),
        ("quad_ratio>=.9,min hausdorff_relative", 2),
        ("quad_ratio <= 9e-1, max triangle_count", 0),
        ("has_uv == 1, max quad_ratio", 1),
        ("has_uv != 1, max quad_ratio", 4),
        # One that lacks a metric is after those that have it, whichever way is better.
        ("triangle_count < 500, max hausdorff_relative", 1),
        ("triangle_count < 350, max hausdorff_relative", 4),
        # And it fulfils no filter on it, not even one that is true of nothing.
        ("triangle_count < 350, hausdorff_relative != 1, max quad_ratio", None),
        ("quad_ratio > 1, max quad_ratio", None),
    ],
)
def test_the_best(rule: str, best: int | None) -> None:
    assert parse_rule(rule).best(SESSION) == best
    assert parse_rule(rule).best({}) is None


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "empty"),
        ("max quad_ratio,", "empty"),
        ("quad_ratio > 0.9", "add 'max METRIC' or 'min METRIC'"),
        ("beauty", "'beauty' is neither"),
        ("max beauty", "There is no metric 'beauty'. The metrics are: vertices, edges"),
        ("max quad_ration", "Did you mean 'quad_ratio'?"),
        ("Hausdorf_Relative < 1, max quads", "Did you mean 'hausdorff_relative'?"),
        ("maximum quads", "neither"),
        ("quad_ratio = 1, max quads", "'=' compares nothing: use one of < <="),
        ("quad_ratio > much, max quads", "'much' is no number"),
        ("quad_ratio > nan, max quads", "'nan' is no number"),
        ("quad_ratio > 1 2, max quads", "'1 2' is no number"),
        ("quad_ratio >, max quads", "'' is no number"),
        ("0.9 < quad_ratio < 1, max quads", "neither"),
        ("__import__('os').getcwd(), max quads", "neither"),
    ],
)
def test_what_is_no_rule(rule: str, said: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse_rule(rule)
    assert said in str(caught.value)


keys = st.sampled_from(sorted(METRICS))
values = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5)
filters = st.builds(
    "{} {} {}".format, keys, st.sampled_from("< <= > >= == !=".split()), st.integers(-5, 5)
)
objectives = st.builds("{} {}".format, st.sampled_from(["max", "min"]), keys)
rules = st.tuples(st.lists(filters, max_size=3), st.lists(objectives, min_size=1, max_size=3))
session = st.dictionaries(
    st.integers(0, 9), st.fixed_dictionaries(dict.fromkeys(METRICS, values)), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(rules, session)
def test_the_best_passes_all_filters_and_none_that_does_is_better(
    parts: tuple[list[str], list[str]], metrics_of: dict[int, Metrics]
) -> None:
    wanted, preferred = parts
    best = parse_rule(", ".join(wanted + preferred)).best(metrics_of)

    def passes(metrics: Metrics) -> bool:
        return all(
            metrics[key] is not None and eval(f"value {sign} {limit}", {"value": metrics[key]})
            for key, sign, limit in map(str.split, wanted)
        )

    passing = [index for index, metrics in metrics_of.items() if passes(metrics)]
    if best is None:
        assert not passing
        return
    assert best in passing
    for other in passing:
        for way, key in map(str.split, preferred):
            mine, its = metrics_of[best][key], metrics_of[other][key]
            if mine == its:
                continue
            assert its is None or (mine is not None and (mine > its) == (way == "max"))
            break
        else:
            assert best <= other


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | st.text("max min,<>=! quad_ratio0123.", max_size=40))
def test_any_text_is_a_rule_or_told_what_is_wrong(text: str) -> None:
    try:
        rule = parse_rule(text)
    except InvalidRule:
        return
    assert rule.objectives
    assert all(math.isfinite(each.limit) for each in rule.filters)
