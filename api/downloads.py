# SPDX-License-Identifier: GPL-3.0-or-later
"""One file from the storage host to the disk, whole or not at all.

A try that breaks is not lost: the next goes on where it ended, if the server proves that it still
has the same file (RFC 9110, sections 13.1.5 and 14).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from .cache import Cache
from .errors import CsmError, DownloadFailed, LinkExpired, MissingFile
from .transport import Answer, BodyBroken, Passing, Transport, raise_for_trouble
from .unzip import NotGzip, Unzip

FILE_LIMIT_BYTES = 4 * 2**30

OnBytes = Callable[[int, int | None], None]
"""Called as bytes arrive: how many so far, and how many there will be, or None if that is not
told. It starts again at 0 when a try has to begin anew."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True)
class Downloaded:
    """A file that is whole: its SHA-256 in hex, and the URL that it came from."""

    sha256: str
    url: str


def download(
    transport: Transport,
    cache: Cache,
    url: str,
    path: Path,
    *,
    self_checking: bool,
    on_bytes: OnBytes,
    renew: Callable[[], str],
) -> Downloaded:
    """Fetch `url` to `path`. Blocks: call it on a thread.

    `self_checking` tells that the file's format shows by itself whether it is whole. Another file
    is refused when the server tells neither its length nor its end: it could be a part. `renew` is
    called once if the URL has expired, for another of the same file.

    Raises Cancelled, CacheError, Unreachable, RateLimited, ServerFailure, LinkExpired, MissingFile,
    DownloadFailed, and what `renew` raises.
    """
    with cache.writing(path) as file:
        coming = _Coming(transport, file, self_checking, on_bytes)
        try:
            coming.fetch(url)
        except LinkExpired:
            url = renew()
            coming.fetch(url)
        return Downloaded(coming.sha256, url)


