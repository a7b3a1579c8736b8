# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a file before Blender does.

Blender's importers make something of nearly anything: half a mesh of half a file, zeros of what is
no number, nothing at all of a web page, and no error in any case. An OBJ or GLB can also make them
open other files. What is let through here is a file of its kind, whole as far as can be seen, and
refers to nothing outside itself.

Every function here can run on any thread; `read_obj` keeps a core and Python's lock busy, so that
it is best called in a process that draws nothing. The sentences of the errors go after a file's
name: "retopo 2: it is empty".
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .errors import DamagedFile
from .image_files import check_image
from .kinds import CUT_SHORT, opened, recognise, refuse

OBJ_LIMIT_BYTES = 1 << 30
"""The largest OBJ that is read, some ten million faces: it is held in memory."""

OBJ_LINE_LIMIT_BYTES = 262_144
"""The longest line, with its end, that Blender reads wherever it stands (up to 5.0)."""

GLB_LIMIT_BYTES = 1 << 30
"""The largest GLB that is read; it is held in memory, too."""

_GLB_JSON_LIMIT_BYTES = 64 << 20
_GLB_FACE_LIMIT = 50_000_000
_GLB_CHUNK_LIMIT = 100

_STEP_BYTES = 1 << 20

_MISFIT = "its parts don't fit together"
_UNREADABLE = "its description can't be read"
_NO_NUMBER = "it has a coordinate that is not a number"
_NO_FACE = "it has a face that can't be read"
_INCOMPLETE = "its data are not complete"


