# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, shown: the sample session over HTTP from a stand-in service into a .blend.

`make demo` runs it in a PyPI `bpy`. It needs no account and no network beyond this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
OUTPUT = ROOT / "build" / "demo"

sys.path[:0] = [str(TESTS), str(TESTS / "blender")]

COLUMNS = (
    *("faces", "triangle_count", "quad_ratio", "poles_3", "poles_5", "poles_6_plus"),
    *("spirals", "scaled_jacobian_mean", "deviation_mean", "hausdorff_relative"),
)


def main() -> int:
    """Run the demo; return 0 if everything was imported."""
    with tempfile.TemporaryDirectory(prefix="csm-retopo-demo-") as folder, stand_in() as service:
        session_id = service["session_ids"][0]
        os.environ["CSM_API_URL"] = service["api_url"]
        os.environ["CSM_API_KEY"] = service["key"]
        # Blender reads it when it starts, which is when bpy is first imported.
        os.environ["BLENDER_USER_RESOURCES"] = str(Path(folder) / "resources")
        import bpy

        import lifecycle
        from tools import extension

        archive = Path(folder) / "csm_retopo.zip"
        extension.build(archive)
        lifecycle.install(str(archive))
        try:
            imported = show(session_id)
        finally:
            lifecycle.uninstall()
    if imported is None:
        print("demo: FAILED: the import did not succeed, see above")
        return 1
    print(f"demo: passed: {imported} in Blender {bpy.app.version_string}")
    return 0


def show(session_id: str) -> str | None:
    """Import the session with the command line, then print what came of it.

    Returns what was imported, or None if that failed.
    """
    from bl_ext.user_default.csm_retopo import cli

    argv = ["import", session_id, "--output", str(OUTPUT), "--force"]
    argv += ["--report", "--contact-sheet"]
    print(f"\nblender --background --online-mode --command csm_retopo {' '.join(argv)}")
    start = time.perf_counter()
    code = cli.main(argv)
    elapsed_s = time.perf_counter() - start
    if code:
        return None

    folder = OUTPUT / session_id
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    print(f"\n{table(report)}\n")
    print(f"The row:           {folder / 'session.blend'}")
    print(f"The report:        {folder / 'report.html'}, and as data: report.json")
    print(f"The contact sheet: {folder / 'contact_sheet.png'}")
    count = len(report["variations"])
    return f"{count} variations of {session_id} imported, measured and drawn in {elapsed_s:.1f} s"


def table(report: dict[str, Any]) -> str:
    """The variations as lines of text, the source last."""
    from bl_ext.user_default.csm_retopo.scene.measure.metrics import METRICS, value_text

    meshes = [*report["variations"], *([report["source"]] if report["source"] else [])]
    rows = [["Variation", *(METRICS[key].heading for key in COLUMNS)]]
    for mesh in meshes:
        cells = [value_text(key, mesh["metrics"][key]) for key in COLUMNS]
        rows.append([mesh["name"], *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


@contextmanager
def stand_in() -> Iterator[dict[str, Any]]:
    """The stand-in service with the sample session, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "standin", "--folder", str(ROOT / "sample")]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()  # it ends when its input does
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
