# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutants of files: the same ones for the same seed, so that a number finds one again."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

TOKENS = (
    *(
        b"v ",
        b"f ",
        b"vt ",
        b"vn ",
        b"o ",
        b"g ",
        b"s off",
        b"l ",
        b"mtllib x",
        b"usemtl x",
        b"\\\n",
    ),
    *(b"nan", b"inf", b"1e39", b"1e-400", b"-0", b"0,5", b"1.5", b"--1", b"2147483648", b"9" * 60),
    *(b"\0", b"\r", b"\n", b"\t", b"\x0c", b" ", b"/", b"//", b"#", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b'"uri":"../x"', b"data:", b";base64,", b"{", b"}", b"[", b"null", b"-1", b"NaN", b"1e999"),
    *(b"IHDR", b"IDAT", b"IEND", b"PLTE", b"zTXt", b"iCCP", b"\0\0\0\0", b"\xff\xff\xff\xff"),
    *(b"curv 0 1 1 2", b"cstype bspline", b"parm u 0 1", b"end", b"csm-retopo:{}"),
)


def mutants(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many mutants of the seeds."""
    randomness = random.Random(seed)
    for _ in range(count):
        yield mutant(seeds, randomness)


def mutant(seeds: Sequence[bytes], randomness: random.Random) -> bytes:
    data = randomness.choice(seeds)
    for _ in range(randomness.choice((1, 1, 1, 2, 3, 8))):
        data = randomness.choice(_WAYS)(data, seeds, randomness)
    if data.startswith(b"glTF") and len(data) >= 20 and randomness.random() < 0.8:
        data = data[:8] + struct.pack("<I", len(data)) + data[12:]
    if data.startswith(b"\x89PNG") and randomness.random() < 0.8:
        data = _with_checksums(data)
    return data[: 1 << 20]


_Way = Callable[[bytes, Sequence[bytes], random.Random], bytes]


def _span(data: bytes, randomness: random.Random, most: int = 64) -> tuple[int, int]:
    start = randomness.randrange(len(data) + 1)
    return start, min(start + randomness.randrange(most), len(data))


def _flip(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    if not data:
        return data
    at = randomness.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << randomness.randrange(8)]) + data[at + 1 :]


def _insert(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    at = randomness.randrange(len(data) + 1)
    return data[:at] + randomness.choice(TOKENS) + data[at:]


def _replace(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    start, end = _span(data, randomness, 12)
    return data[:start] + randomness.choice(TOKENS) + data[end:]


def _remove(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    start, end = _span(data, randomness)
    return data[:start] + data[end:]


def _cut(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    return data[: randomness.randrange(len(data) + 1)]


def _repeat(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    start, end = _span(data, randomness)
    return data[:end] + data[start:end] * randomness.choice((1, 2, 50)) + data[end:]


def _splice(data: bytes, seeds: Sequence[bytes], randomness: random.Random) -> bytes:
    other = randomness.choice(seeds)
    start, end = _span(other, randomness, 400)
    at = randomness.randrange(len(data) + 1)
    return data[:at] + other[start:end] + data[at:]


def _number(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    """Four bytes become a number that is likely to hurt."""
    at = randomness.randrange(len(data) + 1)
    value = randomness.choice((0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 31) - 1, (1 << 32) - 1))
    return data[:at] + struct.pack(randomness.choice(("<I", ">I")), value) + data[at + 4 :]


def _digits(data: bytes, _: Sequence[bytes], randomness: random.Random) -> bytes:
    """A digit of the text becomes another number."""
    places = [at for at, code in enumerate(data[:20_000]) if 48 <= code <= 57]
    if not places:
        return data
    at = randomness.choice(places)
    text = randomness.choice((b"0", b"-1", b"9", b"99", b"4294967296", b"1e9", b".", b"7.5"))
    return data[:at] + text + data[at + 1 :]


_WAYS: tuple[_Way, ...] = (
    *(_flip, _insert, _replace, _remove, _cut, _repeat, _splice, _number, _digits, _digits),
)


def _with_checksums(data: bytes) -> bytes:
    """A PNG with the checksums that its chunks should have, as far as they can be followed."""
    position = 8
    made = [data[:8]]
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        body = data[position + 4 : end]
        made += [data[position : position + 4], body, struct.pack(">I", zlib.crc32(body))]
        position = end + 4
    return b"".join([*made, data[position:]])
