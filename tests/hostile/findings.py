# SPDX-License-Identifier: GPL-3.0-or-later
"""What fuzzing has found, kept so that it is found at once should it come back."""

from __future__ import annotations

from .building import glb, png

FINDINGS: tuple[tuple[str, bytes], ...] = (
    # A reference that is a list can't be looked up in a dictionary.
    ("GLB", glb(texture=b"", textures=[{"source": [0]}])),
    ("GLB", glb(accessors=[{"componentType": [], "type": {}, "count": 1}])),
    # An empty chunk of pixels.
    ("PNG", png(data=b"")),
)
"""The kind of file, and its content."""
