# SPDX-License-Identifier: GPL-3.0-or-later
"""From a mesh file to a measured mesh in a .blend, in a process of its own or in place."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import pytest
import sessions

from bl_ext.user_default.csm_retopo.api.cache import Cache
from bl_ext.user_default.csm_retopo.api.jobs import FolderJob
from bl_ext.user_default.csm_retopo.scene import models
from bl_ext.user_default.csm_retopo.scene.background import converter, worker
from bl_ext.user_default.csm_retopo.scene.layout import Facing
from bl_ext.user_default.csm_retopo.scene.pipeline import Import, Outcome, Status
from bl_ext.user_default.csm_retopo.scene.targets import SceneTarget

Convert = Callable[..., converter.Converted]

COUNTS = {
    *("vertices", "edges", "faces", "triangles", "quads", "ngons", "triangle_count"),
    *("boundary_edges", "non_manifold_edges", "loose_vertices", "loose_edges", "components"),
    *("inconsistent_edges", "degenerate_faces", "poles_3", "poles_5", "poles_6_plus"),
}
MEASURES = {
    *("quad_ratio", "scaled_jacobian_min", "scaled_jacobian_mean", "area", "bbox_diagonal"),
    *("edge_length_min", "edge_length_mean", "edge_length_max"),
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[converter.Converter]:
    """A background Blender for the whole module: it takes half a second to start."""
    running = converter.Converter(Cache(tmp_path_factory.mktemp("cache")), processes=1)
    yield running
    running.close()
    running.join(5.0)


@pytest.fixture
def convert(process: converter.Converter, tmp_path: Path) -> Convert:
    """Converts a file's content."""

    def run(content: bytes, name: str = "mesh.obj") -> converter.Converted:
        path = tmp_path / name
        path.write_bytes(content)
        answer = converted(process, path)
        assert isinstance(answer, converter.Converted)
        return answer

    return run


def converted(process: converter.Converter, path: Path) -> converter.Answer:
    process.submit(convert_request(process._cache, path))
    answer = process.poll(60.0)
    assert answer is not None
    return answer


def convert_request(cache: Cache, path: Path) -> models.ConvertRequest:
    return models.ConvertRequest(
        str(path),
        hashlib.sha256(path.read_bytes()).hexdigest(),
        str(cache.folder("SESSION_1_1") / f"{path.stem}.blend"),
    )


def load(mesh: models.ConvertedMesh | None) -> bpy.types.Mesh:
    assert mesh is not None
    with bpy.data.libraries.load(mesh.blend) as (available, wanted):
        wanted.meshes = available.meshes
    (loaded,) = wanted.meshes
    return loaded


def volume(mesh: bpy.types.Mesh) -> float:
    """Positive if the faces look outwards."""
    mesh.calc_loop_triangles()
    corners = [[mesh.vertices[i].co for i in each.vertices] for each in mesh.loop_triangles]
    return sum(a.dot(b.cross(c)) for a, b, c in corners) / 6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere no module can be told")
@pytest.mark.skipif(os.cpu_count() == 1, reason="with one processor it has one thread anyway")
def test_a_process_that_is_to_have_one_thread_has_fewer(tmp_path: Path) -> None:
    side = 400
    rows = [f"v {x} {y} {math.sin(x + y)}" for y in range(side) for x in range(side)]
    corners = (y * side + x + 1 for y in range(side - 1) for x in range(side - 1))
    rows += [f"f {each} {each + 1} {each + side + 1} {each + side}" for each in corners]
    path = tmp_path / "grid.obj"
    path.write_text("\n".join(rows), encoding="ascii")
    counts = [threads_after(path, tmp_path / f"cache-{number}", number) for number in (1, 0)]
    assert counts[0] < counts[1]


def threads_after(path: Path, cache: Path, threads: int) -> int:
    """How many threads a process that may use so many has when it has converted this file."""
    running = converter.Converter(Cache(cache), processes=1, threads=threads)
    try:
        (server,) = running._servers
        answer = converted(running, path)
        assert isinstance(answer, converter.Converted)
        assert answer.mesh is not None
        assert server._process is not None
        return len(list(Path(f"/proc/{server._process._popen.pid}/task").iterdir()))
    finally:
        running.close()
        running.join(5.0)


