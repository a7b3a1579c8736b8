# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of bad files, mutants of it, and what hypothesis thinks of: what `api/` says of them.

tests/blender has Blender read what is let through here; tests/soak does both for longer.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as some

from csm_retopo.api import image_files, mesh_files
from csm_retopo.api.errors import DamagedFile
from hostile import oracle
from hostile.building import glb, jpeg, obj, png, webp
from hostile.findings import FINDINGS
from hostile.images import images
from hostile.meshes import meshes
from hostile.mutation import TOKENS, mutants
from hostile.seeds import SEEDS

MUTANTS = 1_500
"""Of each kind of file."""
BRIEFLY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", images())
def test_an_image(tmp_path: Path, name: str) -> None:
    image = images()[name]
    path = tmp_path / "image.png"
    path.write_bytes(image.content)
    if not image.reason:
        assert image_files.check_png(path) == image.size
        assert image_files.check_image(image.content) == image.size
        return
    with pytest.raises(DamagedFile) as caught:
        image_files.check_png(path)
    assert image.reason in str(caught.value)


@pytest.mark.parametrize(
    ("data", "size"),
    [(jpeg(640, 480), (640, 480)), (webp(640, 480), (640, 480)), (png(3, 2), (3, 2))],
)
def test_a_texture(data: bytes, size: tuple[int, int]) -> None:
    assert image_files.check_image(data) == size
    for length in (0, 1, 11, 25, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedFile):
            image_files.check_image(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        jpeg(8193, 1),
        webp(1, 8193),
        jpeg(0, 8),
        jpeg()[:-2] + b"\xff\xda" * 101 + b"\xff\xd9",
        b"\xff\xd8\xff\xd9",
        b"<svg/>",
        b"",
    ],
)
def test_a_texture_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedFile):
        image_files.check_image(data)


def test_what_is_no_picture_is_taken_out_of_a_glb(tmp_path: Path) -> None:
    path = tmp_path / "mesh.glb"
    path.write_bytes(glb(texture=b"<html>"))
    read = mesh_files.read_glb(path)
    assert len(read.left_out) == 1
    assert read.sha256 != mesh_files.read_glb(_written(tmp_path / "new.glb", read.data)).sha256
    path.write_bytes(glb(texture=png()))
    assert not mesh_files.read_glb(path).left_out


def _written(path: Path, data: bytes | bytearray) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", [name for name, mesh in meshes().items() if not mesh.pipes])
def test_a_mesh_is_read_or_refused_at_once(tmp_path: Path, name: str) -> None:
    mesh = meshes()[name]
    path = mesh.write(tmp_path / "folder")
    begin = time.process_time()
    (oracle.check_glb if mesh.suffix == ".glb" else oracle.check_obj)(path)
    assert time.process_time() - begin < 10.0


@pytest.mark.parametrize("kind", SEEDS)
def test_mutants(tmp_path: Path, kind: str) -> None:
    check, seeds = SEEDS[kind]
    path = tmp_path / "mutant"
    passed = 0
    for number, data in enumerate(mutants(seeds, MUTANTS, 1)):
        path.write_bytes(data)
        try:
            passed += check(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the input must be known
            pytest.fail(f"{kind} {number}: {error!r}: {data[:2000]!r}")
    assert MUTANTS * 0.02 < passed < MUTANTS * 0.98, "the mutants teach nothing"


@pytest.mark.parametrize(("kind", "data"), FINDINGS)
def test_what_was_found_once(kind: str, data: bytes) -> None:
    oracle.check_bytes(SEEDS[kind][0], data)


_WORDS = (
    some.sampled_from(TOKENS)
    | some.binary(max_size=6)
    | some.integers().map(lambda number: str(number).encode())
    | some.floats().map(lambda number: repr(number).encode())
)
_LINES = some.lists(some.lists(_WORDS, max_size=6).map(b" ".join), max_size=8).map(b"\n".join)


@BRIEFLY
@given(_LINES, _LINES)
def test_any_lines_before_and_after_a_box(before: bytes, after: bytes) -> None:
    oracle.check_bytes(oracle.check_obj, before + b"\n" + obj() + after)


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda each: some.lists(each, max_size=4) | some.dictionaries(some.text(), each, max_size=4),
    max_leaves=8,
)
_KEYS = some.sampled_from(
    [
        *("buffers", "bufferViews", "accessors", "meshes", "nodes", "scenes", "scene", "images"),
        *("textures", "materials", "asset"),
    ]
)
_FIELDS = some.sampled_from(
    [
        *("byteLength", "byteOffset", "byteStride", "buffer", "bufferView", "count", "type", "uri"),
        *("componentType", "primitives", "children", "mesh", "sparse", "extensions", "source"),
    ]
)


@BRIEFLY
@given(some.dictionaries(_KEYS, _JSON, max_size=2))
def test_any_description_of_a_glb(changes: dict[str, object]) -> None:
    oracle.check_bytes(oracle.check_glb, glb(texture=png(), **changes))


@BRIEFLY
@given(_KEYS, some.dictionaries(_FIELDS, _JSON, min_size=1, max_size=3))
def test_any_field_of_a_glb(key: str, fields: dict[str, object]) -> None:
    oracle.check_bytes(oracle.check_glb, glb(texture=png(), **{key: [fields]}))
