# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a batch, and what comes out of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..api.errors import InvalidSessionID
from ..api.session import find_session_id
from ..scene.assets.choice import Choice
from ..scene.measure.rules import parse_rule


class Status(enum.StrEnum):
    """What became of a session."""

    IMPORTED = "imported"
    """All that the service has finished."""
    ALREADY = "already"
    """All of it, by an earlier run."""
    PARTLY = "partly"
    """Some of its meshes; the report says which, and why not the others."""
    FAILED = "failed"


@dataclass(frozen=True)
class Options:
    """What is to be made of each session.

    `wait_s` is how long to wait for one that is still running on the service; with `force`, what is
    in the cache or in the output folder already is fetched and imported again. `best` is a rule
    that tells which variation is the best, as in `scene/measure/rules.py`, "" for none; with
    `asset_library`, that one is an asset, or all are where there is no rule.
    """

    with_source: bool = True
    wait_s: float = 0.0
    report: bool = False
    contact_sheet: bool = False
    force: bool = False
    asset_library: bool = False
    best: str = ""

    @property
    def choice(self) -> Choice:
        """What is to be chosen of each session. Raises InvalidRule."""
        return Choice(parse_rule(self.best) if self.best else None, self.asset_library)


@dataclass(frozen=True, slots=True)
class Source:
    """A session to import: an ID to ask the service for, or a session folder.

    `problem` says why what was given, `name`, is neither; then there is no `session_id`.
    """

    name: str
    session_id: str = ""
    folder: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class SessionResult:
    """What became of a session.

    `name` is its ID, or what was given in its place. `folder` is where its files are, None if there
    are none; `kept_on` names the machine whose folder that is, "" for one that this machine sees.
    `error` is None unless nothing could be imported, or the files could not be written. `messages`
    are sentences for the user; there are none where nothing was left to do. `report` is what is in
    report.json, {} if there is none.
    """

    name: str
    status: Status
    folder: Path | None = None
    kept_on: str = ""
    error: str | None = None
    messages: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        """The session's ID, "" if what was given names none."""
        try:
            return find_session_id(self.name)
        except InvalidSessionID:
            return ""

    @property
    def is_whole(self) -> bool:
        """Whether all that was asked for is there."""
        return self.status in (Status.IMPORTED, Status.ALREADY)
