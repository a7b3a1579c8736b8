# SPDX-License-Identifier: GPL-3.0-or-later
"""One session's way into its folder: fetched, converted, assembled, reported on, put in place."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.cache import Cache
from ..api.errors import CsmError
from ..api.jobs import FolderJob, Job
from ..api.locking import Lock
from ..scene import sessions
from ..scene.background.converter import Converter
from ..scene.pipeline import Import, Outcome
from ..scene.report import outcome as report
from ..scene.report.models import PAGE_NAME, REPORT_NAME, SHEET_NAME, Report
from ..scene.report.publishing import Files, Publication
from ..scene.targets import FileTarget
from .models import Options, SessionResult, Source, Status
from .output import BLEND_NAME, THUMBNAILS_NAME, Output, is_full

if TYPE_CHECKING:
    from ..api.transport import Transport

Tell = Callable[[str, str], None]
"""Called with a session's ID and a line for each of its files that is settled."""

Steps = Generator[None, None, SessionResult]
"""Work a piece at a time; it never waits."""


class SessionWork:
    """A session that nobody else works on. Main thread only; `release` it at the end.

    Its files are fetched from when it is made on, until its turn comes to be converted.
    """

    def __init__(
        self,
        source: Source,
        lock: Lock,
        output: Output,
        options: Options,
        cache: Cache,
        transport: Transport,
    ) -> None:
        self.source = source
        self._lock = lock
        self._output = output
        self._options = options
        self._folder = output.folder / source.session_id
        self._job: Job | None = None
        self._error: CsmError | None = None
        self._choice = options.choice
        self.is_imported = not options.force and is_done(self._folder, options)
        """Whether an earlier run has imported it."""
        if self.is_imported:
            return
        try:
            self._job = _job(source, options, cache, transport)
            self._job.start()
        except CsmError as error:
            self._error = error

    @property
    def is_all_there(self) -> bool:
        """Whether there is nothing to do."""
        return self.is_imported and _is_up_to_date(self._folder, self._options)

    def release(self) -> None:
        """End what is under way, and let others work on the session."""
        if self._job is not None:
            self._job.cancel()
            self._job.join(2.0)
        self._output.discard(self.source.session_id)
        self._lock.release()

    def already(self) -> SessionResult:
        """The result where all is there."""
        return self._result(Status.ALREADY, ())

    def steps(self, converter: Converter, tell: Tell) -> Steps:
        """Do it, with this converter. Raises CsmError and OSError when there is nothing that could
        be put into the folder.
        """
        staged = self._output.staging(self.source.session_id)
        status = Status.ALREADY
        messages: list[str] = []
        if not self.is_imported:
            outcome = yield from self._import(staged, converter, tell)
            status = _status(outcome)
            if not outcome.is_complete and outcome.imported < _imported_before(self._folder):
                return self._kept(status, outcome)
            fields = report.report(self.source.session_id, outcome, self._choice)
            report.write_report(staged / REPORT_NAME, fields)
            messages = [*outcome.warnings, outcome.summary(), *_told_best(fields)]
        elif (chosen := chosen_anew(self._folder, self._options)) is not None:
            report.write_report(staged / REPORT_NAME, chosen)
            messages = [*_told_best(chosen)]
        pages = missing_pages(self._folder, self._options, staged, all_anew=not self.is_imported)
        if pages.wanted and status is not Status.FAILED:
            blend = (self._folder if self.is_imported else staged) / BLEND_NAME
            written, message = yield from self._draw(blend, pages, converter)
            messages.append(message)
            if not written:
                status = Status.PARTLY
        try:
            self._output.publish(self.source.session_id)
        except OSError as error:
            if is_full(error):
                raise
            raise CsmError(f"{self._folder} can't be written ({error.strerror})") from None
        return self._result(status, tuple(messages))

    def _import(
        self, staged: Path, converter: Converter, tell: Tell
    ) -> Generator[None, None, Outcome]:
        if self._job is None:
            return Outcome(error=self._error)
        session_id = self.source.session_id
        target = FileTarget(
            staged / BLEND_NAME,
            converter,
            thumbnails=staged / THUMBNAILS_NAME,
            patience_s=0.0,
            choice=self._choice,
        )
        running = Import(
            self._job,
            target,
            converter,
            keep_converter=True,
            tell=lambda line: tell(session_id, line),
        )
        while not running.is_over:
            running.step()
            yield
        return running.outcome

    def _draw(
        self, blend: Path, pages: Files, converter: Converter
    ) -> Generator[None, None, tuple[bool, str]]:
        """Write page and contact sheet. Returns whether they are there, and a message."""
        damaged = CsmError(f"{REPORT_NAME} is damaged: import the session again")
        try:
            fields = report.read_report(blend.with_name(REPORT_NAME))
        except ValueError:
            raise damaged from None

        def complete(gathered: Report) -> Report:
            try:
                return report.with_outcome(gathered, fields)
            except (KeyError, TypeError):
                raise damaged from None

        running = Publication(blend, pages, converter, keep_converter=True, complete=complete)
        running.start()
        try:
            while not running.is_over:
                running.step()
                yield
        finally:
            running.cancel()
        return running.error is None, running.conclusion("Report")[0]

    def _kept(self, status: Status, outcome: Outcome) -> SessionResult:
        """The result where an earlier run brought more, which stays as it is."""
        text = f"{outcome.summary()}; what was imported before stays"
        fields = report.read_report(self._folder / REPORT_NAME)
        error, messages = (text, ()) if status is Status.FAILED else ("", (text,))
        return SessionResult(
            self.source.session_id, status, self._folder, "", error, messages, fields
        )

    def _result(self, status: Status, messages: tuple[str, ...]) -> SessionResult:
        try:
            fields: dict[str, Any] = report.read_report(self._folder / REPORT_NAME)
        except (OSError, ValueError):
            fields = {}
        return SessionResult(
            self.source.session_id, status, self._folder, "", fields.get("error"), messages, fields
        )


