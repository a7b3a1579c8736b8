# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's faults, alone at every stage, and some of their pairs. `make soak` has them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fault_matrix
import pytest
from fault_matrix import Bench, Case
from fetching import job_threads

PAIRS = 80
CANCELLED = 40
GONE_WITHIN_S = 3.0
"""Generous, for a busy machine: `make soak` measures it."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """What cases run against. At the end: nobody tried to go elsewhere, no exception was logged, no
    key and no credential went where it does not belong, no thread is left.
    """
    unforeseen = fault_matrix.errors().seen
    unforeseen.clear()
    with fault_matrix.opened(tmp_path) as running:
        yield running
        requests = [*running.service.requests, *running.hop.requests]
    assert set(running.connected) <= running.allowed
    assert not unforeseen
    for request in requests:
        assert ("x-api-key" in request.headers) == (request.server == "api")
    assert running.hop.api_requests == []
    assert job_threads(within_s=5.0) == []


def require_none_lost(bench: Bench, cases: list[Case]) -> None:
    assert cases
    assert bench.run_all(cases) == {}


def test_each_fault_once(bench: Bench) -> None:
    require_none_lost(bench, [each for each in fault_matrix.singles(bench) if not each.lasting])


def test_each_fault_for_ever(bench: Bench) -> None:
    cases = fault_matrix.singles(bench)
    stages = ("session", "mesh")
    require_none_lost(bench, [each for each in cases if each.lasting and each.stage in stages])


def test_some_faults_after_others(bench: Bench) -> None:
    cases = fault_matrix.pairs(bench)
    require_none_lost(bench, cases[:: len(cases) // PAIRS])


def test_all_of_them_end_when_they_are_cancelled(bench: Bench) -> None:
    cases = [each for each in fault_matrix.singles(bench) if each.lasting]
    assert bench.cancel_all(cases[:: len(cases) // CANCELLED], seed=5) < GONE_WITHIN_S
