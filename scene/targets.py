# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a row goes: a scene of this Blender, or a .blend of its own."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from ..api.errors import CsmError
from ..api.texts import Text
from . import pending, placing, sessions
from .assets.choice import Choice
from .background.converter import Assembled, Converter, NoProcess
from .layout import Facing
from .models import Arrangement, AssembleRequest, PreviewSide, Role, RowPlan
from .pipeline import Outcome


def preferred_arrangement() -> Arrangement:
    """How the user's preferences want new rows."""
    chosen = sessions.preferences()
    if chosen is None:
        return Arrangement()
    return Arrangement(PreviewSide(chosen.preview_place), chosen.spacing, chosen.labels)


class WhenReady(enum.StrEnum):
    """What becomes of a row that is ready while the artist is at work."""

    OBJECT_MODE = "OBJECT_MODE"
    """It is placed as soon as no window shows an object that is being edited."""
    AT_ONCE = "AT_ONCE"
    """As soon as the artist is in the middle of nothing, in any mode."""
    ASK = "ASK"
    """It waits for `place_now`."""


@dataclass
class SceneTarget:
    """A scene of the open file, by its `session_uid`: the artist may rename it meanwhile.

    With `when_ready`, it has regard for what the artist is doing, and makes one undo step of it.
    In another mode than Object Mode there is none: such a mode has undo steps of its own, which
    know nothing of objects that appear.
    """

    scene_uid: int
    facing: Facing
    when_ready: WhenReady | None = None
    stage: str = "Placing"
    waits: bool = False
    asked: bool = False
    arrangement: Arrangement = field(default_factory=preferred_arrangement)
    needs_converter = False

    def place_now(self) -> None:
        """Wait for the artist no longer."""
        self.asked = True

    def put(self, plan: RowPlan, outcome: Outcome) -> Iterator[bool | None]:
        """Bring everything in, a piece per step, then place all of it in one."""
        # Not before all is ready: whatever comes into the file has Blender draw the 3D views, and
        # build its dependency graph, again.
        while True:
            while obstacle := self._obstacle():
                self.stage = obstacle
                self.waits = True
                yield None
            self.stage = "Placing"
            self.waits = False
            yield from self._bring(plan)
            yield None  # so that placing has a step of its own
            if not self._obstacle():
                break
        self.asked = False
        outcome.warnings += placing.place(self._scene(), plan, self.facing, self.arrangement)
        if self.when_ready is not None and _in_object_mode():
            yield None  # Blender takes its time for large meshes
            _push_undo_step()

    def _bring(self, plan: RowPlan) -> Iterator[bool]:
        """Bring in what is not there yet."""
        # The scene is looked up each time: between two steps the artist can do anything.
        for planned in plan.meshes:
            placing.bring_mesh(self._scene(), plan.session_id, planned)
            yield True
            if planned.preview is not None:
                # `place` tries again, and tells if it fails again.
                with contextlib.suppress(OSError):
                    placing.bring_preview(
                        self._scene(), plan.session_id, planned.index, planned.preview
                    )
                yield True

    def _obstacle(self) -> str:
        """What it waits for, in a few words; nothing if all can be placed now."""
        if self.when_ready is None or self.asked:
            return ""
        if self.when_ready is WhenReady.ASK:
            return "Ready to be placed"
        if self.when_ready is WhenReady.OBJECT_MODE and not _in_object_mode():
            return "Ready: waiting for Object Mode"
        return "Ready: waiting for a tool to end" if _is_tool_running() else ""

    def discard(self, session_id: str) -> None:
        """Remove what was brought in and not placed."""
        pending.discard(session_id)

    def _scene(self) -> bpy.types.Scene:
        for scene in bpy.data.scenes:
            if scene.session_uid == self.scene_uid:
                return scene
        raise CsmError("The scene that it was imported to is gone: import the session again")


@dataclass
class FileTarget:
    """A .blend, written by the background Blender. The open file is not touched.

    `thumbnails` is where a strip of the variations' preview images goes, made small. A step waits
    for at most `patience_s`.
    """

    path: Path
    converter: Converter
    thumbnails: Path | None = None
    patience_s: float = 0.02
    stage: str = "Writing"
    arrangement: Arrangement = field(default_factory=preferred_arrangement)
    choice: Choice = field(default_factory=Choice)
    waits = False
    needs_converter = True

    def place_now(self) -> None:
        """It never waits for anybody."""

    def put(self, plan: RowPlan, outcome: Outcome) -> Iterator[bool | None]:
        """Ask for the file and wait for it."""
        variations = [each for each in plan.meshes if each.role is Role.VARIATION]
        request = AssembleRequest(
            plan,
            str(self.path),
            self.arrangement,
            thumbnails=str(self.thumbnails or ""),
            assets=self.choice.assets({each.index: each.mesh.metrics for each in variations}),
            assets_are_best=self.choice.rule is not None,
        )
        self.converter.submit(request)
        while (answer := self.converter.poll(self.patience_s)) is None:
            yield None
        if isinstance(answer, NoProcess):
            # Done here, it would replace the file that is open.
            raise CsmError(
                Text("{} could not be written: no background Blender starts", self.path.name)
            )
        assert isinstance(answer, Assembled)
        if answer.reason:
            raise CsmError(Text("{} could not be written: {}", self.path.name, answer.reason))
        outcome.warnings += answer.warnings

    def discard(self, session_id: str) -> None:
        """Nothing is left: the file appears whole or not at all."""


def _in_object_mode() -> bool:
    """Whether no window shows an object that is being edited."""
    actives = [window.view_layer.objects.active for window in bpy.context.window_manager.windows]
    return all(active is None or active.mode == "OBJECT" for active in actives)


def _is_tool_running() -> bool:
    """Whether the artist is in the middle of moving something, or of a stroke: an undo step made
    now would hold what is half done.
    """
    tools = [
        tool for window in bpy.context.window_manager.windows for tool in window.modal_operators
    ]
    parts = [part for tool in tools for part in (tool, *tool.macros)]
    return any({"UNDO", "BLOCKING"} <= part.bl_options for part in parts)


def _push_undo_step() -> None:
    """One undo step for all that changed since the last.

    By an operator, so that Blender's "Adjust Last Operation" is about this: what it shows of the
    artist's last one would undo the import to do that again.

    Without a context override: with one, Blender reads a Python dictionary while it doesn't hold
    Python's lock, and crashes when another thread does (seen in 4.2 and 4.5).
    """
    operators: Any = bpy.ops
    operators.csm_retopo.end_import("EXEC_DEFAULT", True)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == "HUD":
                    region.tag_redraw()