def test_an_obj_with_y_up_ends_with_z_up(convert: Convert) -> None:
    answer = convert(sessions.obj((1.0, 2.0, 3.0)))
    assert answer.mesh is not None
    assert answer.mesh.lower == pytest.approx((0.0, -3.0, 0.0), abs=1e-6)
    assert answer.mesh.upper == pytest.approx((1.0, 0.0, 2.0), abs=1e-6)
    mesh = load(answer.mesh)
    assert volume(mesh) == pytest.approx(6.0)
    assert not mesh.materials


def test_obj_and_glb_share_a_frame(convert: Convert) -> None:
    of_obj = convert(sessions.obj((1.0, 2.0, 3.0)), "a.obj").mesh
    of_glb = convert(sessions.glb((1.0, 2.0, 3.0)), "b.glb").mesh
    assert of_obj is not None and of_glb is not None
    assert of_glb.lower == pytest.approx(of_obj.lower, abs=1e-6)
    assert of_glb.upper == pytest.approx(of_obj.upper, abs=1e-6)
    assert of_glb.metrics["triangles"] == 12


def test_a_glb_keeps_what_its_nodes_do(convert: Convert) -> None:
    half = math.sqrt(0.5)
    nodes = [
        {"children": [1, 2, 3], "translation": [10, 0, 0]},
        {"mesh": 0},
        {"mesh": 0, "scale": [-1, 1, 1], "translation": [0, 5, 0]},
        {"children": [4], "rotation": [0, 0, half, half]},  # X becomes Y
        {"mesh": 0, "translation": [20, 0, 0]},
    ]
    answer = convert(sessions.glb((1.0, 2.0, 3.0), nodes=nodes), "nodes.glb")
    assert answer.mesh is not None, answer.reason
    assert answer.mesh.lower == pytest.approx((8.0, -3.0, 0.0), abs=1e-5)
    assert answer.mesh.upper == pytest.approx((11.0, 0.0, 21.0), abs=1e-5)
    assert answer.mesh.metrics["components"] == 3
    assert answer.mesh.metrics["inconsistent_edges"] == 0
    assert volume(load(answer.mesh)) == pytest.approx(18.0, rel=1e-4)


def test_a_glb_keeps_materials_and_textures(convert: Convert) -> None:
    answer = convert(sessions.glb(texture=sessions.png(16, 16)), "painted.glb")
    mesh = load(answer.mesh)
    (material,) = mesh.materials
    assert material.name == "Painted"
    (image,) = [
        node.image for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeTexImage"
    ]
    assert image.packed_file is not None
    assert tuple(image.size) == (16, 16)
    assert not os.path.isabs(image.filepath)
    assert answer.mesh is not None and answer.mesh.metrics["has_uv"] is True


def test_no_path_of_this_machine_is_in_the_blend(convert: Convert, tmp_path: Path) -> None:
    for name, content in {
        "p.obj": sessions.obj(),
        "p.glb": sessions.glb(texture=sessions.png()),
    }.items():
        mesh = convert(content, name).mesh
        assert mesh is not None
        data = Path(mesh.blend).read_bytes()
        # The file's own path, which every .blend holds, may be there.
        for private in (str(tmp_path), "csm-retopo-", os.path.expanduser("~/")):
            assert private.encode() not in data, name


def test_metrics_are_there_and_json_safe(convert: Convert) -> None:
    mesh = convert(sessions.obj()).mesh
    assert mesh is not None
    assert COUNTS | MEASURES | {"has_uv"} <= mesh.metrics.keys()
    assert json.loads(json.dumps(mesh.metrics, allow_nan=False)) == mesh.metrics
    assert all(type(mesh.metrics[key]) is int for key in COUNTS)
    assert all(type(mesh.metrics[key]) is float for key in MEASURES)
    assert mesh.metrics["faces"] == mesh.metrics["quads"] == 6
    assert mesh.metrics["has_uv"] is False


