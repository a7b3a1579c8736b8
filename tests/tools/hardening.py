# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the table in SECURITY.md out of what the soak tests have measured: build/soak/*.json.

`hardening.py` alone writes it from what is there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "soak"
PAGE = ROOT / "SECURITY.md"
BEGIN, END = "<!-- made by make soak -->", "<!-- end -->"

ROWS = (
    ("network", "faults", "Network faults tried"),
    ("network", "survived", "of which survived"),
    ("network", "lost", "of which a file was lost or wrong"),
    ("network", "longest_cancel_s", "Longest wait for a cancel, seconds"),
    ("files", "files", "Files read by Blender"),
    ("files", "images", "Images decoded by Blender"),
    ("files", "fuzz_inputs", "Files made by the fuzzer"),
    ("files", "crashed", "Crashed"),
    ("files", "hung", "Hung"),
    ("files", "kills_survived", "Background Blenders killed, each costing one row at most"),
    ("files", "opened_outside", "Files opened outside the cache"),
    ("files", "peak_memory_mb", "Peak memory of the worst file, MB"),
    ("cache", "kills", "Blenders killed while they imported"),
    ("cache", "clears", "Caches cleared under two Blenders that import"),
    ("cache", "bit_flips", "Bits flipped in the cache"),
    ("cache", "wrong_meshes", "Wrong meshes after that"),
    ("cache", "tracebacks", "Tracebacks"),
    ("cache", "leaks", "Secrets found in what is on disk"),
    ("batch", "kills", "Batches killed, then run to the same end"),
    ("batch", "thousands", "Sessions in one batch"),
    ("batch", "unknown", "of which the service knew nothing, and the batch told"),
)
"""The file, its key, and what it means."""


def write() -> str:
    """Write the table; return a line that says what it holds."""
    results = {path.stem: _read(path) for path in sorted(RESULTS.glob("*.json"))}
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = table(results)
    if rows:
        PAGE.write_text(f"{before}{BEGIN}\n{rows}\n{END}{after}", encoding="utf-8")
    numbers = (f"{name}: {_told(found)}" for name, found in results.items())
    return f"soak: {'; '.join(numbers) or 'nothing was measured'}"


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows of what was measured."""
    rows = [
        (label, results[name][key]) for name, key, label in ROWS if key in results.get(name, {})
    ]
    if not rows:
        return ""
    lines = [f"| {label} | {_number(value)} |" for label, value in rows]
    return "\n".join(["| tried by `make soak` | |", "|---|---:|", *lines])


def _told(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{_number(value)} {key.replace('_', ' ')}" for key, value in found.items())


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    print(write())
    sys.exit(0)
