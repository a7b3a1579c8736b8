# SPDX-License-Identifier: GPL-3.0-or-later
"""What a batch chooses of each session: the best by a rule, and what becomes an asset.

Nothing here needs Blender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..measure.metrics import MetricValue
from ..measure.rules import Rule

MetricsOf = Mapping[int, Mapping[str, MetricValue]]
"""The metrics of the variations that were imported, by their index in the session."""


@dataclass(frozen=True)
class Choice:
    """With a `rule`, the best of a session is told; with `as_assets`, it is an asset, or all are
    where there is no rule.
    """

    rule: Rule | None = None
    as_assets: bool = False

    def best(self, metrics_of: MetricsOf) -> int | None:
        """The index of the best variation, None without a rule, or where none fulfils it."""
        return self.rule.best(metrics_of) if self.rule is not None else None

    def assets(self, metrics_of: MetricsOf) -> tuple[int, ...]:
        """The indices of the variations that are to be assets."""
        if not self.as_assets:
            return ()
        if self.rule is None:
            return tuple(metrics_of)
        best = self.best(metrics_of)
        return () if best is None else (best,)
