# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of meshes: what is on them, pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy
import pytest

from bl_ext.user_default.csm_retopo.scene.compare import colors
from bl_ext.user_default.csm_retopo.scene.measure.metrics import DEVIATION_ATTRIBUTE
from bl_ext.user_default.csm_retopo.scene.report import rendering
from bl_ext.user_default.csm_retopo.scene.report.models import Engine, RenderRequest, View

Point = tuple[float, float, float]

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
# Front, right and top can be seen; back, left and bottom can't.
QUADS = [(0, 4, 5, 1), (4, 6, 7, 5), (1, 5, 7, 3), (2, 3, 7, 6), (0, 1, 3, 2), (0, 2, 6, 4)]


@pytest.fixture(params=[Engine.CYCLES, Engine.WORKBENCH])
def engine(request: pytest.FixtureRequest) -> str:
    """Both renderers; where Workbench can't run, what is taken in its place."""
    wanted: Engine = request.param
    return Engine.CYCLES if rendering.find_engine() is Engine.CYCLES else wanted


def write_box(
    path: Path, deviation: list[float] | None = None, size: float = 1.0, at: Point = (0, 0, 0)
) -> str:
    """A .blend with a box of six quads."""
    mesh = bpy.data.meshes.new("box")
    places = [tuple(a + size * c for a, c in zip(at, corner, strict=True)) for corner in CORNERS]
    mesh.from_pydata(places, [], QUADS)
    if deviation is not None:
        mesh.attributes.new(DEVIATION_ATTRIBUTE, "FLOAT", "FACE").data.foreach_set(
            "value", deviation
        )
    bpy.data.libraries.write(str(path), {mesh})
    bpy.data.meshes.remove(mesh)
    return str(path)


class Picture:
    """What was drawn."""

    def __init__(self, path: str, view: View) -> None:
        image = bpy.data.images.load(path)
        self.width, self.height = image.size
        pixels = numpy.empty(self.width * self.height * 4, dtype=numpy.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
        self.pixels = pixels.reshape(self.height, self.width, 4)
        self._view = view

    @property
    def covered(self) -> Any:
        """Where the mesh is: (height, width)."""
        return self.pixels[..., 3] > 0.5

    def at(self, point: Point) -> Any:
        """Red, green, blue, alpha of the pixel that shows this point of the scene."""
        right, up, _ = rendering._camera_axes()
        offset = numpy.array(point) - numpy.array(self._view.center)
        scale = self.width / self._view.width
        x = self.width / 2 + float(offset @ right) * scale
        y = self.height / 2 + float(offset @ up) * scale
        return self.pixels[int(y), int(x)]


def draw(folder: Path, blend: str, view: View | None = None, **changes: Any) -> dict[str, Picture]:
    view = view or rendering.survey([blend])
    fields: dict[str, Any] = {"deviation_limit": 0.01, "engine": Engine.CYCLES, **changes}
    made = rendering.draw(RenderRequest(blend, "", view, folder=str(folder), name="x", **fields))
    found = {kind: Picture(path, view) for kind, path in made.files.items()}
    for picture in found.values():
        assert (picture.width, picture.height) == (made.width, made.height)
        assert max(made.width, made.height) == rendering.PICTURE_SIZE
    return found


def test_polygons_have_edges_and_triangles_have_none(tmp_path: Path, engine: str) -> None:
    picture = draw(tmp_path, write_box(tmp_path / "box.blend"), engine=engine)["MESH"]
    shades = {}
    for number, quad in enumerate(QUADS[:3]):
        a, b, c, d = (numpy.array(CORNERS[corner], dtype=float) for corner in quad)
        inside = (a + 2 * b + 3 * c + 2 * d) / 8
        shades[number] = picture.at(tuple(inside))
        assert shades[number][3] == 1.0
        # A quad is drawn with two triangles, along one of its diagonals.
        for diagonal in ((a + c) / 2, (b + d) / 2):
            assert picture.at(tuple(diagonal)) == pytest.approx(shades[number], abs=0.03)
        for start, end in ((a, b), (b, c)):
            edge = picture.at(tuple((start + end) / 2))
            assert edge[:3].max() < 0.75 * shades[number][:3].min()
    # The light comes from above and from the left.
    front, right, top = (shades[number][:3].mean() for number in range(3))
    assert right < front < top
    assert picture.pixels[0, 0, 3] == picture.pixels[-1, -1, 3] == 0.0
    assert 0.3 < picture.covered.mean() < 0.9


def test_the_deviation_has_the_colors_of_the_scale(tmp_path: Path, engine: str) -> None:
    limit = 0.02
    # On the front nothing, on the right as much as begins band 10, on the top beyond the scale.
    deviation = [0.0, limit * 10.5 / (colors.BANDS - 1), 3 * limit, 0.0, 0.0, 0.0]
    blend = write_box(tmp_path / "box.blend", deviation)
    picture = draw(tmp_path, blend, deviation_limit=limit, engine=engine)["DEVIATION"]
    for quad, band in zip(QUADS, (0, 10, colors.BANDS - 1), strict=False):
        places = [numpy.array(CORNERS[corner], dtype=float) for corner in quad]
        seen = picture.at(tuple(sum(places) / 4))
        assert seen[:3] == pytest.approx(colors.RAMP[band], abs=0.03)


def test_a_face_that_was_not_compared_is_neutral(tmp_path: Path) -> None:
    deviation = [float("nan"), float("inf"), 0.0, 0.0, 0.0, 0.0]
    picture = draw(tmp_path, write_box(tmp_path / "box.blend", deviation))["DEVIATION"]
    for quad in QUADS[:2]:
        places = [numpy.array(CORNERS[corner], dtype=float) for corner in quad]
        seen = picture.at(tuple(sum(places) / 4))
        assert seen[:3] == pytest.approx(colors.NEUTRAL, abs=0.03)


def test_no_picture_of_what_was_not_measured(tmp_path: Path) -> None:
    assert set(draw(tmp_path, write_box(tmp_path / "box.blend"))) == {"MESH"}
    measured = write_box(tmp_path / "measured.blend", [0.0] * 6)
    assert set(draw(tmp_path, measured, deviation_limit=None)) == {"MESH"}


def test_all_are_seen_from_the_same_place(tmp_path: Path) -> None:
    large = write_box(tmp_path / "large.blend")
    small = write_box(tmp_path / "small.blend", size=0.5, at=(0.25, 0.25, 0.25))
    view = rendering.survey([large, small])
    whole = draw(tmp_path, large, view)["MESH"]
    inner = draw(tmp_path, small, view)["MESH"]
    assert (whole.width, whole.height) == (inner.width, inner.height)
    assert whole.covered[inner.covered].all()
    # Half as long along every axis, and in the middle.
    assert inner.covered.sum() == pytest.approx(whole.covered.sum() / 4, rel=0.02)
    assert inner.at((0.5, 0.25, 0.5))[3] == 1.0
    # The largest is seen whole, with a margin on all sides.
    edges = (whole.covered[0], whole.covered[-1], whole.covered[:, 0], whole.covered[:, -1])
    assert not any(edge.any() for edge in edges)


def test_both_sides_of_a_face_are_lit(tmp_path: Path) -> None:
    blend = write_box(tmp_path / "box.blend")
    straight = draw(tmp_path, blend)["MESH"]
    mesh = rendering._load(blend)
    mesh.flip_normals()
    bpy.data.libraries.write(blend, {mesh})
    flipped = draw(tmp_path, blend)["MESH"]
    assert numpy.abs(flipped.pixels - straight.pixels).mean() < 0.01


def test_too_many_faces_are_drawn_without_edges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "WIRE_FACE_LIMIT", 5)
    blend = write_box(tmp_path / "box.blend")
    view = rendering.survey([blend])
    request = RenderRequest(blend, "", view, None, str(tmp_path), "x", Engine.CYCLES)
    made = rendering.draw(request)
    assert made.notes == ("shown without its edges, which are too many to draw",)
    picture = Picture(made.files["MESH"], view)
    beside, on = picture.at((0.9, 0.0, 0.5)), picture.at((1.0, 0.0, 0.5))
    assert on[:3].min() > 0.5 * beside[:3].min()