class _Coming:
    """A file as far as it has come, over several tries. `file` is written to from its start."""

    def __init__(
        self, transport: Transport, file: BinaryIO, self_checking: bool, on_bytes: OnBytes
    ) -> None:
        self._transport = transport
        self._file = file
        self._self_checking = self_checking
        self._on_bytes = on_bytes
        self._gained_bytes = 0
        self._start_anew()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def fetch(self, url: str) -> None:
        """Bring what is missing. Raises as `download`."""
        self._transport.retrying(
            url,
            lambda last_s: self._try(url, last_s),
            self._transport.patience.file_s,
            lambda: self._gained_bytes,
        )

    def _start_anew(self) -> None:
        """Forget what has come."""
        self._file.seek(0)
        self._file.truncate()
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._received = 0
        self._written = 0
        self._total: int | None = None
        self._expected_md5: str | None = None
        self._validator: tuple[str, str] | None = None
        self._asked_place = self._place = ("", "")
        self._unzip: Unzip | None = None

    def _try(self, url: str, last_s: float) -> None:
        headers = self._rest_headers(url)
        if headers and not self._request(url, headers, last_s):
            self._start_anew()
            headers = {}
        if not headers:
            self._request(url, headers, last_s)
        self._check_whole()

    def _request(self, url: str, headers: Mapping[str, str], last_s: float) -> bool:
        """Ask for the file, or with these headers for its rest, and take it. Returns False for an
        answer that is not its rest.
        """
        with self._transport.get_file(url, headers, last_s=last_s) as answer:
            raise_for_trouble(answer)
            if answer.status == 403:
                raise LinkExpired
            if answer.status in (404, 410):
                raise MissingFile("the storage host no longer has the file")
            if headers and (answer.status == 416 or not self._is_rest(answer)):
                return False
            if answer.status == 200:
                self._start_anew()
                self._asked_place = _place(url)
                self._begin(answer)
            elif headers and answer.status == 206:
                self._total = self._total or _range(answer)[2]
                md5 = answer.headers.get("x-ms-blob-content-md5")  # Content-MD5 is the part's
                self._expected_md5 = self._expected_md5 or md5
            else:
                raise DownloadFailed(f"the storage host answered with status {answer.status}")
            self._receive(answer)
        return True

    def _rest_headers(self, url: str) -> dict[str, str]:
        """What asks for the rest alone, on condition that the file is still the same; nothing if
        that can't be known.
        """
        if self._validator is None or not self._received or self._asked_place != _place(url):
            return {}
        return {"Range": f"bytes={self._received}-", "If-Range": self._validator[1]}

    def _is_rest(self, answer: Answer) -> bool:
        """Whether a 206 holds exactly the rest of exactly this file; True for what is no 206."""
        if answer.status != 206:
            return True
        assert self._validator is not None
        name, value = self._validator
        if (
            answer.headers.get(name) != value
            or answer.headers.get("Content-Encoding", "identity").lower() not in ("identity", "")
            or self._place != (answer.origin, answer.path)
        ):
            return False
        first, last, total = _range(answer)
        return (
            0 < first == self._received
            and last == total - 1
            and total == (self._total or total)
            and total <= FILE_LIMIT_BYTES
            and answer.length in (None, total - first)
        )

    def _begin(self, answer: Answer) -> None:
        """Note what an answer with the whole file tells of it."""
        encoding = answer.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "", "gzip"):
            raise DownloadFailed("it was sent in an encoding that nobody asked for")
        self._unzip = Unzip() if encoding == "gzip" else None
        if not (answer.shows_its_end or self._unzip or self._self_checking):
            # The connection may have ended within the headers.
            raise Passing(
                DownloadFailed("the storage host does not tell its length, so it may be a part")
            )
        self._total = answer.length
        if self._total is not None and self._total > FILE_LIMIT_BYTES:
            raise DownloadFailed("it is too large")
        self._expected_md5 = answer.headers.get("Content-MD5")
        self._place = (answer.origin, answer.path)
        # gzip is unpacked on its way, and can't go on in the middle.
        self._validator = None if self._unzip else _strong_validator(answer.headers)

    def _receive(self, answer: Answer) -> None:
        self._on_bytes(self._received, self._total)
        try:
            for chunk in answer.chunks():
                self._received += len(chunk)
                self._gained_bytes += len(chunk)
                self._md5.update(chunk)
                for piece in self._unzip.feed(chunk) if self._unzip else (chunk,):
                    self._transport.cancellation.check()
                    self._written += len(piece)
                    if self._written > FILE_LIMIT_BYTES:
                        raise DownloadFailed("it is too large")
                    self._sha256.update(piece)
                    self._file.write(piece)
                self._on_bytes(self._received, self._total)
        except BodyBroken as broken:
            self._transport.cancellation.check()
            raise _broken(is_late=broken.is_late) from None
        except NotGzip:
            raise DownloadFailed("it was sent as gzip, but is not") from None
        self._transport.cancellation.check()

    def _check_whole(self) -> None:
        is_whole = self._total is None or self._received == self._total
        if not is_whole or (self._unzip and not self._unzip.is_whole):
            self._start_anew()
            raise _broken()
        if self._expected_md5:
            received_md5 = base64.b64encode(self._md5.digest()).decode()
            if received_md5 != self._expected_md5:
                self._start_anew()
                raise Passing(DownloadFailed("it was damaged on its way: try again later"))


def _range(answer: Answer) -> tuple[int, int, int]:
    """The first byte of a part, its last, and the length of the whole; zeros if that isn't told."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None:
        return 0, 0, 0
    return int(found[1]), int(found[2]), int(found[3])


def _place(url: str) -> tuple[str, str]:
    """What tells a file of a host from another: not the query, a passing credential."""
    parts = urlsplit(url)
    return parts.netloc, parts.path


def _strong_validator(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """The header by which a server can tell that a file is the same, byte for byte; None if there
    is none. A date is one only if the file could not change again within its second.
    """
    etag = headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e\x80-\xff]*"', etag):
        return "ETag", etag
    modified = headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return ("Last-Modified", modified) if age.total_seconds() >= 1.0 else None


def _broken(*, is_late: bool = False) -> Passing:
    error: CsmError = DownloadFailed(
        "it came too slowly: check the network and try again"
        if is_late
        else "the connection broke before the whole file was there: check the network and try again"
    )
    return Passing(error)