@dataclass(frozen=True)
class ObjText:
    """An OBJ that Blender may read."""

    data: bytes = field(repr=False)
    """The file's text, which refers to no other file and names no material."""
    vertices: int
    """How many vertices are written in it."""
    sha256: str
    """Of the file as it was."""
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
    `read_glb`.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is something else, empty, or cut short.
    """
    with opened(path, max(OBJ_LIMIT_BYTES, GLB_LIMIT_BYTES)) as (file, size):
        head = file.read(1024)
    if is_glb:
        if not head.startswith(b"glTF"):
            refuse(head, "a GLB file")
        if size < 12 or size < struct.unpack_from("<I", head, 8)[0]:
            raise DamagedFile(CUT_SHORT)
    elif recognise(head):
        refuse(head, "a mesh")


def read_obj(path: str | os.PathLike[str], *, limit_bytes: int = OBJ_LIMIT_BYTES) -> ObjText:
    """Read and check an OBJ.

    The bytes of some keywords are overwritten wherever they stand. Blender opens the file that an
    `mtllib` names, whatever and wherever it is (a pipe hangs it, a network path sends the user's
    credentials on Windows), and a filter for whole lines can be got round; tens of thousands of
    materials keep it busy for minutes; the `parm` of a curve can make it write beyond its memory
    (seen in 4.5 to 5.2). In a name they are harmless, and overwritten too. Lines that go on in the
    next are joined, as Blender does unless it happens to read the two in different pieces, and a
    UTF-8 byte order mark, which costs it the first line, is taken off.

    What is not found here: an index that is out of range (compare `ObjText.faces`), and faces
    missing after a cut between two lines.

    It takes about 12 ms a megabyte, and memory for the file and a little more.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is not an OBJ, holds no vertices or no faces, was cut short, holds
            vertices or faces that can't be read, or lines that Blender can't.
    """
    with opened(path, limit_bytes) as (file, _):
        data = file.read()
    sha256 = hashlib.sha256(data).hexdigest()
    head = data[:1024]
    if recognise(head) or b"\0" in data:
        refuse(head if recognise(head) else b"\0", "a mesh")
    if b"\n" not in data and b"\r" in data:
        raise DamagedFile("its lines end in bare carriage returns, which Blender can't read")

    data = data.removeprefix(b"\xef\xbb\xbf")
    for keyword in _OVERWRITTEN:
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
    return ObjText(data, vertices, sha256, faces)


_OVERWRITTEN = (b"mtllib", b"usemtl", b"cstype", b"curv", b"parm")
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

    A line's form is what is left when digits are taken out, runs of blanks are made one and blanks
    at its end none: `f 1/1 2/2 3/3` and `f 7/8 8/9 9/9` are both `f / / /`, and `v -0.5 1e-3 2` is
    `v -. e- ` with the last number empty. A mesh has millions of lines, but a few dozen forms, so
    that only these need to be looked at in Python; all the rest is a handful of passes in C.
    Numbers that Blender can't read are looked for on the way.

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

        text = step.translate(_FORM)
        # What isn't there, rfind misses in a quarter of the time that find, in and replace take.
        if text.rfind(_MANY_DIGITS) >= 0:
            _check_large_numbers(step, re.compile(rb"[0-9]{39}"))
        while text.rfind(b"  ") >= 0:
            text = text.replace(b"  ", b" ")
        if text.rfind(b" \n") >= 0:
            text = text.replace(b" \n", b"\n")
        text = text.rstrip(b" ")
        _check_odd_numbers(text)
        lines = text.translate(None, b"0").split(b"\n")
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


# What numbers without digits begin and end with, or those with a sign in the middle; most are
# nowhere in a file.
_ODD_NUMBERS = (
    *(b"0-", b"0+", b".-", b".+"),
    *(b" - ", b" -\n", b" + ", b" +\n", b" . ", b" .\n", b"-. ", b"-.\n", b"+. ", b"+.\n"),
    *(b" e", b"-e", b"+e", b" .e", b"-.e", b"+.e"),
    *(b"e ", b"e\n", b"e- ", b"e-\n", b"e+ ", b"e+\n"),
)


def _check_odd_numbers(text: bytes) -> None:
    """Raise DamagedFile if a vertex or face has a sign, dot or exponent without digits or in the
    middle of some, in text whose digits and blanks are all the same.
    """
    text += b"\n"
    for odd in _ODD_NUMBERS:
        found = text.rfind(odd)
        while found >= 0:
            line_start = text.rfind(b"\n", 0, found + 1) + 1
            line = text[line_start : text.find(b"\n", found + 1)]
            keyword, *numbers = line.partition(b"#")[0].split() or [b""]
            if keyword == b"v" and not all(map(_NUMBER.fullmatch, numbers)):
                raise DamagedFile(_NO_NUMBER)
            if keyword == b"f" and not all(map(_CORNER.fullmatch, numbers)):
                raise DamagedFile(_NO_FACE)
            found = text.rfind(odd, 0, line_start) if line_start else -1


def _check_vertex_form(tokens: list[bytes]) -> None:
    """Raise DamagedFile unless the form of a vertex is that of three numbers or more."""
    for index, token in enumerate(tokens):
        if _NUMBER_FORM.fullmatch(token):
            continue
        if token.startswith(b"#") and index >= 3:
            return
        if b"," in token:
            raise DamagedFile("it has decimal commas, where an OBJ has decimal points")
        raise DamagedFile(_NO_NUMBER)
    if len(tokens) < 3:
        raise DamagedFile("it has a vertex with fewer than three coordinates")


def _face_form_corners(tokens: list[bytes]) -> int:
    """Return how many corners a face of this form has; raise DamagedFile if it can't be read."""
    for index, token in enumerate(tokens):
        if token.startswith(b"#"):
            return index
        if token.strip(b"+-/"):
            raise DamagedFile(_NO_FACE)
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
            raise DamagedFile(CUT_SHORT)
    elif keyword == b"f":
        corners = [_CORNER.fullmatch(token) for token in tokens]
        slashes = {re.sub(rb"[^/]", b"", found[1]) for found in corners if found}
        if len(tokens) < 3 or tokens[-1].endswith((b"/", b"-", b"+")) or len(slashes) > 1:
            raise DamagedFile(CUT_SHORT)


@dataclass(frozen=True)
class Glb:
    """A GLB that Blender may read."""

    data: bytes | bytearray = field(repr=False)
    """The file, which refers to no other file, and without the textures that are left out."""
    sha256: str
    """Of the file as it was."""
    faces: int
    """How many triangles are written in it, for every place where a mesh stands."""
    left_out: tuple[str, ...]
    """For each texture that is left out, what is wrong with it."""


