# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are none, not whole, too large, or not what their name says."""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import dataclass

from .building import jpeg, png, png_chunk, png_header, webp

CUT = "it was cut short"


@dataclass(frozen=True)
class Image:
    """A file named `.png`: its size in pixels if it may be decoded, else why not."""

    content: bytes
    reason: str = ""
    size: tuple[int, int] = (8, 8)


def _zeros(count: int) -> bytes:
    """What unpacks to that many zeros, at a thousandth of their size."""
    packer = zlib.compressobj(9)
    step = bytes(1 << 20)
    packed = b"".join(
        packer.compress(step[: min(len(step), count - at)]) for at in range(0, count, len(step))
    )
    return packed + packer.flush()


def _vast(side: int) -> bytes:
    """A whole black image of that many pixels across and down, one bit each."""
    return png(side, side, depth=1, data=_zeros(side * (1 + -(-side // 8))))


_BOMB = _zeros(64 << 20)
_PIXELS = zlib.compress((b"\0" + b"\x55" * 8) * 8)
_FRAME = struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0)


@functools.cache
def images() -> dict[str, Image]:
    """The corpus, by name."""
    whole = png()
    return {
        "whole": Image(whole),
        "16 bits": Image(png(depth=16, color=6)),
        "1 bit": Image(png(13, 5, depth=1), size=(13, 5)),
        "interlaced": Image(png(13, 5, interlace=1, color=2), size=(13, 5)),
        "interlaced, one pixel": Image(png(1, 1, interlace=1), size=(1, 1)),
        "palette": Image(png(color=3, before=png_chunk(b"PLTE", bytes(768)))),
        "animated": Image(
            png(
                before=png_chunk(b"acTL", struct.pack(">II", 2, 0)) + png_chunk(b"fcTL", _FRAME),
                after=png_chunk(b"fdAT", struct.pack(">I", 1) + _PIXELS),
            )
        ),
        "something behind its end": Image(whole + b"<html>" * 100),
        "more pixels than it says": Image(png(data=zlib.compress(b"\0" * 10_000))),
        "text": Image(png(before=png_chunk(b"tEXt", b"Comment\0" + b"x" * 100_000))),
        "empty": Image(b"", "it is empty"),
        "cut in its header": Image(whole[:20], CUT),
        "cut in its pixels": Image(whole[:50], CUT),
        "without an end": Image(png(end=b""), CUT),
        "half of the end": Image(whole[:-3], CUT),
        "pixels cut, the rest whole": Image(png(data=_PIXELS[:-6]), CUT),
        "half of its rows": Image(png(data=zlib.compress((b"\0" + b"\x55" * 8) * 4)), CUT),
        "pixels that are none": Image(png(data=b"\x78\x9c" + b"\xff" * 20), "can't be unpacked"),
        "pixels that unpack to 64 MB": Image(png(data=_BOMB), "far more than a picture"),
        "pixels of a filter that isn't known": Image(
            png(data=zlib.compress(b"\x05" + b"\0" * 71)), "can't be unpacked"
        ),
        "pixels of such a filter in the last pass": Image(
            png(data=zlib.compress(b"\0" * 70 + b"\x07" + b"\0" * 8), interlace=1),
            "can't be unpacked",
        ),
        "pixels, and no end of them": Image(png(data=zlib.compress(b"\0" * 90)[:-6]), CUT),
        "pixels with a wrong checksum": Image(
            png(data=_PIXELS[:-1] + bytes([_PIXELS[-1] ^ 1])), "can't be unpacked"
        ),
        "pixels here and there": Image(
            png(
                data=_PIXELS[:5],
                after=png_chunk(b"tEXt", b"a\0b") + png_chunk(b"IDAT", _PIXELS[5:]),
            ),
            "don't fit",
        ),
        "a part that must be known and isn't": Image(
            png(before=png_chunk(b"ABCD", b"x")), "don't fit"
        ),
        "a part without a name": Image(png(before=png_chunk(b"\0\0\0\0")), "don't fit"),
        "palette of half a color": Image(
            png(color=3, before=png_chunk(b"PLTE", bytes(4))), "don't fit"
        ),
        "palette behind the pixels": Image(
            png(color=3, after=png_chunk(b"PLTE", bytes(768))), "don't fit"
        ),
        "no pixels": Image(png(data=b""), "it holds no picture"),
        "no palette": Image(png(color=3), "don't fit"),
        "web page": Image(b"<!DOCTYPE html><html></html>", "it is a web page, not a PNG image"),
        "SVG": Image(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG image"),
        "JPEG": Image(jpeg(), "it is a JPEG image"),
        "WebP": Image(webp(), "it is a WebP image"),
        "EXR": Image(b"v/1\x01\x02\0\0\0" + bytes(60), "it is an EXR image"),
        "TIFF": Image(b"II*\0\x08\0\0\0" + bytes(60), "it is a TIFF image"),
        "BMP": Image(b"BM" + bytes(60), "it is binary data"),
        "impossible header": Image(png(depth=3), "header can't be read"),
        "no width": Image(
            whole[:8] + png_chunk(b"IHDR", png_header(0, 8)) + whole[33:], "has no pixels"
        ),
        "negative width": Image(
            whole[:8] + png_chunk(b"IHDR", png_header(0x80000008, 8)) + whole[33:], "too large"
        ),
        "two headers": Image(whole[:33] + whole[8:], "don't fit"),
        "pixels before the header": Image(whole[:8] + whole[33:], "don't fit"),
        "wrong checksum": Image(
            whole[:-12] + png_chunk(b"tEXt", b"a\0b", 7) + whole[-12:], "a checksum is wrong"
        ),
        "chunk longer than the file": Image(
            whole[:33] + struct.pack(">I", 0x7FFFFFFF) + whole[37:], CUT
        ),
        "20,000 x 20,000": Image(_vast(20_000), "it is too large: 20000 x 20000"),
        "50,000 x 50,000": Image(_vast(50_000), "it is too large: 50000 x 50000"),
        "8,192 x 8,192": Image(_vast(8192), size=(8192, 8192)),
        "text that unpacks to 64 MB": Image(
            png(before=png_chunk(b"zTXt", b"Comment\0\0" + _BOMB)), "far more than a picture"
        ),
        "international text that does": Image(
            png(after=png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + _BOMB)), "far more than a picture"
        ),
        "color profile that does": Image(
            png(before=png_chunk(b"iCCP", b"sRGB\0\0" + _BOMB)), "far more than a picture"
        ),
        "many parts": Image(png(before=png_chunk(b"tEXt", b"a\0b") * 250_000), "too many parts"),
    }
