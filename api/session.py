# SPDX-License-Identifier: GPL-3.0-or-later
"""A retopology session as the service describes it.

Tolerant of what the service may add, leave out or word differently; strict on what matters: the
session's type, and where files may be fetched from.
"""

from __future__ import annotations

import enum
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from .addresses import is_loopback
from .errors import (
    InvalidSessionID,
    NotJSON,
    NotRetopology,
    NoVariations,
    SessionFailed,
    StillRunning,
)

NAME_LIMIT = 60
"""Longest name, in characters: with a suffix it still fits Blender's 63 bytes for plain ASCII."""

SESSION_LIMIT_BYTES = 64 * 2**20
"""Sessions of a few MB are normal (they can hold image embeddings)."""
_MOST_VALUES = 1_000_000
"""In one document: all of Blender waits while it is read, and each takes up to 70 bytes."""

_SESSION_ID = re.compile(r"SESSION_[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")
_SESSION_ID_LIMIT = 100
_ASSET_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Characters that count as printable, and show nothing."""
_URL = re.compile(r"\S*(?::/|:%2F|[?&]sig=)\S*", re.IGNORECASE)


NOT_NAMED = "the session names no file for it"


class Links(enum.Enum):
    """Which links in a session may be used."""

    SECURE = "https to another machine"
    LOOPBACK = "also http and https to this machine, where a stand-in of the service runs"
    LOCAL = "anything that ends in a name: the files are beside session.json, nothing is fetched"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a session: a URL, or the reason why there is none that may be used.

    The URL holds a credential: it is kept out of `repr`, so that no log and no traceback shows it.
    """

    url: str | None
    problem: str | None = None

    def __repr__(self) -> str:
        return f"RemoteFile(url={'...' if self.url else None}, problem={self.problem!r})"


@dataclass(frozen=True)
class Variation:
    """One retopology: `index` counts from 0 in the session's order."""

    index: int
    asset_id: str
    name: str
    status: str
    mesh: RemoteFile
    preview: RemoteFile

    @property
    def is_complete(self) -> bool:
        """Whether the service has finished it. A status that is missing counts as finished, since
        it stands in a session that is.
        """
        return self.status in ("complete", "")


@dataclass(frozen=True)
class Source:
    """The mesh that was retopologised."""

    asset_id: str
    name: str
    mesh: RemoteFile


@dataclass(frozen=True)
class Session:
    """A retopology session. `status` is the service's own word, lower case, `""` if it gave none.

    `model` is `swift`, `precision`, another word, or None; `quads` is None when not stated;
    `created_at` is the service's ISO 8601 text, or None when it is no date.
    """

    session_id: str
    status: str
    created_at: str | None
    model: str | None
    quads: bool | None
    source: Source | None
    variations: tuple[Variation, ...]
    failure: str | None = None

    @property
    def is_running(self) -> bool:
        """True for every status but `complete` and `failed`: the service has more words for it
        than it documents.
        """
        return self.status not in ("complete", "failed")

    def ready_part(self) -> Session:
        """The session as far as it can be imported while it is running: a variation counts as
        complete only if the service says so and names its mesh.
        """
        variations = []
        for each in self.variations:
            if each.status == "complete" and each.mesh.problem == NOT_NAMED:
                each = replace(each, status="running")
            variations.append(replace(each, status=each.status or "running"))
        return replace(self, variations=tuple(variations))

    def require_result(self) -> None:
        """Return if the session can be imported.

        Raises StillRunning, SessionFailed or NoVariations if it can't.
        """
        if self.is_running:
            raise StillRunning(self.session_id, self.model)
        if self.status == "failed":
            raise SessionFailed(self.session_id, self.failure)
        if not self.variations:
            raise NoVariations(self.session_id)


def is_session_id(text: str) -> bool:
    """Whether it is a session ID and nothing else."""
    return bool(_SESSION_ID.fullmatch(text)) and len(text) <= _SESSION_ID_LIMIT


def find_session_id(text: str) -> str:
    """The session ID in `text`: bare, with blanks around it, or inside a pasted URL.

    Raises InvalidSessionID.
    """
    text = text.strip()
    if is_session_id(text):
        return text
    if "/" in text:
        # Whole path segments or query values only: `SESSION_1_2.obj` is a file's name, no ID.
        for part in re.split(r"[^\w.~-]+", unquote(text)):
            if is_session_id(part):
                return part
    raise InvalidSessionID


