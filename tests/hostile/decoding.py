# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a Blender: brings preview images in as an import does, and has Blender decode them.

`decoding.py LIST`: LIST names a file on each line, that the checks have let through. Each becomes a
line of JSON on stdout.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scene" / "background"))


def main() -> None:
    import worker

    worker._adopt_package()
    from csm_retopo.api import image_files
    from csm_retopo.scene import models, pending

    for name in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        told = image_files.check_png(Path(name))
        sha256 = hashlib.sha256(Path(name).read_bytes()).hexdigest()
        preview = models.Preview(name, sha256, *told)
        image = pending.bring_preview("SESSION_1_1", 0, preview)
        found = tuple(image.size)
        answer = {"name": name, "told": told, "found": found, "pixels": len(image.pixels)}
        print(json.dumps(answer), flush=True)
        pending.discard("SESSION_1_1")


if __name__ == "__main__":
    main()
    # Not by Python's way out, which Blender as a module doesn't always survive.
    sys.stdout.flush()
    os._exit(0)
