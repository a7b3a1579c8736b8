# SPDX-License-Identifier: GPL-3.0-or-later
"""gzip, for servers that send it though nobody asked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE_BYTES = 2**16
MOST_TIMES_LARGER = 100
"""Meshes and sessions are 3 to 20 times as large unpacked; gzip can do 1000."""
SMALL_BYTES = 8 * 2**20
"""Up to here that doesn't matter."""


class NotGzip(Exception):
    """It is not gzip, goes on behind its end, or is far larger than what it holds can be."""


class Unzip:
    """Unpacks a bounded piece at a time: a small body can hold hundreds of megabytes."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._packed_bytes = 0
        self._bytes = 0

    @property
    def is_whole(self) -> bool:
        """Whether the end was reached, and nothing came behind it."""
        return self._inflate.eof and not self._inflate.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes unpack to. Raises NotGzip."""
        if self._inflate.eof:
            raise NotGzip
        self._packed_bytes += len(data)
        while not self._inflate.eof:
            try:
                piece = self._inflate.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise NotGzip from None
            self._bytes += len(piece)
            yield piece
            if self._bytes > max(SMALL_BYTES, MOST_TIMES_LARGER * self._packed_bytes):
                raise NotGzip
            data = self._inflate.unconsumed_tail
            if not data and len(piece) < PIECE_BYTES:
                return