@pytest.mark.parametrize("keyword", ["o", "g"])
def test_several_objects_become_one_mesh(convert: Convert, keyword: str) -> None:
    first = sessions.obj(before=f"{keyword} A", after=f"{keyword} A").decode()
    vertices, _, faces = sessions.obj((1, 1, 9)).decode().strip().partition("f ")
    faces = re.sub(r"\d+", lambda found: str(int(found[0]) + 8), faces)
    content = f"{first}{keyword} ../../x\n{vertices}f {faces}\n"
    answer = convert(content.encode(), f"several_{keyword}.obj")
    assert answer.mesh is not None, answer.reason
    assert answer.mesh.metrics["faces"] == 12
    assert answer.mesh.metrics["components"] == 2


def test_faces_that_are_dropped_are_told(convert: Convert) -> None:
    answer = convert(sessions.obj(after="f 1 2 99\nf 1 2 0\nf 1 3 4"), "dropped.obj")
    assert answer.mesh is not None
    assert answer.mesh.metrics["faces"] == 7
    assert any("2 of its 9 faces" in each for each in answer.mesh.warnings)


def test_curves_in_an_obj_are_left_out(convert: Convert) -> None:
    curve = "cstype bspline\ndeg 3\ncurv 0 1 1 2 3 4\nparm u 0 0 0 0 1 1 1 1\nend"
    answer = convert(sessions.obj(after=curve), "curve.obj")
    assert answer.mesh is not None, answer.reason
    assert answer.mesh.metrics["faces"] == 6


def test_thousands_of_materials_cost_nothing(convert: Convert) -> None:
    lines = "\n".join(f"usemtl m{number}\nf 1 2 {3 + number % 5}" for number in range(20_000))
    begin = time.monotonic()
    answer = convert(sessions.obj(after=lines), "materials.obj")
    assert time.monotonic() - begin < 5.0
    assert answer.mesh is not None
    assert not load(answer.mesh).materials


def test_no_material_file_is_ever_opened(process: converter.Converter, tmp_path: Path) -> None:
    """Behind each of them is a pipe: whoever opens it waits for ever."""
    names = ["beside.mtl", "named.mtl", "blank.mtl", "joined.mtl"]
    for name in names:
        os.mkfifo(tmp_path / name)
    before = (
        f"mtllib named.mtl\n \f mtllib blank.mtl\nmtl\\\nlib joined.mtl\n"
        f"mtllib {tmp_path}/named.mtl\nusemtl x"
    )
    path = tmp_path / "beside.obj"
    path.write_bytes(sessions.obj(before=before))
    begin = time.monotonic()
    answer = converted(process, path)
    assert time.monotonic() - begin < 5.0
    assert isinstance(answer, converter.Converted)
    assert answer.mesh is not None, answer.reason
    assert answer.mesh.metrics["faces"] == 6