@pytest.mark.parametrize("kind", ["nothing", "a point", "a line", "far away and tiny"])
def test_meshes_of_no_size(tmp_path: Path, kind: str) -> None:
    places: list[Point] = {
        "nothing": [],
        "a point": [(1.0, 2.0, 3.0)],
        "a line": [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0)],
        "far away and tiny": [(9e3, 0.0, 0.0), (9e3, 0.01, 0.0), (9e3, 0.0, 0.01)],
    }[kind]
    mesh = bpy.data.meshes.new("odd")
    mesh.from_pydata(places, [(0, 1)] if kind == "a line" else [], [(0, 1, 2)] * (len(places) == 3))
    blend = tmp_path / "odd.blend"
    bpy.data.libraries.write(str(blend), {mesh})
    picture = draw(tmp_path, str(blend))["MESH"]
    assert picture.covered.any() == (kind in ("a line", "far away and tiny"))


def test_the_preview_is_made_no_larger_and_keeps_nothing_hidden(tmp_path: Path) -> None:
    image = bpy.data.images.new("preview", 1600, 800)
    pixels = numpy.ones((800, 1600, 4), dtype=numpy.float32)
    pixels[:400, :, :3] = (0.2, 0.4, 0.6)
    image.pixels.foreach_set(pixels.ravel())
    path = tmp_path / "preview.png"
    image.file_format = "PNG"
    image.save(filepath=str(path))
    data = path.read_bytes()
    # A text chunk, such as image editors write, behind the header.
    import zlib

    chunk = b"tEXtComment\0/home/artist/secret"
    size = (len(chunk) - 4).to_bytes(4, "big")
    path.write_bytes(data[:33] + size + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[33:])

    blend = write_box(tmp_path / "box.blend")
    view = rendering.survey([blend])
    made = rendering.draw(
        RenderRequest(blend, str(path), view, None, str(tmp_path), "x", Engine.CYCLES)
    )
    preview = Picture(made.files["PREVIEW"], view)
    assert (preview.width, preview.height) == (720, 360)
    assert preview.pixels[90, 360, :3] == pytest.approx((0.2, 0.4, 0.6), abs=0.02)
    assert preview.pixels[270, 360, :3] == pytest.approx((1, 1, 1), abs=0.02)
    assert b"secret" not in Path(made.files["PREVIEW"]).read_bytes()


def test_a_preview_that_is_no_image_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "preview.png"
    path.write_bytes(b"<html>Not found</html>")
    blend = write_box(tmp_path / "box.blend")
    view = rendering.survey([blend])
    made = rendering.draw(
        RenderRequest(blend, str(path), view, None, str(tmp_path), "x", Engine.CYCLES)
    )
    assert set(made.files) == {"MESH"}
