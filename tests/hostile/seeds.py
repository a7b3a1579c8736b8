# SPDX-License-Identifier: GPL-3.0-or-later
"""What mutants are made of, by kind of file, with what must be true of them."""

from __future__ import annotations

from . import oracle
from .building import glb, gltf, jpeg, obj, pack_glb, png, webp
from .images import images
from .meshes import meshes

_SMALL = 20_000

SEEDS: dict[str, tuple[oracle.Check, tuple[bytes, ...]]] = {
    "OBJ": (
        oracle.check_obj,
        (
            *[obj()] * 20,
            obj("vt 0 0", "vn 0 0 1", "f 1/1/1 2/1/1 3/1/1", "f -1//1 -2//1 -3//1"),
            *(
                m.content
                for m in meshes().values()
                if m.suffix == ".obj" and len(m.content) < _SMALL
            ),
        ),
    ),
    "GLB": (
        oracle.check_glb,
        (
            *[glb(), glb(texture=png()), glb(texture=jpeg())] * 8,
            pack_glb(*gltf(nodes=[{"mesh": 0, "children": [1]}, {"mesh": 0}])),
            *(
                m.content
                for m in meshes().values()
                if m.suffix == ".glb" and len(m.content) < _SMALL
            ),
        ),
    ),
    "PNG": (
        oracle.check_png,
        (*[png()] * 10, *(i.content for i in images().values() if len(i.content) < _SMALL)),
    ),
    "texture": (oracle.check_texture, (jpeg(), webp(), png(), *[jpeg(), webp()] * 3)),
}
