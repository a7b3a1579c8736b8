# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `blender --background --online-mode --command csm_retopo import ...`.

Where Blender is a Python module and there is no executable, call `main` with the same arguments.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import bpy

from .api.cache import Cache
from .api.errors import CsmError
from .api.jobs import FolderJob, Job, read_folder_session
from .api.session import find_session_id, without_urls
from .scene import sessions
from .scene.assets.catalogs import CATALOGS_NAME, Catalogs
from .scene.assets.choice import Choice
from .scene.background.converter import Converter
from .scene.measure.rules import EXAMPLE, InvalidRule, Rule, parse_rule
from .scene.pipeline import Import, Outcome
from .scene.report import outcome as report
from .scene.report.models import Report
from .scene.report.publishing import Files, Publication
from .scene.targets import FileTarget

COMMAND = "csm_retopo"

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_handle: Any = None


@dataclass(frozen=True)
class _Source:
    """A session to import: an ID to ask the service for, or a folder."""

    session_id: str
    folder: Path | None = None


def main(argv: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code. Main thread.

    0: everything was imported. 1: something was not, the rest is done. 2: wrong usage.
    The open file and its scenes are not touched.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(list(argv))
        texts = _texts(arguments)
    except SystemExit as exit_:
        return EXIT_DONE if exit_.code in (0, None) else EXIT_USAGE
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        _tell(f"{_shown(str(arguments.from_file))} can't be read: {reason}")
        return EXIT_USAGE
    if not texts:
        parser.print_usage(sys.stderr)
        _tell("name a session, or use --sample")
        return EXIT_USAGE
    try:
        return _import_all(_part_of(texts, *arguments.part), arguments)
    except CsmError as error:
        _tell(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        _tell("interrupted: what is done stays")
        return EXIT_INTERRUPTED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, but don't repeat a URL."""
        super().error(without_urls(message, "(a URL)"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=COMMAND, description="CSM Retopo")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "import",
        help="import retopology sessions, each into a .blend and a report of its own",
        description="Import retopology sessions. Writes DIR/<session id>/session.blend and "
        f"{report.REPORT_NAME}. The API key comes from CSM_API_KEY, else from the preferences.",
        epilog="Exit code: 0 everything was imported; 1 something was not, the rest is done; "
        "2 wrong usage.",
    )
    command.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="a session ID, a URL with one, or a folder"
    )
    command.add_argument("--output", required=True, metavar="DIR", type=Path)
    command.add_argument(
        "--from-file", metavar="FILE", type=Path, help="more sources, one a line; # comments"
    )
    command.add_argument(
        "--part",
        metavar="K/N",
        type=_part,
        default=(1, 1),
        help="only the Kth of N parts of what is named: one of N machines that share a list",
    )
    command.add_argument("--sample", action="store_true", help="import the bundled sample session")
    command.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="how long to wait for a session that is still running (default 0)",
    )
    command.add_argument("--no-source", action="store_true", help="leave the input mesh out")
    command.add_argument(
        "--report",
        action="store_true",
        help=f"write {report.PAGE_NAME}, too: a page with pictures, for any browser",
    )
    command.add_argument(
        "--contact-sheet",
        action="store_true",
        help=f"write {report.SHEET_NAME}, too: a picture of all variations",
    )
    command.add_argument(
        "--asset-library",
        action="store_true",
        help="make DIR an asset library: every variation an asset, or only the best by --best",
    )
    command.add_argument(
        "--best",
        metavar="RULE",
        type=_rule,
        help=f"tell which variation of a session is the best by a rule, such as '{EXAMPLE}'",
    )
    command.add_argument(
        "--some-may-fail",
        action="store_true",
        help="exit code 1 only if nothing was imported whole: for schedulers that give up",
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="fetch and import again what is in the cache or in DIR already",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("must be 0 or more seconds")
    return seconds


def _part(text: str) -> tuple[int, int]:
    number, slash, parts = text.partition("/")
    if slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts):
        return int(number), int(parts)
    raise argparse.ArgumentTypeError("must be like 3/20, the third of twenty parts")


