# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a row goes: a scene of this Blender, or a .blend of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..api.errors import CsmError
from . import pending, placing
from .background.converter import Assembled, Converter, NoProcess
from .layout import Facing
from .models import AssembleRequest, PlannedMesh, Preview, RowPlan
from .pipeline import Outcome

UNDO_MESSAGE = "Import Retopology Session"


@dataclass
class SceneTarget:
    """The scene of this name.

    With `interactive`, it waits until the artist is in Object Mode (what is placed in another mode
    would not be part of Blender's undo), and makes one undo step of it.
    """

    scene_name: str
    facing: Facing
    interactive: bool = False
    stage: str = "Placing"
    waits: bool = False
    needs_converter = False

    def take_mesh(self, session_id: str, planned: PlannedMesh) -> None:
        """Bring the mesh into the file already."""
        placing.bring_mesh(self._scene(), session_id, planned)

    def take_preview(self, session_id: str, index: int, preview: Preview) -> None:
        """Bring the preview image into the file already."""
        # `place` tries again, and tells if it fails again.
        with contextlib.suppress(OSError):
            placing.bring_preview(self._scene(), session_id, index, preview)

    def put(self, plan: RowPlan, outcome: Outcome) -> Iterator[bool | None]:
        """Bring in what an undo took away since, a piece per step, then place all in one."""
        # The scene is looked up each time: between two steps the artist can do anything.
        for planned in plan.meshes:
            self.take_mesh(plan.session_id, planned)
            yield True
            if planned.preview is not None:
                self.take_preview(plan.session_id, planned.index, planned.preview)
                yield True
        yield None  # so that placing has a step of its own
        while self.interactive and not _in_object_mode():
            self.stage = "Ready: waiting for Object Mode"
            self.waits = True
            yield None
        self.stage = "Placing"
        self.waits = False
        outcome.warnings += placing.place(self._scene(), plan, self.facing)
        if self.interactive:
            yield None  # Blender takes its time for large meshes
            _push_undo_step()

    def discard(self, session_id: str) -> None:
        """Remove what was brought in and not placed."""
        pending.discard(session_id)

    def _scene(self) -> bpy.types.Scene:
        scene = bpy.data.scenes.get(self.scene_name)
        if scene is None:
            raise CsmError(f"The scene {self.scene_name} is gone: import the session again")
        return scene


@dataclass
class FileTarget:
    """A .blend, written by the background Blender. The open file is not touched."""

    path: Path
    converter: Converter
    stage: str = "Writing"
    waits = False
    needs_converter = True

    def take_mesh(self, session_id: str, planned: PlannedMesh) -> None:
        """Nothing is done ahead: the background Blender writes all at once."""

    def take_preview(self, session_id: str, index: int, preview: Preview) -> None:
        """Nothing is done ahead."""

    def put(self, plan: RowPlan, outcome: Outcome) -> Iterator[bool | None]:
        """Ask for the file and wait for it."""
        request = AssembleRequest(plan, str(self.path))
        self.converter.submit(request)
        while (answer := self.converter.poll(0.02)) is None:
            yield None
        if isinstance(answer, NoProcess):
            # Done here, it would replace the file that is open.
            raise CsmError(f"{self.path.name} could not be written: no background Blender starts")
        assert isinstance(answer, Assembled)
        if answer.reason:
            raise CsmError(f"{self.path.name} could not be written: {answer.reason}")
        outcome.warnings += answer.warnings

    def discard(self, session_id: str) -> None:
        """Nothing is left: the file appears whole or not at all."""


def _in_object_mode() -> bool:
    """Whether no window shows an object that is being edited."""
    actives = [window.view_layer.objects.active for window in bpy.context.window_manager.windows]
    return all(active is None or active.mode == "OBJECT" for active in actives)


def _push_undo_step() -> None:
    """One undo step for all that changed since the last.

    Without a context override: with one, Blender reads a Python dictionary while it doesn't hold
    Python's lock, and crashes when another thread does (seen in 4.2 and 4.5).
    """
    bpy.ops.ed.undo_push(message=UNDO_MESSAGE)
