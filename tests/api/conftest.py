# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `csm_retopo.api` importable where there is no Blender."""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The checkout's folder may have any name, and its __init__.py needs Blender.
package = types.ModuleType("csm_retopo")
package.__path__ = [str(ROOT)]
sys.modules["csm_retopo"] = package
