# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one session, from a job that brings its files to a row in a scene or in a .blend.

`Import.step` moves it on a little and never waits for long. A timer calls it in a Blender with a
window; a plain loop (`run`) calls it for scripts and batches.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ..api.errors import Cancelled, CsmError, NothingImported, usual_duration
from ..api.jobs import (
    Failed,
    FileFailed,
    FileKind,
    FileReady,
    Finished,
    Job,
    Message,
    Notice,
    PartBrought,
    Progress,
    SessionRead,
    Stopped,
    Waiting,
)
from ..api.session import NOT_NAMED, Session, Variation
from ..api.texts import Text
from . import failures
from .background.converter import Answer, Converted, Converter, NoProcess, run_here
from .measure.metrics import DEVIATION_KEYS
from .models import (
    CompareRequest,
    ConvertedMesh,
    ConvertRequest,
    Metrics,
    PlannedMesh,
    Preview,
    Role,
    RowPlan,
    blend_path,
)
from .stepping import Stepwise


class Status(enum.StrEnum):
    """What became of a mesh."""

    PENDING = "pending"
    IMPORTED = "imported"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass
class MeshOutcome:
    """What became of a variation, or of the source (index -1)."""

    role: Role
    index: int
    asset_id: str
    name: str
    status: Status = Status.PENDING
    error: str | None = None
    mesh: ConvertedMesh | None = None
    preview: Preview | None = None

    @property
    def metrics(self) -> Metrics | None:
        """The metrics of a mesh that could be converted."""
        return self.mesh.metrics if self.mesh else None