def read_glb(path: str | os.PathLike[str], *, limit_bytes: int = GLB_LIMIT_BYTES) -> Glb:
    """Read and check a GLB (glTF 2.0, "GLB File Format Specification").

    Its textures are checked, too: Blender keeps them as they are, and decodes them when they are
    first seen. Whether Blender knows the extensions that it requires is left to the importer, and
    whether the coordinates are numbers to whoever reads them.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is not a GLB of version 2, is not whole, holds no mesh, refers to other
            files or to parts of itself that aren't there, or unpacks to too much.
    """
    with opened(path, limit_bytes) as (file, size):
        head = file.read(1024)
        if not head.startswith(b"glTF"):
            refuse(head, "a GLB file")
        if len(head) < 20:
            raise DamagedFile(CUT_SHORT)
        version, length = struct.unpack_from("<II", head, 4)
        if version != 2:
            raise DamagedFile(f"it is a GLB file of version {version}, not 2")
        if size < length:
            raise DamagedFile(CUT_SHORT)
        if size > length:
            raise DamagedFile("it is longer than it says")
        file.seek(0)
        data = file.read(length)
    if len(data) < length:
        raise DamagedFile(CUT_SHORT)
    text, binary = _glb_chunks(data)
    gltf = _Gltf(text, binary)
    faces = gltf.check()
    left_out = gltf.leave_out_textures()
    sha256 = hashlib.sha256(data).hexdigest()
    return Glb(_new_glb(gltf.tree, binary) if left_out else data, sha256, faces, left_out)


def _glb_chunks(data: bytes) -> tuple[bytes, memoryview]:
    """The description and the binary data of a GLB."""
    text, binary = b"", memoryview(b"")
    position = 12
    index = 0
    while position < len(data):
        if position + 8 > len(data):
            raise DamagedFile(_MISFIT)
        chunk_bytes, kind = struct.unpack_from("<I4s", data, position)
        start = position + 8
        position = start + chunk_bytes
        if position > len(data) or (kind == b"JSON") != (index == 0) or index == _GLB_CHUNK_LIMIT:
            raise DamagedFile(_MISFIT)
        if index == 0:
            if chunk_bytes > _GLB_JSON_LIMIT_BYTES:
                raise DamagedFile("its description is too large")
            text = data[start:position]
        elif index == 1 and kind == b"BIN\0":
            binary = memoryview(data)[start:position]
        index += 1
    return text, binary


def _new_glb(tree: dict[str, Any], binary: memoryview) -> bytearray:
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    glb = bytearray(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary)))
    glb += struct.pack("<I4s", len(text), b"JSON") + text
    glb += struct.pack("<I4s", len(binary), b"BIN\0")
    glb += binary
    return glb


_GLTF_FLOAT = 5126
_GLTF_VALUE_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_GLTF_VALUES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


