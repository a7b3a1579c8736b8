# SPDX-License-Identifier: GPL-3.0-or-later
"""What names the sessions of a batch: IDs, URLs with one, session folders; on a line each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..api.cache import SESSION_NAME
from ..api.errors import CsmError
from ..api.jobs import read_folder_session
from ..api.session import find_session_id, is_session_id
from .models import Source


def read_list(path: Path) -> list[str]:
    """The lines of the file but blank ones and `#` comments. Raises OSError, UnicodeDecodeError."""
    with path.open(encoding="utf-8-sig") as lines:
        return [line.partition(" #")[0].strip() for line in lines if not _is_comment(line)]


def find_sources(texts: Iterable[str]) -> list[Source]:
    """What the texts name, each session and each mistake once, in the order given."""
    sources: dict[str, Source] = {}
    for text in texts:
        source = _find_source(text)
        sources.setdefault(source.session_id or source.name, source)
    return list(sources.values())


def _find_source(text: str) -> Source:
    try:
        if "://" not in text and os.path.isdir(text) and not _is_result(text):
            folder = Path(text).absolute()
            session_id = read_folder_session(folder).session_id
            return Source(session_id, session_id, folder)
        session_id = find_session_id(text)
        return Source(session_id, session_id)
    except CsmError as error:
        return Source(shown(text), problem=str(error))


def _is_result(text: str) -> bool:
    """Whether it is an ID, and the folder of that name no session but what a batch made of it: the
    batch was started in its own output folder.
    """
    return is_session_id(text) and not os.path.isfile(os.path.join(text, SESSION_NAME))


def _is_comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def shown(text: str) -> str:
    """What was given, unless it looks like a URL, which can be a credential."""
    # Of a path, Python makes `https:/host`; others paste a URL without its beginning.
    return "the URL given" if re.search(r":/|[?&@]|%40", text) else text
