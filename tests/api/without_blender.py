# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `csm_retopo.api` importable where there is no Blender, once this was imported."""

import sys
import types
from pathlib import Path

# The checkout's folder may have any name, and its __init__.py needs Blender.
package = types.ModuleType("csm_retopo")
package.__path__ = [str(Path(__file__).resolve().parents[2])]
sys.modules.setdefault("csm_retopo", package)
