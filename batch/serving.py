# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Dask worker starts: imports one session after another, as it is asked to.

A request is a line of JSON on the standard input, an answer one on the standard output that begins
with MARK, since Blender writes there, too. The background Blender is kept from one session to the
next. It ends with its input, or when nothing was asked for in a long time.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..api.errors import CsmError
from ..api.jobs import log_failure
from ..scene.assets.catalogs import CATALOGS_NAME, Catalogs
from .cluster_task import MARK
from .machine import Machine
from .models import Options, SessionResult, Source, Status
from .output import HIDDEN, THUMBNAILS_NAME, Output

log = logging.getLogger(__name__)

IDLE_LIMIT_S = 900.0
_SHARED_WITHIN_S = 3.0
"""How long a folder made on another machine may take to be seen on shared storage."""


def serve() -> None:
    """Answer until the input ends. Main thread."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), name="csm-retopo-input", daemon=True).start()
    server = _Server()
    try:
        while line := lines.get(timeout=IDLE_LIMIT_S):
            answer = server.answer(json.loads(line))
            sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")
            sys.stdout.flush()
    except queue.Empty:
        server.close()
        # The thread that reads would keep Blender from ending well.
        os._exit(0)
    finally:
        server.close()


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


class _Server:
    """What is kept from one request to the next that is like it."""

    def __init__(self) -> None:
        self._closing = contextlib.ExitStack()
        self._kind: tuple[Any, ...] = ()
        self._output: Output | None = None
        self._machine: Machine | None = None
        self._is_shared = False
        self._catalogs: Catalogs | None = None

    def close(self) -> None:
        self._closing.close()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = str(request["session_id"])
        try:
            result = self._import(request)
        except CsmError as error:
            result = SessionResult(name, Status.FAILED, error=str(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"{request['output']} can't be written on {socket.gethostname()} ({reason})"
            result = SessionResult(name, Status.FAILED, error=text)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is an answer
            log_failure(error)
            text = f"Something unforeseen happened ({type(error).__name__}): see the worker's log"
            result = SessionResult(name, Status.FAILED, error=text)
        fields = dataclasses.asdict(result)
        fields["folder"] = str(result.folder or "")
        fields["kept_on"] = "" if self._is_shared else socket.gethostname()
        fields["thumbnails"] = ""
        if not self._is_shared and result.folder is not None:
            with contextlib.suppress(OSError):
                data = (result.folder / THUMBNAILS_NAME).read_bytes()
                fields["thumbnails"] = base64.b64encode(data).decode("ascii")
        return fields

    def _import(self, request: Mapping[str, Any]) -> SessionResult:
        self._prepare(Path(request["output"]), Options(**request["options"]), request["run"])
        assert self._machine is not None
        folder = Path(request["folder"]) if request["folder"] else None
        name = str(request["session_id"])
        with contextlib.closing(self._machine.results([Source(name, name, folder)])) as results:
            result = next(results)
        if self._catalogs is not None and result.report.get("assets"):
            self._catalogs.add(result.session_id)
        return result

    def _prepare(self, folder: Path, options: Options, run: str) -> None:
        kind = (folder, options, run)
        if kind == self._kind:
            return
        self._closing.close()
        self._kind = ()
        self._catalogs = None
        output = Output(folder)
        output.open()
        self._closing.callback(output.close)
        self._machine = Machine(output, options, 1)
        self._closing.callback(self._machine.close)
        self._is_shared = _is_there(folder / HIDDEN / run)
        if options.choice.as_assets and not self._is_shared:
            # It is a library of its own, to which the batch itself can't write.
            self._catalogs = Catalogs(folder)
            self._closing.callback(_flush, self._catalogs)
        self._kind = kind


def _flush(catalogs: Catalogs) -> None:
    try:
        catalogs.flush()
    except (CsmError, OSError) as error:
        reason = str(error) if isinstance(error, CsmError) else error.strerror
        log.error("%s was not brought up to date: %s", CATALOGS_NAME, reason)


def _is_there(folder: Path) -> bool:
    """Whether the folder that another process has made can be seen here."""
    end = time.monotonic() + _SHARED_WITHIN_S
    while not folder.is_dir():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
        with contextlib.suppress(OSError):
            os.listdir(folder.parent)  # it brings what a network file system remembers up to date
    return True
