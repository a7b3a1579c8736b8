# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `csm_retopo.api` importable where there is no Blender; finds the Blenders' Pythons."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))

package = types.ModuleType("csm_retopo")
package.__path__ = [str(ROOT)]
sys.modules.setdefault("csm_retopo", package)


def record(name: str, **numbers: Any) -> None:
    """Add to what `make soak` says and SECURITY.md tells: numbers are added up, peaks compared."""
    path = ROOT / "build" / "soak" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for key, value in numbers.items():
        before = found.get(key, 0)
        found[key] = max(before, value) if key.startswith(("peak", "longest")) else before + value
    path.write_text(json.dumps(found), encoding="utf-8")