def _imported_before(folder: Path) -> int:
    """How many variations are in the session's folder."""
    try:
        fields = report.read_report(folder / REPORT_NAME)
        if not (folder / BLEND_NAME).is_file():
            return 0
        return sum(each["status"] == "imported" for each in fields["variations"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _told_best(fields: Mapping[str, Any]) -> Iterator[str]:
    """What to say of the choice by a rule, if there is one."""
    if fields["best"] is not None and fields["error"] is None:
        name = fields["best"]["name"]
        yield f"the best is {name}" if name else "no variation fulfils the rule"


def is_all_there(folder: Path, options: Options) -> bool:
    """Whether nothing is to be done for the session of this folder."""
    return not options.force and is_done(folder, options) and _is_up_to_date(folder, options)


def _is_up_to_date(folder: Path, options: Options) -> bool:
    """Whether the session that is done has the pages and the choice that are asked for. Of one
    that is kept on another machine, the pages are there, too.
    """
    is_here = (folder / BLEND_NAME).is_file()
    has_pages = not (is_here and missing_pages(folder, options).wanted)
    return has_pages and chosen_anew(folder, options) is None


def chosen_anew(folder: Path, options: Options) -> dict[str, Any] | None:
    """The report of a session that is done, with the best by the rule of now; None if that is what
    it tells already. Raises OSError.
    """
    if not options.best:
        return None
    before = report.read_report(folder / REPORT_NAME)
    after = report.with_best(before, options.choice)
    return None if after == before else after


def missing_pages(
    folder: Path, options: Options, staged: Path | None = None, *, all_anew: bool = False
) -> Files:
    """Those of page and contact sheet that were asked for and are not in the session's folder, or
    are out of date, or all, `all_anew`: where they are to be written. Raises OSError.
    """
    made_at = 0 if all_anew else (folder / REPORT_NAME).stat().st_mtime_ns

    def missing(wanted: bool, name: str) -> Path | None:
        path = folder / name
        is_there = made_at and path.is_file() and made_at <= path.stat().st_mtime_ns
        return (staged or folder) / name if wanted and not is_there else None

    return Files(
        missing(options.report, PAGE_NAME),
        missing(options.contact_sheet, SHEET_NAME),
    )


def is_done(folder: Path, options: Options) -> bool:
    """Whether an earlier run imported the whole session into the folder, with the same assets if
    there are to be any.
    """
    try:
        fields = report.read_report(folder / REPORT_NAME)
        if not (fields.get("kept_on") or (folder / BLEND_NAME).is_file()):
            return False
        source = fields["source"]
        if source is None or source["status"] == "imported":
            source_is_done = True
        else:  # left out on purpose, or for a reason that will not go away
            skipped = source["status"] == "skipped"
            source_is_done = skipped and (source["error"] is not None or not options.with_source)
        return (
            fields["error"] is None
            and source_is_done
            and all(each["status"] == "imported" for each in fields["variations"])
            and report.has_assets(fields, options.choice)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _status(outcome: Outcome) -> Status:
    if outcome.error is not None:
        return Status.FAILED
    return Status.IMPORTED if outcome.is_complete else Status.PARTLY


def _job(source: Source, options: Options, cache: Cache, transport: Transport) -> Job:
    """What brings the session's files. Raises CsmError."""
    if source.folder is not None:
        return FolderJob(source.folder, cache, with_source=options.with_source)
    return sessions.session_job(
        source.session_id,
        cache,
        with_source=options.with_source,
        wait_s=options.wait_s,
        refetch=options.force,
        transport=transport,
    )
