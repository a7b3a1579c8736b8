"""Make the bundled sample session: everything in this folder but the script itself.

The result is a retopology session as the service would answer it, kept as a folder:

- ``input_mesh.glb``: a closed, detailed mesh, the sculpt that is to be retopologised;
- ``retopo_mesh_<n>.obj``: different retopologies of it, all in its frame, made with Blender's own
  remeshers (QuadriFlow, voxel remesh, decimation);
- ``retopo_render_<n>.png``: a picture of each, its polygon edges drawn;
- ``session.json``: the session's own JSON.

Run it from the repository's root with a Python that has the ``bpy`` module, 5.0 or newer::

    python sample/make_sample.py

It replaces the files that are there, prints what it made and fails if the folder grew over its
limit. It renders on the CPU and takes a minute or two.
"""

import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector, noise

FOLDER = Path(__file__).resolve().parent
MAX_FOLDER_BYTES = 3_000_000

SESSION_ID = "SESSION_1763900000_1000001"
SOURCE_ID = "ASSET_1763899000_1000000"
SOURCE_NAME = "Suzanne, sculpted"
# RFC 2606 reserves the name: these addresses can never be fetched.
BASE_URL = f"https://storage.example/inference-outputs/sample/{SESSION_ID}"

SCULPT_VOXEL_SIZE = 0.0125
SOURCE_TRIANGLES = 32_000
# Where the centre of Suzanne's left eyeball is, seen from the front.
EYE_X, EYE_Z = 0.352, 0.245
# What QuadriFlow is asked for: it stays below, and at many budgets near these it loses an eye.
QUADRIFLOW_DENSE_FACES = 4600
QUADRIFLOW_LIGHT_FACES = 1750

RENDER_SIZE_PX = 512
RENDER_SAMPLES = 32
# How far the camera steps back from where the subject just fits, as a share of that distance.
RENDER_BACK_OFF = 0.18
CAMERA_DIRECTION = Vector((0.5, -1.0, 0.28)).normalized()
WIRE_THICKNESS = 0.0055


def main() -> None:
    """Make the sample session, print what was made and check the folder's size."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    source = make_source()
    retopologies = [make(source) for make in RETOPOLOGIES]

    export_glb(source, FOLDER / "input_mesh.glb")
    for index, retopology in enumerate(retopologies):
        export_obj(retopology, FOLDER / f"retopo_mesh_{index}.obj")
    render_previews(source, retopologies)
    session = describe_session(len(retopologies))
    (FOLDER / "session.json").write_text(json.dumps(session, indent=4) + "\n", encoding="utf-8")

    print_facts(source, retopologies)
    check_folder_size()


# The input mesh


def make_source() -> bpy.types.Object:
    """Return Suzanne as a closed, sculpted triangle mesh."""
    # Without UVs: the voxel remesher would keep them, torn and of no use.
    bpy.ops.mesh.primitive_monkey_add(size=2.0, calc_uvs=False)
    source = bpy.context.object
    source.name = source.data.name = SOURCE_NAME
    apply_modifier(source, "SUBSURF", levels=3)
    close_holes(source)
    voxel_remesh(source, SCULPT_VOXEL_SIZE)
    apply_modifier(source, "SMOOTH", factor=0.5, iterations=3)
    sculpt(source.data)
    apply_modifier(source, "TRIANGULATE")
    decimate(source, SOURCE_TRIANGLES)
    source.data.shade_smooth()
    material = make_material("Terracotta", (0.62, 0.2, 0.1), roughness=0.55)
    source.data.materials.append(material)
    return source


def close_holes(obj: bpy.types.Object) -> None:
    """Fill the mesh's open borders: the voxel remesher needs an inside and an outside."""
    with edit_mode(obj):
        bpy.ops.mesh.fill_holes(sides=0)


