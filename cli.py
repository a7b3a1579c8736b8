# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `blender --background --online-mode --command csm_retopo import ...`.

Where Blender is a Python module and there is no executable, call `main` with the same arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import bpy

from .api.errors import CsmError
from .api.session import without_urls
from .batch import serving
from .batch.models import Options, SessionResult, Status
from .batch.progress import Progress
from .batch.running import Batch
from .batch.sources import read_list, shown
from .batch.summary import CSV_NAME, INDEX_NAME, JSON_NAME
from .scene import sessions
from .scene.measure.rules import EXAMPLE, InvalidRule, parse_rule
from .scene.report import outcome as report

COMMAND = "csm_retopo"

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_handle: Any = None


def main(argv: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code. Main thread.

    0: everything was imported. 1: something was not, the rest is done. 2: wrong usage. 130:
    interrupted (Ctrl+C, SIGTERM). The open file and its scenes are not touched.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(list(argv))
        _check(parser, arguments)
        if arguments.command == "serve":
            return _serve()
        texts = _texts(arguments)
    except SystemExit as exit_:
        return EXIT_DONE if exit_.code in (0, None) else EXIT_USAGE
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        _tell(f"{shown(str(arguments.from_file))} can't be read: {reason}")
        return EXIT_USAGE
    if not texts:
        parser.print_usage(sys.stderr)
        if arguments.from_file is not None:
            _tell(f"{shown(str(arguments.from_file))} names no session")
        else:
            _tell("name a session, or use --sample")
        return EXIT_USAGE
    try:
        texts = _part_of(list(dict.fromkeys(texts)), *arguments.part)
        if not texts:
            _tell("there is nothing in this part of the list")
            return EXIT_DONE
        with _interruptible() as check_interrupt:
            return _import_all(texts, arguments, check_interrupt)
    except KeyboardInterrupt:
        _tell("interrupted: what is done stays")
        return EXIT_INTERRUPTED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, but don't repeat a URL."""
        super().error(without_urls(message, "(a URL)"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=COMMAND, description="CSM Retopo")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands.add_parser("serve", help="what a Dask worker starts, to be told what to import")
    command = commands.add_parser(
        "import",
        help="import retopology sessions, each into a .blend and a report of its own",
        description="Import retopology sessions. Writes DIR/<session id>/session.blend and "
        f"{report.REPORT_NAME}, and a summary of all: {CSV_NAME}, {JSON_NAME}, {INDEX_NAME}. What "
        "is in DIR already is not imported again. The API key comes from CSM_API_KEY, else from "
        "the preferences.",
        epilog="Exit code: 0 everything was imported; 1 something was not, the rest is done; "
        "2 wrong usage; 130 interrupted.",
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
    command.add_argument(
        "--jobs",
        metavar="N",
        type=_count,
        help="how many sessions at a time (default: as many as there are processors); a cluster "
        "does as many as its workers have threads",
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
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        default="",
        help="have the workers of this Dask scheduler do it, as tcp://host:8786",
    )
    command.add_argument(
        "--worker-output",
        metavar="DIR",
        default="",
        help="with --scheduler: what DIR is called on the workers, or a folder of their own",
    )
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what would be without effect."""
    if arguments.command != "import":
        return
    if arguments.scheduler and arguments.jobs is not None:
        parser.error(
            "--jobs is for this machine: a cluster does as many as its workers have threads"
        )
    if arguments.worker_output and not arguments.scheduler:
        parser.error("--worker-output is for the workers of a cluster: name its --scheduler, too")


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


def _rule(text: str) -> str:
    try:
        return parse_rule(text).text
    except InvalidRule as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def _texts(arguments: argparse.Namespace) -> list[str]:
    """All that names a session, in the order given.

    Raises OSError and UnicodeDecodeError when the file of sources can't be read.
    """
    texts = list(arguments.sources)
    if arguments.from_file is not None:
        texts += read_list(arguments.from_file)
    if arguments.sample:
        texts.append(str(sessions.SAMPLE_FOLDER))
    return texts


def _part_of(texts: list[str], number: int, parts: int) -> list[str]:
    """One of so many parts, counted from 1, that are as equal as can be."""
    return texts[len(texts) * (number - 1) // parts : len(texts) * number // parts]


def _import_all(
    texts: list[str], arguments: argparse.Namespace, check_interrupt: Callable[[], None]
) -> int:
    def tick() -> None:
        check_interrupt()
        progress.refresh(batch.waits_for)

    batch = Batch(
        texts,
        arguments.output,
        jobs=arguments.jobs,
        options=Options(
            with_source=not arguments.no_source,
            wait_s=arguments.wait,
            report=arguments.report,
            contact_sheet=arguments.contact_sheet,
            force=arguments.force,
            asset_library=arguments.asset_library,
            best=arguments.best or "",
        ),
        scheduler=arguments.scheduler,
        worker_output=arguments.worker_output,
        tell=lambda session_id, line: show_file(f"{session_id}: {line}"),
        tick=tick,
    )
    progress = Progress(batch.total, sys.stderr)
    # Of many sessions, what becomes of every file would bury what matters.
    show_file = progress.say if batch.total == 1 else lambda line: None
    whole = already = 0
    problem = ""
    try:
        with contextlib.closing(batch.results()) as results:
            for result in results:
                is_untouched = result.status is Status.ALREADY and not result.messages
                whole += result.is_whole
                already += is_untouched
                for line in _lines(result):
                    progress.say(line)
                if is_untouched and batch.total == 1:
                    progress.say(f"{result.name}: imported already")
                progress.count(failed=not result.is_whole, skipped=is_untouched)
    except CsmError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{shown(str(arguments.output))} can't be written ({error.strerror})"
    finally:
        progress.end()
    if problem:
        _tell(problem)
    by_earlier = f", {already} of them before this" if already else ""
    _tell(f"{whole} of {batch.total} sessions imported whole{by_earlier}")
    is_enough = whole == batch.total or (arguments.some_may_fail and whole > 0)
    return EXIT_DONE if is_enough and not problem else EXIT_FAILED


def _serve() -> int:
    try:
        with _interruptible(at_once=True):
            serving.serve()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_DONE


def _lines(result: SessionResult) -> Iterator[str]:
    """What to say of a session."""
    for message in result.messages:
        yield f"{result.name}: {message}"
    if result.error is not None and result.error not in result.messages:
        yield f"{result.name}: {result.error}"


@contextlib.contextmanager
def _interruptible(*, at_once: bool = False) -> Iterator[Callable[[], None]]:
    """Have Ctrl+C and SIGTERM raise KeyboardInterrupt, once: when what is yielded is called next,
    so that nothing is left half done, or `at_once`. What is then cleaned up takes seconds, and
    nothing interrupts that. Blender itself would end at once.
    """
    wanted = raised = False

    def check() -> None:
        nonlocal raised
        if wanted and not raised:
            raised = True
            raise KeyboardInterrupt

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal wanted
        wanted = True
        if at_once:
            check()

    if threading.current_thread() is not threading.main_thread():
        yield check  # only the main thread is told of signals
        return
    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for each, handler in before.items():
            # None: one that was not set from Python, such as Blender's own.
            signal.signal(each, signal.SIG_DFL if handler is None else handler)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def register() -> None:
    """Make the command known to Blender."""
    global _handle
    _handle = bpy.utils.register_cli_command(COMMAND, main)


def unregister() -> None:
    """Take it away again."""
    bpy.utils.unregister_cli_command(_handle)
