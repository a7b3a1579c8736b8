# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of a file that was let through, found out in another, slower way."""

from __future__ import annotations

import json
import math
import re
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from csm_retopo.api import image_files, mesh_files
from csm_retopo.api.errors import FileError

LIMIT_PIXELS = 8192


def check_obj(path: Path) -> bool:
    """Read an OBJ; whether it was let through. Raises AssertionError, and whatever escapes."""
    try:
        text = mesh_files.read_obj(path)
    except FileError as error:
        _check_sentence(error, path)
        return False
    for keyword in (b"mtllib", b"usemtl", b"cstype", b"curv", b"parm"):
        assert keyword not in text.data
    assert b"\0" not in text.data and b"\\\n" not in text.data
    vertices = faces = 0
    for line in text.data.split(b"\n"):
        assert len(line) < 262_144
        keyword, *tokens = line.translate(_BLANKS).split() or [b""]
        if keyword == b"v":
            numbers = [float(each) for each in tokens[:3]]
            assert len(numbers) == 3
            assert all(math.isfinite(struct.unpack("<f", struct.pack("<f", n))[0]) for n in numbers)
            vertices += 1
        elif keyword == b"f":
            corners = 0
            for token in tokens:
                if b"#" in token:
                    break
                assert not token.strip(b"0123456789+-/"), token
                corners += 1
            faces += corners >= 3
    # `f1 2 3` is no face, and counted as one: then the mesh is said to be incomplete.
    assert text.vertices >= vertices and text.faces >= faces
    if not _GLUED.search(text.data):
        assert (text.vertices, text.faces) == (vertices, faces)
    return True


_GLUED = re.compile(rb"(?:^|\n)[\0-\x20]*(?:[vf][0-9/]|[0-9/]+[vf]?)")
_BLANKS = bytes.maketrans(bytes(range(32)), b" " * 32)


def check_glb(path: Path) -> bool:
    """Read a GLB; the same."""
    try:
        glb = mesh_files.read_glb(path)
    except FileError as error:
        _check_sentence(error, path)
        return False
    data = bytes(glb.data)
    assert struct.unpack_from("<I", data, 8)[0] == len(data)
    (length,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + length])
    for each in [*tree.get("buffers", []), *tree.get("images", [])]:
        uri = each.get("uri")
        assert uri is None or (uri.startswith("data:") and ";base64," in uri)
    assert 0 <= glb.faces <= 50_000_000
    return True


def check_png(path: Path) -> bool:
    """Check a PNG; the same."""
    try:
        width, height = image_files.check_png(path)
    except FileError as error:
        _check_sentence(error, path)
        return False
    assert struct.unpack_from(">II", path.read_bytes(), 16) == (width, height)
    assert 0 < width <= LIMIT_PIXELS and 0 < height <= LIMIT_PIXELS
    return True


def check_texture(path: Path) -> bool:
    """Check an image of any kind; the same."""
    try:
        width, height = image_files.check_image(path.read_bytes())
    except FileError as error:
        _check_sentence(error, path)
        return False
    assert 0 < width <= LIMIT_PIXELS and 0 < height <= LIMIT_PIXELS
    return True


def _check_sentence(error: FileError, path: Path) -> None:
    said = str(error)
    assert said and not said.endswith(".") and str(path) not in said and len(said) < 200, said


Check = Callable[[Path], bool]


def check_bytes(check: Check, data: bytes) -> bool:
    """The same for a file that holds this."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return check(Path(file.name))
