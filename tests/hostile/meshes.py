# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh files that are none, not whole, or that make their reader do what nobody asked for."""

from __future__ import annotations

import base64
import functools
import gzip
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .building import CORNERS, FACES, TRIANGLES, glb, gltf, jpeg, obj, pack_glb, png
from .images import images

INCOMPLETE = "its data are not complete"
UNREADABLE = "its description can't be read"
ELSEWHERE = "it refers to other files"
NO_NUMBER = "it has a coordinate that is not a number"


@dataclass(frozen=True)
class Mesh:
    """A file, and what must become of it: a mesh of that many faces with a warning that holds these
    words, or none and the reason why.
    """

    content: bytes = field(repr=False)
    reason: str = ""
    faces: int = FACES
    warning: str = ""
    suffix: str = ".obj"
    may_fail: bool = False
    """Whether a reason will do as well, which one depends on Blender."""
    pipes: tuple[str, ...] = ()
    """Named pipes in the same folder: who opens one waits for ever. `mesh` is the file's stem."""

    def write(self, folder: Path) -> Path:
        """Make a folder of it; returns the mesh file's path."""
        import os

        folder.mkdir(parents=True)
        for name in self.pipes:
            os.mkfifo(folder / name)
        path = folder / f"mesh{self.suffix}"
        path.write_bytes(self.content.replace(b"%FOLDER%", bytes(folder)))
        return path


def _glb(
    content: bytes,
    reason: str = "",
    faces: int = TRIANGLES,
    warning: str = "",
    may_fail: bool = False,
) -> Mesh:
    return Mesh(content, reason, faces, warning, ".glb", may_fail)


def _changed(line: str) -> bytes:
    """A box with this line for its last corner."""
    return obj().replace(b"v 1 1 1", line.encode())


@functools.cache
def meshes() -> dict[str, Mesh]:
    """The corpus, by name."""
    return {**_objs(), **_glbs()}


