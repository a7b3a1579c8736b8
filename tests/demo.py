# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, shown: the sample session over HTTP from a stand-in service into a .blend.

`make demo` runs it in a PyPI `bpy`. It needs no account and no network beyond this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
OUTPUT = ROOT / "build" / "demo"

sys.path[:0] = [str(TESTS), str(TESTS / "blender")]

COLUMNS = (
    ("Faces", "faces", "{:,}"),
    ("Triangles", "triangle_count", "{:,}"),
    ("Quads", "quad_ratio", "{:.1%}"),
    ("Poles 3", "poles_3", "{:,}"),
    ("Poles 5", "poles_5", "{:,}"),
    ("Poles 6+", "poles_6_plus", "{:,}"),
    ("Quad shape", "scaled_jacobian_mean", "{:.3f}"),
    ("Boundary", "boundary_edges", "{:,}"),
)


def main() -> int:
    """Run the demo; return 0 if everything was imported."""
    with tempfile.TemporaryDirectory(prefix="csm-retopo-demo-") as folder, stand_in() as service:
        session_id = service["session_ids"][0]
        os.environ["CSM_API_URL"] = service["api_url"]
        os.environ["CSM_API_KEY"] = service["key"]
        # Blender reads it when it starts, which is when bpy is first imported.
        os.environ["BLENDER_USER_RESOURCES"] = str(Path(folder) / "resources")
        import bpy

        import lifecycle
        from tools import extension

        archive = Path(folder) / "csm_retopo.zip"
        extension.build(archive)
        lifecycle.install(str(archive))
        try:
            imported = show(session_id)
        finally:
            lifecycle.uninstall()
    if imported is None:
        print("demo: FAILED: the import did not succeed, see above")
        return 1
    print(f"demo: passed: {imported} in Blender {bpy.app.version_string}")
    return 0


def show(session_id: str) -> str | None:
    """Import the session with the command line, then print and draw what came of it.

    Returns what was imported, or None if that failed.
    """
    from bl_ext.user_default.csm_retopo import cli

    argv = ["import", session_id, "--output", str(OUTPUT), "--force"]
    print(f"\nblender --background --online-mode --command csm_retopo {' '.join(argv)}")
    start = time.perf_counter()
    code = cli.main(argv)
    elapsed_s = time.perf_counter() - start
    if code:
        return None

    folder = OUTPUT / session_id
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    picture = folder / "row.png"
    draw(folder / "session.blend", picture)
    print(f"\n{table(report)}\n")
    print(f"The row:     {folder / 'session.blend'}")
    print(f"The report:  {folder / 'report.json'}")
    print(f"The picture: {picture}")
    count = len(report["variations"])
    return f"{count} variations of {session_id} imported in {elapsed_s:.1f} s"


def table(report: dict[str, Any]) -> str:
    """The variations as lines of text, the source last."""
    meshes = [*report["variations"], *([report["source"]] if report["source"] else [])]
    rows = [["Variation", *(label for label, _, _ in COLUMNS)]]
    for mesh in meshes:
        values = [(mesh["metrics"][key], shape) for _, key, shape in COLUMNS]
        cells = ["-" if value is None else shape.format(value) for value, shape in values]
        rows.append([mesh["name"], *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def draw(blend: Path, picture: Path) -> None:
    """Render the row from the front, with the edges of its meshes and its preview images.

    Cycles, since Workbench needs a graphics context that a server does not have.
    """
    import bpy

    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    objects = list(scene.objects)
    white = flat_material("Label", (0.9, 0.9, 0.9, 1.0))
    dark = flat_material("Edges", (0.02, 0.02, 0.02, 1.0))
    for obj in objects:
        role = obj.csm_retopo.role
        if role == "LABEL":
            obj.data.materials.append(white)
        elif role == "PREVIEW":
            show_preview(scene, obj)
        elif role == "VARIATION":
            show_edges(scene, obj, dark)

    bpy.context.view_layer.update()
    lower, upper = extent([obj for obj in scene.objects if obj.type in {"MESH", "FONT"}])
    width, height = upper[0] - lower[0], upper[2] - lower[2]
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.type = "ORTHO"
    camera.data.ortho_scale = width * 1.03
    camera.location = ((lower[0] + upper[0]) / 2, lower[1] - width, (lower[2] + upper[2]) / 2)
    camera.rotation_euler = (1.5708, 0.0, 0.0)
    camera.data.clip_end = width * 4
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy = 3.0
    sun.rotation_euler = (0.7, 0.3, 0.0)
    for obj in (camera, sun):
        scene.collection.objects.link(obj)
    scene.camera = camera
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.25, 0.25, 0.27)
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 16
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x = 2400
    scene.render.resolution_y = int(2400 * height * 1.15 / (width * 1.03))
    scene.render.filepath = str(picture)
    bpy.ops.render.render(write_still=True)


def flat_material(name: str, color: tuple[float, float, float, float]) -> Any:
    """A material that shows its colour whatever the light."""
    import bpy

    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # before 5.0, a new material has no nodes
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    emission = tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Color"].default_value = color
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def show_edges(scene: Any, obj: Any, material: Any) -> None:
    """Lay the polygons' edges over the mesh."""
    import bpy

    edges = bpy.data.objects.new(f"{obj.name} Edges", obj.data.copy())
    edges.matrix_world = obj.matrix_world
    edges.data.materials.clear()
    edges.data.materials.append(material)
    modifier = edges.modifiers.new("Edges", "WIREFRAME")
    modifier.thickness = max(obj.dimensions) * 0.002
    scene.collection.objects.link(edges)


def show_preview(scene: Any, empty: Any) -> None:
    """Put a plane with the image where the image empty is, which no renderer shows."""
    import bpy

    image = empty.data
    width, height = image.size
    scale = empty.empty_display_size / max(width, height)
    left = empty.empty_image_offset[0] * width * scale
    low = empty.empty_image_offset[1] * height * scale
    right, high = left + width * scale, low + height * scale
    mesh = bpy.data.meshes.new(empty.name)
    corners = [(left, low, 0), (right, low, 0), (right, high, 0), (left, high, 0)]
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    layer = mesh.uv_layers.new()
    for loop, uv in zip(layer.data, [(0, 0), (1, 0), (1, 1), (0, 1)], strict=True):
        loop.uv = uv
    material = flat_material(empty.name, (1.0, 1.0, 1.0, 1.0))
    tree = material.node_tree
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    emission = next(node for node in tree.nodes if node.bl_idname == "ShaderNodeEmission")
    tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
    mesh.materials.append(material)
    plane = bpy.data.objects.new(empty.name, mesh)
    plane.matrix_world = empty.matrix_world
    scene.collection.objects.link(plane)


def extent(objects: list[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The two corners of the box around the objects, in scene units."""
    from mathutils import Vector

    points = []
    for obj in objects:
        points += [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    lower = tuple(min(point[axis] for point in points) for axis in range(3))
    upper = tuple(max(point[axis] for point in points) for axis in range(3))
    return lower, upper


@contextmanager
def stand_in() -> Iterator[dict[str, Any]]:
    """The stand-in service with the sample session, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "standin", "--folder", str(ROOT / "sample")]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()  # it ends when its input does
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
