# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the network, alone and in pairs, at every stage, and cancelled at any moment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "api"))

import fault_matrix  # noqa: E402 - it is beside the tests that run a part of it

RESULTS = TESTS.parent / "build" / "soak" / "network.json"


@pytest.mark.timeout(3600)
def test_no_fault_of_the_network_loses_anything(tmp_path: Path) -> None:
    unforeseen = fault_matrix.errors().seen
    unforeseen.clear()
    with fault_matrix.opened(tmp_path) as bench:
        singles = fault_matrix.singles(bench)
        cases = singles + fault_matrix.pairs(bench)
        lost = bench.run_all(cases)
        longest_cancel_s = bench.cancel_all([each for each in singles if each.lasting], seed=0)
        strayed = set(bench.connected) - bench.allowed
    results = {
        "faults": len(cases),
        "survived": len(cases) - len(lost),
        "lost": len(lost),
        "longest_cancel_s": round(longest_cancel_s, 3),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    assert not lost
    assert not strayed
    assert not unforeseen
    assert longest_cancel_s < 1.0
