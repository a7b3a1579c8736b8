# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a file before Blender does.

Blender's importers make something of nearly anything: half a mesh of half a file, zeros of what is
no number, nothing at all of a web page, and no error in any case. An OBJ can also make them open
other files. What is let through here is a file of its kind, whole as far as can be seen, and
refers to nothing outside itself.

Every function here can run on any thread; `read_obj` keeps a core and Python's lock busy, so that
it is best called in a process that draws nothing. The sentences of the errors go after a file's
name: "retopo 2: it is empty".
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

from .errors import DamagedFile, MissingFile

OBJ_LIMIT_BYTES = 1 << 30
"""The largest OBJ that is read, some ten million faces: it is held in memory."""

OBJ_LINE_LIMIT_BYTES = 262_144
"""The longest line, with its end, that Blender reads wherever it stands (up to 5.0)."""

PNG_LIMIT_PIXELS = 8192
"""The widest and highest picture: Blender takes seconds and gigabytes for larger ones."""

_GLB_JSON_LIMIT_BYTES = 64 << 20
_GLB_CHUNK_LIMIT = 100

_STEP_BYTES = 1 << 20

_CUT_SHORT = "it was cut short: some of it is missing"


_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"v/1\x01", "an EXR image"),
    (b"%PDF", "a PDF document"),
    (b"glTF", "a GLB file"),
    (b"Kaydara FBX", "an FBX file"),
    (b"BLENDER", "a .blend file"),
    (b"ply\n", "a PLY file"),
    (b"ply\r", "a PLY file"),
)


def _recognise(head: bytes) -> str | None:
    """Return what the first bytes of a file say that it is, in words; None if they don't."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16 text"
    if len(head) >= 16 and any(head[::2]) != any(head[1::2]):
        return "UTF-16 text"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP image"
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return what
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG image"
    if text.startswith((b"<!doctype html", b"<head", b"<body")):
        return "a web page"
    if text.startswith(b"<") and b"<html" in text:
        return "a web page"
    if text.startswith(b"<"):
        return "an XML document"
    if text.startswith((b"{", b"[")):
        return "a JSON document"
    if b"\0" in head:
        return "binary data"
    return None


def _refuse(head: bytes, wanted: str) -> NoReturn:
    """Raise DamagedFile with what the file is instead of what is wanted."""
    what = _recognise(head)
    raise DamagedFile(f"it is {what}, not {wanted}" if what else f"it is not {wanted}")


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file: yield it and its size in bytes.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is empty, can't be read, or is no file (opening a pipe would never return).
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DamagedFile("it is not a file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise DamagedFile("it is empty")
            yield file, size
    except FileNotFoundError:
        raise MissingFile("it is missing") from None
    except OSError as error:
        # The error's own text would hold the path.
        raise DamagedFile(f"it can't be read ({error.strerror or 'input error'})") from error


@dataclass(frozen=True)
class ObjText:
    """An OBJ that Blender may read."""

    data: bytes = field(repr=False)
    """The file's text, which refers to no other file and names no material."""
    vertices: int
    """How many vertices are written in it."""
    faces: int
    """How many faces are written in it, those of fewer than three corners left out.

    Blender drops a face that names a vertex, UV or normal that isn't there, and says nothing: a
    mesh of fewer faces is a part of what was written. Faces may also be fewer for a harmless
    reason: of faces with the same corners one is kept when the importer validates (as it does
    unless told otherwise), and a face that names a vertex twice is made into other faces.
    """


def check_start(path: str | os.PathLike[str], *, is_glb: bool) -> None:
    """See what the beginning of a file tells: that it is something else than an OBJ, or no GLB, or
    not all of one. A moment's work, for what has just arrived; the rest is for `read_obj` and
    `check_glb`.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is something else, empty, or cut short.
    """
    with _opened(path) as (file, size):
        head = file.read(1024)
    if is_glb:
        if not head.startswith(b"glTF"):
            _refuse(head, "a GLB file")
        if size < 12 or size < struct.unpack_from("<I", head, 8)[0]:
            raise DamagedFile(_CUT_SHORT)
    elif _recognise(head):
        _refuse(head, "a mesh")


