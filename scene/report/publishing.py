# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a report: from a scene, or a session's .blend, to a page and a contact sheet.

As with an import, `step` moves it on a little and never waits for long; a timer calls it for the
artist, a plain loop (`run`) for scripts and batches. What takes time is done by the background
Blender.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...api.errors import Cancelled, CsmError
from ...api.files import TEMPORARY_SUFFIX
from ...api.texts import Text
from ..background.converter import Converter, Done, NoProcess
from ..stepping import Stepwise
from . import models as report_models
from .gathering import gather
from .models import (
    Engine,
    GatherRequest,
    PublishRequest,
    RenderRequest,
    Report,
    ReportMesh,
    ReportRequest,
    ReportSession,
    SurveyRequest,
    View,
)

WAIT_S = 0.02

_Steps = Generator[bool, None, Any]
"""Work a piece at a time; each says whether something was done, False if it only waits."""


@dataclass(frozen=True)
class Files:
    """Where a report goes; None for what isn't wanted."""

    page: Path | None = None
    sheet: Path | None = None

    @property
    def wanted(self) -> list[Path]:
        """Those that are."""
        return [each for each in (self.page, self.sheet) if each is not None]


class Publication(Stepwise):
    """One report on its way. Main thread only.

    `source` is the name of a scene of this Blender, or the path of a session's .blend; `complete`
    adds to what was gathered there what the meshes don't tell; `at_end` is called when the files
    are there. `keep_converter` leaves the converter running at the end.
    """

    def __init__(
        self,
        source: str | Path,
        files: Files,
        converter: Converter,
        *,
        keep_converter: bool = False,
        complete: Callable[[Report], Report] | None = None,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self.error: CsmError | None = None
        self.warnings: list[str] = []
        self.stage: str = "Gathering the meshes"
        self.fraction = 0.0
        self.pause_s = 0.01
        self._source = source
        self._files = files
        self._converter = converter
        self._keep_converter = keep_converter
        self._complete = complete
        self._at_end = at_end
        self._folder: Path | None = None
        self._working: _Steps | None = None

    def start(self) -> None:
        """Begin. Raises CsmError."""
        for file in self._files.wanted:
            if not os.path.isdir(file.parent):  # Path.is_dir raises where it may not look
                raise CsmError(Text("There is no folder {}", file.parent))
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="csm-retopo-report-"))
        except OSError as error:
            raise CsmError(Text("No temporary folder can be made: {}", error.strerror)) from None
        self._converter.warm_up()
        self._working = self._work(self._folder)

    def cancel(self) -> None:
        """End it: no file is written, or none of them is changed."""
        if not self.is_over:
            self._end(Cancelled())

    def close(self, timeout_s: float) -> None:
        """Cancel, and wait for the process to end, unless the converter is kept."""
        self.cancel()
        if not self._keep_converter:
            self._converter.join(timeout_s)
            self._remove_temporary()

    def run(self) -> None:
        """Move on until it is over. Ctrl+C cancels it and goes on to the caller."""
        try:
            while not self.is_over:
                self.step(WAIT_S)
        except KeyboardInterrupt:
            self._keep_converter = False
            self.close(1.0)
            raise

    def conclusion(self, key: str) -> tuple[str, bool]:
        """What to tell the artist at the end, and whether something went wrong."""
        if isinstance(self.error, Cancelled):
            return Text("Cancelled: {}", key), False
        if self.error is not None:
            return Text("There is no report: {}", self.error.text), True
        names = Text.joined(" and ", [each.name for each in self._files.wanted])
        return Text.joined("; ", [Text("Wrote {}", names), *self.warnings]), bool(self.warnings)

    def _step_once(self, wait_s: float) -> bool:
        assert self._working is not None
        try:
            worked = next(self._working)
        except StopIteration:
            self._end(None)
            return True
        if not worked and wait_s:
            time.sleep(wait_s)
        return worked

    def _work(self, folder: Path) -> _Steps:
        report: Report = yield from self._gather(folder)
        if self._complete is not None:
            report = self._complete(report)
        report = yield from self._draw(report, folder)
        self.stage, self.fraction = "Writing", 0.95
        page, sheet = (str(each or "") for each in (self._files.page, self._files.sheet))
        (done,) = yield from self._ask([PublishRequest(report, page, sheet, str(folder))])
        if done.reason:
            raise CsmError(done.reason)
        if self._at_end is not None:
            self._at_end()

    def _gather(self, folder: Path) -> _Steps:
        if isinstance(self._source, Path):
            (done,) = yield from self._ask([GatherRequest(str(self._source), str(folder))])
            if done.result is None:
                raise CsmError(done.reason)
            return report_models.report(done.result)
        steps = gather(self._source, folder)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            yield True

    def _draw(self, report: Report, folder: Path) -> _Steps:
        """The report with its pictures."""
        views = yield from self._survey(report)
        limit = report.deviation_limit if self._files.page else None
        places: list[tuple[int, int]] = []
        requests: list[RenderRequest] = []
        for number, session in enumerate(report.sessions):
            for place, mesh in enumerate(session.meshes):
                if mesh.blend:
                    name = f"picture_{number}_{place}"
                    view = views[session.input_key]
                    preview = mesh.preview if self._files.page else ""
                    places.append((number, place))
                    requests.append(
                        RenderRequest(mesh.blend, preview, view, limit, str(folder), name)
                    )
        answers = yield from self._ask(requests, tell=self._show_drawn)
        crashed = [number for number, each in enumerate(answers) if each.crashed]
        if crashed:
            # A graphics driver can take Blender down with it; Cycles needs none.
            again = [dataclasses.replace(requests[each], engine=Engine.CYCLES) for each in crashed]
            for number, answer in zip(crashed, (yield from self._ask(again)), strict=True):
                answers[number] = answer
        drawn = dict(zip(places, answers, strict=True))
        sessions = []
        for number, session in enumerate(report.sessions):
            found = [drawn.get((number, place)) for place in range(len(session.meshes))]
            sessions.append(self._with_pictures(session, found))
        return dataclasses.replace(report, sessions=tuple(sessions))

    def _survey(self, report: Report) -> _Steps:
        """The view of every group of sessions of the same mesh, by what they share."""
        blends: dict[str, list[str]] = {}
        for session in report.sessions:
            found = blends.setdefault(session.input_key, [])
            found += [mesh.blend for mesh in session.meshes if mesh.blend]
        answers = yield from self._ask([SurveyRequest(tuple(each)) for each in blends.values()])
        views: dict[str, View] = {}
        for key, answer in zip(blends, answers, strict=True):
            if answer.result is None:
                raise CsmError(answer.reason)
            views[key] = report_models.view(answer.result)
        return views

    def _with_pictures(
        self, session: ReportSession, answers: Sequence[Done | None]
    ) -> ReportSession:
        meshes: list[ReportMesh] = []
        width = height = 1
        for mesh, answer in zip(session.meshes, answers, strict=True):
            if answer is None:
                meshes.append(mesh)
            elif answer.result is None:
                meshes.append(dataclasses.replace(mesh, notes=(f"no picture: {answer.reason}",)))
                self.warnings.append(Text("{} has no picture: {}", mesh.name, answer.reason))
            else:
                made = report_models.pictures(answer.result)
                width, height = made.width, made.height
                meshes.append(
                    dataclasses.replace(mesh, pictures=made.files, notes=mesh.notes + made.notes)
                )
        return dataclasses.replace(session, meshes=tuple(meshes), width=width, height=height)

    def _show_drawn(self, done: int, total: int) -> None:
        self.stage = Text("Drawing {} of {} meshes", done, total)
        self.fraction = 0.1 + 0.8 * done / max(total, 1)

    def _ask(
        self,
        requests: Sequence[ReportRequest],
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> _Steps:
        """Have the background Blender answer; returns the answers in the requests' order."""
        for request in requests:
            self._converter.submit(request)
        answers: dict[int, Done] = {}
        tell(0, len(requests))
        while len(answers) < len(requests):
            answer = self._converter.poll()
            if answer is None:
                yield False
                continue
            # Others are of an import that was given up before this.
            for number, request in enumerate(requests):
                if answer.request is request:
                    if isinstance(answer, NoProcess):
                        raise CsmError("no background Blender starts")
                    assert isinstance(answer, Done)
                    answers[number] = answer
                    tell(len(answers), len(requests))
        return [answers[number] for number in range(len(requests))]

    def _end(self, error: CsmError | None) -> None:
        self.is_over = True
        self.error = error
        self._working = None
        if not self._keep_converter:
            self._converter.close()
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        """Remove what was written on the way, also by a process that was killed meanwhile."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        for file in self._files.wanted:
            with contextlib.suppress(OSError):
                file.with_name(f"{file.name}{TEMPORARY_SUFFIX}").unlink(missing_ok=True)
