# SPDX-License-Identifier: GPL-3.0-or-later
"""The background Blender's part in a report: it draws, and writes the page and the contact sheet.

The open file is replaced.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ...api.errors import CsmError
from ...api.files import replacing
from . import contact_sheet, gathering, page as report_page, rendering
from .models import (
    GatherRequest,
    PublishRequest,
    RenderRequest,
    Report,
    ReportRequest,
    SurveyRequest,
    to_json,
)

_MANIFEST = Path(__file__).parents[2] / "blender_manifest.toml"


def serve(request: ReportRequest) -> dict[str, Any]:
    """Do what is asked for; returns the answer as what `json.dumps` takes. Raises CsmError."""
    match request:
        case GatherRequest():
            return to_json(_gather(request))
        case SurveyRequest(blends):
            return to_json(rendering.survey(blends))
        case RenderRequest():
            return to_json(rendering.draw(request))
        case PublishRequest():
            _publish(request)
            return {}


def _gather(request: GatherRequest) -> Report:
    try:
        bpy.ops.wm.open_mainfile(filepath=request.blend, load_ui=False, use_scripts=False)
    except RuntimeError:
        raise CsmError(f"{Path(request.blend).name} can't be read") from None
    steps = gathering.gather(bpy.context.scene.name, Path(request.folder))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            report: Report = end.value
            return report


def _publish(request: PublishRequest) -> None:
    # Both appear at the end: who cancels until then finds neither of them changed.
    with contextlib.ExitStack() as files:
        if request.page:
            page = report_page.page(request.report, _made_with())
            path = files.enter_context(_replacing(Path(request.page)))
            # What a name holds that can't be written in any encoding becomes a question mark.
            path.write_bytes(page.encode("utf-8", errors="replace"))
        if request.sheet:
            path = files.enter_context(_replacing(Path(request.sheet)))
            contact_sheet.write_sheet(request.report, path, Path(request.folder))


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """As `replacing`, with a reason that people can read."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise CsmError(f"{path.name} can't be written: {reason}") from None


def _made_with() -> str:
    manifest = tomllib.loads(_MANIFEST.read_text(encoding="utf-8"))
    return f"CSM Retopo {manifest['version']} in Blender {bpy.app.version_string}"
