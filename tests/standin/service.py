# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in: sessions at the API, their files at the storage host."""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote

from .faults import LOOP_PATH, Fault, FaultPlan, loop_step, substitute
from .server import HttpServer
from .wire import Link, Request, Response

KEY = "CANARY-KEY-6f1e"
FORBIDDEN_KEY = "CANARY-KEY-WITHOUT-ACCESS"
ACCOUNT = "artist@example.com"
SIGNATURE = "CANARY="

_CLOSE_TIMEOUT_S = 2.0
_FIRST_EXPIRY = datetime(2099, 1, 1, tzinfo=UTC)
_FIRST_MODIFIED = datetime(2025, 5, 15, 19, 25, 50, tzinfo=UTC)
_EXPIRY_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_CONTENT_TYPES = {".png": "image/png", ".glb": "model/gltf-binary"}
_MODELS = ("swift", "precision")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

_request_numbers = itertools.count(1)
"""Of all stand-ins together: a cache may outlive one."""


@dataclass(frozen=True)
class _StoredFile:
    content: bytes
    md5: bytes
    last_modified: str

    @property
    def etag(self) -> str:
        return f'"0x{self.md5.hex()[:15].upper()}"'


class _Session:
    """A session and its files; URLs carry the number of the fetch that they came with."""

    def __init__(
        self,
        document: dict[str, Any],
        files: dict[str, _StoredFile],
        polls_until_complete: int,
        rewrite_urls: bool,
        early: Collection[int] = (),
    ) -> None:
        self.document = document
        self.files = files
        self.polls_left = polls_until_complete
        self.rewrite_urls = rewrite_urls
        self.early = early
        self.fetches = 0
        self.valid_from: dict[str, int] = {}
        """By file name: the first fetch whose URLs are not expired."""

    def expire(self, name: str) -> None:
        self.valid_from[name] = self.fetches + 1

    def expire_all(self) -> None:
        for name in self.files:
            self.expire(name)


