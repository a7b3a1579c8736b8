# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at an image before Blender does.

Blender decodes an image on the main thread when something first asks for its size, whatever its
name says that it is: a few megabytes can take it half a minute and ten gigabytes. And it takes an
image that can't be read for one without pixels, and half of one for the whole. What is let through
here is whole, of a bounded size, and of its kind.

Every function here can run on any thread. The sentences of the errors go after a file's name.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import BinaryIO

from .errors import DamagedFile
from .kinds import CUT_SHORT, opened, refuse

LIMIT_PIXELS = 8192
"""The widest and highest picture: Blender takes seconds and gigabytes for larger ones."""

LIMIT_BYTES = 256 << 20
"""The largest image file: it is held in memory."""

_STEP_BYTES = 1 << 20
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK_LIMIT = 200_000
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_EXTRAS = (b"iCCP", b"zTXt", b"iTXt")
_PNG_EXTRA_LIMIT_BYTES = 16 << 20
"""What all texts and color profiles in it may unpack to, and what may follow its pixels."""
_JPEG_SCAN_LIMIT = 100
_BLOATED = "it unpacks to far more than a picture"
_MISFIT = "its parts don't fit together"
_GARBLED = "it is damaged: its pixels can't be unpacked"


def check_png(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Check a PNG (ISO/IEC 15948) and return its width and height in pixels.

    Its chunks are followed to the end, their checksums compared, and its pixels unpacked and
    counted, a piece at a time. A picture of 8192 x 8192 takes a second.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is not a PNG, is not whole, or is larger than 8192 by 8192 pixels.
    """
    with opened(path, LIMIT_BYTES) as (file, size):
        return _check_png(file, size)


def check_image(data: bytes) -> tuple[int, int]:
    """Check a PNG, JPEG or WebP, as the textures of a GLB are; return its width and height.

    Of the latter two, only the description is read and the end looked for.

    Raises DamagedFile.
    """
    if not data:
        raise DamagedFile("it is empty")
    if len(data) > LIMIT_BYTES:
        raise DamagedFile(f"it is larger than {LIMIT_BYTES / 1e6:,.0f} MB")
    if data.startswith(b"\xff\xd8\xff"):
        return _check_jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _check_webp(data)
    return _check_png(io.BytesIO(data), len(data))


def _bounded(width: int, height: int) -> tuple[int, int]:
    if not width or not height:
        raise DamagedFile("it has no pixels")
    if width > LIMIT_PIXELS or height > LIMIT_PIXELS:
        raise DamagedFile(
            f"it is too large: {width} x {height} pixels, where {LIMIT_PIXELS} x {LIMIT_PIXELS} "
            "is the most"
        )
    return width, height


def _check_png(file: BinaryIO, size: int) -> tuple[int, int]:
    head = file.read(1024)
    if not head.startswith(_PNG_SIGNATURE):
        refuse(head, "a PNG image")
    position = len(_PNG_SIGNATURE)
    file.seek(position)
    picture: _Pixels | None = None
    has_palette = False
    before = b""
    extra_bytes = 0
    for _ in range(_PNG_CHUNK_LIMIT):
        header = file.read(8)
        if len(header) < 8:
            raise DamagedFile(CUT_SHORT)
        chunk_bytes, kind = struct.unpack(">I4s", header)
        position += 12 + chunk_bytes
        if position > size:
            raise DamagedFile(CUT_SHORT)
        if not kind.isalpha() or (kind[:1].isupper() and kind not in _PNG_CRITICAL):
            raise DamagedFile(_MISFIT)
        if kind == b"IDAT":
            if picture is None or (picture.began and before != b"IDAT"):
                raise DamagedFile(_MISFIT)
            before = kind
            _read_chunk(file, chunk_bytes, kind, picture)
            continue
        if kind in _PNG_EXTRAS and chunk_bytes > _PNG_EXTRA_LIMIT_BYTES:
            raise DamagedFile(_BLOATED)
        before = kind
        data = _read_chunk(file, chunk_bytes, kind)
        if (kind == b"IHDR") != (picture is None):
            raise DamagedFile(_MISFIT)
        if kind == b"IHDR":
            picture = _Pixels(data, chunk_bytes)
        elif kind == b"IEND":
            break
        elif kind == b"PLTE":
            if has_palette or picture is None or picture.began or chunk_bytes not in _PALETTES:
                raise DamagedFile(_MISFIT)
            has_palette = True
        elif kind in _PNG_EXTRAS:
            extra_bytes += _unpacked_bytes(kind, data)
            if extra_bytes > _PNG_EXTRA_LIMIT_BYTES:
                raise DamagedFile(_BLOATED)
    else:
        raise DamagedFile("it is made of too many parts")
    assert picture is not None
    picture.finish(has_palette)
    return picture.width, picture.height


# The bit depths that each color type of a PNG may have, and how many values a pixel has.
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_VALUES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTES = range(3, 3 * 256 + 1, 3)
"""How long a PNG's palette can be, in bytes."""
_LAST_FILTER = 4
# Where each pass of an interlaced PNG begins, and its steps: x, y, across, down.
_PNG_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


class _Pixels:
    """A PNG's pixels while they are unpacked: how many bytes there are, and must be."""

    def __init__(self, header: bytes, header_bytes: int) -> None:
        if header_bytes != 13:
            raise DamagedFile("its header can't be read")
        width, height, depth, self._color, compression, filtering, interlace = struct.unpack(
            ">IIBBBBB", header
        )
        if depth not in _PNG_DEPTHS.get(self._color, ()) or compression or filtering:
            raise DamagedFile("its header can't be read")
        if interlace > 1:
            raise DamagedFile("its header can't be read")
        self.width, self.height = _bounded(width, height)
        pixel_bits = depth * _PNG_VALUES[self._color]
        self._wanted_bytes = 0
        self._passes: list[tuple[int, int, int]] = []  # each one's begin, end, and bytes of a row
        for x, y, across, down in _PNG_PASSES if interlace else ((0, 0, 1, 1),):
            columns, rows = -((x - width) // across), -((y - height) // down)
            if columns > 0 and rows > 0:
                row_bytes = 1 + -(-columns * pixel_bits // 8)
                begin = self._wanted_bytes
                self._wanted_bytes += rows * row_bytes
                self._passes.append((begin, self._wanted_bytes, row_bytes))
        self._found_bytes = 0
        self.began = False
        self._unpacker = zlib.decompressobj()

    def feed(self, packed: bytes) -> None:
        """Unpack some more. Raises DamagedFile."""
        self.began = True
        try:
            while packed and not self._unpacker.eof:
                piece = self._unpacker.decompress(packed, _STEP_BYTES)
                packed = self._unpacker.unconsumed_tail
                self._check_filters(piece)
                self._found_bytes += len(piece)
                if self._found_bytes > self._wanted_bytes + _PNG_EXTRA_LIMIT_BYTES:
                    raise DamagedFile(_BLOATED)
        except zlib.error:
            raise DamagedFile(_GARBLED) from None

    def _check_filters(self, piece: bytes) -> None:
        """Each row begins with the number of its filter. Raises DamagedFile."""
        for begin, end, row_bytes in self._passes:
            first = max(begin - self._found_bytes, 0)
            first += (begin - self._found_bytes - first) % row_bytes
            if (
                max(piece[first : max(end - self._found_bytes, 0) : row_bytes], default=0)
                > _LAST_FILTER
            ):
                raise DamagedFile(_GARBLED)

    def finish(self, has_palette: bool) -> None:
        """Raise DamagedFile unless all of the picture was there."""
        if not self.began:
            raise DamagedFile("it holds no picture")
        if self._found_bytes < self._wanted_bytes or not self._unpacker.eof:
            raise DamagedFile(CUT_SHORT)
        if self._color == 3 and not has_palette:
            raise DamagedFile(_MISFIT)


def _read_chunk(
    file: BinaryIO, chunk_bytes: int, kind: bytes, picture: _Pixels | None = None
) -> bytes:
    """Read a chunk's data and checksum; return the data of a text or color profile, and the
    beginning of others. With `picture`, all of it is fed to that.
    """
    checksum = zlib.crc32(kind)
    kept: list[bytes] = []
    left = chunk_bytes
    while left:
        piece = file.read(min(left, _STEP_BYTES))
        if not piece:
            raise DamagedFile(CUT_SHORT)
        if not kept or kind in _PNG_EXTRAS:
            kept.append(piece)
        checksum = zlib.crc32(piece, checksum)
        if picture is not None:
            picture.feed(piece)
        left -= len(piece)
    if file.read(4) != checksum.to_bytes(4, "big"):
        raise DamagedFile("it is damaged: a checksum is wrong")
    return b"".join(kept)


def _unpacked_bytes(kind: bytes, data: bytes) -> int:
    """How many bytes a text or color profile unpacks to, counted up to a little over the limit."""
    _, _, rest = data.partition(b"\0")
    if kind == b"iTXt":
        is_packed = rest[:1] == b"\1"
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        if not is_packed:
            return len(data)
    else:
        packed = rest[1:]
    unpacker = zlib.decompressobj()
    found = 0
    try:
        while packed and found <= _PNG_EXTRA_LIMIT_BYTES:
            found += len(unpacker.decompress(packed, _STEP_BYTES))
            packed = unpacker.unconsumed_tail
    except zlib.error:
        pass  # Blender passes over what can't be unpacked.
    return max(found, len(data))


def _check_jpeg(data: bytes) -> tuple[int, int]:
    """Follow a JPEG's segments (ITU T.81) to its pixels, and look for its end behind them."""
    position = 2
    size: tuple[int, int] | None = None
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            raise DamagedFile(CUT_SHORT)
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker == 0xD9:
            raise DamagedFile("it holds no picture")
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if position + 9 > len(data):
                raise DamagedFile(CUT_SHORT)
            height, width = struct.unpack_from(">HH", data, position + 5)
            if size is not None or length < 8:
                raise DamagedFile(_MISFIT)
            size = _bounded(width, height)
        if marker == 0xDA:
            break
        position += 2 + max(length, 2)
    if size is None:
        raise DamagedFile(_MISFIT)
    if data.find(b"\xff\xd9", position) < 0:
        raise DamagedFile(CUT_SHORT)
    # Each goes over all of the picture.
    if data.count(b"\xff\xda", position) > _JPEG_SCAN_LIMIT:
        raise DamagedFile("it is made of too many parts")
    return size


def _check_webp(data: bytes) -> tuple[int, int]:
    """Read a WebP's description (RFC 9649)."""
    if len(data) < 30 or struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise DamagedFile(CUT_SHORT)
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return _bounded(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return _bounded((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        return _bounded(int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1)
    raise DamagedFile("its header can't be read")
