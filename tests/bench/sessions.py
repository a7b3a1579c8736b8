# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions to measure with: wavy grids as OBJ, noise as PNG, the same at every run."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_LINES_AT_ONCE = 50_000


@dataclass(frozen=True)
class SessionSize:
    """What a session holds. There is no source unless `source_faces` says so."""

    session_id: str
    variations: int
    faces: int
    preview_bytes: int
    source_faces: int = 0


def write_session(folder: Path, size: SessionSize) -> None:
    """Write `session.json` and its files into `folder`, as the stand-in serves them."""
    folder.mkdir(parents=True)
    columns, rows = _grid(size.faces)
    shared = _texture_and_face_lines(columns, rows)
    meshes = []
    for index in range(size.variations):
        random = np.random.default_rng(index + 1)
        with (folder / f"retopo_mesh_{index}.obj").open("wb") as file:
            file.write(b"# variation\no mesh\n")
            file.write(_lines("v %.6f %.6f %.6f\n", _wavy(columns, rows, random)))
            file.write(shared)
        preview = folder / f"retopo_render_{index}.png"
        preview.write_bytes(_noise_png(size.preview_bytes, random))
        meshes.append(
            {
                "_id": f"ASSET_1747336753_{index}",
                "name": f"Wavy retopo {index + 1}",
                "status": "complete",
                "data": {
                    "obj_url": f"https://storage.example/a/retopo_mesh_{index}.obj",
                    "image_url": f"https://storage.example/a/retopo_render_{index}.png",
                },
            }
        )
    document = {
        "_id": size.session_id,
        "status": "complete",
        "created_at": "2025-05-15T19:19:13.000Z",
        "type": "retopology",
        "input": {"model": "swift", "quads": True},
        "output": {"meshes": meshes},
    }
    if size.source_faces:
        (folder / "input_mesh.glb").write_bytes(_glb(size.source_faces))
        document["input"]["mesh"] = {
            "_id": "ASSET_1747336753_9999",
            "name": "Wavy",
            "status": "complete",
            "data": {"glb_url": "https://storage.example/a/input_mesh.glb"},
        }
    (folder / "session.json").write_text(json.dumps(document), encoding="utf-8")


def _grid(faces: int) -> tuple[int, int]:
    """The columns and rows, as many of each as can be, of a grid of exactly that many quads."""
    rows = next(each for each in range(math.isqrt(faces), 0, -1) if faces % each == 0)
    return faces // rows, rows


def _wavy(columns: int, rows: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Vertex positions (N, 3) of a grid over one surface, which each seed follows as nearly as a
    retopology follows its source: within a few thousandths of its size.
    """
    x, z = np.meshgrid(np.linspace(0.0, 1.0, columns + 1), np.linspace(0.0, 1.0, rows + 1))
    phase = random.uniform(0.0, 2 * math.pi, 2)
    own = 0.003 * np.sin(31.0 * x + phase[0]) * np.cos(23.0 * z + phase[1])
    y = 0.1 * np.sin(9.0 * x + 0.5) * np.cos(7.0 * z + 1.0) + own
    positions = np.stack([x, z, y], axis=-1).reshape(-1, 3)
    return positions + random.uniform(-0.1, 0.1, positions.shape) / max(columns, rows)


def _corners(columns: int, rows: int) -> npt.NDArray[np.intp]:
    """The vertices of each quad (N, 4), counted from 0."""
    first = np.arange((columns + 1) * (rows + 1)).reshape(rows + 1, columns + 1)
    quads = np.stack([first[:-1, :-1], first[:-1, 1:], first[1:, 1:], first[1:, :-1]], axis=-1)
    return quads.reshape(-1, 4)


def _texture_and_face_lines(columns: int, rows: int) -> bytes:
    u, v = np.meshgrid(np.linspace(0.0, 1.0, columns + 1), np.linspace(0.0, 1.0, rows + 1))
    texture = np.stack([u, v], axis=-1).reshape(-1, 2)
    faces = np.repeat(_corners(columns, rows) + 1, 2, axis=1)
    return (
        _lines("vt %.6f %.6f\n", texture) + b"s 1\n" + _lines("f %d/%d %d/%d %d/%d %d/%d\n", faces)
    )


def _lines(form: str, rows: npt.NDArray[np.float64] | npt.NDArray[np.intp]) -> bytes:
    """Each row of an array as one line."""
    blocks = (rows[start : start + _LINES_AT_ONCE] for start in range(0, len(rows), _LINES_AT_ONCE))
    text = ((form * len(block)) % tuple(block.ravel().tolist()) for block in blocks)
    return "".join(text).encode()


def _noise_png(size_bytes: int, random: np.random.Generator) -> bytes:
    """A square RGB image of about that size: noise can't be compressed."""
    side = max(1, math.isqrt(size_bytes // 3))
    pixels = random.integers(0, 256, (side, 1 + 3 * side), dtype=np.uint8)
    pixels[:, 0] = 0  # each row begins with its filter, here none
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [
        _png_chunk(b"IHDR", header),
        _png_chunk(b"IDAT", zlib.compress(pixels.tobytes(), 1)),
        _png_chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _glb(faces: int) -> bytes:
    """A triangulated wavy grid of about that many triangles."""
    columns, rows = _grid(faces // 2)
    positions = _wavy(columns, rows, np.random.default_rng(0)).astype("<f4")
    quads = _corners(columns, rows).astype("<u4")
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    parts = [triangles.tobytes(), positions.tobytes()]
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "Wavy"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "buffers": [{"byteLength": len(parts[0]) + len(parts[1])}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(parts[0])},
            {"buffer": 0, "byteOffset": len(parts[0]), "byteLength": len(parts[1])},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5125, "count": triangles.size, "type": "SCALAR"},
            {
                "bufferView": 1,
                "componentType": 5126,
                "count": len(positions),
                "type": "VEC3",
                "min": positions.min(axis=0).tolist(),
                "max": positions.max(axis=0).tolist(),
            },
        ],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(parts)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body
