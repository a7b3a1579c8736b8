# SPDX-License-Identifier: GPL-3.0-or-later
"""What the background Blender runs: requests come in as JSON lines, answers go out the same way.

It is a script, started with `blender --background --python`, or by Python itself where bpy is a
module. Answers start with MARK and the request's token, since Blender's importers write to the same
stream, and some of what they write stands in the file that they read.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import queue
import shutil
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "csm-retopo:"
TEMPORARY_PREFIX = "csm-retopo-process-"
"""How the names of folders begin that hold a process' temporary files."""
_REMOVAL_ATTEMPTS = 50


def _adopt_package() -> None:
    """Make the extension's modules importable without enabling the extension here."""
    package = types.ModuleType("csm_retopo")
    package.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules["csm_retopo"] = package


def _import_blender() -> None:
    """Import Blender where it is a module, to use as many threads as the argument says.

    The module takes no options; it uses as many as there were processors for it when it started.
    """
    if "bpy" in sys.modules:
        return
    threads = int(sys.argv[1])
    if threads and hasattr(os, "sched_setaffinity"):
        processors = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(processors)[:threads])
        importlib.import_module("bpy")
        os.sched_setaffinity(0, processors)


def _answer(token: str, **fields: object) -> None:
    # An importer can have left an unfinished line in the stream.
    sys.stdout.write(f"\n{MARK}{token}{json.dumps(fields)}\n")
    sys.stdout.flush()


class _Requests:
    """The lines that come in. When their end comes while one is worked on, who asked has died, and
    nobody waits for the answer: then the process ends at once.
    """

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_busy = False
        self._is_over = False
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[str]:
        while (line := self._lines.get()) is not None:
            with self._lock:
                if self._is_over:
                    return
                self._is_busy = True
            yield line
            with self._lock:
                self._is_busy = False

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        with self._lock:
            self._is_over = True
            if self._is_busy:
                _remove_temporary_files()
                os._exit(1)
        self._lines.put(None)


def _remove_temporary_files() -> None:
    """Remove the folder for temporary files, which who started this process made for it alone."""
    folder = Path(os.environ.get("TMPDIR", ""))
    if not folder.name.startswith(TEMPORARY_PREFIX):
        return
    with contextlib.suppress(OSError):
        os.chdir(folder.parent)  # Windows removes no folder that somebody works in
    # What another thread makes or removes in it meanwhile can keep it from going.
    for _ in range(_REMOVAL_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)


def main() -> None:
    """Answer requests until the input ends."""
    if hasattr(os, "nice"):
        os.nice(10)  # the artist's Blender comes first; on Windows, the parent sees to it
    requests = _Requests()
    _import_blender()
    _adopt_package()
    from csm_retopo.api.cache import Cache
    from csm_retopo.api.errors import CsmError, FileError
    from csm_retopo.scene import models, properties
    from csm_retopo.scene.background import assembly, comparison, conversion, memory
    from csm_retopo.scene.measure import deviation, measuring
    from csm_retopo.scene.report import models as report_models

    properties.register()
    _answer("", ready=True)
    del deviation, measuring  # imported for numpy, while the first file is still on its way
    comparer = comparison.Comparer()

    def serve(request: dict[str, Any]) -> object:
        """The request's result. Raises CsmError."""
        cache = Cache(Path(request["cache"]))
        if "convert" in request:
            converted = conversion.convert(cache, models.ConvertRequest(**request["convert"]))
            return models.to_json(converted)
        if "compare" in request:
            compared = comparer.compare(cache, models.compare_request(request["compare"]))
            return models.to_json(compared)
        comparer.close()  # what follows replaces the open file
        if "report" in request:
            from csm_retopo.scene.report import worker as report_worker

            asked = report_models.report_request(**request["report"])
            return report_worker.serve(asked)
        return {"warnings": assembly.write_row(models.assemble_request(request["assemble"]))}

    for line in requests:
        request = json.loads(line)
        answer = functools.partial(_answer, request["token"])
        memory.limit(request["memory_bytes"])
        try:
            answer(result=serve(request))
        except CsmError as error:
            answer(error=str(error), damaged=isinstance(error, FileError))
        except MemoryError:
            answer(error="there is not enough memory for it")
        except Exception as error:  # noqa: BLE001 - whatever it is, the user gets an answer
            traceback.print_exc()
            answer(error=f"something unforeseen happened ({type(error).__name__})")


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except Exception:  # noqa: BLE001 - nobody may be left to read an answer, or this
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        _remove_temporary_files()
        # Not by Python's way out: as a module of Python, Blender doesn't survive it with what is
        # still registered then; 4.5 hangs for good.
        os._exit(code)