def sculpt(mesh: bpy.types.Mesh) -> None:
    """Displace the vertices along their normals: combed hair, wrinkled skin, polished eyes."""
    positions = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    normals = np.empty_like(positions)
    mesh.vertices.foreach_get("co", positions)
    mesh.vertex_normals.foreach_get("vector", normals)
    positions = positions.reshape(-1, 3)
    heights = np.array([sculpted_height(Vector(position)) for position in positions])
    positions += normals.reshape(-1, 3) * heights[:, np.newaxis]
    mesh.vertices.foreach_set("co", positions.ravel())
    mesh.update()


def sculpted_height(position: Vector) -> float:
    """Return how far the surface is raised at a position; the same on both sides of the face."""
    x, y, z = abs(position.x), position.y, position.z
    from_eye = math.hypot(x - EYE_X, z - EYE_Z)
    on_face = 1.0 - smoothstep(-0.55, -0.4, y)
    on_ball = on_face * (1.0 - smoothstep(0.23, 0.25, from_eye))
    near_eye = on_face * (1.0 - smoothstep(0.36, 0.56, from_eye))
    on_ear = smoothstep(0.80, 0.92, x)
    on_scalp = smoothstep(-0.28, 0.02, y + 0.55 * smoothstep(0.45, 0.8, z)) * (1.0 - on_ear)

    warp = noise.noise(Vector((x * 2.0, y * 2.0, z * 2.0)))
    along = math.atan2(z, y)
    locks = ridged(Vector((x * 5.0 + warp * 1.1, along * 1.1, 0.0)))
    strands = ridged(Vector((x * 15.0 + warp * 3.3, along * 1.6, 5.0)))
    hair = 0.046 * locks + 0.022 * strands - 0.016

    folds = noise.noise(Vector((x, y, z)) * 3.2)
    wrinkles = ridged(Vector((x * 2.2, y * 3.0, z * 6.5 + warp * 1.5)))
    pores = noise.noise(Vector((x, y, z)) * 24.0)
    skin = 0.018 * folds + 0.014 * wrinkles + 0.005 * pores

    lid = 0.014 * bump(from_eye - 0.29, 0.022) - 0.045 * bump(from_eye - 0.243, 0.016)
    bags = 0.008 * math.cos((from_eye - 0.295) * 2.0 * math.pi / 0.062 + warp)
    iris = -0.012 * bump(from_eye - 0.105, 0.012) - 0.035 * bump(from_eye, 0.045)

    relief = on_scalp * hair + (1.0 - on_scalp) * (1.0 - near_eye) * skin
    return (1.0 - on_ball) * (relief + near_eye * bags) + on_face * (lid + iris)


def bump(offset: float, width: float) -> float:
    """Return 1 where the offset is 0, falling off to both sides within about the width."""
    return math.exp(-((offset / width) ** 2))


def ridged(position: Vector) -> float:
    """Return noise from 0 to 1 with sharp ridges at 1."""
    return (1.0 - min(1.0, abs(noise.noise(position)) * 1.8)) ** 1.5


def smoothstep(low: float, high: float, value: float) -> float:
    """Return 0 below ``low``, 1 above ``high`` and a smooth step between."""
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return share * share * (3.0 - 2.0 * share)


# The retopologies


def quadriflow_dense(source: bpy.types.Object) -> bpy.types.Object:
    """Return about 3,800 quads that follow the form."""
    return quadriflow(source, QUADRIFLOW_DENSE_FACES)


def quadriflow_light(source: bpy.types.Object) -> bpy.types.Object:
    """Return about 1,500 quads that follow the form, unwrapped."""
    retopology = quadriflow(source, QUADRIFLOW_LIGHT_FACES)
    unwrap(retopology)
    return retopology


def voxel_grid(source: bpy.types.Object) -> bpy.types.Object:
    """Return the even quads of a coarse voxel remesh, pulled back to the surface."""
    retopology = duplicate(source)
    voxel_remesh(retopology, 0.075)
    apply_modifier(retopology, "SMOOTH", factor=0.5, iterations=2)
    apply_modifier(retopology, "SHRINKWRAP", target=source)
    return retopology