@dataclass
class Outcome:
    """What became of a session. `error` is set when nothing could be imported."""

    session: Session | None = None
    source: MeshOutcome | None = None
    variations: list[MeshOutcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: CsmError | None = None

    @property
    def imported(self) -> int:
        """How many variations are there."""
        return sum(each.status is Status.IMPORTED for each in self.variations)

    @property
    def is_complete(self) -> bool:
        """Whether everything that the service has finished was imported."""
        meshes = [*self.variations, *([self.source] if self.source else [])]
        return self.error is None and not any(each.status is Status.FAILED for each in meshes)

    def summary(self) -> str:
        """A sentence for the artist: what is there, and what is not and why."""
        if self.error is not None:
            return self.error.text
        assert self.session is not None
        session_id, total = self.session.session_id, len(self.variations)
        if self.imported != total:
            text = Text("Imported {} of {} variations of {}", self.imported, total, session_id)
        elif total == 1:
            text = Text("Imported 1 variation of {}", session_id)
        else:
            text = Text("Imported {} variations of {}", total, session_id)
        problems = [
            Text("{}: {}", each.name, each.error)
            for each in [*self.variations, *([self.source] if self.source else [])]
            if each.error
        ]
        return Text.joined("; ", [text, *problems])


class Target(Protocol):
    """Where a row goes."""

    @property
    def stage(self) -> str:
        """What it is doing, in a few words."""

    @property
    def waits(self) -> bool:
        """Whether it waits for the artist."""

    @property
    def needs_converter(self) -> bool:
        """Whether `put` has the converter do something."""

    def place_now(self) -> None:
        """Wait for the artist no longer."""

    def put(self, plan: RowPlan, outcome: Outcome) -> Iterator[bool | None]:
        """Put it there, a bounded piece of work per step; None says that it only waits.

        Raises CsmError.
        """

    def discard(self, session_id: str) -> None:
        """Take back what an unfinished `put` left."""


class Import(Stepwise):
    """One session on its way. Main thread only.

    `keep_converter` leaves the converter running at the end, for the next session; `tell` is called
    with a line for each file that is settled.
    """

    def __init__(
        self,
        job: Job,
        target: Target,
        converter: Converter,
        *,
        keep_converter: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.outcome = Outcome()
        self.progress = Progress(0, 0, 0, 0)
        self._job = job
        self._cache = job.cache
        self._target = target
        self._converter = converter
        self._keep_converter = keep_converter
        self._tell = tell or (lambda line: None)
        self._fetching = True
        self._is_part = False
        self._waiting_since: float | None = None
        self._usual = ""
        self._is_warm = False
        self._converting = 0
        self._converted = 0
        self._outcome_of: dict[str, MeshOutcome] = {}
        self._awaiting_source: list[MeshOutcome] = []
        self._putting: Iterator[bool | None] | None = None

    def start(self) -> None:
        """Begin."""
        self._job.start()

    def cancel(self) -> None:
        """End it: the scene stays as it was; what is in the cache stays there."""
        if not self.is_over:
            self._end(Cancelled())

    def close(self, timeout_s: float) -> None:
        """Cancel, and wait for threads and process to end, unless the converter is kept."""
        end = time.monotonic() + timeout_s
        self.cancel()
        self._job.join(timeout_s)
        if not self._keep_converter:
            self._converter.join(max(end - time.monotonic(), 0.0))

    def run(self) -> Outcome:
        """Move on until it is over. Ctrl+C cancels it and goes on to the caller."""
        try:
            while not self.is_over:
                self.step(wait_s=0.05)
        except KeyboardInterrupt:
            self.close(1.0)
            raise
        return self.outcome

    def conclusion(self, key: str) -> tuple[str, bool]:
        """What to tell the artist at the end, and whether something went wrong."""
        outcome = self.outcome
        if isinstance(outcome.error, Cancelled):
            if self._waiting_since is not None:
                return Text("Stopped waiting for {}: import it again to go on", key), False
            return Text("Cancelled the import of {}", key), False
        text = outcome.summary()
        if outcome.warnings and outcome.error is None:
            text = Text.joined("; ", [text, *outcome.warnings])
        return text, not outcome.is_complete

    def note_failures(self) -> None:
        """Have the panel show the meshes that may be had another time."""
        outcome = self.outcome
        if outcome.session is None or isinstance(outcome.error, Cancelled):
            return
        meshes = [*outcome.variations, *([outcome.source] if outcome.source else [])]
        failed = [each for each in meshes if each.status is Status.FAILED]
        retriable = failed if self._job.can_fetch_again else []
        failures.note(
            outcome.session.session_id,
            [failures.Failure(each.name, each.error or "") for each in retriable],
        )

    @property
    def pause_s(self) -> float:
        """How long there will hardly be any news."""
        if self.is_idle:
            return 0.2
        return 0.01 if self._fetching else 0.005

    @property
    def fraction(self) -> float:
        """How far it is, from 0 to 1."""
        meshes = len(self._outcome_of)
        if self._putting is not None:
            return 0.95
        if self._waiting_since is not None or not self.progress.files:
            return 0.0
        fetched = min(self.progress.files_done / self.progress.files, 1.0)
        if self.progress.total_bytes:
            received = self.progress.received_bytes / self.progress.total_bytes
            fetched = max(fetched, min(received, 0.99) * 0.9)
        return 0.05 + 0.6 * fetched + 0.3 * (self._converted / meshes if meshes else 0.0)

    @property
    def stage(self) -> str:
        """What it is doing, in a few words."""
        if self._putting is not None:
            return self._target.stage
        if self._waiting_since is not None:
            minutes, seconds = divmod(int(time.monotonic() - self._waiting_since), 60)
            return Text("Running on the service, {}:{:02}", minutes, seconds)
        progress, verb = self.progress, Text(self._job.verb)
        if not progress.files:
            return Text("{} the session", verb)
        if not self._fetching:
            return Text("Measuring {} of {} meshes", self._converted, len(self._outcome_of))
        if not progress.total_bytes:
            return Text("{} {} of {} files", verb, progress.files_done, progress.files)
        return Text(
            "{} {} of {} files ({:.1f} of {:.1f} MB)",
            *(verb, progress.files_done, progress.files),
            *(progress.received_bytes / 1e6, progress.total_bytes / 1e6),
        )

    @property
    def detail(self) -> str:
        """What else there is to know about the stage; often nothing."""
        if self._putting is not None or self._waiting_since is None:
            return ""
        there = Text("ready so far: {}", self.outcome.imported) if self._is_part else ""
        return Text.joined("; ", filter(None, (self._usual, there)))

    @property
    def is_idle(self) -> bool:
        """Whether it waits for the service or for the artist."""
        return self._waiting_since is not None or self.waits_for_artist

    @property
    def waits_for_artist(self) -> bool:
        """Whether all is ready, and `place` has it placed."""
        return self._putting is not None and self._target.waits

    def place(self) -> None:
        """Put it in place now, whatever the artist is doing."""
        self._target.place_now()

    def _step_once(self, wait_s: float) -> bool:
        """Do one piece of work. Returns whether there was one."""
        if self._putting is not None:
            return self._put_on()
        # Not before: to start a process in the middle of the job's imports slows both.
        if self._job.is_under_way and self._job.session_id and self._waiting_since is None:
            self._warm_up(self._job.session_id)
        # What comes after a part waits in the job until the part is in its place.
        message = self._job.poll() if self._fetching else None
        if message is not None:
            self._take_message(message)
            return True
        answer = self._converter.poll()
        if answer is None and not self._fetching and not self._converting:
            self._begin_putting()
            return True
        if answer is None and wait_s:
            # News can come from elsewhere, too: then wait only a little here.
            if self._fetching:
                elsewhere = self._converting or not self._is_warm
                message = self._job.poll(min(wait_s, 0.005) if elsewhere else wait_s)
                if message is not None:
                    self._take_message(message)
                    return True
            else:
                answer = self._converter.poll(wait_s)
        if answer is not None:
            self._take_answer(answer)
            return True
        return False

    def _take_message(self, message: Message) -> None:
        match message:
            case SessionRead(session):
                self._waiting_since = None
                self._note_session(session)
            case Waiting(elapsed_s, model):
                self._wait(elapsed_s, model)
            case Progress():
                self.progress = message
            case FileReady():
                self._take_file(message)
            case FileFailed(kind, index, reason):
                self._note_failure(kind, index, reason)
            case Notice(text):
                self.outcome.warnings.append(text)
            case PartBrought():
                self._fetching = False
                self._is_part = True
            case Finished():
                self._fetching = False
                self._is_part = False
            case Failed(error):
                self._end(error)
            case Stopped():
                self._end(Cancelled())

    def _warm_up(self, session_id: str) -> None:
        """Have the background Blender start now, to be there with the first file, unless the
        session was converted before and it may not be needed at all.
        """
        if not self._is_warm:
            self._is_warm = True
            if not any((self._cache.root / session_id).glob("*.blend")):
                self._converter.warm_up()

    def _wait(self, elapsed_s: float, model: str | None) -> None:
        """Note that the session is still running; it may be for an hour."""
        if self._waiting_since is None:
            self._waiting_since = time.monotonic() - elapsed_s
            self._usual = usual_duration(model)
        if self._is_warm and not self._keep_converter:
            self._is_warm = False
            self._converter.rest()

    def _note_session(self, session: Session) -> None:
        self._warm_up(session.session_id)
        self.outcome.session = session
        self.outcome.variations = [_variation_outcome(each) for each in session.variations]
        self.outcome.source = _source_outcome(session, with_source=self._job.with_source)

    def _take_file(self, file: FileReady) -> None:
        outcome = self._mesh_outcome(file.index)
        if file.kind is FileKind.PREVIEW:
            self._tell(f"{outcome.name}: preview image {file.width} x {file.height}")
            outcome.preview = Preview(str(file.path), file.sha256, file.width, file.height)
            return
        folder = self._cache.root / self._session_id
        name = "source" if file.kind is FileKind.SOURCE else f"variation_{file.index}"
        request = ConvertRequest(str(file.path), file.sha256, str(blend_path(folder / name)))
        self._outcome_of[request.blend] = outcome
        self._converting += 1
        self._converter.submit(request)

    def _note_failure(self, kind: FileKind, index: int, reason: str) -> None:
        outcome = self._mesh_outcome(index)
        self._tell(f"{outcome.name}: no {kind.value}: {reason}")
        if kind is FileKind.PREVIEW:
            text = Text("{} has no preview image: {}", outcome.name, reason)
            self.outcome.warnings.append(text)
        else:
            self._fail(outcome, reason)

    def _fail(self, outcome: MeshOutcome, reason: str) -> None:
        outcome.status = Status.FAILED
        outcome.error = reason
        if outcome.role is Role.SOURCE:
            self._settle_source()

    def _take_answer(self, answer: Answer) -> None:
        request = answer.request
        if not isinstance(request, ConvertRequest | CompareRequest):
            return  # of what was given up before this
        if request.blend not in self._outcome_of:
            return
        if isinstance(answer, NoProcess):
            # A batch has other sessions, which a file that crashes Blender would take with it.
            answer = (
                Converted(request, None, "no background Blender starts")
                if self._target.needs_converter
                else run_here(self._cache, request)
            )
        assert isinstance(answer, Converted)
        outcome = self._outcome_of[request.blend]
        if isinstance(request, CompareRequest):
            self._take_compared(outcome, request, answer)
            return
        if answer.mesh is None:
            self._count_done()
            self._tell(f"{outcome.name}: {answer.reason}")
            if answer.damaged:
                self._forget_fetched(Path(request.path))
            self._fail(outcome, answer.reason)
            return
        outcome.mesh = answer.mesh
        self._tell(f"{outcome.name}: {answer.mesh.metrics['faces']:,} faces")
        if outcome.role is Role.SOURCE:
            self._finish_mesh(outcome, answer.mesh)
            self._settle_source()
        elif self._source_is_pending:
            self._awaiting_source.append(outcome)
        else:
            self._compare(outcome)

    @property
    def _source_is_pending(self) -> bool:
        source = self.outcome.source
        return source is not None and source.status is Status.PENDING and source.mesh is None

    def _settle_source(self) -> None:
        """Go on with the variations that waited to be compared with the source."""
        waited, self._awaiting_source = self._awaiting_source, []
        for each in waited:
            self._compare(each)

    def _compare(self, outcome: MeshOutcome) -> None:
        """Have a converted variation compared with the source, unless it was or there is none."""
        mesh = outcome.mesh
        assert mesh is not None
        source = self.outcome.source.mesh if self.outcome.source else None
        if source is None:
            # What the cache has may have been compared in an import that had the source.
            bare = {**mesh.metrics, **dict.fromkeys(DEVIATION_KEYS)}
            self._finish_mesh(outcome, replace(mesh, metrics=bare))
        elif mesh.source_sha256 == source.file_sha256:
            self._finish_mesh(outcome, mesh)
        else:
            self._converter.submit(CompareRequest(mesh, source))

    def _take_compared(
        self, outcome: MeshOutcome, request: CompareRequest, answer: Converted
    ) -> None:
        mesh = answer.mesh
        if mesh is None:
            self.outcome.warnings.append(
                Text("{}: its deviation was not measured: {}", outcome.name, answer.reason)
            )
            mesh = request.mesh
        self._finish_mesh(outcome, mesh)

    def _finish_mesh(self, outcome: MeshOutcome, mesh: ConvertedMesh) -> None:
        """Take a mesh that nothing more is to be done with but put it in place."""
        self._count_done()
        outcome.mesh = mesh
        self.outcome.warnings += [Text("{}: {}", outcome.name, each) for each in mesh.warnings]

    def _count_done(self) -> None:
        self._converting -= 1
        self._converted += 1

    def _forget_fetched(self, path: Path) -> None:
        """Take a damaged file out of the cache, so that the next import fetches it again."""
        if path.is_relative_to(self._cache.root):
            self._cache.forget(path)

    def _begin_putting(self) -> None:
        outcome = self.outcome
        assert outcome.session is not None
        ready = [each for each in outcome.variations if each.mesh is not None]
        if not ready and self._is_part:
            self._go_on_fetching()
            return
        if not ready:
            reasons = [Text("{}: {}", each.name, each.error) for each in outcome.variations]
            self._end(
                NothingImported(
                    Text(
                        "No variation of {} could be imported. {}",
                        outcome.session.session_id,
                        Text.joined("; ", reasons),
                    )
                )
            )
            return
        if outcome.source is not None and outcome.source.mesh is not None:
            ready.insert(0, outcome.source)
        self._ready = ready
        if not (self._keep_converter or self._target.needs_converter):
            # Its process ends while the meshes are put in place.
            if self._is_part:
                self._converter.rest()
            else:
                self._converter.close()
        self._putting = self._target.put(_row_plan(outcome.session, ready), outcome)

    def _put_on(self) -> bool:
        assert self._putting is not None
        try:
            return next(self._putting) is not None
        except StopIteration:
            for each in self._ready:
                each.status = Status.IMPORTED
            if self._is_part:
                self._go_on_fetching()
            else:
                self._end(None)
        except CsmError as error:
            self._end(error)
        return True

    def _go_on_fetching(self) -> None:
        """Go on with a session of which a part was brought."""
        self._putting = None
        self._fetching = True
        self._is_warm = False
        self._converting = self._converted = 0
        self._outcome_of = {}
        self.progress = Progress(0, 0, 0, 0)
        self.outcome.warnings = []

    def _end(self, error: CsmError | None) -> None:
        self.is_over = True
        self.outcome.error = error
        self._job.cancel()
        if not self._keep_converter:
            self._converter.close()
        self._putting = None
        if error is not None and self.outcome.session is not None:
            self._target.discard(self.outcome.session.session_id)
        for each in [*self.outcome.variations, self.outcome.source]:
            if each is not None and each.status is Status.PENDING:
                each.status = Status.SKIPPED
                each.error = each.error or (str(error) if error else None)

    @property
    def _session_id(self) -> str:
        assert self.outcome.session is not None
        return self.outcome.session.session_id

    def _mesh_outcome(self, index: int) -> MeshOutcome:
        if index >= 0:
            return self.outcome.variations[index]
        assert self.outcome.source is not None
        return self.outcome.source


def _variation_outcome(variation: Variation) -> MeshOutcome:
    outcome = MeshOutcome(Role.VARIATION, variation.index, variation.asset_id, variation.name)
    if not variation.is_complete:
        outcome.status = Status.SKIPPED
        outcome.error = Text("the service has not finished it ({})", variation.status)
    return outcome


def _source_outcome(session: Session, *, with_source: bool) -> MeshOutcome | None:
    source = session.source
    if source is None:
        return None
    outcome = MeshOutcome(Role.SOURCE, -1, source.asset_id, source.name)
    if not with_source:
        outcome.status = Status.SKIPPED
    elif source.mesh.problem == NOT_NAMED:
        outcome.status = Status.SKIPPED
        outcome.error = NOT_NAMED
    return outcome


def _row_plan(session: Session, ready: list[MeshOutcome]) -> RowPlan:
    return RowPlan(
        session_id=session.session_id,
        created_at=session.created_at or "",
        model=session.model or "",
        quads=session.quads,
        input_asset_id=session.source.asset_id if session.source else "",
        meshes=tuple(_planned(each, each.mesh) for each in ready if each.mesh is not None),
    )


def _planned(outcome: MeshOutcome, mesh: ConvertedMesh) -> PlannedMesh:
    return PlannedMesh(
        outcome.role, outcome.index, outcome.asset_id, outcome.name, mesh, outcome.preview
    )