def read_obj(path: str | os.PathLike[str], *, limit_bytes: int = OBJ_LIMIT_BYTES) -> ObjText:
    """Read and check an OBJ.

    The bytes `mtllib` and `usemtl` are overwritten wherever they stand. Blender opens the file
    that an `mtllib` names, whatever and wherever it is (a pipe hangs it, a network path sends
    the user's credentials on Windows), and a filter for whole lines can be got round; tens of
    thousands of materials keep it busy for minutes. In a name they are harmless, overwritten too.
    Lines that go on in the next are joined, as Blender does unless it happens to read the two in
    different pieces, and a UTF-8 byte order mark, which costs it the first line, is taken off.

    What is not found here: an index that is out of range (compare `ObjText.faces`), faces missing
    after a cut between two lines, and a sign or dot without digits.

    It takes about 5 ms a megabyte, and memory for the file and a little more.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is not an OBJ, holds no vertices or no faces, was cut short, holds
            vertices or faces that can't be read, or lines that Blender can't.
    """
    with _opened(path) as (file, size):
        if size > limit_bytes:
            raise DamagedFile(f"it is larger than {limit_bytes / 1e6:,.0f} MB")
        data = file.read()
    head = data[:1024]
    if _recognise(head) or b"\0" in data:
        _refuse(head if _recognise(head) else b"\0", "a mesh")
    if b"\n" not in data and b"\r" in data:
        raise DamagedFile("its lines end in bare carriage returns, which Blender can't read")

    data = data.removeprefix(b"\xef\xbb\xbf")
    for keyword in (b"mtllib", b"usemtl"):
        if data.rfind(keyword) >= 0:
            data = data.replace(keyword, b"#" * len(keyword))
    if b"\\" in data:
        data = _CONTINUATION.sub(rb" \1 ", data)
    _check_line_lengths(data)
    _check_last_line(data)

    vertices = faces = 0
    known = False
    for form, count in _line_forms(data).items():
        keyword, blank, rest = form.lstrip(b" ").partition(b" ")
        known = known or keyword in _KEYWORDS
        if keyword == b"v":
            _check_vertex_form(rest.split(b" ") if blank else [])
            vertices += count
        elif keyword == b"f" and _face_form_corners(rest.split(b" ") if blank else []) >= 3:
            faces += count
    if not known:
        raise DamagedFile("it is not an OBJ file")
    if not vertices:
        raise DamagedFile("it holds no vertices")
    if not faces:
        raise DamagedFile("it holds no faces")
    return ObjText(data, vertices, faces)


_KEYWORDS = frozenset([b"v", b"vt", b"vn", b"f", b"o", b"g", b"s", b"l", b"p"])

# As Blender does it: backslash, blanks, newline; both ends become spaces.
_CONTINUATION = re.compile(rb"\\([\0-\x09\x0b-\x20]*)\n")

_BLANKS = bytes.maketrans(bytes(range(32)), b" " * 32)

# Digits become 0, E becomes e, and what Blender takes for blanks becomes a space.
_FORM = bytes.maketrans(
    b"123456789E" + bytes(code for code in range(32) if code != 10), b"000000000e" + b" " * 31
)

# The largest float in single precision has 39 digits.
_MANY_DIGITS = b"0" * 39
_SINGLE_MAX = 3.4028235677973366e38

# Up to 1e19, only a number with 19 more digits could be too large. Two patterns that each begin
# with a letter of its own are several times as fast as one for both.
_LARGE_EXPONENTS = {
    b"e+": re.compile(rb"e\+0*(?:[2-9][0-9]|[1-9][0-9]{2})"),
    b"e": re.compile(rb"e0*(?:[2-9][0-9]|[1-9][0-9]{2})"),
}

_NUMBER_FORM = re.compile(rb"[+-]?\.?(?:e[+-]?)?")


def _line_forms(data: bytes) -> Counter[bytes]:
    """Count the lines of each form.

    A line's form is what is left when digits and slashes are taken out, runs of blanks are made
    one and blanks at its end none: `f 1/1 2/2 3/3` and `f 7 8 9` are both `f` and three spaces,
    and `v -0.5 1e-3 2` is `v -. e- ` with the last number empty. A mesh has millions of lines, but
    a few dozen forms, so that only these need to be looked at in Python; all the rest is a handful
    of passes in C. Numbers too large for Blender are looked for on the way.

    Raises DamagedFile.
    """
    forms: Counter[bytes] = Counter()
    start = 0
    while start < len(data):
        end = start + _STEP_BYTES
        if end < len(data):
            end = data.rindex(b"\n", start, end) + 1
        step = data[start:end]
        start = end

        text = step.translate(_FORM, b"\r")
        # What isn't there, rfind misses in a quarter of the time that find, in and replace take.
        if text.rfind(_MANY_DIGITS) >= 0:
            _check_large_numbers(step, re.compile(rb"[0-9]{39}"))
        while text.rfind(b"  ") >= 0:
            text = text.replace(b"  ", b" ")
        if text.rfind(b" \n") >= 0:
            text = text.replace(b" \n", b"\n")
        text = text.rstrip(b" ")
        lines = text.translate(None, b"0/").split(b"\n")
        step_forms = Counter(lines)
        exponents = {
            token[token.index(b"e") :]
            for form in step_forms
            if form.startswith((b"v ", b" v "))
            for token in form.split(b" ")
            if b"e" in token
        }
        for exponent in exponents & _LARGE_EXPONENTS.keys():
            _check_large_numbers(step.lower(), _LARGE_EXPONENTS[exponent])
        forms.update(step_forms)
    return forms


