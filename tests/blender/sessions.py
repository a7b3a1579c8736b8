# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny sessions: boxes as OBJ and GLB, plain images, and folders that hold them."""

from __future__ import annotations

import contextlib
import itertools
import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy
import pytest

from bl_ext.user_default.csm_retopo.scene import runner
from standin import StandIn

Size = tuple[float, float, float]

_ids = itertools.count(1)
_CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
# Seen from outside, anticlockwise.
_QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def new_id() -> str:
    """A session ID that no other test uses: the cache outlives a test."""
    return f"SESSION_17000000{next(_ids):02}_1234567"


def obj(size: Size = (1.0, 1.0, 1.0), *, before: str = "", after: str = "") -> bytes:
    """A box of six quads with a corner at the origin, in the OBJ's axes (Y is up)."""
    vertices = [
        "v " + " ".join(f"{place * length:g}" for place, length in zip(corner, size, strict=True))
        for corner in _CORNERS
    ]
    faces = ["f " + " ".join(str(corner + 1) for corner in quad) for quad in _QUADS]
    return "\n".join([before, *vertices, *faces, after, ""]).encode()


def png(width: int = 8, height: int = 8) -> bytes:
    """A grey image."""
    rows = (b"\0" + b"\x80" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def glb(
    size: Size = (1.0, 1.0, 1.0),
    *,
    nodes: Sequence[Mapping[str, Any]] = ({"mesh": 0},),
    texture: bytes | None = None,
) -> bytes:
    """A scene with the same box, of twelve triangles, as mesh 0; the first node is its root."""
    positions = [
        tuple(place * length for place, length in zip(corner, size, strict=True))
        for corner in _CORNERS
    ]
    indices = [corner for a, b, c, d in _QUADS for corner in (a, b, c, a, c, d)]
    parts = [
        b"".join(struct.pack("<3f", *position) for position in positions),
        b"".join(struct.pack("<2f", x, y) for x, y, _ in _CORNERS),
        struct.pack(f"<{len(indices)}H", *indices),
        texture or b"",
    ]
    views, data = [], b""
    for part in parts:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(part)})
        data += part + bytes(-len(part) % 4)
    primitive: dict[str, Any] = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2}
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": list(nodes),
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": views if texture else views[:3],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 8,
                "type": "VEC3",
                "min": [0.0, 0.0, 0.0],
                "max": list(size),
            },
            {"bufferView": 1, "componentType": 5126, "count": 8, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
    }
    if texture:
        primitive["material"] = 0
        gltf["images"] = [{"bufferView": 3, "mimeType": "image/png", "name": "Paint"}]
        gltf["textures"] = [{"source": 0}]
        gltf["materials"] = [
            {"name": "Painted", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
        ]
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    return (
        struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(data), b"BIN\0")
        + data
    )


def document(session_id: str, variations: int = 2, **changes: Any) -> dict[str, Any]:
    """A session as the service describes it; `changes` replace its top-level fields."""
    url = f"https://storage.example/inference-outputs/artist@example.com/{session_id}"
    meshes = [
        {
            "_id": f"ASSET_{number}",
            "name": f"Box retopo {number + 1}",
            "status": "complete",
            "data": {
                "obj_url": f"{url}/retopo_mesh_{number}.obj?sig=CANARY%3D",
                "image_url": f"{url}/retopo_render_{number}.png?sig=CANARY%3D",
            },
        }
        for number in range(variations)
    ]
    source = {"_id": "ASSET_IN", "name": "Box", "data": {"glb_url": f"{url}/mesh.glb?sig=CANARY"}}
    return {
        "_id": session_id,
        "status": "complete",
        "created_at": "2025-05-15T19:19:13.720Z",
        "type": "retopology",
        "input": {"mesh": source, "model": "swift", "quads": True},
        "output": {"meshes": meshes},
        **changes,
    }


def files(variations: int = 2, **changes: bytes | None) -> dict[str, bytes]:
    """The files of `document`: boxes of various sizes. `changes` are by file name, with `_` for
    the dot; None leaves the file out.
    """
    found: dict[str, bytes | None] = {"mesh.glb": glb((1.0, 2.0, 3.0))}
    for number in range(variations):
        found[f"retopo_mesh_{number}.obj"] = obj((1.0 + 0.05 * number, 2.0, 3.0))
        found[f"retopo_render_{number}.png"] = png(8 + number, 8)
    for name, content in changes.items():
        stem, _, suffix = name.rpartition("_")
        found[f"{stem}.{suffix}"] = content
    return {name: content for name, content in found.items() if content is not None}


def write_folder(folder: Path, session: Mapping[str, Any], contents: Mapping[str, bytes]) -> Path:
    """A session folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "session.json").write_text(json.dumps(session), encoding="utf-8")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def new_folder(folder: Path, variations: int = 2, **changes: bytes | None) -> Path:
    """A session folder of its own ID."""
    return write_folder(folder, document(new_id(), variations), files(variations, **changes))


def serve(service: StandIn, count: int, variations: int = 2) -> list[str]:
    """Have the service know so many sessions more; returns their IDs."""
    return [
        service.add_session(document=document(new_id(), variations), files=files(variations))
        for _ in range(count)
    ]


def objects(role: str, session_id: str = "") -> list[bpy.types.Object]:
    """What stands in the open scene in this role, in the session's order."""
    found = [
        each
        for each in bpy.context.scene.objects
        if each.csm_retopo.role == role and session_id in ("", each.csm_retopo.session_id)
    ]
    return sorted(found, key=lambda each: each.csm_retopo.index)


def box(each: bpy.types.Object) -> list[tuple[float, float]]:
    """What an object takes up, along X, Y and Z of the scene."""
    from mathutils import Vector

    bpy.context.view_layer.update()
    corners = [each.matrix_world @ Vector(corner) for corner in each.bound_box]
    return [(min(values), max(values)) for values in zip(*corners, strict=True)]


def _left() -> list[str]:
    threads = [t.name for t in threading.enumerate() if t.name.startswith("csm-retopo")]
    children = []
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            children += [f"process {child}" for child in task.read_text().split()]
    timers = ["timer"] if bpy.app.timers.is_registered(runner._pump) else []
    brought = [*bpy.data.meshes, *bpy.data.images]
    pending = [each.name for each in brought if each.get("csm_retopo_pending")]
    return [*threads, *children, *timers, *pending]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread, process or timer of the extension outlives what was called."""
    yield
    end = time.monotonic() + 1.0
    while (left := _left()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left