HOSTILE: dict[str, tuple[bytes, str]] = {
    "web page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "it is a web page"),
    "XML": (b"<?xml version='1.0'?><Error/>", "it is an XML document"),
    "JSON": (b'{"message": "no"}', "it is a JSON document"),
    "gzip": (gzip.compress(sessions.obj()), "it is a gzip archive"),
    "junk": (b"\x00\x01\x02\x03 junk \xff" * 40, "it is binary data"),
    "text": (b"hello\nworld\n", "it is not an OBJ file"),
    "comments": (b"# one\n# two\n", "it is not an OBJ file"),
    "CR only": (sessions.obj().replace(b"\n", b"\r"), "carriage returns"),
    "empty": (b"", "it is empty"),
    "cut in a vertex": (b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\nv 1 0", "cut short"),
    "cut before the faces": (sessions.obj().partition(b"f ")[0], "it holds no faces"),
    "all faces out of range": (
        b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf 7 8 9\nf 0 2147483648 -2147483648\n",
        "found no face",
    ),
    "NaN": (sessions.obj().replace(b"v 1 1 1", b"v nan 1 1"), "not a number"),
    "infinite": (sessions.obj().replace(b"v 1 1 1", b"v 1 inf 1"), "not a number"),
    "1e39": (sessions.obj().replace(b"v 1 1 1", b"v 1 1 1e39"), "too large"),
    "words": (sessions.obj().replace(b"v 1 1 1", b"v 1 one 1"), "not a number"),
    "decimal commas": (sessions.obj().replace(b"v 1 1 1", b"v 1,0 1,0 1,0"), "decimal commas"),
    "fractions of an index": (sessions.obj(after="f 1.5 2 3"), "a face that can't be read"),
    "points and lines": (b"v 0 0 0\nv 1 0 0\nf 1\nf 1 2\n", "it holds no faces"),
    "long line": (sessions.obj(before="# " + "x" * 300_000), "too long"),
    "UTF-16": (sessions.obj().decode().encode("utf-16"), "UTF-16"),
}


@pytest.fixture
def import_folder(tmp_path: Path) -> Callable[[Path], Outcome]:
    """Imports a session folder with a cache of its own; returns what became of it."""

    def run(folder: Path) -> Outcome:
        cache = Cache(tmp_path / "cache")
        target = SceneTarget(bpy.context.scene.session_uid, Facing.FRONT)
        running = Import(FolderJob(folder, cache), target, converter.Converter(cache))
        running.start()
        outcome = running.run()
        running.close(5.0)
        return outcome

    return run


def test_what_can_not_be_imported_fails_alone_and_says_why(
    import_folder: Callable[[Path], Outcome], tmp_path: Path
) -> None:
    contents = [sessions.obj(), *(content for content, _ in HOSTILE.values())]
    contents.append(b"\xef\xbb\xbf" + sessions.obj())
    document = sessions.document(sessions.new_id(), len(contents))
    for mesh, name in zip(
        document["output"]["meshes"], ["good", *HOSTILE, "byte order mark"], strict=True
    ):
        mesh["name"] = name
    files = sessions.files(len(contents))
    files |= {f"retopo_mesh_{number}.obj": content for number, content in enumerate(contents)}
    outcome = import_folder(sessions.write_folder(tmp_path / "folder", document, files))

    assert outcome.error is None
    assert not outcome.is_complete
    first, *failed, last = outcome.variations
    assert first.status is last.status is Status.IMPORTED
    assert last.metrics is not None and last.metrics["faces"] == 6
    for each, (name, (_, reason)) in zip(failed, HOSTILE.items(), strict=True):
        assert each.status is Status.FAILED, name
        assert each.error and reason in each.error, (name, each.error)
        assert f"{name}: {each.error}" in outcome.summary()
    assert len(sessions.objects("VARIATION")) == 2


def test_images_that_are_none_cost_only_themselves(
    import_folder: Callable[[Path], Outcome], tmp_path: Path
) -> None:
    hostile = {
        "empty": (b"", "it is empty"),
        "cut": (sessions.png()[:-20], "cut short"),
        "web page": (b"<!DOCTYPE html><html></html>", "it is a web page, not a PNG image"),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG image"),
        "JPEG": (b"\xff\xd8\xff\xe0" + bytes(40), "it is a JPEG image"),
        "vast": (sessions.png(1, 1).replace(b"\0\0\0\1", b"\0\0\xc3\x50"), "a checksum is wrong"),
    }
    files = sessions.files(len(hostile))
    for number, (content, _) in enumerate(hostile.values()):
        files[f"retopo_render_{number}.png"] = content
    document = sessions.document(sessions.new_id(), len(hostile))
    outcome = import_folder(sessions.write_folder(tmp_path / "folder", document, files))
    assert outcome.is_complete
    assert outcome.imported == len(hostile)
    for warning, (_, reason) in zip(outcome.warnings, hostile.values(), strict=True):
        assert "has no preview image" in warning
        assert reason in warning
    assert not sessions.objects("PREVIEW")
    assert not bpy.data.images


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html></html>", "it is a web page, not a GLB file"),
        (sessions.glb()[:-9], "cut short"),
        (sessions.glb().replace(b'"meshes"', b'"mashes"'), "it holds no mesh"),
    ],
)
def test_a_glb_that_can_not_be_read_says_why(convert: Convert, content: bytes, reason: str) -> None:
    answer = convert(content, "bad.glb")
    assert answer.mesh is None
    assert answer.damaged
    assert reason in answer.reason


