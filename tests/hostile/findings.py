# SPDX-License-Identifier: GPL-3.0-or-later
"""What fuzzing has found, kept so that it is found at once should it come back."""

from __future__ import annotations

from .building import glb, obj, png

FINDINGS: tuple[tuple[str, bytes], ...] = (
    # What is taken out to compare lines quickly must not hide what is no number.
    ("OBJ", obj().replace(b"v 1 1 1", b"v //1 1 1")),
    ("OBJ", obj().replace(b"v 1 1 1", b"v 1/2 1 1")),
    ("OBJ", obj().replace(b"v 1 1 1", b"v 1 1-11 1")),
    ("OBJ", obj("f 1-2 3 4")),
    ("OBJ", obj("f1 2 3", "v1 2 3")),
    ("OBJ", obj().replace(b"v 1 1 1", b"v\rf 1 2 4 3")),
    # A reference that is a list can't be looked up in a dictionary.
    ("GLB", glb(texture=b"", textures=[{"source": [0]}])),
    ("GLB", glb(accessors=[{"componentType": [], "type": {}, "count": 1}])),
    # An empty chunk of pixels.
    ("PNG", png(data=b"")),
)
"""The kind of file, and its content."""
