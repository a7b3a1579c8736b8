# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds small meshes and images, right or wrong in any detail."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
# Seen from outside, anticlockwise.
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = len(QUADS)
TRIANGLES = 2 * FACES


def obj(*after: str, before: Iterable[str] = (), faces: int = FACES) -> bytes:
    """A box of six quads, or of some of them, with lines before and after."""
    vertices = [f"v {x} {y} {z}" for x, y, z in CORNERS]
    quads = ["f " + " ".join(str(corner + 1) for corner in quad) for quad in QUADS[:faces]]
    return "\n".join([*before, *vertices, *quads, *after, ""]).encode()


def png_chunk(kind: bytes, data: bytes = b"", checksum: int | None = None) -> bytes:
    found = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def png_header(
    width: int, height: int, depth: int = 8, color: int = 0, interlace: int = 0
) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)


def png(
    width: int = 8,
    height: int = 8,
    *,
    depth: int = 8,
    color: int = 0,
    interlace: int = 0,
    data: bytes | None = None,
    before: bytes = b"",
    after: bytes = b"",
    end: bytes | None = None,
) -> bytes:
    """A grey image; `before` and `after` are chunks before and after the pixels', `data` is what
    the pixels unpack from, `end` replaces the last chunk.
    """
    if data is None:
        values = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
        rows = []
        for x, y, across, down in PASSES if interlace else ((0, 0, 1, 1),):
            columns, count = -((x - width) // across), -((y - height) // down)
            if columns > 0 and count > 0:
                rows.append((b"\0" + b"\x55" * -(-columns * depth * values // 8)) * count)
        data = zlib.compress(b"".join(rows))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", png_header(width, height, depth, color, interlace)),
            before,
            png_chunk(b"IDAT", data),
            after,
            png_chunk(b"IEND") if end is None else end,
        ]
    )


PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def jpeg(width: int = 8, height: int = 8) -> bytes:
    """What describes itself as a JPEG of that size; its pixels are none."""
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\x01\x01\x00\x00\x3f\x00"
    return b"".join(
        [
            b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
            b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame,
            b"\xff\xda" + struct.pack(">H", len(scan) + 2) + scan,
            b"\x7f" * 16 + b"\xff\xd9",
        ]
    )


def webp(width: int = 8, height: int = 8) -> bytes:
    """What describes itself as a WebP of that size; its pixels are none."""
    body = b"WEBPVP8 " + struct.pack("<I", 20) + b"\x10\0\0\x9d\x01\x2a"
    body += struct.pack("<HH", width, height) + bytes(10)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pack_glb(
    description: Mapping[str, Any] | bytes, binary: bytes = b"", *, length: int | None = None
) -> bytes:
    """The container; `length` replaces the one in its header."""
    text = description if isinstance(description, bytes) else json.dumps(description).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    whole = 28 + len(text) + len(binary)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, whole if length is None else length),
            struct.pack("<I4s", len(text), b"JSON") + text,
            struct.pack("<I4s", len(binary), b"BIN\0") + binary,
        ]
    )


def gltf(
    *,
    scale: float = 1.0,
    texture: bytes | None = None,
    corners: Sequence[Sequence[float]] = CORNERS,
    indices: Sequence[int] | None = None,
    **changes: Any,
) -> tuple[dict[str, Any], bytes]:
    """The description and the data of a box of twelve triangles; `changes` replace its fields."""
    if indices is None:
        indices = [corner for a, b, c, d in QUADS for corner in (a, b, c, a, c, d)]
    parts = [
        b"".join(struct.pack("<3f", *(scale * place for place in corner)) for corner in corners),
        b"".join(struct.pack("<2f", x, y) for x, y, *_ in CORNERS),
        struct.pack(f"<{len(indices)}H", *indices),
        texture or b"",
    ]
    views, data = [], b""
    for part in parts[: 4 if texture is not None else 3]:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(part)})
        data += part + bytes(-len(part) % 4)
    primitive: dict[str, Any] = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2}
    tree: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": views,
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(corners), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 8, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": len(indices), "type": "SCALAR"},
        ],
    }
    if texture is not None:
        primitive["material"] = 0
        tree["images"] = [{"bufferView": 3, "mimeType": "image/png", "name": "../../Paint"}]
        tree["textures"] = [{"source": 0}]
        tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    return {**tree, **changes}, data


def glb(**options: Any) -> bytes:
    """The same as a file."""
    return pack_glb(*gltf(**options))