@pytest.mark.parametrize("size", [3e38, 1e30, 1e-30, float("nan"), float("inf")])
def test_metrics_of_extreme_sizes_are_still_json(convert: Convert, size: float) -> None:
    for name, content in {
        "x.obj": sessions.obj((1.0, size, 1.0)),
        "x.glb": sessions.glb((1.0, size, 1.0)),
    }.items():
        answer = convert(content, name)
        if answer.mesh is None:
            assert answer.damaged
            assert "unforeseen" not in answer.reason
        else:
            json.dumps([answer.mesh.metrics, answer.mesh.lower], allow_nan=False)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, for this process and its children."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def unstable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that hangs or dies, half-way through a file, when the file asks for it."""
    script = tmp_path / "unstable.py"
    script.write_text(
        textwrap.dedent(
            """
            import importlib.util, os, pathlib, sys, time
            spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
            worker = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(worker)
            worker._adopt_package()
            from csm_retopo.scene.background import conversion
            convert = conversion.convert

            def unstable(cache, request):
                data = pathlib.Path(request.path).read_bytes()
                if b"HANG" in data or b"DIE" in data:
                    open(request.blend + ".xyz.part", "w").close()
                    open(request.blend + ".xyz.part@", "w").close()
                    os.write(1, b"half a line" * 1000)
                if b"HANG" in data:
                    time.sleep(1000)
                if b"DIE" in data:
                    os.kill(os.getpid(), 9)
                if b"MUMBLE" in data:
                    os.write(1, b"half a line")
                return convert(cache, request)

            conversion.convert = unstable
            worker.main()
            """
        )
    )
    command = [sys.executable, str(script), worker.__file__]
    monkeypatch.setattr(converter, "_command", lambda *_: command)
    monkeypatch.setattr(converter, "TIMEOUT_S", 1.5)


def test_a_process_that_hangs_or_dies_costs_one_variation(
    unstable: None,
    temporary: Path,
    import_folder: Callable[[Path], Outcome],
    tmp_path: Path,
) -> None:
    folder = sessions.new_folder(
        tmp_path / "folder",
        5,
        retopo_mesh_1_obj=sessions.obj(before="# HANG"),
        retopo_mesh_2_obj=sessions.obj(before="# DIE"),
        retopo_mesh_3_obj=sessions.obj(before="# MUMBLE"),
    )
    outcome = import_folder(folder)
    assert [str(each.status) for each in outcome.variations] == [
        *("imported", "failed", "failed", "imported", "imported")
    ]
    for each in outcome.variations[1:3]:
        assert each.error == "Blender's importer crashed, or took over 2 s"
    assert outcome.source is not None and outcome.source.status is Status.IMPORTED
    assert not list(temporary.iterdir())
    assert not list((tmp_path / "cache").rglob("*.part*"))