class StandIn:
    """The service over real HTTP on 127.0.0.1, two ports, from construction until `close`.

    The API answers `GET /v3/sessions/<id>` and `POST /v3/sessions`; `files_url` is the storage
    host, another origin, whose URLs look like SAS URLs and carry an account's e-mail and a
    signature. Every session fetch hands out URLs with a query of its own.

    A POST makes a session of the same files as the session that has the requested input mesh. It
    is `incomplete` for the first `polls_after_request` fetches, and no more than `jobs_at_once` of
    those may be so. Its ID is in `requested_ids`, even if a fault keeps the answer from arriving.

    `latency_s` passes before every answer, `connect_latency_s` once per connection before its first
    request is read (TCP and TLS); `bandwidth_bps` is bytes per second and connection.
    `content_md5`, `ranges` and `etags` say whether the storage host sends Content-MD5, obeys Range,
    and sends an ETag; these three and the two about requests may be changed at any time. All
    methods may be called on any thread.
    """

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        connect_latency_s: float = 0.0,
        bandwidth_bps: float | None = None,
        key: str = KEY,
        forbidden_key: str = FORBIDDEN_KEY,
        content_md5: bool = True,
        ranges: bool = True,
        etags: bool = True,
        polls_after_request: int = 1,
        jobs_at_once: int = 5,
        port: int = 0,
        files_port: int = 0,
    ) -> None:
        self.key = key
        self.forbidden_key = forbidden_key
        self.content_md5 = content_md5
        self.ranges = ranges
        self.etags = etags
        self.polls_after_request = polls_after_request
        self.jobs_at_once = jobs_at_once
        self._lock = threading.RLock()
        self._sessions: dict[str, _Session] = {}
        self._requested_ids: list[str] = []
        self._requests: list[Request] = []
        self._faults = FaultPlan()
        self._file_counter = itertools.count()
        self._closing = threading.Event()
        link = Link(latency_s, connect_latency_s, bandwidth_bps)
        self._api = HttpServer("api", self._handle, link, self._closing, port)
        try:
            self._storage = HttpServer("files", self._handle, link, self._closing, files_port)
        except OSError:
            self._closing.set()
            self._api.close(_CLOSE_TIMEOUT_S)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every wait, connection and thread, within 2 s. May be called twice.

        Raises RuntimeError when a thread did not end.
        """
        if not self._closing.is_set():
            self._closing.set()
            try:
                self._api.close(_CLOSE_TIMEOUT_S / 2)
            finally:
                self._storage.close(_CLOSE_TIMEOUT_S / 2)

    @property
    def api_url(self) -> str:
        """The origin of the API, without `/v3` and without a slash at the end."""
        return self._api.url

    @property
    def files_url(self) -> str:
        """The origin of the storage host, without a slash at the end."""
        return self._storage.url

    @property
    def session_ids(self) -> list[str]:
        """The IDs of all sessions, in the order in which they were added."""
        with self._lock:
            return list(self._sessions)

    @property
    def requested_ids(self) -> list[str]:
        """The IDs of the sessions that were made by a POST, in their order."""
        with self._lock:
            return list(self._requested_ids)

    def add_session(
        self,
        session_id: str | None = None,
        *,
        folder: Path | None = None,
        document: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        polls_until_complete: int = 0,
        rewrite_urls: bool = True,
        early: Collection[int] = (),
    ) -> str:
        """Serves a session, in place of an earlier one with that ID, and returns the ID.

        It is given as a folder with a `session.json` and the files beside it, or as a document;
        `files` (by name) come on top. Without `session_id` the document's own `_id` counts.
        Every `..._url` in it becomes one of the storage host with the same last path part, unless
        `rewrite_urls` is off. For the first `polls_until_complete` fetches it is `incomplete`, and
        so are its meshes, without data, but for those whose indices are in `early`.
        The document and the folder's files are read once, here.

        Raises ValueError without a document or an ID, OSError.
        """
        contents: dict[str, bytes] = {}
        if folder is not None:
            for path in sorted(folder.iterdir()):
                if path.is_file() and path.name != "session.json":
                    contents[path.name] = path.read_bytes()
            if document is None:
                document = json.loads((folder / "session.json").read_text(encoding="utf-8"))
        contents.update(files or {})
        if document is None:
            raise ValueError("A session needs a folder or a document")
        own = copy.deepcopy(dict(document))
        if session_id is not None:
            own["_id"] = session_id
        elif not isinstance(session_id := own.get("_id"), str):
            raise ValueError("A session needs an ID")
        stored = {name: self._store(content) for name, content in contents.items()}
        with self._lock:
            self._sessions[session_id] = _Session(
                own, stored, polls_until_complete, rewrite_urls, early
            )
        return session_id

    def file_url(self, session_id: str, name: str) -> str:
        """A URL of one file, signed as by the session's newest fetch."""
        with self._lock:
            return self._signed_url(session_id, name, self._sessions[session_id].fetches)

    def expire_urls(self, session_id: str) -> None:
        """All URLs of the session that were handed out so far get 403 from now on."""
        with self._lock:
            self._sessions[session_id].expire_all()

    def add_fault(
        self, pattern: str, fault: Fault, *, times: int | None = 1, skip: int = 0
    ) -> None:
        """Gives the fault to the requests that match, `times` times (None: always).

        `pattern` (with `*` and `?`) is compared with the last part of the path, that is a file's
        name or a session's ID, and with all of it, so that `/v3/*` is the API and
        `/inference-outputs/*` the storage host. The first `skip` matching requests are spared.
        Of several faults for a request the one added first is used up first.
        """
        self._faults.add(pattern, fault, times, skip)

    @property
    def pending_faults(self) -> list[tuple[str, Fault]]:
        """The counted faults that have not happened as often as they were to."""
        return self._faults.pending()

    def clear_faults(self) -> None:
        """Behaves well from now on."""
        self._faults.clear()

    @property
    def requests(self) -> list[Request]:
        """All requests at both servers, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    @property
    def api_requests(self) -> list[Request]:
        """The requests at the API."""
        return [request for request in self.requests if request.server == "api"]

    @property
    def file_requests(self) -> list[Request]:
        """The requests at the storage host."""
        return [request for request in self.requests if request.server == "files"]

    def clear(self) -> None:
        """Forgets the recorded requests; sessions and faults stay."""
        with self._lock:
            self._requests.clear()

    def _handle(self, request: Request) -> tuple[Response, Fault | None]:
        with self._lock:
            self._requests.append(request)
            fault = self._faults.take(request)
            if fault is not None and (instead := substitute(fault)) is not None:
                return instead, fault
            if request.path.startswith(LOOP_PATH):
                return loop_step(request.path), fault
            is_api = request.server == "api"
            if request.method == "POST" and is_api:
                return self._answer_post(request, fault), fault
            if request.method != "GET":
                return _json(405, {"message": "Method not allowed"}), fault
            answer = self._answer_api if is_api else self._answer_storage
            return answer(request, fault), fault

    def _answer_api(self, request: Request, fault: Fault | None) -> Response:
        if (refusal := self._refuse_key(request)) is not None:
            return refusal
        session = self._sessions.get(request.name)
        if session is None or request.path != f"/v3/sessions/{request.name}":
            return _json(404, {"message": "Session not found"})
        session.fetches += 1
        response = _json(200, self._render(session, request.name))
        if fault is not None and fault.kind == "replace":
            return Response(200, fault.body or b"", response.headers)
        if fault is not None and fault.kind == "expired":
            session.expire_all()
        return response

    def _refuse_key(self, request: Request) -> Response | None:
        key = request.headers.get("x-api-key")
        if key == self.forbidden_key:
            return _json(403, {"message": "This account has no access to sessions"})
        if key != self.key:
            return _json(401, {"message": "Invalid API key"})
        return None

    def _answer_post(self, request: Request, fault: Fault | None) -> Response:
        if request.path != "/v3/sessions":
            return _json(405, {"message": "Method not allowed"})
        if (refusal := self._refuse_key(request)) is not None:
            return refusal
        try:
            document = json.loads(request.raw.partition(b"\r\n\r\n")[2])
            wanted = document["input"]
            asset_id, model, quads = wanted["mesh"], wanted["model"], wanted["quads"]
        except (ValueError, KeyError, TypeError):
            return _json(400, {"message": "The body is not a session"})
        if document.get("type") != "retopology" or model not in _MODELS or type(quads) is not bool:
            return _json(422, {"message": "Unknown type, model or quads"})
        like = next(
            (each for each in self._sessions.values() if _input_asset_id(each) == asset_id), None
        )
        if like is None:
            return _json(404, {"message": "Asset not found"})
        running = [self._sessions[each].polls_left for each in self._requested_ids]
        if sum(left > 0 for left in running) >= self.jobs_at_once:
            return _json(429, {"message": "Too many concurrent jobs"})
        session_id = f"SESSION_1770000000_{next(_request_numbers):07}"
        made = copy.deepcopy(like.document)
        made.update(_id=session_id, created_at="2026-02-02T02:40:00.000Z", status="complete")
        made["input"].update(model=model, quads=quads)
        self._sessions[session_id] = _Session(
            made, like.files, self.polls_after_request, like.rewrite_urls
        )
        self._requested_ids.append(session_id)
        response = _json(201, {"_id": session_id, "status": "incomplete", "type": "retopology"})
        if fault is not None and fault.kind == "replace":
            return Response(201, fault.body or b"", response.headers)
        return response

    def _render(self, session: _Session, session_id: str) -> dict[str, Any]:
        document = copy.deepcopy(session.document)
        if session.polls_left > 0:
            session.polls_left -= 1
            document["status"] = "incomplete"
            for index, mesh in enumerate(document.get("output", {}).get("meshes", [])):
                if index not in session.early:
                    mesh.update(status="incomplete", data={})
        if session.rewrite_urls:
            for holder, key in _urls(document):
                name = unquote(holder[key].partition("?")[0].rpartition("/")[2])
                holder[key] = self._signed_url(session_id, name, session.fetches)
        return document

    def _signed_url(self, session_id: str, name: str, fetch: int) -> str:
        expiry = (_FIRST_EXPIRY + timedelta(seconds=fetch)).strftime(_EXPIRY_FORMAT)
        return (
            f"{self.files_url}/inference-outputs/{ACCOUNT}/{quote(session_id)}/{quote(name)}"
            f"?se={quote(expiry)}&sp=r&sv=2024-11-04&sr=b&sig={quote(SIGNATURE, safe='')}"
        )

    def _answer_storage(self, request: Request, fault: Fault | None) -> Response:
        session_id = PurePosixPath(request.path).parent.name
        session = self._sessions.get(session_id)
        if session is not None and fault is not None and fault.kind == "expired":
            session.expire(request.name)
        query = parse_qs(request.query)
        fetch = _fetch_of(query.get("se", [""])[0])
        valid_from = 0 if session is None else session.valid_from.get(request.name, 0)
        if query.get("sig") != [SIGNATURE] or fetch is None or fetch < valid_from:
            return _storage_error(
                403,
                "AuthenticationFailed",
                "Server failed to authenticate the request. Make sure the value of Authorization "
                "header is formed correctly including the signature.",
            )
        file = None if session is None else session.files.get(request.name)
        prefix = f"/inference-outputs/{ACCOUNT}/{session_id}/"
        if file is None or request.path != prefix + request.name:
            return _storage_error(404, "BlobNotFound", "The specified blob does not exist.")
        if fault is not None and fault.kind == "replace":
            file = self._store(fault.body or b"")
        heed_range = self.ranges and not (fault is not None and fault.kind == "range_ignored")
        return self._file_response(request, file, heed_range=heed_range)

    def _file_response(self, request: Request, file: _StoredFile, *, heed_range: bool) -> Response:
        suffix = PurePosixPath(request.name).suffix.lower()
        headers = {
            "Content-Type": _CONTENT_TYPES.get(suffix, "application/octet-stream"),
            "Last-Modified": file.last_modified,
            "Date": formatdate(usegmt=True),
        }
        if self.etags:
            headers["ETag"] = file.etag
        md5 = base64.b64encode(file.md5).decode()
        wanted = None
        if heed_range:
            headers["Accept-Ranges"] = "bytes"
            validator = request.headers.get("if-range", file.etag)
            if validator in (file.etag, file.last_modified):
                wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted is None or wanted.groups() == ("", ""):
            if self.content_md5:
                headers["Content-MD5"] = md5
            return Response(200, file.content, headers)
        size = len(file.content)
        first, last = wanted.groups()
        if first:
            start, stop = int(first), min(size, int(last) + 1) if last else size
        else:
            start, stop = max(0, size - int(last)), size
        if start >= stop:
            return Response(416, headers={"Content-Range": f"bytes */{size}"})
        if self.content_md5:  # Content-MD5 would be that of the part
            headers["x-ms-blob-content-md5"] = md5
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return Response(206, file.content[start:stop], headers)

    def _store(self, content: bytes) -> _StoredFile:
        # No two files share a date, so that a changed file never validates by it.
        modified = _FIRST_MODIFIED + timedelta(seconds=next(self._file_counter))
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        return _StoredFile(content, digest, format_datetime(modified, usegmt=True))


def _input_asset_id(session: _Session) -> object:
    mesh = session.document.get("input", {}).get("mesh")
    return mesh.get("_id") if isinstance(mesh, dict) else None


def _json(status: int, document: Mapping[str, Any]) -> Response:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return Response(status, json.dumps(document).encode(), headers)


def _storage_error(status: int, code: str, message: str) -> Response:
    body = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
    return Response(
        status, body.encode(), {"Content-Type": "application/xml", "x-ms-error-code": code}
    )


def _fetch_of(expiry: str) -> int | None:
    try:
        moment = datetime.strptime(expiry, _EXPIRY_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return round((moment - _FIRST_EXPIRY).total_seconds())


def _urls(node: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Where in the document a URL stands: the dictionary and its key."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key.endswith("_url") and isinstance(value, str):
                yield node, key
            else:
                yield from _urls(value)
    elif isinstance(node, list):
        for value in node:
            yield from _urls(value)