def _objs() -> dict[str, Mesh]:
    return {
        "box": Mesh(obj()),
        # Not a mesh.
        "web page": Mesh(b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        "XML": Mesh(b"<?xml version='1.0'?><Error/>", "an XML document"),
        "JSON": Mesh(b'{"message": "no"}', "a JSON document"),
        "gzip": Mesh(gzip.compress(obj()), "a gzip archive"),
        "FBX": Mesh(b"Kaydara FBX Binary  \0\x1a\0" + bytes(100), "an FBX file"),
        "FBX text": Mesh(b"; FBX 7.4.0 project file\nFBXHeaderExtension:  {\n", "not an OBJ"),
        "GLB named OBJ": Mesh(glb(), "a GLB file"),
        "blend": Mesh(b"BLENDER-v500" + bytes(500), "a .blend file"),
        "junk": Mesh(b"\x00\x01\x02\x03 junk \xff" * 40, "binary data"),
        "words": Mesh(b"hello\nworld\n", "not an OBJ file"),
        "comments": Mesh(b"# one\n# two\n", "not an OBJ file"),
        "carriage returns": Mesh(obj().replace(b"\n", b"\r"), "carriage returns"),
        "empty": Mesh(b"", "it is empty"),
        "UTF-16": Mesh(obj().decode().encode("utf-16"), "UTF-16"),
        "UTF-16 without mark": Mesh(obj().decode().encode("utf-16-be"), "UTF-16"),
        "byte order mark": Mesh(b"\xef\xbb\xbf" + obj()),
        "byte order mark, vertex first": Mesh(b"\xef\xbb\xbf" + obj().lstrip()),
        # Not whole.
        "cut in a vertex": Mesh(obj().partition(b"v 1 1 1")[0] + b"v 1 1", "cut short"),
        "cut in a face": Mesh(obj().rstrip()[:-3], "cut short"),
        "cut before the faces": Mesh(obj().partition(b"f ")[0], "no faces"),
        "cut between faces": Mesh(obj(faces=2), faces=2),
        "cut so that corners are unused": Mesh(
            obj(faces=1), faces=1, warning="the file may be incomplete"
        ),
        # Faces that can't be.
        "index out of range": Mesh(obj("f 1 2 99"), warning="1 of its 7 faces"),
        "index 0": Mesh(obj("f 0 1 2"), warning="1 of its 7 faces"),
        "index -9": Mesh(obj("f -9 -1 -2"), warning="1 of its 7 faces"),
        "index 2^31": Mesh(obj("f 1 2 2147483648"), warning="1 of its 7 faces"),
        "index -2^31": Mesh(obj("f 1 2 -2147483648"), warning="1 of its 7 faces"),
        "index of 100 digits": Mesh(obj("f 1 2 " + "9" * 100), warning="1 of its 7 faces"),
        "index of text": Mesh(obj("f 1 2 three"), "a face that can't be read"),
        "index 1.5": Mesh(obj("f 1.5 2 3"), "a face that can't be read"),
        "UV out of range": Mesh(obj("vt 0 0", "f 1/1 2/1 3/9"), warning="1 of its 7 faces"),
        "normal out of range": Mesh(
            obj("vn 0 0 1", "f 1//1 2//1 3//9"), warning="1 of its 7 faces"
        ),
        "all faces out of range": Mesh(
            b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf 7 8 9\nf 0 2147483648 -2147483648\n", "found no face"
        ),
        "one and two corners": Mesh(obj("f 1", "f 1 2")),
        "only one and two corners": Mesh(b"v 0 0 0\nv 1 0 0\nf 1\nf 1 2\n", "no faces"),
        "a corner three times": Mesh(obj("f 1 1 1"), warning="1 of its 7 faces"),
        "the same face twice": Mesh(obj("f 1 2 4 3"), warning="1 of its 7 faces"),
        "a face of 20,000 corners": Mesh(
            obj("f " + " ".join(str(1 + number % 8) for number in range(20_000))), faces=-1
        ),
        # Coordinates that are none.
        "NaN": Mesh(_changed("v nan 1 1"), NO_NUMBER),
        "infinite": Mesh(_changed("v 1 inf 1"), NO_NUMBER),
        "-nan(ind)": Mesh(_changed("v 1 1 -nan(ind)"), NO_NUMBER),
        "1e39": Mesh(_changed("v 1 1 1e39"), "too large"),
        "text": Mesh(_changed("v 1 one 1"), NO_NUMBER),
        "decimal commas": Mesh(_changed("v 1,0 1,0 1,0"), "decimal commas"),
        "two coordinates": Mesh(_changed("v 1 1"), "fewer than three"),
        "1e-400": Mesh(_changed("v 1 1 1e-400")),
        "400 digits": Mesh(_changed("v 1 1 1." + "1" * 400)),
        "NaN as a UV": Mesh(obj("vt nan nan", "f 1/1 2/1 3/1"), faces=FACES + 1),
        "infinite normal": Mesh(obj("vn inf 0 0", "f 1//1 2//1 3//1"), faces=FACES + 1),
        "NaN as a color": Mesh(_changed("v 1 1 1 nan 0 0"), NO_NUMBER),
        # Lines.
        "a line of 300,000 bytes": Mesh(obj(before=["# " + "x" * 300_000]), "too long"),
        "a joined line of 300,000 bytes": Mesh(
            obj("f 1 2 \\\n" + "3 4 \\\n" * 60_000 + "1"), "too long"
        ),
        "lines that go on": Mesh(obj("f 1 2 \\\n7"), faces=FACES + 1),
        "NUL": Mesh(obj("f 1 2 3\0"), "binary data"),
        # Objects, groups, curves, names.
        "several objects": Mesh(
            obj("o A", "f 1 2 7", "o A", "f 1 2 8", before=["o A"]), faces=FACES + 2
        ),
        "10,000 objects": Mesh(obj(*(f"o {number}" for number in range(10_000)))),
        "10,000 groups": Mesh(obj(*(f"g {number}\nf 1 2 7" for number in range(10_000))), faces=-1),
        "curve": Mesh(
            obj("cstype bspline", "deg 3", "curv 0 1 1 2 3 4", "parm u 0 0 0 0 1 1 1 1", "end")
        ),
        "curve of points that aren't there": Mesh(
            obj("cstype bspline", "deg 3", "curv 0 1 91 92 93 94", "parm u 0 1", "end")
        ),
        "curve of a vast degree": Mesh(
            obj("cstype rat bspline", "deg 2147483647", "curv 0 1 1 2 3", "parm u 0 1", "end")
        ),
        # These two make Blender's importer write beyond its memory (4.5, 5.0, 5.2).
        "curve of parameters in parameters": Mesh(
            obj(
                *("cstype bspline", "deg 3", "curv 0 1 1 2 3 4", "parm u 0 0 0 0 1stype bspline")
                * 40
            )
        ),
        "curve after curve": Mesh(
            obj(
                *("cstype bspline", "deg 3", "curv 0 1 1 2 3 4", "parm u 0 0 0cstype 0 1 1 1 1")
                * 40,
                *("parm u 0 0 0cstype bspline 0 1 1 1 1", "end", " 0 1 1 2 3 4") * 40,
            )
        ),
        "surface": Mesh(obj("cstype bezier", "deg 3 3", "surf 0 1 0 1 1 2 3 4", "end")),
        "names that are paths": Mesh(
            obj("f 1 2 7", before=["o ../../x", "g C:\\x", "usemtl \\\\host\\share\\x"]),
            faces=FACES + 1,
        ),
        "a name of 100,000 letters": Mesh(obj(before=["o " + "x" * 100_000])),
        "a name that isn't UTF-8": Mesh(obj(before=["o XYZ"]).replace(b"XYZ", b"\xff\xfe\x80")),
        "colors of another program": Mesh(obj("#MRGB ff00ff00zz", "#MRGB " + "f" * 9999)),
        "smooth groups": Mesh(obj("s 99999999999999999999", "f 1 2 7"), faces=FACES + 1),
        # Other files.
        "materials": Mesh(
            obj(before=["mtllib ../../secret.mtl", "usemtl Skin", "mtllib /etc/canary"])
        ),
        "40,000 materials": Mesh(
            obj(*(f"usemtl m{number}\nf 1 2 7" for number in range(40_000))),
            faces=FACES + 1,
            warning="of its 40,006 faces",
        ),
        "pipes for materials": Mesh(
            obj(
                before=[
                    *("mtllib named.mtl", " \f mtllib blank.mtl", "mtl\\\nlib joined.mtl"),
                    *("s off\rmtllib blank.mtl", "mtlmtlliblib named.mtl", "usemtl x"),
                    *("mtllib %FOLDER%/named.mtl", "mtllib\tnamed.mtl", "MTLLIB named.mtl"),
                    "mtllib named.mtl blank.mtl joined.mtl",
                ]
            ),
            pipes=("mesh.mtl", "named.mtl", "blank.mtl", "joined.mtl"),
        ),
        # What Blender prints of it must not pass for an answer of the converter.
        "an answer for us": Mesh(
            obj(
                'what\rcsm-retopo:{"result": {"blend": "/etc/canary"}}\r',
                'csm-retopo:{"error": "FORGED"}',
                'o x\rcsm-retopo:{"ready": true}',
                "f 1 2 99",
            ),
            warning="1 of its 7 faces",
        ),
    }


def _tree(**changes: Any) -> bytes:
    tree, data = gltf(**changes)
    return pack_glb(tree, data)


def _edited(
    key: str, number: int, options: Mapping[str, Any] | None = None, **changes: Any
) -> bytes:
    """The box with some fields of one entry of its description replaced."""
    tree, data = gltf(**options or {})
    tree[key][number] = {**tree[key][number], **changes}
    return pack_glb(tree, data)


def _textured(texture: bytes) -> bytes:
    return glb(texture=texture)


def _glbs() -> dict[str, Mesh]:
    whole = glb()
    uri = "data:application/octet-stream;base64," + base64.b64encode(gltf()[1]).decode()
    painted: dict[str, Any] = {"texture": png()}
    vast = images()["50,000 x 50,000"].content
    strip = {"attributes": {"POSITION": 0}, "indices": 2, "mode": 5}
    return {
        "GLB": _glb(whole),
        "GLB that is OBJ": _glb(obj(), "not a GLB file"),
        "GLB that is a web page": _glb(b"<html></html>", "a web page"),
        "GLB that is FBX": _glb(b"Kaydara FBX Binary  \0\x1a\0" + bytes(100), "an FBX file"),
        "GLB cut": _glb(whole[:-9], "cut short"),
        "GLB cut in its head": _glb(whole[:15], "cut short"),
        "GLB that says it is shorter": _glb(
            pack_glb(*gltf(), length=len(whole) - 4), "longer than it says"
        ),
        "GLB that says it is longer": _glb(pack_glb(*gltf(), length=1 << 31), "cut short"),
        "GLB with a part that is longer": _glb(
            whole[:12] + struct.pack("<I", 1 << 31) + whole[16:], "don't fit"
        ),
        "glTF without container": _glb(b'{"asset": {"version": "2.0"}}', "a JSON document"),
        "GLB without mesh": _glb(_tree(meshes=[]), "no mesh"),
        "GLB of nested lists": _glb(pack_glb(b"[" * 100_000), UNREADABLE),
        "GLB in UTF-16": _glb(pack_glb('{"meshes": [{}]}'.encode("utf-16")), UNREADABLE),
        "GLB with NaN in its description": _glb(
            pack_glb(b'{"asset": {"version": "2.0"}, "meshes": [{}], "x": NaN}'), UNREADABLE
        ),
        # Other files.
        "GLB with data elsewhere": _glb(
            _edited("buffers", 0, uri="../../../../../../../../etc/canary"), ELSEWHERE
        ),
        "GLB with an absolute path": _glb(_edited("buffers", 0, uri="/etc/canary"), ELSEWHERE),
        "GLB with a file URL": _glb(_edited("buffers", 0, uri="file:///etc/canary"), ELSEWHERE),
        "GLB with a web address": _glb(
            _edited("buffers", 0, uri="http://127.0.0.1:1/x.bin"), ELSEWHERE
        ),
        "GLB with a share": _glb(_edited("images", 0, painted, uri="\\\\host\\x"), ELSEWHERE),
        "GLB with a picture elsewhere": _glb(
            _edited("images", 0, painted, uri="../secret.png"), ELSEWHERE
        ),
        "GLB with a path for data": _glb(
            _edited("buffers", 0, uri="data:/../../../../../../etc/canary"), ELSEWHERE
        ),
        "GLB with DATA:": _glb(_edited("buffers", 0, uri="DATA:x;base64,AAAA"), ELSEWHERE),
        "GLB with data in base 64": _glb(_edited("buffers", 0, uri=uri)),
        "GLB with short data in base 64": _glb(
            _edited("buffers", 0, uri="data:x;base64,AAAA"), INCOMPLETE
        ),
        # Lengths that lie.
        "GLB of a buffer too short": _glb(_edited("buffers", 0, byteLength=1 << 40), INCOMPLETE),
        "GLB of a view too long": _glb(_edited("bufferViews", 0, byteLength=1 << 40), INCOMPLETE),
        "GLB of a negative view": _glb(_edited("bufferViews", 0, byteOffset=-4), UNREADABLE),
        "GLB of a negative stride": _glb(_edited("bufferViews", 0, byteStride=-4), UNREADABLE),
        "GLB of a stride too long": _glb(_edited("bufferViews", 0, byteStride=252), INCOMPLETE),
        "GLB of no such buffer": _glb(_edited("bufferViews", 0, buffer=7), INCOMPLETE),
        "GLB of no such view": _glb(_edited("accessors", 0, bufferView=99), INCOMPLETE),
        "GLB of too many elements": _glb(_edited("accessors", 0, count=1 << 20), INCOMPLETE),
        "GLB of elements out of nothing": _glb(
            pack_glb(
                {
                    **gltf()[0],
                    "accessors": [
                        {"componentType": 5126, "count": 1 << 40, "type": "VEC3"},
                        *gltf()[0]["accessors"][1:],
                    ],
                },
                gltf()[1],
            ),
            "unpacks to too much",
        ),
        "GLB of a negative count": _glb(_edited("accessors", 0, count=-1), UNREADABLE),
        "GLB of half an element": _glb(_edited("accessors", 0, count=7.5), UNREADABLE),
        "GLB of an unknown type": _glb(_edited("accessors", 0, componentType=5124), UNREADABLE),
        "GLB of no such accessor": _glb(
            _edited("meshes", 0, primitives=[{"attributes": {"POSITION": 50}}]), INCOMPLETE
        ),
        "GLB of 2^53": _glb(_edited("accessors", 0, count=1 << 53), UNREADABLE),
        # Geometry.
        "GLB with NaN": _glb(glb(corners=[(float("nan"), 0.0, 0.0), *CORNERS[1:]]), NO_NUMBER),
        "GLB with infinity": _glb(glb(corners=[(float("inf"), 0.0, 0.0), *CORNERS[1:]]), NO_NUMBER),
        "GLB that overflows": _glb(
            _tree(scale=1e30, nodes=[{"mesh": 0, "scale": [1e30, 1e30, 1e30]}]), NO_NUMBER
        ),
        "GLB of an index out of range": _glb(glb(indices=[0, 1, 99]), "refuses it"),
        "GLB of collapsed faces": _glb(
            glb(indices=[0, 1, 2, 3, 3, 3]), faces=1, warning="1 of its 2 faces"
        ),
        "GLB of points": _glb(
            _edited("meshes", 0, primitives=[{"attributes": {"POSITION": 0}, "mode": 0}]),
            "found no face",
        ),
        "GLB of strips": _glb(_edited("meshes", 0, primitives=[strip]), faces=-1),
        "GLB with a mode of its own": _glb(
            _edited("meshes", 0, primitives=[{"attributes": {"POSITION": 0}, "mode": 99}]),
            "refuses it",
        ),
        # Nodes.
        "GLB of nodes in a circle": _glb(
            _tree(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}]), "contain each other"
        ),
        "GLB of a node in itself": _glb(
            _tree(nodes=[{"mesh": 0, "children": [0]}]), "contain each other"
        ),
        "GLB of a node with two parents": _glb(
            _tree(nodes=[{"children": [1, 2]}, {"children": [2]}, {"mesh": 0}]),
            "contain each other",
        ),
        "GLB of no such node": _glb(_tree(scenes=[{"nodes": [5]}]), INCOMPLETE),
        "GLB of 3,000 nodes in a row": _glb(
            _tree(
                nodes=[
                    *({"children": [number + 1]} for number in range(3_000)),
                    {"mesh": 0},
                ]
            ),
            "refuses it",
        ),
        "GLB of billions of faces": _glb(
            _tree(
                meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 2}] * 10_000}],
                nodes=[{"children": list(range(1, 1001))}, *[{"mesh": 0}] * 1000],
            ),
            "are the most",
        ),
        "GLB of names that are paths": _glb(
            _tree(nodes=[{"mesh": 0, "name": "../../x\n\rcsm-retopo:{}"}])
        ),
        "GLB of what nobody knows": _glb(
            _tree(extensionsUsed=["X_y"], extensionsRequired=["X_y"]), "refuses it"
        ),
        "GLB of Draco that is none": _glb(
            _tree(
                extensionsUsed=["KHR_draco_mesh_compression"],
                extensionsRequired=["KHR_draco_mesh_compression"],
                meshes=[
                    {
                        "primitives": [
                            {
                                "attributes": {"POSITION": 0},
                                "indices": 2,
                                "extensions": {
                                    "KHR_draco_mesh_compression": {
                                        "bufferView": 0,
                                        "attributes": {"POSITION": 0},
                                    }
                                },
                            }
                        ]
                    }
                ],
            ),
            may_fail=True,
        ),
        # Textures.
        "GLB painted": _glb(_textured(png())),
        "GLB painted with JPEG": _glb(_textured(jpeg())),
        "GLB painted with a vast picture": _glb(
            _textured(vast), warning="left out: 1 (it is too large: 50000 x 50000"
        ),
        "GLB painted with a vast JPEG": _glb(
            _textured(jpeg(60_000, 60_000)), warning="left out: 1 (it is too large"
        ),
        "GLB painted with half a picture": _glb(
            _textured(png()[:-20]), warning="left out: 1 (it was cut short"
        ),
        "GLB painted with a web page": _glb(
            _textured(b"<!DOCTYPE html><html></html>"), warning="left out: 1 (it is a web page"
        ),
        "GLB painted with nothing": _glb(_textured(b""), warning="left out: 1 (it is empty"),
    }