def _check_large_numbers(text: bytes, pattern: re.Pattern[bytes]) -> None:
    """Raise DamagedFile if a coordinate in a line that holds the pattern is too large."""
    found = pattern.search(text)
    while found:
        line_start = text.rfind(b"\n", 0, found.start()) + 1
        line_end = text.find(b"\n", found.end())
        if line_end < 0:
            line_end = len(text)
        keyword, *numbers = text[line_start:line_end].translate(_BLANKS).split() or [b""]
        if keyword == b"v":
            for number in numbers[:3]:
                try:
                    too_large = abs(float(number)) >= _SINGLE_MAX
                except ValueError:
                    continue  # Not a number: its form says so.
                if too_large:
                    raise DamagedFile("it has a coordinate that is too large")
        found = pattern.search(text, line_end)


def _check_vertex_form(tokens: list[bytes]) -> None:
    """Raise DamagedFile unless the form of a vertex is that of three numbers or more."""
    for index, token in enumerate(tokens):
        if _NUMBER_FORM.fullmatch(token):
            continue
        if token.startswith(b"#") and index >= 3:
            return
        if b"," in token:
            raise DamagedFile("it has decimal commas, where an OBJ has decimal points")
        raise DamagedFile("it has a coordinate that is not a number")
    if len(tokens) < 3:
        raise DamagedFile("it has a vertex with fewer than three coordinates")


def _face_form_corners(tokens: list[bytes]) -> int:
    """Return how many corners a face of this form has; raise DamagedFile if it can't be read."""
    for index, token in enumerate(tokens):
        if token.startswith(b"#"):
            return index
        if token.strip(b"+-"):
            raise DamagedFile("it has a face that can't be read")
    return len(tokens)


def _check_line_lengths(data: bytes) -> None:
    start = 0
    while len(data) - start >= OBJ_LINE_LIMIT_BYTES:
        newline = data.rfind(b"\n", start, start + OBJ_LINE_LIMIT_BYTES)
        if newline < 0:
            raise DamagedFile("it has a line that is too long for Blender")
        start = newline + 1


_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CORNER = re.compile(rb"[+-]?[0-9]+((?:/(?:[+-]?[0-9]+)?)*)")


def _check_last_line(data: bytes) -> None:
    """Raise DamagedFile if the text ends in the middle of a statement.

    Many programs write no newline at the end, so that alone says nothing; but a vertex, normal or
    face that isn't complete does.
    """
    if data.endswith(b"\n"):
        return
    keyword, *tokens = data[data.rfind(b"\n") + 1 :].translate(_BLANKS).split() or [b"#"]
    if keyword in (b"v", b"vn"):
        complete = len(tokens) >= 3 and all(map(_NUMBER.fullmatch, tokens[:3]))
        # What is there but isn't a number is for a better sentence than this.
        if not complete and (len(tokens) < 3 or re.fullmatch(rb"[-+.0-9eE]+", tokens[-1])):
            raise DamagedFile(_CUT_SHORT)
    elif keyword == b"f":
        corners = [_CORNER.fullmatch(token) for token in tokens]
        slashes = {re.sub(rb"[^/]", b"", found[1]) for found in corners if found}
        if len(tokens) < 3 or tokens[-1].endswith((b"/", b"-", b"+")) or len(slashes) > 1:
            raise DamagedFile(_CUT_SHORT)