def _rule(text: str) -> Rule:
    try:
        return parse_rule(text)
    except InvalidRule as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _texts(arguments: argparse.Namespace) -> list[str]:
    """All that names a session, once each, in the order given.

    Raises OSError and UnicodeDecodeError when the file of sources can't be read.
    """
    texts = list(arguments.sources)
    if arguments.from_file is not None:
        lines = arguments.from_file.read_text(encoding="utf-8-sig").splitlines()
        texts += [line.partition(" #")[0].strip() for line in lines if not _is_comment(line)]
    if arguments.sample:
        texts.append(str(sessions.SAMPLE_FOLDER))
    return list(dict.fromkeys(texts))


def _part_of(texts: list[str], number: int, parts: int) -> list[str]:
    """One of so many parts, counted from 1, that are as equal as can be."""
    return texts[len(texts) * (number - 1) // parts : len(texts) * number // parts]


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _import_all(texts: list[str], arguments: argparse.Namespace) -> int:
    cache = sessions.open_cache()
    converter = Converter(cache, sessions.cache_limit_bytes())
    catalogs = Catalogs(arguments.output.absolute())
    total = failed = unreported = 0
    done: set[str] = set()
    try:
        for text in texts:
            try:
                source = _find_source(text)
                if source.session_id in done:
                    continue
                done.add(source.session_id)
                complete = _import_one(source, cache, converter, catalogs, arguments)
                reported = _report_one(source.session_id, converter, arguments)
            except CsmError as error:
                _tell(f"{_shown(text)}: {error}")
                complete = reported = False
            except OSError as error:
                output = _shown(str(arguments.output))
                _tell(f"{_shown(text)}: {output} can't be written ({error.strerror})")
                complete = reported = False
            total += 1
            failed += not complete
            unreported += not reported
    finally:
        converter.close()
        converter.join(5.0)
        filed = _file_assets(catalogs)
    _tell(f"{total - failed} of {total} sessions imported whole")
    if arguments.some_may_fail and failed < total:
        return EXIT_DONE
    return EXIT_FAILED if failed or unreported or not filed else EXIT_DONE


def _find_source(text: str) -> _Source:
    """What `text` names. Raises CsmError."""
    if "://" not in text and os.path.isdir(text):
        folder = Path(text)
        return _Source(read_folder_session(folder).session_id, folder)
    return _Source(find_session_id(text))


def _file_assets(catalogs: Catalogs) -> bool:
    """Write what is left to be written of the catalogs. Returns whether they could be written."""
    try:
        catalogs.flush()
    except CsmError as error:
        _tell(str(error))
    except OSError as error:
        _tell(f"{CATALOGS_NAME} can't be written ({error.strerror})")
    else:
        return True
    return False


def _import_one(
    source: _Source,
    cache: Cache,
    converter: Converter,
    catalogs: Catalogs,
    arguments: argparse.Namespace,
) -> bool:
    """Import one session into its folder. Returns whether all of it was imported.

    Raises CsmError and OSError when there is nothing that could be reported in the folder.
    """
    session_id = source.session_id
    folder = arguments.output.absolute() / session_id
    choice = Choice(arguments.best, arguments.asset_library)
    if not arguments.force and _is_done(folder, choice, with_source=not arguments.no_source):
        _tell(f"{session_id}: imported already")
        _choose_again(folder / report.REPORT_NAME, choice, catalogs)
        return True
    folder.mkdir(parents=True, exist_ok=True)

    job: Job
    try:
        if source.folder is not None:
            job = FolderJob(source.folder, cache, with_source=not arguments.no_source)
        else:
            job = sessions.session_job(
                session_id,
                cache,
                with_source=not arguments.no_source,
                wait_s=arguments.wait,
                refetch=arguments.force,
            )
    except CsmError as error:
        outcome = Outcome(error=error)
    else:
        running = Import(
            job,
            FileTarget(folder / "session.blend", converter, choice=choice),
            converter,
            keep_converter=True,
            tell=lambda line: _tell(f"{session_id}: {line}"),
        )
        running.start()
        outcome = running.run()
        job.join(2.0)
    fields = report.report(session_id, outcome, choice)
    report.write_report(folder / report.REPORT_NAME, fields)
    for warning in outcome.warnings:
        _tell(f"{session_id}: {warning}")
    _tell(f"{session_id}: {outcome.summary()}")
    if outcome.error is None:
        _note_choice(fields, choice, catalogs)
    return outcome.is_complete


def _choose_again(path: Path, choice: Choice, catalogs: Catalogs) -> None:
    """Bring the report of a session that is done up to date with what is chosen now."""
    before = report.read_report(path)
    fields = report.with_best(before, choice)
    if fields != before:
        report.write_report(path, fields)
    _note_choice(fields, choice, catalogs)


def _note_choice(fields: dict[str, Any], choice: Choice, catalogs: Catalogs) -> None:
    if choice.rule is not None:
        best = fields["best"]["name"]
        found = f"the best is {best}" if best else "no variation fulfils the rule"
        _tell(f"{fields['session_id']}: {found}")
    if choice.as_assets and fields["assets"]:
        catalogs.add(fields["session_id"])


def _report_one(session_id: str, converter: Converter, arguments: argparse.Namespace) -> bool:
    """Write what was asked for of page and contact sheet, unless it is there and up to date.

    Returns False when it could not be made. Raises CsmError and OSError.
    """
    folder = arguments.output.absolute() / session_id
    outcome = folder / report.REPORT_NAME
    made_at = 0 if arguments.force or not outcome.is_file() else outcome.stat().st_mtime_ns

    def missing(wanted: bool, name: str) -> Path | None:
        path = folder / name
        is_there = path.is_file() and 0 < made_at <= path.stat().st_mtime_ns
        return path if wanted and not is_there else None

    files = Files(
        missing(arguments.report, report.PAGE_NAME),
        missing(arguments.contact_sheet, report.SHEET_NAME),
    )
    if not files.wanted:
        return True
    damaged = CsmError(f"{outcome.name} is damaged: import the session again")
    try:
        fields = report.read_report(outcome)
    except ValueError:
        raise damaged from None
    if fields.get("error") is not None:
        return True  # nothing was imported, which is told already

    def complete(gathered: Report) -> Report:
        try:
            return report.with_outcome(gathered, fields)
        except (KeyError, TypeError):
            raise damaged from None

    running = Publication(
        folder / "session.blend",
        files,
        converter,
        keep_converter=True,
        complete=complete,
    )
    running.start()
    running.run()
    text, _ = running.conclusion("Report")
    _tell(f"{session_id}: {text}")
    return running.error is None


def _is_done(folder: Path, choice: Choice, *, with_source: bool) -> bool:
    """Whether an earlier run imported the whole session into the folder, with the same assets if
    there are to be any.
    """
    if not (folder / "session.blend").is_file():
        return False
    try:
        fields = json.loads((folder / report.REPORT_NAME).read_text(encoding="utf-8"))
        source = fields["source"]
        if source is None or source["status"] == "imported":
            source_is_done = True
        else:  # left out on purpose, or for a reason that will not go away
            skipped = source["status"] == "skipped"
            source_is_done = skipped and (source["error"] is not None or not with_source)
        return (
            fields["error"] is None
            and source_is_done
            and all(each["status"] == "imported" for each in fields["variations"])
            and report.has_assets(fields, choice)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _shown(text: str) -> str:
    """What was given, unless it looks like a URL, which can be a credential."""
    # Of a path, Python makes `https:/host`; others paste a URL without its beginning.
    return "the URL given" if re.search(r":/|[?&@]|%40", text) else text


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def register() -> None:
    """Make the command known to Blender."""
    global _handle
    _handle = bpy.utils.register_cli_command(COMMAND, main)


def unregister() -> None:
    """Take it away again."""
    bpy.utils.unregister_cli_command(_handle)