def mixed_topology(source: bpy.types.Object) -> bpy.types.Object:
    """Return quads where two triangles make a good one, and triangles elsewhere."""
    retopology = duplicate(source)
    decimate(retopology, 3600)
    with edit_mode(retopology):
        bpy.ops.mesh.tris_convert_to_quads(
            face_threshold=math.radians(40), shape_threshold=math.radians(60)
        )
    return retopology


def decimated_triangles(source: bpy.types.Object) -> bpy.types.Object:
    """Return about 3,000 triangles, dense where the surface bends, unwrapped."""
    retopology = duplicate(source)
    decimate(retopology, 3000)
    unwrap(retopology)
    return retopology


RETOPOLOGIES: list[Callable[[bpy.types.Object], bpy.types.Object]] = [
    quadriflow_dense,
    quadriflow_light,
    voxel_grid,
    mixed_topology,
    decimated_triangles,
]


def quadriflow(source: bpy.types.Object, faces: int) -> bpy.types.Object:
    """Return a copy of the source remeshed by QuadriFlow to somewhat fewer quads than asked."""
    retopology = duplicate(source)
    activate(retopology)
    # With symmetry, QuadriFlow leaves the seam between the halves open.
    bpy.ops.object.quadriflow_remesh(
        mode="FACES", target_faces=faces, use_mesh_symmetry=False, seed=0
    )
    retopology.data.shade_smooth()
    return retopology


def voxel_remesh(obj: bpy.types.Object, voxel_size: float) -> None:
    """Replace the object's mesh by the voxel remesher's quads."""
    activate(obj)
    obj.data.remesh_voxel_size = voxel_size
    obj.data.remesh_voxel_adaptivity = 0.0
    bpy.ops.object.voxel_remesh()


def decimate(obj: bpy.types.Object, triangles: int) -> None:
    """Collapse the edges of a triangle mesh until about so many triangles remain."""
    apply_modifier(obj, "DECIMATE", ratio=triangles / len(obj.data.polygons))


def unwrap(obj: bpy.types.Object) -> None:
    """Give the object a UV map."""
    with edit_mode(obj):
        bpy.ops.uv.smart_project(angle_limit=math.radians(66), island_margin=0.004)


# Objects and modifiers


def duplicate(obj: bpy.types.Object) -> bpy.types.Object:
    """Return a copy of the object with a mesh of its own and no materials, in the scene."""
    copy = obj.copy()
    copy.data = obj.data.copy()
    copy.data.materials.clear()
    bpy.context.collection.objects.link(copy)
    return copy


def activate(obj: bpy.types.Object) -> None:
    """Make the object the only selected one, and the active one."""
    bpy.ops.object.select_all(action="DESELECT")
    obj.select_set(True)
    bpy.context.view_layer.objects.active = obj


def apply_modifier(obj: bpy.types.Object, kind: str, **settings: Any) -> None:
    """Add a modifier with these settings and apply it."""
    modifier = obj.modifiers.new(kind, kind)
    for name, value in settings.items():
        setattr(modifier, name, value)
    activate(obj)
    bpy.ops.object.modifier_apply(modifier=modifier.name)


@contextmanager
def edit_mode(obj: bpy.types.Object) -> Iterator[None]:
    """Run the body in the object's edit mode, with everything selected."""
    activate(obj)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    yield
    bpy.ops.object.mode_set(mode="OBJECT")


def make_material(
    name: str, colour: tuple[float, float, float], roughness: float
) -> bpy.types.Material:
    """Return a new material of one linear RGB colour."""
    material = bpy.data.materials.new(name)
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    return material


# The files


def export_glb(obj: bpy.types.Object, path: Path) -> None:
    """Write the object alone as a binary glTF, Y up."""
    activate(obj)
    bpy.ops.export_scene.gltf(
        filepath=str(path),
        export_format="GLB",
        use_selection=True,
        export_yup=True,
        export_animations=False,
    )


