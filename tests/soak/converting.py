# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a Blender: has files converted by the background Blender, under strace.

`converting.py LIST CACHE LOG`: LIST names a file on each line; the answers go to stdout as JSON, in
any order, the last with the most memory that a background Blender took.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scene" / "background")]


def main() -> None:
    import worker

    worker._adopt_package()
    from csm_retopo.api.cache import Cache
    from csm_retopo.scene import models, properties
    from csm_retopo.scene.background import converter
    from hostile import tracing

    names, root, log = (Path(each) for each in sys.argv[1:])
    paths = [Path(each) for each in names.read_text(encoding="utf-8").splitlines()]
    properties.register()
    command = converter._command() or []
    converter._command = lambda *_: tracing.traced(command, log)
    cache = Cache(root)
    running = converter.Converter(cache, processes=1)
    folder = cache.folder("SESSION_1_1")
    before = len(bpy.data.user_map())
    for number, path in enumerate(paths):
        begin = time.monotonic()
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        blend = folder / f"{number}.blend"
        running.submit(models.ConvertRequest(str(path), sha256, str(blend)))
        answer = running.poll(300.0)
        assert isinstance(answer, converter.Converted)
        faces = answer.mesh.metrics["faces"] if answer.mesh else None
        warnings = answer.mesh.warnings if answer.mesh else ()
        fields = {"number": number, "reason": answer.reason, "faces": faces, "warnings": warnings}
        print(json.dumps({**fields, "took_s": time.monotonic() - begin}), flush=True)
        cache.forget(blend)
    running.close()
    running.join(20.0)
    assert len(bpy.data.user_map()) == before
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    own = (root, ROOT, Path(os.environ["BLENDER_USER_RESOURCES"]))
    opened = tracing.outside(tracing.opened(log) - {str(path) for path in paths}, *own)
    temporary = os.environ["TMPDIR"]
    outside = [path for path in opened if not path.startswith(f"{temporary}/")]
    outside += tracing.connected(log)
    left = [name for name in os.listdir(temporary) if name.startswith("csm-retopo")]
    print(json.dumps({"peak_mb": peak_mb, "outside": outside, "left": left}), flush=True)
    properties.unregister()


if __name__ == "__main__":
    main()