class _Gltf:
    """A GLB's description, and the data that it describes. Everything raises DamagedFile."""

    def __init__(self, text: bytes, binary: memoryview) -> None:
        try:
            # As Blender's importer does: UTF-8, and no NaN.
            tree = json.loads(text.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise DamagedFile(_UNREADABLE) from None
        if not isinstance(tree, dict):
            raise DamagedFile(_UNREADABLE)
        self.tree: dict[str, Any] = tree
        self._binary = binary
        self._buffers: list[memoryview] = []

    def check(self) -> int:
        """Check all but the textures; return how many triangles there are."""
        if not self._list("meshes"):
            raise DamagedFile("it holds no mesh")
        for entry in self._list("buffers") + self._list("images"):
            _check_uri(entry.get("uri"))
        for number, buffer in enumerate(self._list("buffers")):
            self._buffers.append(self._buffer(number, buffer))
        for view in self._list("bufferViews"):
            self._view(view)
        for accessor in self._list("accessors"):
            self._check_accessor(accessor)
        self._check_positions()
        return self._triangles()

    def leave_out_textures(self) -> tuple[str, ...]:
        """Take the images that Blender can't or shouldn't read out of the textures that have them;
        return what is wrong with each.
        """
        bad: dict[int, str] = {}
        for number, image in enumerate(self._list("images")):
            try:
                check_image(self._image_data(image))
            except DamagedFile as error:
                bad[number] = str(error)
        if not bad:
            return ()
        for texture in self._list("textures"):
            holders = [texture]
            if isinstance(extensions := texture.get("extensions"), dict):
                holders += [each for each in extensions.values() if isinstance(each, dict)]
            for holder in holders:
                source = holder.get("source")
                if isinstance(source, int) and source in bad:
                    del holder["source"]
        return tuple(bad.values())

    def _list(self, key: str) -> list[dict[str, Any]]:
        """A list of objects; empty if there is none."""
        value = self.tree.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise DamagedFile(_UNREADABLE)
        return value

    def _buffer(self, number: int, buffer: dict[str, Any]) -> memoryview:
        wanted = _count(buffer.get("byteLength"))
        uri = buffer.get("uri")
        if uri:
            data = memoryview(_uri_data(uri))
        elif number == 0:
            data = self._binary
        elif "extensions" in buffer:
            return memoryview(b"")  # of compressed data, which stand elsewhere
        else:
            data = memoryview(b"")
        if wanted > len(data) and "extensions" not in buffer:
            raise DamagedFile(_INCOMPLETE)
        return data

    def _view(self, view: dict[str, Any]) -> memoryview:
        number = _count(view.get("buffer"))
        start, length = _count(view.get("byteOffset", 0)), _count(view.get("byteLength"))
        stride = view.get("byteStride")
        if stride is not None and not 0 <= _count(stride) <= 252:
            raise DamagedFile(_UNREADABLE)
        if number >= len(self._buffers):
            raise DamagedFile(_INCOMPLETE)
        if start + length > len(self._buffers[number]):
            if "extensions" in view:
                return memoryview(b"")
            raise DamagedFile(_INCOMPLETE)
        return self._buffers[number][start : start + length]

    def _view_of(self, number: Any) -> dict[str, Any]:
        views = self._list("bufferViews")
        if _count(number) >= len(views):
            raise DamagedFile(_INCOMPLETE)
        return views[number]

    def _check_accessor(self, accessor: dict[str, Any]) -> None:
        count = _count(accessor.get("count"))
        kind: tuple[Any, Any] = accessor.get("componentType"), accessor.get("type")
        if not all(isinstance(each, Hashable) for each in kind):
            raise DamagedFile(_UNREADABLE)
        value_bytes, values = _GLTF_VALUE_BYTES.get(kind[0]), _GLTF_VALUES.get(kind[1])
        if value_bytes is None or values is None:
            raise DamagedFile(_UNREADABLE)
        element_bytes = value_bytes * values
        if count * element_bytes > GLB_LIMIT_BYTES:
            raise DamagedFile("it unpacks to too much")
        if (number := accessor.get("bufferView")) is None or not count:
            return
        view = self._view_of(number)
        stride = view.get("byteStride") or element_bytes
        end = _count(accessor.get("byteOffset", 0)) + (count - 1) * stride + element_bytes
        if end > view["byteLength"] and "extensions" not in view:
            raise DamagedFile(_INCOMPLETE)

    def _check_positions(self) -> None:
        """Of coordinates that are no numbers Blender makes zeros."""
        numbers = {
            _count(primitive["attributes"]["POSITION"])
            for mesh in self._list("meshes")
            for primitive in self._primitives(mesh)
            if "POSITION" in primitive["attributes"]
        }
        accessors = self._list("accessors")
        for number in sorted(numbers):
            if number >= len(accessors):
                raise DamagedFile(_INCOMPLETE)
            accessor = accessors[number]
            if accessor["componentType"] != _GLTF_FLOAT or not accessor["count"]:
                continue
            values = _GLTF_VALUES[accessor["type"]]
            if accessor.get("bufferView") is not None:
                view = self._view_of(accessor["bufferView"])
                stride = view.get("byteStride") or 4 * values
                start = accessor.get("byteOffset", 0)
                end = start + (accessor["count"] - 1) * stride + 4 * values
                _check_floats(self._view(view)[start:end], values, stride)
            sparse = accessor.get("sparse")
            if isinstance(sparse, dict) and isinstance(sparse.get("values"), dict):
                view = self._view_of(sparse["values"].get("bufferView"))
                start = _count(sparse["values"].get("byteOffset", 0))
                end = start + 4 * values * _count(sparse.get("count"))
                _check_floats(self._view(view)[start:end], values, 4 * values)

    def _triangles(self) -> int:
        """The triangles of all nodes that stand in a scene."""
        of_mesh = [self._mesh_triangles(mesh) for mesh in self._list("meshes")]
        nodes = self._list("nodes")
        scenes = self._list("scenes")
        roots = list(range(len(nodes)))
        if scenes:
            number = _count(self.tree.get("scene", 0))
            if number >= len(scenes):
                raise DamagedFile(_INCOMPLETE)
            roots = _indices(scenes[number].get("nodes", []), len(nodes))
        else:
            children = {
                each for node in nodes for each in _indices(node.get("children", []), len(nodes))
            }
            roots = [each for each in roots if each not in children]
        found = 0
        seen: set[int] = set()
        while roots:
            number = roots.pop()
            if number in seen:
                raise DamagedFile("its parts contain each other")
            seen.add(number)
            mesh = nodes[number].get("mesh")
            if mesh is not None:
                if _count(mesh) >= len(of_mesh):
                    raise DamagedFile(_INCOMPLETE)
                found += of_mesh[mesh]
            roots += _indices(nodes[number].get("children", []), len(nodes))
        if found > _GLB_FACE_LIMIT:
            raise DamagedFile(f"it has {found:,} faces, where {_GLB_FACE_LIMIT:,} are the most")
        return found

    def _mesh_triangles(self, mesh: dict[str, Any]) -> int:
        found = 0
        for primitive in self._primitives(mesh):
            attributes = primitive["attributes"]
            if "POSITION" not in attributes:
                continue
            corners = self._elements(primitive.get("indices", attributes["POSITION"]))
            mode = primitive.get("mode", 4)
            if mode == 4:
                found += corners // 3
            elif mode in (5, 6):
                found += max(corners - 2, 0)
        return found

    def _primitives(self, mesh: dict[str, Any]) -> list[dict[str, Any]]:
        primitives = mesh.get("primitives", [])
        if not isinstance(primitives, list):
            raise DamagedFile(_UNREADABLE)
        for primitive in primitives:
            if not isinstance(primitive, dict) or not isinstance(primitive.get("attributes"), dict):
                raise DamagedFile(_UNREADABLE)
        return primitives

    def _elements(self, number: Any) -> int:
        accessors = self._list("accessors")
        if _count(number) >= len(accessors):
            raise DamagedFile(_INCOMPLETE)
        return _count(accessors[number].get("count"))

    def _image_data(self, image: dict[str, Any]) -> bytes:
        if uri := image.get("uri"):
            return bytes(_uri_data(uri))
        if "bufferView" in image:
            return bytes(self._view(self._view_of(image["bufferView"])))
        return b""


def _check_floats(data: memoryview, values: int, stride: int) -> None:
    """Check rows of 32-bit floats, so many in each, that begin `stride` bytes apart."""
    for number in range(values):
        # Sign and most of the exponent. All bits of that set is what is no number, or next to it.
        high = bytes(data[4 * number + 3 :: stride])
        if high.rfind(b"\x7f") >= 0 or high.rfind(b"\xff") >= 0:
            raise DamagedFile("it has a coordinate that is not a number, or is too large")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def _check_uri(uri: Any) -> None:
    # Anything else Blender takes for the name of a file: in capitals, or not in base 64.
    if uri is not None and not (
        isinstance(uri, str) and uri.startswith("data:") and ";base64," in uri
    ):
        raise DamagedFile("it refers to other files")


def _uri_data(uri: str) -> bytes:
    try:
        return base64.b64decode(uri.partition(";base64,")[2])
    except ValueError:
        raise DamagedFile(_UNREADABLE) from None


def _count(value: Any) -> int:
    """The value, which must be a whole number of a bounded size, and not negative."""
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise DamagedFile(_UNREADABLE)
    return value


def _indices(value: Any, count: int) -> list[int]:
    if not isinstance(value, list):
        raise DamagedFile(_UNREADABLE)
    if any(_count(each) >= count for each in value):
        raise DamagedFile(_INCOMPLETE)
    return value