def export_obj(obj: bpy.types.Object, path: Path) -> None:
    """Write the object alone as an OBJ, Y up, without materials and normals."""
    obj.name = path.stem
    activate(obj)
    bpy.ops.wm.obj_export(
        filepath=str(path),
        export_selected_objects=True,
        export_materials=False,
        export_normals=False,
        export_uv=bool(obj.data.uv_layers),
    )


def describe_session(variations: int) -> dict[str, Any]:
    """Return the session's JSON, in the shape of the service's answer."""
    return {
        "_id": SESSION_ID,
        "status": "complete",
        "created_at": "2025-11-23T12:13:20.000Z",
        "updated_at": "2025-11-23T12:19:46.512Z",
        "type": "retopology",
        "input": {
            "mesh": {
                "_id": SOURCE_ID,
                "name": SOURCE_NAME,
                "status": "complete",
                "data": {"glb_url": f"{BASE_URL}/input_mesh.glb"},
            },
            "model": "swift",
            "quads": True,
        },
        "output": {"meshes": [describe_variation(index) for index in range(variations)]},
    }


def describe_variation(index: int) -> dict[str, Any]:
    """Return the JSON of one variation; files count from 0, names from 1."""
    return {
        "_id": f"ASSET_1763900000_{1000002 + index}",
        "name": f"{SOURCE_NAME} retopo {index + 1}",
        "status": "complete",
        "data": {
            "obj_url": f"{BASE_URL}/retopo_mesh_{index}.obj",
            "image_url": f"{BASE_URL}/retopo_render_{index}.png",
        },
    }


def print_facts(source: bpy.types.Object, retopologies: list[bpy.types.Object]) -> None:
    """Print every file with its size, and the faces of the meshes."""
    print(f"input_mesh: {face_counts(source.data)}")
    for index, retopology in enumerate(retopologies):
        print(f"retopo_mesh_{index}: {face_counts(retopology.data)}")
    for path in folder_files():
        print(f"{path.name}: {path.stat().st_size:,} bytes")


def face_counts(mesh: bpy.types.Mesh) -> str:
    """Return in words how many faces the mesh has, by their number of corners."""
    corners = Counter(len(polygon.vertices) for polygon in mesh.polygons)
    triangles, quads = corners[3], corners[4]
    ngons = corners.total() - triangles - quads
    return f"{corners.total()} faces: {triangles} triangles, {quads} quads, {ngons} n-gons"


def check_folder_size() -> None:
    """Print the folder's size and exit with an error if it is over the limit."""
    size = sum(path.stat().st_size for path in folder_files())
    print(f"total: {size:,} of at most {MAX_FOLDER_BYTES:,} bytes")
    if size > MAX_FOLDER_BYTES:
        raise SystemExit("The sample session is too large")


def folder_files() -> list[Path]:
    """Return the files of the sample session's folder, sorted by name."""
    return sorted(path for path in FOLDER.iterdir() if path.is_file())


# The previews


def render_previews(subject: bpy.types.Object, retopologies: list[bpy.types.Object]) -> None:
    """Render each retopology alone, all of them from where the subject fills the picture."""
    set_up_studio(subject)
    clay = make_material("Clay", (0.58, 0.55, 0.51), roughness=0.6)
    ink = make_material("Ink", (0.012, 0.014, 0.018), roughness=0.9)
    for obj in (subject, *retopologies):
        obj.hide_render = True
    for index, retopology in enumerate(retopologies):
        retopology.data.materials.append(clay)
        wire = make_wire(retopology, ink)
        retopology.hide_render = wire.hide_render = False
        render(FOLDER / f"retopo_render_{index}.png")
        retopology.hide_render = wire.hide_render = True


def make_wire(obj: bpy.types.Object, material: bpy.types.Material) -> bpy.types.Object:
    """Return a copy of the object that is nothing but its polygon edges."""
    wire = duplicate(obj)
    wire.data.materials.append(material)
    modifier = wire.modifiers.new("Wireframe", "WIREFRAME")
    modifier.thickness = WIRE_THICKNESS
    modifier.offset = 0.0
    modifier.use_even_offset = False
    return wire


