# SPDX-License-Identifier: GPL-3.0-or-later
"""All sessions of an output folder in one place: summary.csv, summary.json and index.html.

The sessions' own folders are what counts. Each is read once, and what the three files say of it is
written to a file of this run; from that they are put together, sorted by the sessions' IDs, again
and again while the batch grows. So little is in memory, and writing takes a small share of the
time, however many sessions there are.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..api.files import replacing
from ..scene.measure.metrics import METRICS, csv_field
from ..scene.report.models import PAGE_NAME, REPORT_NAME
from . import index_page
from .models import SessionResult, Status
from .output import THUMBNAILS_NAME, Output

CSV_NAME = "summary.csv"
JSON_NAME = "summary.json"
INDEX_NAME = "index.html"

SESSION_COLUMNS = (
    *("session_id", "session_status", "session_error", "model", "requested_quads", "created_at"),
    *("kept_on", "folder"),
)
VARIATION_COLUMNS = ("index", "asset_id", "name", "status", "error")
BEST_COLUMN = "best"
"""Whether the variation is the best by the rule; empty where none was given."""

_INTERVAL_S = 3.0
_SHARE = 0.04
"""Of the time that writing may take."""
_THUMBNAILS_LIMIT_BYTES = 160 * 2**20
"""Together: a browser has to hold them. Sessions beyond have none on the page."""
_THUMBNAIL_LIMIT_BYTES = 2**20

_Piece = tuple[int, int, int, int, int]
"""When the session's report was written, where in the run's file the session begins, and how long
its CSV, JSON and page parts are."""


class Summary:
    """The three files, and what goes into them. One thread at a time; `close` writes the last."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._file: BinaryIO = (output.own / "summary").open("w+b")
        self._pieces: dict[str, _Piece] = {}
        self._written_at_s = time.monotonic()
        self._wanted_pause_s = _INTERVAL_S
        self._collect()

    def add(self, result: SessionResult) -> None:
        """Take in what became of a session. Raises OSError."""
        folder = self._output.folder / result.name
        if result.status is Status.ALREADY and result.name in self._pieces:
            return
        if result.report and self._take(folder):
            return
        # Without a time, so that the folder is looked at again: shared storage can be late.
        try:
            self._put(result.name, 0, {**result.report, "folder": result.name})
        except (KeyError, TypeError, AttributeError):  # there is no report, or a damaged one
            self._put(result.name, 0, _unreported(result))

    def write_if_due(self) -> None:
        """Write the files, unless that was done a moment ago or would take too much of the time.

        A failure is passed over: it will be tried again.
        """
        if time.monotonic() - self._written_at_s >= self._wanted_pause_s:
            with contextlib.suppress(OSError):
                self.write()

    def write(self) -> None:
        """Write the files; each appears whole or stays what it was. Raises OSError."""
        start = time.monotonic()
        self._collect()
        failed: OSError | None = None
        try:
            parts = ((CSV_NAME, self._csv), (JSON_NAME, self._json), (INDEX_NAME, self._index))
            for name, content in parts:
                try:
                    self._replace(name, content())
                except OSError as error:  # on Windows, a file that is open in a spreadsheet
                    failed = failed or error
        finally:
            self._written_at_s = time.monotonic()
            took_s = self._written_at_s - start
            self._wanted_pause_s = max(_INTERVAL_S, took_s / _SHARE)
        if failed is not None:
            raise failed

    def close(self) -> None:
        """Write the files for the last time. Raises OSError."""
        try:
            self.write()
            # Another run may have written its last ones meanwhile, which these have replaced.
            while self._collect():
                self.write()
        finally:
            self._file.close()

    def _collect(self) -> bool:
        """Take in the sessions that other runs have put there, or changed. Returns whether there
        are any.
        """
        found = False
        for folder in self._output.sessions():
            with contextlib.suppress(OSError):
                known = self._pieces.get(folder.name)
                if known is None or known[0] != _stamp(folder):
                    found |= self._take(folder)
        return found

    def _take(self, folder: Path) -> bool:
        """Take in the session in this folder. Returns whether there is one. Raises OSError."""
        try:
            stamp = _stamp(folder)
            fields = json.loads((folder / REPORT_NAME).read_bytes())
            if not isinstance(fields, dict) or fields.get("session_id") != folder.name:
                return False
            fields = {**fields, "folder": _place(folder, fields)}
            thumbnails = _read(folder / THUMBNAILS_NAME)
            self._put(folder.name, stamp, fields, thumbnails, (folder / PAGE_NAME).is_file())
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False  # no report of ours, or a damaged one
        return True

    def _put(
        self,
        name: str,
        stamp: int,
        fields: Mapping[str, Any],
        thumbnails: bytes = b"",
        has_page: bool = False,
    ) -> None:
        parts = (
            _as_csv(csv_rows(fields)).encode(errors="replace"),
            json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"),
            index_page.row(fields, base64.b64encode(thumbnails), has_page),
        )
        start = self._file.seek(0, io.SEEK_END)
        self._file.write(b"".join(parts))
        self._pieces[name] = (stamp, start, len(parts[0]), len(parts[1]), len(parts[2]))

    def _parts(self, number: int) -> Iterator[bytes]:
        """The sessions' parts for the file of this number, sorted by ID."""
        self._file.flush()
        for name in sorted(self._pieces):
            _, start, *lengths = self._pieces[name]
            self._file.seek(start + sum(lengths[:number]))
            yield self._file.read(lengths[number])

    def _csv(self) -> Iterator[bytes]:
        yield _as_csv([[*SESSION_COLUMNS, *VARIATION_COLUMNS, BEST_COLUMN, *METRICS]]).encode()
        yield from self._parts(0)

    def _json(self) -> Iterator[bytes]:
        yield b'{"sessions":[\n'
        for number, part in enumerate(self._parts(1)):
            yield (b",\n" if number else b"") + part
        yield b"\n]}\n"

    def _index(self) -> Iterator[bytes]:
        yield index_page.head()
        size = 0
        for number, part in enumerate(self._parts(2)):
            if number:
                yield b",\n"
            size += len(part)
            yield part if size < _THUMBNAILS_LIMIT_BYTES else index_page.without_thumbnails(part)
        yield index_page.foot()

    def _replace(self, name: str, parts: Iterator[bytes]) -> None:
        # Made in this run's own folder: another run may be writing the same file.
        made = self._output.own / name
        with replacing(made) as temporary, temporary.open("wb") as file:
            file.writelines(parts)
        made.replace(self._output.folder / name)


