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

AT_A_TIME = 400
"""Cases with the same stand-ins, which slow down with the number of faults they were ever given."""
RESULTS = TESTS.parent / "build" / "soak" / "network.json"


@pytest.mark.timeout(3600)
def test_no_fault_of_the_network_loses_anything(tmp_path: Path) -> None:
    unforeseen = fault_matrix.errors().seen
    unforeseen.clear()
    lost: dict[str, list[str]] = {}
    strayed: set[tuple[str, int]] = set()
    longest_cancel_s = 0.0
    tried, total = 0, 1
    while tried < total:
        with fault_matrix.opened(tmp_path / str(tried)) as bench:
            singles = fault_matrix.singles(bench)
            cases = singles + fault_matrix.pairs(bench)
            total = len(cases)
            part = cases[tried : tried + AT_A_TIME]
            lost |= bench.run_all(part)
            if tried < len(singles):
                lasting = [each for each in part if each.lasting]
                longest_cancel_s = max(longest_cancel_s, bench.cancel_all(lasting, seed=tried))
            strayed |= set(bench.connected) - bench.allowed
        tried += len(part)
    results = {
        "faults": tried,
        "survived": tried - len(lost),
        "lost": len(lost),
        "longest_cancel_s": round(longest_cancel_s, 3),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    for case, problems in lost.items():
        print(case, problems)
    assert not lost
    assert not strayed
    assert not unforeseen
    assert longest_cancel_s < 1.0