def render(path: Path) -> None:
    """Render the scene to a PNG file that holds the picture and nothing else."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    path.write_bytes(without_metadata(path.read_bytes()))


def without_metadata(png: bytes) -> bytes:
    """Return the PNG without the render times that Cycles writes, so that runs can be compared."""
    chunks = [png[:8]]
    start = 8
    while start < len(png):
        (data_size,) = struct.unpack_from(">I", png, start)
        end = start + 12 + data_size
        if png[start + 4 : start + 8] in {b"IHDR", b"IDAT", b"IEND"}:
            chunks.append(png[start:end])
        start = end
    return b"".join(chunks)


def set_up_studio(subject: bpy.types.Object) -> None:
    """Set up camera, light, floor and render settings for pictures of the subject."""
    scene = bpy.context.scene
    set_up_image(scene.render)
    scene.render.engine = "CYCLES"
    scene.cycles.samples = RENDER_SAMPLES
    scene.cycles.seed = 0
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = True
    scene.view_settings.view_transform = "Standard"

    add_camera(subject)
    add_area_light("Key", Vector((-2.5, -4.0, 4.5)), size=2.5, power_w=330.0)
    add_area_light("Fill", Vector((5.0, -3.0, 1.0)), size=5.0, power_w=70.0)
    add_area_light("Rim", Vector((2.5, 4.5, 4.0)), size=2.0, power_w=260.0)
    add_floor(min(corner[2] for corner in subject.bound_box))
    add_backdrop(scene)


def set_up_image(settings: bpy.types.RenderSettings) -> None:
    """Ask for small square PNG files."""
    settings.resolution_x = settings.resolution_y = RENDER_SIZE_PX
    settings.resolution_percentage = 100
    settings.image_settings.file_format = "PNG"
    settings.image_settings.color_mode = "RGB"
    settings.image_settings.color_depth = "8"
    settings.image_settings.compression = 100
    # Dithering is noise, which PNG cannot compress.
    settings.dither_intensity = 0.0


def add_camera(subject: bpy.types.Object) -> None:
    """Add the scene's camera: a three-quarter view that the subject fills but for a margin."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    camera.data.lens = 85.0
    camera.rotation_euler = CAMERA_DIRECTION.to_track_quat("Z", "Y").to_euler()
    bpy.context.view_layer.update()
    points = [coordinate for vertex in subject.data.vertices for coordinate in vertex.co]
    location, _ = camera.camera_fit_coords(bpy.context.evaluated_depsgraph_get(), points)
    camera.location = location + CAMERA_DIRECTION * (RENDER_BACK_OFF * location.length)


def add_area_light(name: str, location: Vector, *, size: float, power_w: float) -> None:
    """Add a square light that shines on the origin."""
    light = bpy.data.objects.new(name, bpy.data.lights.new(name, "AREA"))
    light.data.size = size
    light.data.energy = power_w
    light.location = location
    light.rotation_euler = location.to_track_quat("Z", "Y").to_euler()
    bpy.context.collection.objects.link(light)


def add_floor(height: float) -> None:
    """Add a floor that shows nothing but the shadow that falls on it."""
    bpy.ops.mesh.primitive_plane_add(size=1000.0, location=(0.0, 0.0, height))
    bpy.context.object.is_shadow_catcher = True


def add_backdrop(scene: bpy.types.Scene) -> None:
    """Add a world that the camera sees lighter than it shines."""
    scene.world = bpy.data.worlds.new("Backdrop")
    tree = scene.world.node_tree
    strength = tree.nodes.new("ShaderNodeMapRange")
    strength.inputs["To Min"].default_value = 0.25
    strength.inputs["To Max"].default_value = 0.8
    light_path = tree.nodes.new("ShaderNodeLightPath")
    background = tree.nodes["Background"]
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    tree.links.new(light_path.outputs["Is Camera Ray"], strength.inputs["Value"])
    tree.links.new(strength.outputs["Result"], background.inputs["Strength"])


if __name__ == "__main__":
    main()
