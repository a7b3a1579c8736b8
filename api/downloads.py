# SPDX-License-Identifier: GPL-3.0-or-later
"""One file from the storage host to the disk, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
import urllib3

from .cache import Cache
from .errors import DownloadFailed, LinkExpired, MissingFile
from .transport import Passing, Transport, content_length, raise_for_trouble

CHUNK_BYTES = 2**16
FILE_LIMIT_BYTES = 4 * 2**30

OnBytes = Callable[[int, int | None], None]
"""Called as bytes arrive: how many so far, and how many there will be, or None if that is not
told. It starts again at 0 when a try is repeated."""


def download(
    transport: Transport,
    cache: Cache,
    url: str,
    path: Path,
    *,
    self_checking: bool,
    on_bytes: OnBytes,
) -> str:
    """Fetch `url` to `path` and return its SHA-256 in hex. Blocks: call it on a thread.

    `self_checking` tells that the file's format shows by itself whether it is whole. Another file
    is refused when the server tells neither its length nor its end: it could be a part.

    Raises Cancelled, CacheError, Unreachable, RateLimited, ServerFailure, LinkExpired, MissingFile
    and DownloadFailed.
    """
    return transport.retrying(
        url, lambda: _download_once(transport, cache, url, path, self_checking, on_bytes)
    )


def _download_once(
    transport: Transport, cache: Cache, url: str, path: Path, self_checking: bool, on_bytes: OnBytes
) -> str:
    with transport.get_file(url) as response:
        raise_for_trouble(response)
        if response.status_code == 403:
            raise LinkExpired
        if response.status_code in (404, 410):
            raise MissingFile("the storage host no longer has the file")
        if response.status_code != 200:
            raise DownloadFailed(f"the storage host answered with status {response.status_code}")
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "", "gzip"):
            raise DownloadFailed("it was sent in an encoding that nobody asked for")
        length = content_length(response)
        ends_by_itself = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if length is None and not ends_by_itself and encoding != "gzip" and not self_checking:
            raise DownloadFailed("the storage host does not tell its length, so it may be a part")
        if length is not None and length > FILE_LIMIT_BYTES:
            raise DownloadFailed("it is too large")

        digest = hashlib.sha256()
        received_md5 = hashlib.md5(usedforsecurity=False)
        received = 0
        on_bytes(0, length)
        unpack = _Unzip() if encoding == "gzip" else None
        with cache.writing(path) as file:
            written = 0
            for chunk in _chunks(transport, response):
                received += len(chunk)
                received_md5.update(chunk)
                for piece in unpack.feed(chunk) if unpack else (chunk,):
                    written += len(piece)
                    if written > FILE_LIMIT_BYTES:
                        raise DownloadFailed("it is too large")
                    digest.update(piece)
                    file.write(piece)
                on_bytes(received, length)
            if (length is not None and received != length) or (unpack and not unpack.finished):
                raise _broken()
            expected_md5 = response.headers.get("Content-MD5")
            if expected_md5 and expected_md5 != base64.b64encode(received_md5.digest()).decode():
                raise Passing(DownloadFailed("it was damaged on its way: try again later"))
        return digest.hexdigest()


def _chunks(transport: Transport, response: requests.Response) -> Iterator[bytes]:
    """The body as it is on the wire, chunked transfer undone."""
    try:
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            transport.cancellation.check()
            yield chunk
        transport.cancellation.check()
    except (OSError, urllib3.exceptions.HTTPError):
        transport.cancellation.check()
        raise _broken() from None


def _broken() -> Passing:
    return Passing(
        DownloadFailed(
            "the connection broke before the whole file was there: check the network and try again"
        )
    )


class _Unzip:
    """gzip, a bounded piece at a time: a small body can hold hundreds of megabytes."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    @property
    def finished(self) -> bool:
        return self._inflate.eof and not self._inflate.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inflate.eof:
            raise DownloadFailed("it was sent as gzip, but is not")
        while not self._inflate.eof:
            try:
                piece = self._inflate.decompress(data, CHUNK_BYTES)
            except zlib.error:
                raise DownloadFailed("it was sent as gzip, but is not") from None
            yield piece
            data = self._inflate.unconsumed_tail
            if not data and len(piece) < CHUNK_BYTES:
                return