def check_glb(path: str | os.PathLike[str]) -> None:
    """Check a GLB (glTF 2.0, "GLB File Format Specification").

    Only its description is read, not its data. Whether Blender knows the extensions that it
    requires is left to the importer.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is not a GLB of version 2, is not whole, holds no mesh, or refers to other
            files.
    """
    with _opened(path) as (file, size):
        head = file.read(1024)
        if not head.startswith(b"glTF"):
            _refuse(head, "a GLB file")
        if len(head) < 20:
            raise DamagedFile(_CUT_SHORT)
        version, length = struct.unpack_from("<II", head, 4)
        if version != 2:
            raise DamagedFile(f"it is a GLB file of version {version}, not 2")
        if size < length:
            raise DamagedFile(_CUT_SHORT)
        if size > length:
            raise DamagedFile("it is longer than it says")

        text = b""
        binary_bytes = 0
        position = 12
        index = 0
        while position < length:
            file.seek(position)
            header = file.read(8)
            position += 8
            if len(header) < 8:
                raise DamagedFile("its parts don't fit together")
            chunk_bytes, kind = struct.unpack("<I4s", header)
            position += chunk_bytes
            if position > length or (kind == b"JSON") != (index == 0) or index == _GLB_CHUNK_LIMIT:
                raise DamagedFile("its parts don't fit together")
            if index == 0:
                if chunk_bytes > _GLB_JSON_LIMIT_BYTES:
                    raise DamagedFile("its description is too large")
                text = file.read(chunk_bytes)
            elif index == 1 and kind == b"BIN\0":
                binary_bytes = chunk_bytes
            index += 1
    _check_gltf(text, binary_bytes)


def _check_gltf(text: bytes, binary_bytes: int) -> None:
    try:
        gltf = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedFile("its description can't be read") from None
    if not isinstance(gltf, dict):
        raise DamagedFile("its description can't be read")
    if not _dicts(gltf, "meshes"):
        raise DamagedFile("it holds no mesh")
    buffers = _dicts(gltf, "buffers")
    for entry in buffers + _dicts(gltf, "images"):
        uri = entry.get("uri")
        # Upper case would be as good, but Blender takes DATA: for a file's name.
        if uri is not None and not (isinstance(uri, str) and uri.startswith("data:")):
            raise DamagedFile("it refers to other files")
    if buffers and "uri" not in buffers[0] and "extensions" not in buffers[0]:
        wanted = buffers[0].get("byteLength")
        if not isinstance(wanted, int) or wanted > binary_bytes:
            raise DamagedFile("its data are not complete")


def _dicts(gltf: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return a list of objects in a glTF's description; empty if there is none."""
    value = gltf.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DamagedFile("its description can't be read")
    return value


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# The bit depths that each colour type may have.
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def check_png(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Check a PNG (ISO/IEC 15948) and return its width and height in pixels.

    Its chunks are followed to the end and their checksums compared; the picture isn't decoded.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is not a PNG, is not whole, or is larger than 8192 by 8192 pixels.
    """
    with _opened(path) as (file, size):
        head = file.read(1024)
        if not head.startswith(_PNG_SIGNATURE):
            _refuse(head, "a PNG image")
        position = len(_PNG_SIGNATURE)
        width = height = 0
        seen_data = False
        file.seek(position)
        while True:
            header = file.read(8)
            if len(header) < 8:
                raise DamagedFile(_CUT_SHORT)
            chunk_bytes, kind = struct.unpack(">I4s", header)
            position += 12 + chunk_bytes
            if position > size:
                raise DamagedFile(_CUT_SHORT)
            start = _read_png_chunk(file, chunk_bytes, kind)
            if (kind == b"IHDR") != (width == 0):
                raise DamagedFile("its parts don't fit together")
            if kind == b"IHDR":
                width, height = _png_size(start, chunk_bytes)
            elif kind == b"IDAT":
                seen_data = True
            elif kind == b"IEND":
                break
        if not seen_data:
            raise DamagedFile("it holds no picture")
    return width, height


def _read_png_chunk(file: BinaryIO, chunk_bytes: int, kind: bytes) -> bytes:
    """Read a chunk's data and checksum; return the first bytes of its data."""
    checksum = zlib.crc32(kind)
    start = b""
    left = chunk_bytes
    while left:
        piece = file.read(min(left, _STEP_BYTES))
        if not piece:
            raise DamagedFile(_CUT_SHORT)
        start = start or piece[:32]
        checksum = zlib.crc32(piece, checksum)
        left -= len(piece)
    if file.read(4) != checksum.to_bytes(4, "big"):
        raise DamagedFile("it is damaged: a checksum is wrong")
    return start


def _png_size(header: bytes, header_bytes: int) -> tuple[int, int]:
    """Return the width and height that an IHDR chunk gives."""
    if header_bytes != 13:
        raise DamagedFile("its header can't be read")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", header
    )
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise DamagedFile("its header can't be read")
    if not width or not height:
        raise DamagedFile("it has no pixels")
    if width > PNG_LIMIT_PIXELS or height > PNG_LIMIT_PIXELS:
        raise DamagedFile(
            f"it is too large: {width} x {height} pixels, where {PNG_LIMIT_PIXELS} x "
            f"{PNG_LIMIT_PIXELS} is the most"
        )
    return width, height
