# SPDX-License-Identifier: GPL-3.0-or-later
"""What is let through to Blender's importers, and what is said of the rest."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from csm_retopo.api import image_files, mesh_files
from csm_retopo.api.errors import DamagedFile, MissingFile

VERTICES = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
QUAD = VERTICES + b"f 1 2 3 4\n"

ONE_PIXEL_HEADER = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
ONE_PIXEL = zlib.compress(b"\0\xff\x80\0")


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(header: bytes = ONE_PIXEL_HEADER, data: bytes = ONE_PIXEL) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND")


PNG = png()


def glb(
    description: Any, binary: bytes | None = b"\0" * 16, *, version: int = 2, extra: int = 0
) -> bytes:
    text = description if isinstance(description, bytes) else json.dumps(description).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    if binary is not None:
        body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", version, 12 + len(body) + extra) + body


PIXEL = base64.b64encode(PNG).decode()
GLTF = {
    "asset": {"version": "2.0"},
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 1}],
    "bufferViews": [{"buffer": 0, "byteLength": 16}],
    "buffers": [{"byteLength": 16}],
    "images": [{"uri": f"data:image/png;base64,{PIXEL}"}],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def obj(file: Path, data: bytes) -> mesh_files.ObjText:
    file.write_bytes(data)
    return mesh_files.read_obj(file)


def refusal(check: Any, file: Path, data: bytes) -> str:
    file.write_bytes(data)
    with pytest.raises(DamagedFile) as caught:
        check(file)
    reason = str(caught.value)
    assert str(file) not in reason
    assert not reason.endswith(".")
    return reason


@pytest.mark.parametrize(
    ("data", "vertices", "faces"),
    [
        (QUAD, 4, 1),
        (VERTICES + b"f 1 2 3\nf 1 3 4\n", 4, 2),
        (QUAD.replace(b"\n", b"\r\n"), 4, 1),
        (QUAD.rstrip(b"\n"), 4, 1),
        (QUAD.replace(b" ", b"  "), 4, 1),
        (QUAD.replace(b"\n", b" \t\n"), 4, 1),
        (QUAD.replace(b" ", b"\t").replace(b"\n", b"\x0c\n"), 4, 1),
        (VERTICES + b" \x0b f 1 2 3 4\n", 4, 1),
        (b"# made by hand\no A\n" + QUAD + b"o A\ng b c\ns off\n", 4, 1),
        (VERTICES + b"vt 0 0\nvn 0 0 1\nf 1/1/1 2/1/1 3/1/1\nf 1//1 3//1 4//1\n", 4, 2),
        (VERTICES + b"f -4 -3 -2 -1\n", 4, 1),
        (VERTICES + b"f +1 +2 +3\n", 4, 1),
        (VERTICES + b"f 1 2 3 4 # the only one\n", 4, 1),
        (b"v 0 0 0 # origin\nv 1 0 0\nv 1 1 0\nf 1 2 3", 3, 1),
        (b"v -.5 1. +1e-3 0.5 0.5 0.5\nv 1E+0 0 0 1\nv 1 1.25e-12 3e38\nf 1 2 3\n", 3, 1),
        # Faces of one or two corners make no face in Blender, but do no harm.
        (QUAD + b"f 1\nf 1 2\nl 1 2\n", 4, 1),
    ],
)
def test_obj_is_read(file: Path, data: bytes, vertices: int, faces: int) -> None:
    text = obj(file, data)
    assert (text.vertices, text.faces) == (vertices, faces)
    assert text.data == data


def test_obj_lines_that_go_on_are_joined(file: Path) -> None:
    text = obj(file, VERTICES + b"f 1 2 \\\n3 4\nf 1 \\ \r\n 2 \\\n 3\n")
    assert text.faces == 2
    assert text.data == VERTICES + b"f 1 2   3 4\nf 1   \r  2    3\n"
    assert len(text.data) == file.stat().st_size


def test_obj_loses_its_byte_order_mark(file: Path) -> None:
    text = obj(file, b"\xef\xbb\xbf" + QUAD)
    assert text.data == QUAD
    assert text.vertices == 4


@pytest.mark.parametrize(
    "line",
    [
        b"mtllib ../../secret.mtl",
        b"mtllib \\\\host\\share\\x.mtl",
        b"  \x0c mtllib x.mtl",
        b"\\\nmtllib x.mtl",
        b"s off\rmtllib x.mtl",
        b"o mtllib",
        b"usemtl Skin",
        b"mtlusemtllib x",
        b"mtlmtlliblib x",
        b"usemtusemtll x",
        b"cstype bspline\ndeg 3\ncurv 0 1 1 2 3\nparm u 0 0 0 0",
    ],
)
def test_obj_names_no_other_file_and_no_material(file: Path, line: bytes) -> None:
    text = obj(file, QUAD + line + b"\n")
    assert b"mtllib" not in text.data
    assert b"usemtl" not in text.data
    assert b"parm" not in text.data and b"curv" not in text.data
    assert len(text.data) == file.stat().st_size
    assert text.faces == 1


def test_obj_of_many_materials_is_read_at_once(file: Path) -> None:
    lines = b"".join(b"usemtl m%d\nf 1 2 3 4\n" % number for number in range(40_000))
    assert obj(file, VERTICES + lines).faces == 40_000


def test_obj_longer_than_a_step(file: Path) -> None:
    generator = random.Random(1)
    vertices, faces = 60_000, 50_000
    lines = [
        f"v {generator.uniform(-9, 9):.7f} {generator.gauss(0, 1):.4e} 1" for _ in range(vertices)
    ]
    lines += [f"f {index} {index + 1} {index + 2}" for index in range(1, faces + 1)]
    text = obj(file, "\n".join(lines).encode())
    assert len(text.data) > 2 * mesh_files._STEP_BYTES
    assert (text.vertices, text.faces) == (vertices, faces)


def test_obj_of_ten_megabytes_is_read_in_no_time(file: Path) -> None:
    line = b"v -1.234567 0.123456 -0.000001\n"
    data = line * (5_000_000 // len(line)) + b"f 100001/100001 100002/100002 1/1 7/7\n" * 128_000
    file.write_bytes(data)
    started = time.process_time()
    mesh_files.read_obj(file)
    # It takes 50 ms; a loop over the lines would take twenty times as long.
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "it is a web page, not a mesh"),
        (b"\n <HTML lang='en'>\n", "it is a web page, not a mesh"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code></Error>",
            "it is an XML document, not a mesh",
        ),
        (b'{"message": "Forbidden"}', "it is a JSON document, not a mesh"),
        (gzip.compress(QUAD), "it is a gzip archive, not a mesh"),
        (PNG, "it is a PNG image, not a mesh"),
        (glb(GLTF), "it is a GLB file, not a mesh"),
        (QUAD.decode().encode("utf-16"), "it is UTF-16 text, not a mesh"),
        (QUAD.decode().encode("utf-16-le"), "it is UTF-16 text, not a mesh"),
        (QUAD.decode().encode("utf-16-be"), "it is UTF-16 text, not a mesh"),
        (QUAD + b"\0mtllib x\n", "it is binary data, not a mesh"),
        (bytes(range(1, 256)) * 20 + b"\0", "it is binary data, not a mesh"),
        (random.Random(0).randbytes(5000).replace(b"\0", b"a"), "it is not an OBJ file"),
        (b"Service unavailable\n", "it is not an OBJ file"),
        (b"# nothing\n# at all\n", "it is not an OBJ file"),
        (
            QUAD.replace(b"\n", b"\r"),
            "its lines end in bare carriage returns, which Blender can't read",
        ),
        (b"o A\nf 1 2 3\n", "it holds no vertices"),
        (VERTICES, "it holds no faces"),
        (VERTICES + b"f 1 2\nl 1 2 3\n", "it holds no faces"),
        (QUAD + b"v nan 0 0\n", "it has a coordinate that is not a number"),
        (QUAD + b"v 0 -NaN(ind) 0\n", "it has a coordinate that is not a number"),
        (QUAD + b"v 0 0 inf\n", "it has a coordinate that is not a number"),
        (QUAD + b"v 0 1.#INF 0\n", "it has a coordinate that is not a number"),
        *(
            (QUAD + b"v 1 " + odd + b" 2\n", "it has a coordinate that is not a number")
            for odd in (b"-", b"+", b".", b"-.", b"e5", b"-e5", b".e5", b"1e", b"1e-", b"1/2", b"/")
        ),
        (QUAD + b"v a b c\n", "it has a coordinate that is not a number"),
        (QUAD + b"v 1.2.3 0 0\n", "it has a coordinate that is not a number"),
        (QUAD + b"v 1 2 3\rv 4 5 6\n", "it has a coordinate that is not a number"),
        (QUAD + b"v 1e39 0 0\n", "it has a coordinate that is too large"),
        (QUAD + b"v 0 -3.41E+38 0\n", "it has a coordinate that is too large"),
        (QUAD + b"v 0 0 1e+0400\n", "it has a coordinate that is too large"),
        (QUAD + b"v 0 0 1" + b"0" * 39 + b"\n", "it has a coordinate that is too large"),
        (
            QUAD + b"v 0,5 0,25 1,0\n",
            "it has decimal commas, where an OBJ has decimal points",
        ),
        (QUAD + b"v 1 2\n", "it has a vertex with fewer than three coordinates"),
        (QUAD + b"v\n", "it has a vertex with fewer than three coordinates"),
        (QUAD + b"f 1.5 2 3\n", "it has a face that can't be read"),
        (QUAD + b"f a b c\n", "it has a face that can't be read"),
        (QUAD + b"f 1,2,3\n", "it has a face that can't be read"),
        (QUAD + b"f 1 2 3\rf 2 3 4\n", "it has a face that can't be read"),
        (QUAD + b"# " + b"x" * 262_144 + b"\n", "it has a line that is too long for Blender"),
        (
            VERTICES + b"f 1 2 \\\n" + b"3 4 \\\n" * 60_000 + b"1\n",
            "it has a line that is too long for Blender",
        ),
    ],
)
def test_obj_is_refused(file: Path, data: bytes, reason: str) -> None:
    assert refusal(mesh_files.read_obj, file, data) == reason


@pytest.mark.parametrize(
    "last",
    [
        b"v",
        b"v 1",
        b"v 1 2",
        b"v 1.5 2.5 -",
        b"v 1.5 2.5 3e-",
        b"vn 0 0",
        b"f",
        b"f 1 2",
        b"f 1/1/1 2/1/1 3/",
        b"f 1/1/1 2/1/1 3/1",
        b"f 1//1 2//1 3/",
        b"f -4 -3 -2 -",
    ],
)
def test_obj_that_ends_within_a_statement(file: Path, last: bytes) -> None:
    reason = "it was cut short: some of it is missing"
    assert refusal(mesh_files.read_obj, file, QUAD + last) == reason
    assert refusal(mesh_files.read_obj, file, (QUAD + last).replace(b"\n", b"\r\n")) == reason


@pytest.mark.parametrize("last", [b"v 1 2 3", b"f 1 2 3", b"vt 0.5", b"# end", b"", b" ", b"o A"])
def test_obj_may_end_without_a_newline(file: Path, last: bytes) -> None:
    assert obj(file, QUAD + last).faces >= 1


def test_obj_longest_line(file: Path) -> None:
    longest = b"#" * (mesh_files.OBJ_LINE_LIMIT_BYTES - 1)
    assert obj(file, longest + b"\n" + QUAD + longest + b"\n").faces == 1
    assert obj(file, QUAD + longest).faces == 1
    refusal(mesh_files.read_obj, file, QUAD + longest + b"#")
    refusal(mesh_files.read_obj, file, QUAD + longest + b"#\n" + QUAD)


def test_obj_number_of_many_digits_may_be_small(file: Path) -> None:
    text = obj(
        file, QUAD + b"v 0." + b"0" * 60 + b"1 " + b"0" * 50 + b"7 2\no " + b"7" * 80 + b"\n"
    )
    assert text.vertices == 5


def test_obj_limit(file: Path) -> None:
    file.write_bytes(QUAD)
    assert mesh_files.read_obj(file, limit_bytes=len(QUAD)).faces == 1
    with pytest.raises(DamagedFile, match="larger than"):
        mesh_files.read_obj(file, limit_bytes=len(QUAD) - 1)


@pytest.mark.parametrize("check", [mesh_files.read_obj, mesh_files.read_glb, image_files.check_png])
class TestNoFile:
    """All three open files in the same way."""

    def test_missing(self, tmp_path: Path, check: Any) -> None:
        with pytest.raises(MissingFile, match=r"^it is missing$"):
            check(tmp_path / "nothing")

    def test_folder(self, tmp_path: Path, check: Any) -> None:
        with pytest.raises(DamagedFile, match=r"^it is not a file$"):
            check(tmp_path)

    def test_empty(self, file: Path, check: Any) -> None:
        assert refusal(check, file, b"") == "it is empty"

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_pipe(self, tmp_path: Path, check: Any) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DamagedFile, match=r"^it is not a file$"):
            check(tmp_path / "pipe")


@pytest.mark.parametrize(
    "data",
    [
        glb(GLTF),
        glb({"meshes": [{}]}, None),
        glb({**GLTF, "extensionsRequired": ["KHR_draco_mesh_compression"]}),
        glb(
            {**GLTF, "buffers": [{"byteLength": 16}, {"uri": "data:;base64,AA==", "byteLength": 1}]}
        ),
        # A part of a kind that nobody knows is to be skipped.
        glb(GLTF, extra=12) + struct.pack("<I4s", 4, b"XTRA") + b"\0" * 4,
    ],
)
def test_glb_passes(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    glb = mesh_files.read_glb(file)
    assert glb.data == data
    assert glb.sha256 == hashlib.sha256(data).hexdigest()
    assert not glb.left_out


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>", "it is a web page, not a GLB file"),
        (b"\n{}", "it is a JSON document, not a GLB file"),
        (QUAD, "it is not a GLB file"),
        (b"glTF", "it was cut short: some of it is missing"),
        (glb(GLTF)[:-1], "it was cut short: some of it is missing"),
        (glb(GLTF)[:200], "it was cut short: some of it is missing"),
        (glb(GLTF) + b"\0", "it is longer than it says"),
        (glb(GLTF, version=1), "it is a GLB file of version 1, not 2"),
        (glb(GLTF, extra=4) + b"\0" * 4, "its parts don't fit together"),
        (
            glb(GLTF, extra=8) + struct.pack("<I4s", 99, b"XTRA"),
            "its parts don't fit together",
        ),
        (glb(GLTF).replace(b"JSON", b"NOSJ"), "its parts don't fit together"),
        (glb(GLTF).replace(b"BIN\0", b"JSON"), "its parts don't fit together"),
        (
            glb(GLTF, extra=800_000) + struct.pack("<I4s", 0, b"XTRA") * 100_000,
            "its parts don't fit together",
        ),
        (glb(b'{"meshes": [{}'), "its description can't be read"),
        (glb(b"[" * 20_000), "its description can't be read"),
        (glb(b"\xff\xfe{}"), "its description can't be read"),
        (glb(["meshes"]), "its description can't be read"),
        (glb({"meshes": {"0": {}}}), "its description can't be read"),
        (glb({"meshes": [1]}), "its description can't be read"),
        (glb({"asset": {}}), "it holds no mesh"),
        (glb({**GLTF, "meshes": []}), "it holds no mesh"),
        (
            glb({**GLTF, "buffers": [{"byteLength": 16, "uri": "../x.bin"}]}),
            "it refers to other files",
        ),
        (glb({**GLTF, "images": [{"uri": "/etc/passwd"}]}), "it refers to other files"),
        (glb({**GLTF, "images": [{"uri": "DATA:x"}]}), "it refers to other files"),
        (glb({**GLTF, "images": [{"uri": 7}]}), "it refers to other files"),
        (glb(GLTF, None), "its data are not complete"),
        (glb(GLTF, b"\0" * 12), "its data are not complete"),
    ],
)
def test_glb_is_refused(file: Path, data: bytes, reason: str) -> None:
    assert refusal(mesh_files.read_glb, file, data) == reason