def test_closing_does_not_wait_for_a_process_that_hangs(
    unstable: None, temporary: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mesh.obj"
    path.write_bytes(sessions.obj(before="# HANG"))
    cache = Cache(tmp_path / "cache")
    running = converter.Converter(cache)
    request = convert_request(cache, path)
    blend = Path(request.blend)
    running.submit(request)
    while not list(blend.parent.glob("*.part")):
        time.sleep(0.01)
    begin = time.monotonic()
    running.close()
    assert time.monotonic() - begin < 0.05
    running.join(2.0)
    assert time.monotonic() - begin < 1.0
    assert not list(temporary.iterdir())
    assert not list(blend.parent.glob("*.part*"))


def test_a_mesh_that_takes_long_holds_up_no_other(
    unstable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "TIMEOUT_S", 60.0)
    cache = Cache(tmp_path / "cache")
    running = converter.Converter(cache, processes=2)
    try:
        for name, before in {"long": "# HANG", "a": "", "b": "", "c": ""}.items():
            path = tmp_path / f"{name}.obj"
            path.write_bytes(sessions.obj(before=before))
            running.submit(convert_request(cache, path))
        answers = [running.poll(30.0) for _ in range(3)]
        assert [Path(each.mesh.blend).stem for each in answers] == ["a", "b", "c"]
        assert running.poll() is None
    finally:
        running.close()
        running.join(5.0)


def test_a_process_ends_when_nobody_asks_any_more(run_blender: Callable[..., str]) -> None:
    code = f"import runpy; runpy.run_path({worker.__file__!r}, run_name='__main__')"
    assert worker.MARK in run_blender(code, "0", timeout_s=20)


def test_whatever_goes_wrong_in_its_thread_there_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, import_folder: Callable[[Path], Outcome], tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(converter, "_Process", fail)
    outcome = import_folder(sessions.new_folder(tmp_path / "folder", 1))
    assert "something unforeseen happened (ZeroDivisionError)" in str(outcome.error)


def _artist_scene() -> bpy.types.Object:
    """A scene with a cube in Edit Mode, some of it selected."""
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    bpy.data.materials.new("Mine").use_fake_user = True
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    return cube


def _everything() -> set[tuple[str, str]]:
    return {(each.id_type, each.name) for each in bpy.data.user_map()}


@pytest.mark.parametrize("command", [None, ["/nowhere/blender"], [sys.executable, "-c", "pass"]])
def test_without_a_process_it_works_in_place(
    command: list[str] | None,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    import_folder: Callable[[Path], Outcome],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(converter, "_command", lambda *_: command)
    cube = _artist_scene()
    collection = bpy.context.collection
    nodes = [
        {"children": [1, 2], "translation": [10, 0, 0]},
        {"mesh": 0},
        {"mesh": 0, "translation": [0, 5, 0]},
    ]
    folder = sessions.new_folder(
        tmp_path / "folder",
        3,
        mesh_glb=sessions.glb((1, 2, 3), nodes=nodes, texture=sessions.png()),
        retopo_mesh_1_obj=b"<html>",
    )
    before = _everything()
    outcome = import_folder(folder)
    assert [str(each.status) for each in outcome.variations] == ["imported", "failed", "imported"]
    assert outcome.source is not None and outcome.source.mesh is not None
    assert outcome.source.mesh.upper[0] == pytest.approx(11.0)
    assert outcome.source.mesh.upper[2] == pytest.approx(7.0)

    assert bpy.context.object == cube
    assert cube.mode == "EDIT"
    assert cube.select_get()
    assert bpy.context.collection == collection
    kinds = sorted(kind for kind, _ in _everything() - before)
    # The materials are the source's and the labels'.
    placed = [*["COLLECTION", "FONT"], *["MATERIAL"] * 2, *["CURVE"] * 3, *["IMAGE"] * 3]
    assert kinds == sorted([*placed, *["MESH"] * 3, *["OBJECT"] * 8])
    assert before <= _everything()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("after_s", [0.0, 0.3, 1.5])
def test_a_background_blender_ends_with_who_started_it(tmp_path: Path, after_s: float) -> None:
    folder = tmp_path / f"{worker.TEMPORARY_PREFIX}x"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-P", worker.__file__, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert process.stdin is not None and process.stdout is not None
    time.sleep(after_s)
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(30.0)
    finally:
        process.kill()
        process.wait()
    assert not folder.exists()


def test_only_leftovers_of_ours_are_removed(
    temporary: Path, import_folder: Callable[[Path], Outcome], tmp_path: Path
) -> None:
    names = ("csm-retopo-results", "csm-retopo-report-ab12_xyz", "csm-retopo-mesh-ab12_xyz")
    for name in names:
        (temporary / name).mkdir()
        (temporary / name / "session.blend").touch()
        os.utime(temporary / name, (0, 0))
    import_folder(sessions.new_folder(tmp_path / "folder", 1))
    assert [path.name for path in temporary.glob("csm-retopo-*")] == ["csm-retopo-results"]
    assert (temporary / names[0] / "session.blend").is_file()