def csv_rows(fields: Mapping[str, Any]) -> list[list[object]]:
    """A row for each variation of a report; one without any for a session that has none."""
    session: list[object] = [
        fields["session_id"],
        session_status(fields),
        fields["error"],
        fields["model"],
        fields["quads"],
        fields["created_at"],
        fields.get("kept_on"),
        fields.get("folder"),
    ]
    best = fields.get("best")
    rows: list[list[object]] = []
    for each in fields["variations"]:
        metrics = each["metrics"] or {}
        own = [each[key] for key in VARIATION_COLUMNS]
        is_best = each["index"] == best["index"] if best else None
        rows.append([*session, *own, is_best, *(metrics.get(key) for key in METRICS)])
    return rows or [[*session, *[None] * (len(VARIATION_COLUMNS) + 1 + len(METRICS))]]


def session_status(fields: Mapping[str, Any]) -> str:
    """What became of the session that a report is of: imported, partly or failed."""
    if fields["error"] is not None:
        return Status.FAILED
    meshes = [*fields["variations"], *([fields["source"]] if fields["source"] else [])]
    is_whole = not any(each["status"] == "failed" for each in meshes)
    return Status.IMPORTED if is_whole else Status.PARTLY


def _unreported(result: SessionResult) -> dict[str, Any]:
    """A report in place of the one that is not there."""
    return {
        "session_id": result.name,
        "status": None,
        "model": None,
        "quads": None,
        "created_at": None,
        "error": result.error or "; ".join(result.messages) or "nothing is known of it",
        "source": None,
        "variations": [],
        "warnings": [],
    }


def _as_csv(rows: list[list[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([csv_field(value) for value in row] for row in rows)
    return text.getvalue()


def _place(folder: Path, fields: Mapping[str, Any]) -> str:
    """Where the session's files are: relative to the summary, or on another machine."""
    return str(fields["kept_in"]) if fields.get("kept_on") else folder.name


def _stamp(folder: Path) -> int:
    return (folder / REPORT_NAME).stat().st_mtime_ns


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if len(data) < _THUMBNAIL_LIMIT_BYTES and data[:4] == b"RIFF":
            return data
    return b""
