# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the panels of many sessions take to draw."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from driver import MODULE, Gui, Steps

from acts.recent import keep_session, open_recent

SESSIONS, VARIATIONS = 20, 8

PANELS = {
    "import_ms": "ui.panel.CSM_RETOPO_PT_import",
    "sessions_ms": "ui.sessions.CSM_RETOPO_PT_sessions",
    "compare_ms": "ui.compare.CSM_RETOPO_PT_compare",
    "flip_ms": "ui.flip.CSM_RETOPO_PT_flip",
    "recent_ms": "ui.recent.CSM_RETOPO_PT_recent",
}


def long_list(gui: Gui) -> Steps:
    for number in range(SESSIONS):
        make_session(f"SESSION_1763900000_{number:07}")
    times: dict[str, list[float]] = {}
    for name, path in PANELS.items():
        module, _, panel = path.rpartition(".")
        times[name] = _measure(getattr(sys.modules[f"{MODULE}.{module}"], panel))
    root = sys.modules[f"{MODULE}.scene.sessions"].open_cache().root
    for number in range(SESSIONS):
        keep_session(root, number, Path(gui.arguments["picture"]).read_bytes())
    yield from gui.open_tab()
    yield from open_recent(gui)
    yield 1.0
    for values in times.values():
        values.clear()
    for _ in range(40):
        gui.redraw()
        yield 0.02
    gui.facts.update({name: round(statistics.median(each), 3) for name, each in times.items()})
    yield from gui.look("long-list")


def pages(gui: Gui) -> Steps:
    """Leaf through the list of sessions and through the table."""
    for number in range(12):
        make_session(f"SESSION_1763900000_{number:07}", variations=0)
    yield from gui.open_tab()
    yield from _leaf_through(gui, "SESSIONS")
    for number in range(12, 15):
        make_session(f"SESSION_1763900000_{number:07}")
    yield from gui.scroll()
    yield from gui.scroll()
    yield from _leaf_through(gui, "TABLE")


def _leaf_through(gui: Gui, name: str) -> Steps:
    for step, column, page in ((1, 0.75, 1), (-1, 0.15, 0), (1, 0.75, 1)):
        yield from gui.click(f"turn_page(pages='{name}', step={step})", column=column)
        yield from gui.wait(
            lambda page=page: getattr(gui.state, f"{name.lower()}_page") == page,
            f"{name} does not show page {page}",
        )
    yield from gui.look(f"second-page-{name.lower()}")


def make_session(session_id: str, variations: int = VARIATIONS) -> None:
    """A session with all that an import brings, but for the shapes."""
    metrics = sys.modules[f"{MODULE}.scene.measure.metrics"].METRICS
    collection = bpy.data.collections.new(session_id)
    bpy.context.scene.collection.children.link(collection)
    collection.csm_retopo.session_id = session_id
    collection.csm_retopo.model = "swift"
    collection.csm_retopo.created_at = "2025-11-23T12:13:20.000Z"
    collection.csm_retopo.input_asset_id = "ASSET_1763900000_1000000"
    for index in range(-1, variations):
        name = f"Statue retopo {index + 1}" if index >= 0 else "Statue"
        values = {key: 8_000 + number + index for number, key in enumerate(metrics)}
        values |= {"quad_ratio": 0.9 + index / 100, "scaled_jacobian_mean": 0.8 + index / 100}
        values |= {"hausdorff_relative": 0.01 - index / 1000}
        parts: list[tuple[str, Any]] = [
            ("SOURCE" if index < 0 else "VARIATION", bpy.data.meshes.new(name)),
            ("LABEL", bpy.data.curves.new(name, "FONT")),
        ]
        if index >= 0:
            image = bpy.data.images.new(f"{name} Preview", 64, 64)
            parts.append(("PREVIEW", image))
        for role, data in parts:
            obj = bpy.data.objects.new(data.name, None if role == "PREVIEW" else data)
            if role == "PREVIEW":
                obj.empty_display_type = "IMAGE"
                obj.data = data
            collection.objects.link(obj)
            carried = obj.csm_retopo
            carried.role = role
            carried.session_id = session_id
            carried.index = index
            if role in ("SOURCE", "VARIATION"):
                carried.metrics = json.dumps(values)


def _measure(panel: Any) -> list[float]:
    """What each drawing of the panel takes from now on, in milliseconds."""
    times: list[float] = []
    draw: Callable[[Any, bpy.types.Context], None] = panel.draw

    def timed(self: Any, context: bpy.types.Context) -> None:
        start = time.perf_counter()
        draw(self, context)
        times.append((time.perf_counter() - start) * 1000)

    panel.draw = timed
    return times