def parse_session(body: bytes | str, links: Links = Links.SECURE) -> Session:
    """The session in the service's answer, or in a `session.json`.

    Raises NotJSON and NotRetopology.
    """
    document = read_json(body)
    if not isinstance(document, dict):
        raise NotJSON("not a JSON object")
    try:
        session_id = find_session_id(_text(document, "_id"))
    except InvalidSessionID:
        raise NotJSON("it has no session ID") from None
    if (type_ := _text(document, "type").lower()) != "retopology":
        raise NotRetopology(session_id, clean_name(type_) or "unknown")

    inputs = _mapping(document, "input")
    meshes = _mapping(document, "output").get("meshes")
    quads = inputs.get("quads")
    return Session(
        session_id=session_id,
        status=clean_name(_text(document, "status")).lower(),
        created_at=_date(clean_name(_text(document, "created_at"))),
        model=clean_name(_text(inputs, "model")).lower() or None,
        quads=quads if isinstance(quads, bool) else None,
        source=_source(inputs, links),
        variations=tuple(
            _variation(index, mesh, links)
            for index, mesh in enumerate(meshes if isinstance(meshes, list) else ())
        ),
        failure=clean_name(_text(document, "status_message") or _text(document, "error_code"), 200)
        or None,
    )


def read_json(body: bytes | str) -> Any:
    """What the document holds. Raises NotJSON, also for one of more values than a session has."""
    try:
        if isinstance(body, bytes):
            body = body.decode(json.detect_encoding(body), "surrogatepass")
        if sum(map(body.count, ",[{")) > _MOST_VALUES:
            raise NotJSON("it is too large")
        return json.loads(body)
    except (ValueError, RecursionError):
        start = (body if isinstance(body, str) else body[:200].decode("latin-1")).lstrip()
        raise NotJSON("it is a web page" if start.startswith("<") else "not JSON") from None


def clean_name(text: str, limit: int = NAME_LIMIT) -> str:
    """`text` in one line of at most `limit` characters, without control characters and without
    URLs, which can be credentials; empty if there is nothing to be seen in it.
    """
    printable = "".join(c if c.isprintable() and c not in _BLANKS else " " for c in text)
    name = " ".join(without_urls(printable, "").split())[:limit].strip()
    is_visible = any(unicodedata.category(c)[0] in "LNPS" for c in name)
    return name if is_visible else ""


def without_urls(text: str, instead: str) -> str:
    """`text` with `instead` in place of each URL, also of one without a scheme that is signed."""
    return _URL.sub(instead, text)


def remote_file(value: object, links: Links) -> RemoteFile:
    """The file that a link in a session stands for."""
    if not isinstance(value, str) or not value.strip():
        return RemoteFile(None, NOT_NAMED)
    url = value.strip()
    if links is Links.LOCAL:
        return RemoteFile(url)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return RemoteFile(None, "its link is not a valid URL")
    if not host or not url.isprintable() or " " in url or "@" in parts.netloc:
        return RemoteFile(None, "its link is not a valid URL")
    if parts.scheme == "https" and not is_loopback(host):
        return RemoteFile(url)
    if parts.scheme in ("http", "https") and is_loopback(host) and links is Links.LOOPBACK:
        return RemoteFile(url)
    return RemoteFile(None, "its link is not a secure one (https)")


def _source(inputs: Mapping[str, Any], links: Links) -> Source | None:
    mesh = inputs.get("mesh")
    if isinstance(mesh, str):  # the form in which a session is requested: an asset ID or a URL
        return Source(_asset_id(mesh), "Input Mesh", remote_file(None, links))
    if not isinstance(mesh, dict):
        return None
    return Source(
        asset_id=_asset_id(mesh.get("_id")),
        name=clean_name(_text(mesh, "name")) or "Input Mesh",
        mesh=remote_file(_mapping(mesh, "data").get("glb_url"), links),
    )


def _variation(index: int, mesh: object, links: Links) -> Variation:
    fields = mesh if isinstance(mesh, dict) else {}
    data = _mapping(fields, "data")
    return Variation(
        index=index,
        asset_id=_asset_id(fields.get("_id")),
        name=clean_name(_text(fields, "name")) or f"Variation {index + 1}",
        status=clean_name(_text(fields, "status")).lower(),
        mesh=remote_file(data.get("obj_url"), links),
        preview=remote_file(data.get("image_url"), links),
    )


def _mapping(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key)
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value.strip() if isinstance(value, str) else ""


def is_asset_id(text: str) -> bool:
    """Whether `text` can be the service's ID of a mesh."""
    return _ASSET_ID.fullmatch(text) is not None


def _asset_id(value: object) -> str:
    return value if isinstance(value, str) and is_asset_id(value) else ""


def _date(text: str) -> str | None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text
