# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogs of an asset library: a file in its folder that Blender reads and writes, too.

Nothing here needs Blender.
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from ...api.errors import CsmError
from ...api.files import replacing
from ...api.locking import locked

CATALOGS_NAME = "blender_assets.cats.txt"
LOCK_NAME = ".csm_retopo.lock"

_ROOT = "CSM Retopo"
"""The catalog that those of all sessions are in."""
_NAMESPACE = uuid.UUID("5f0c1f52-8d1c-4f0e-9a53-0b6c3e8f9d27")
_VERSION = "VERSION 1"
_HEADER = f"""\
# This is an Asset Catalog Definition file for Blender.
#
# Empty lines and lines starting with `#` will be ignored.
# The first non-ignored line should be the version indicator.
# Other lines are of the format "UUID:catalog/path/for/assets:simple catalog name"

{_VERSION}

"""
_CATALOG = re.compile(r"\s*([0-9a-fA-F-]{36}):([^:]*)")
_SIMPLE_NAME_LIMIT = 63
"""In bytes: what Blender keeps of a catalog's name in a .blend."""
_REST = 20
"""Writing a file that grows again and again takes at most one part in so many of the time."""


def catalog_id(session_id: str) -> str:
    """The UUID of a session's catalog: always the same, whoever makes it, on whatever machine."""
    return str(uuid.uuid5(_NAMESPACE, session_id))


class Catalogs:
    """The catalogs of the library in one folder. Not to be shared by threads.

    Several processes may add to the same file at once; what is in it of others, the user's own
    catalogs above all, stays. One that the user has renamed or moved stays as the user has it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._missing: set[str] = set()
        self._rest_until_s = 0.0

    def add(self, session_id: str) -> None:
        """Have a catalog for the session: at once, or in a while if the last one was just written.

        What goes wrong is tried again, and told by `flush`.
        """
        self._missing.add(session_id)
        if time.monotonic() >= self._rest_until_s:
            with contextlib.suppress(CsmError, OSError):
                self.flush()

    def flush(self) -> None:
        """Have all catalogs in the file now. Raises CsmError and OSError."""
        if not self._missing:
            return
        start_s = time.monotonic()
        path = self._folder / CATALOGS_NAME
        try:
            with locked(self._folder / LOCK_NAME):
                before = path.read_bytes() if path.exists() else b""
                after = with_catalogs(before, self._missing)
                if after != before:
                    with replacing(path) as temporary:
                        temporary.write_bytes(after)
        finally:
            now_s = time.monotonic()
            self._rest_until_s = now_s + _REST * (now_s - start_s)
        self._missing.clear()


def with_catalogs(content: bytes, session_ids: Iterable[str]) -> bytes:
    """The catalog file with a catalog for each of the sessions, sorted by path as Blender does.

    Raises CsmError for a file that is none.
    """
    # Whatever encoding somebody wrote their own catalogs in, they stay what they are.
    text = content.decode("utf-8", "surrogateescape")
    head: list[str] = []
    lines: list[str] = []
    for line in text.rstrip().split("\n"):
        (lines if _CATALOG.match(line) else head).append(line.rstrip("\r"))
    if not text.strip():
        head = _HEADER.splitlines()
    elif _VERSION not in (line.strip().removeprefix("\ufeff") for line in head):
        raise CsmError(f"{CATALOGS_NAME} is not of a version that is known: it was left as it is")
    known = {_parts(line)[1] for line in lines}
    # One that isn't there would be made up by Blender, and shown as not saved yet.
    new = {catalog_id(_ROOT): _ROOT}
    # Without what all IDs begin with: there is little room for a name, and its end is what tells.
    new |= {catalog_id(each): f"{_ROOT}/{each.removeprefix('SESSION_')}" for each in session_ids}
    added = [_line(uuid_, path) for uuid_, path in new.items() if uuid_ not in known]
    if not added:
        return content
    catalogs = sorted(lines + added, key=_parts)
    return "\n".join([*head, *catalogs, ""]).encode("utf-8", "surrogateescape")


def _parts(line: str) -> tuple[str, str]:
    """A catalog's path and UUID."""
    found = _CATALOG.match(line)
    assert found is not None
    return found[2].strip(), found[1].lower()


def _line(uuid_: str, path: str) -> str:
    return f"{uuid_}:{path}:{path.replace('/', '-')[-_SIMPLE_NAME_LIMIT:]}"
