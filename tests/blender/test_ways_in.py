# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist reaches the extension by besides its panels: files, drops, menus, preferences."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo import operators as operator_modules, ui
from bl_ext.user_default.csm_retopo.api.recent import Page
from bl_ext.user_default.csm_retopo.operators import importing
from bl_ext.user_default.csm_retopo.scene import recents, runner, sessions as ready, texts
from bl_ext.user_default.csm_retopo.scene.compare.table import as_text
from bl_ext.user_default.csm_retopo.scene.measure.metrics import METRICS
from bl_ext.user_default.csm_retopo.ui import compare, menus, pages, tab
from lifecycle import MODULE
from standin import StandIn

__all__ = ["nothing_left"]

import_file = bpy.ops.csm_retopo.import_file


@pytest.fixture
def preferences() -> Iterator[Any]:
    """The add-on's, as they are by default again afterwards."""
    chosen = bpy.context.preferences.addons[MODULE].preferences
    yield chosen
    for name in ("default_folder", "drop_meshes", "tab_name"):
        chosen.property_unset(name)
    tab.rename(chosen.tab_name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sessions.new_folder(tmp_path_factory.mktemp("session"))


def refusal(**keywords: Any) -> str:
    with pytest.raises(RuntimeError) as raised:
        import_file(**keywords)
    assert not bpy.data.objects
    text = str(raised.value).strip().removeprefix("Error: ")
    assert bpy.context.window_manager.csm_retopo.message == text
    return text


def test_a_session_by_its_file_or_its_folder(folder: Path) -> None:
    for path in (folder / "session.json", folder, f"{folder}/"):
        bpy.ops.wm.read_homefile(use_empty=True)
        assert import_file(filepath=str(path)) == {"FINISHED"}
        assert len(objects("VARIATION")) == 2


def test_files_as_a_drop_names_them(folder: Path) -> None:
    # Any of them stands for the whole session.
    for names in (
        ["session.json"],
        ["retopo_mesh_1.obj"],
        ["retopo_mesh_0.obj", "retopo_mesh_1.obj"],
        ["retopo_mesh_0.obj", "session.json"],
    ):
        bpy.ops.wm.read_homefile(use_empty=True)
        dropped = [{"name": name} for name in names]
        done = import_file(filepath=str(folder / names[0]), directory=f"{folder}/", files=dropped)
        assert done == {"FINISHED"}
        assert len(objects("VARIATION")) == 2
        assert len(objects("SOURCE")) == 1


def test_files_of_the_cache(service: StandIn) -> None:
    session_id = service.add_session(
        document=sessions.document(sessions.new_id()), files=sessions.files()
    )
    bpy.ops.csm_retopo.import_session(session_id=session_id)
    service.clear()
    for name in ("session.json", "variation_1.obj"):
        bpy.ops.wm.read_homefile(use_empty=True)
        import_file(filepath=str(ready.open_cache().root / session_id / name))
        assert len(objects("VARIATION", session_id)) == 2
    assert not service.requests


def test_what_is_no_session_is_refused_with_advice(tmp_path: Path) -> None:
    assert refusal() == "Choose session.json, or the folder that holds it"
    (tmp_path / "chair.obj").write_bytes(sessions.obj())
    (tmp_path / "notes.json").write_text("{}")
    said = refusal(directory=str(tmp_path), files=[{"name": "chair.obj"}])
    assert said.startswith("chair.obj is no mesh of a session: there is no session.json beside it")
    assert "Wavefront (.obj)" in said
    said = refusal(filepath=str(tmp_path / "notes.json"))
    assert said == "notes.json is no session: choose session.json, or the folder that holds it"
    assert "holds no session.json" in refusal(filepath=str(tmp_path))
    assert "holds no session.json" in refusal(filepath=str(tmp_path / "gone" / "session.json"))
    for text in ('{"name": "another program\'s"}', "[]", "{", "\0"):
        (tmp_path / "session.json").write_text(text)
        assert "not a" in refusal(filepath=str(tmp_path / "session.json"))


def handlers() -> list[Any]:
    return [
        each
        for each in bpy.types.FileHandler.__subclasses__()
        if each.__module__.startswith(MODULE)
        for each in each.__subclasses__()
    ]


def offered(extension: str, area: str = "VIEW_3D", mode: str = "OBJECT") -> list[str]:
    """The handlers that Blender would offer for a file dropped there."""
    context = SimpleNamespace(area=SimpleNamespace(type=area) if area else None, mode=mode)
    return [
        each.bl_label
        for each in handlers()
        if extension in each.bl_file_extensions.split(";") and each.poll_drop(context)
    ]


@pytest.mark.parametrize("with_meshes", [True, False])
def test_one_handler_takes_a_drop_where_a_session_can_be_placed(
    preferences: Any, with_meshes: bool
) -> None:
    preferences.drop_meshes = with_meshes
    session = ["CSM Retopology Session"]
    assert offered(".json") == session
    assert offered(".obj") == (session if with_meshes else [])
    assert offered(".png") == []
    for extension in (".json", ".obj"):
        assert offered(extension, area="OUTLINER") == []
        assert offered(extension, area="") == []
        assert offered(extension, mode="EDIT_MESH") == []
    for each in handlers():
        assert each.is_registered
        assert each.bl_import_operator == "csm_retopo.import_file"


def test_the_default_folder_is_where_a_browser_begins(preferences: Any, tmp_path: Path) -> None:
    assert importing.default_folder() == ""
    preferences.default_folder = str(tmp_path)
    assert importing.default_folder() == f"{tmp_path}/"
    preferences.default_folder = str(tmp_path / "gone")
    assert importing.default_folder() == ""


def shown_panels() -> dict[str, str]:
    """The tab of each panel that Blender knows."""
    return {
        each.__name__: each.bl_category
        for each in bpy.types.Panel.__subclasses__()
        if each.__module__.startswith(MODULE)
        and getattr(each, "bl_category", "")
        and each.is_registered
        and hasattr(bpy.types, each.__name__)
    }


def test_the_tab_has_the_name_that_is_wanted(preferences: Any) -> None:
    before = shown_panels()
    assert len(before) >= 4
    assert set(before.values()) == {"Retopo"}
    preferences.tab_name = "Studio"
    assert shown_panels() == dict.fromkeys(before, "Studio")
    preferences.tab_name = "  "
    assert shown_panels() == before


def test_the_tab_has_its_name_from_the_start_on(
    run_blender: Callable[..., str], archive: Path
) -> None:
    printed = run_blender(
        """
import sys
from lifecycle import *
import addon_utils

def panels():
    return [each for each in bpy.types.Panel.__subclasses__()
            if each.__module__.startswith(MODULE) and hasattr(each, "bl_category")]

def tabs():
    return {each.bl_category for each in panels() if each.is_registered}

install(sys.argv[1])
bpy.context.preferences.addons[MODULE].preferences.tab_name = "Studio"
# As when Blender starts: what is enabled stands in the preferences already.
addon_utils.disable(MODULE)
assert not tabs()
for each in panels():
    each.bl_category = "Retopo"
addon_utils.enable(MODULE)
assert tabs() == {"Studio"}, tabs()
bpy.ops.preferences.addon_disable(module=MODULE)
check_nothing_left()
bpy.ops.preferences.addon_enable(module=MODULE)
assert tabs() == {"Retopo"}, tabs()
""",
        archive,
    )
    assert "Traceback" not in printed


def all_operators() -> list[Any]:
    found = [
        each
        for module in vars(operator_modules).values()
        if inspect.ismodule(module)
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, bpy.types.Operator)
    ]
    return sorted({each for each in found if hasattr(each, "bl_idname")}, key=lambda e: e.bl_idname)


def rna(operator: Any) -> Any:
    return getattr(bpy.ops.csm_retopo, operator.bl_idname.partition(".")[2]).get_rna_type()


def test_every_operator_and_each_of_its_settings_is_explained() -> None:
    assert len(all_operators()) > 15
    for operator in all_operators():
        kind = rna(operator)
        assert kind.name == kind.name.strip() and kind.name[0].isupper()
        assert len(kind.description) > 10 and not kind.description.endswith(".")
        assert kind.translation_context == "Operator"
        for prop in kind.properties:
            if prop.identifier != "rna_type" and not prop.is_hidden:
                assert prop.description, f"{operator.bl_idname}.{prop.identifier}"
                assert not prop.description.endswith("."), prop.description


def test_operators_are_told_apart_by_their_names() -> None:
    names = [rna(operator).name for operator in all_operators()]
    assert len(names) == len(set(names))


def can_be_grey() -> list[Any]:
    return [each for each in all_operators() if any("poll" in vars(c) for c in each.__mro__[:2])]


def refusals(situation: str) -> dict[str, str]:
    """What each operator that is greyed out now says of it."""
    said = {}
    for operator in can_be_grey():
        verb = getattr(bpy.ops.csm_retopo, operator.bl_idname.partition(".")[2])
        if not verb.poll():
            with pytest.raises(RuntimeError) as raised:
                verb()
            said[operator.bl_idname] = str(raised.value)
            assert "context is incorrect" not in said[operator.bl_idname], situation
    return said


def test_every_operator_that_can_be_grey_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusals("in an empty file")
    import_file(filepath=str(folder))
    bpy.context.view_layer.objects.active = objects("VARIATION")[0]
    bpy.ops.object.mode_set(mode="EDIT")
    in_edit_mode = refusals("in Edit Mode")
    bpy.ops.object.mode_set(mode="OBJECT")
    assert "Object Mode" in in_edit_mode["csm_retopo.flip"] + in_edit_mode["csm_retopo.select"]
    monkeypatch.setattr(runner, "is_running", lambda key="": True)
    said |= in_edit_mode | refusals("while something is under way")
    assert set(said) == {each.bl_idname for each in can_be_grey()}


def described(operator: str, **properties: Any) -> str:
    cls = next(each for each in all_operators() if each.bl_idname == operator)
    return str(cls.description(bpy.context, SimpleNamespace(**properties)))


def test_buttons_that_the_sidebar_greys_out_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for operator in ("csm_retopo.import_session", "csm_retopo.import_cached"):
        before = described(operator, session_id="SESSION_1_1")
        assert "SESSION_1_1" in before
        with monkeypatch.context() as patch:
            patch.setattr(runner, "is_running", lambda key="": key == "SESSION_1_1")
            assert "is under way already" in described(operator, session_id="SESSION_1_1")
            assert described(operator, session_id="SESSION_1_2").replace("_1_2", "_1_1") == before
    for name in ("TABLE", "SESSIONS", "RECENT"):
        said = described("csm_retopo.turn_page", pages=name, step=-1)
        assert said == "This is the first page"
    monkeypatch.setattr(recents, "_page", Page())
    for name in ("TABLE", "SESSIONS", "RECENT"):
        assert described("csm_retopo.turn_page", pages=name, step=1) == "This is the last page"
    monkeypatch.setattr(recents, "_page", Page(has_more=True))
    assert described("csm_retopo.turn_page", pages="RECENT", step=1) == "Show the next page"


class Recorder:
    """A layout that notes what is drawn."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, dict[str, Any]]] = []

    def operator(self, idname: str, **_: Any) -> Any:
        button = SimpleNamespace()
        self.drawn.append((idname, button.__dict__))
        return button

    def operator_menu_enum(self, idname: str, _property: str, **_: Any) -> Any:
        return self.operator(idname)

    def menu(self, idname: str, **_: Any) -> None:
        self.drawn.append((idname, {}))

    def separator(self, **_: Any) -> None:
        pass

    def label(self, **keywords: Any) -> None:
        self.drawn.append((keywords["text"], {}))


def drawn_menu(draw: Callable[..., None], context: Any = None) -> list[tuple[str, dict[str, Any]]]:
    menu = SimpleNamespace(layout=Recorder())
    draw(menu, context or bpy.context)
    return menu.layout.drawn


def test_all_that_needs_no_choice_is_in_a_menu_where_f3_finds_it() -> None:
    (entry,) = drawn_menu(menus._draw_import)
    assert entry[0] == "csm_retopo.import_file"
    assert drawn_menu(menus._draw_object) == [("CSM_RETOPO_MT_retopology", {})]
    for mode, entries in (("OBJECT", []), ("SCULPT", [("CSM_RETOPO_MT_retopology", {})])):
        assert drawn_menu(menus._draw_view, SimpleNamespace(mode=mode)) == entries
    listed = {name for name, _ in drawn_menu(menus.CSM_RETOPO_MT_retopology.draw)}
    wanted = {
        each.bl_idname
        for each in all_operators()
        if "INTERNAL" not in getattr(each, "bl_options", ())
    }
    assert listed | {"csm_retopo.import_file"} == wanted


def button(identifier: str, **properties: str) -> Any:
    return SimpleNamespace(bl_rna=SimpleNamespace(identifier=identifier), **properties)


def row_menu(pressed: Any) -> list[tuple[str, dict[str, Any]]]:
    context = SimpleNamespace(scene=bpy.context.scene, button_operator=pressed)
    return drawn_menu(menus._draw_button, context)


def test_a_rows_context_menu_is_about_its_variation(folder: Path) -> None:
    import_file(filepath=str(folder))
    first, second = objects("VARIATION")
    title, *entries = row_menu(button("CSM_RETOPO_OT_select", object_name=second.name))
    assert title[0] == second.name
    for name, keywords in entries:
        verb = getattr(bpy.ops.csm_retopo, name.partition(".")[2])
        assert verb.poll()
        if name != "csm_retopo.keep":  # the last of them
            assert verb(**keywords) == {"FINISHED"}
    named = [name.partition(".")[2] for name, _ in entries]
    assert named == ["select", "flip", "keep", "copy_numbers", "select"]
    assert entries[-1][1] == {"session_id": second.csm_retopo.session_id}
    assert bpy.ops.csm_retopo.keep(**entries[2][1]) == {"FINISHED"}
    assert first.csm_retopo.role == "VARIATION" and second.csm_retopo.role == "NONE"


def test_other_buttons_have_their_own_menus(folder: Path) -> None:
    import_file(filepath=str(folder))
    (source,) = objects("SOURCE")
    assert row_menu(None) == []
    assert row_menu(button("OBJECT_OT_select_pattern", object_name=source.name)) == []
    assert row_menu(button("CSM_RETOPO_OT_sort_table", column="faces")) == []
    assert row_menu(button("CSM_RETOPO_OT_select", object_name="")) == []
    assert row_menu(button("CSM_RETOPO_OT_select", object_name="Nobody")) == []
    assert row_menu(button("CSM_RETOPO_OT_select", object_name=source.name)) == []
    assert drawn_menu(menus._draw_button, SimpleNamespace(scene=bpy.context.scene)) == []


def test_flip_to_a_variation(folder: Path, tmp_path: Path) -> None:
    other = sessions.new_folder(tmp_path / "other")
    import_file(filepath=str(folder))
    document = json.loads((other / "session.json").read_text())
    document["input"]["mesh"]["_id"] = "ASSET_OTHER"
    (other / "session.json").write_text(json.dumps(document))
    import_file(filepath=str(other))
    first, second = objects("VARIATION", json.loads((folder / "session.json").read_text())["_id"])
    third = objects("VARIATION", document["_id"])[0]
    state = bpy.context.scene.csm_retopo.flip
    for obj in (second, first, third):
        bpy.ops.csm_retopo.flip(object_name=obj.name)
        assert state.is_on
        seen = [each for each in objects("VARIATION") if each.visible_get()]
        assert obj in seen
        assert state.session_id == obj.csm_retopo.session_id
    bpy.ops.csm_retopo.flip_end()
    for name in ("Nobody", objects("SOURCE")[0].name):
        with pytest.raises(RuntimeError, match="is no variation of a session"):
            bpy.ops.csm_retopo.flip(object_name=name)
    third.users_collection[0].hide_viewport = True
    with pytest.raises(RuntimeError, match="can't be shown"):
        bpy.ops.csm_retopo.flip(object_name=third.name)
    assert not state.is_on


def test_numbers_are_copied_as_text(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="Import a session first"):
        bpy.ops.csm_retopo.copy_numbers()
    import_file(filepath=str(folder))
    first, second = objects("VARIATION")
    with pytest.raises(RuntimeError, match="No variation is chosen"):
        bpy.ops.csm_retopo.copy_numbers()
    with pytest.raises(RuntimeError, match="No variation is chosen"):
        bpy.ops.csm_retopo.copy_numbers(object_name=objects("SOURCE")[0].name)
    assert bpy.ops.csm_retopo.copy_numbers(object_name=second.name) == {"FINISHED"}
    bpy.context.view_layer.objects.active = first
    lines = as_text(first).splitlines()
    assert lines[0] == f"{first.name} ({first.csm_retopo.session_id})"
    assert "Faces: 6" in lines
    assert any("100 %" in line for line in lines)
    assert bpy.ops.csm_retopo.copy_numbers() == {"FINISHED"}


def test_the_menus_go_with_the_extension() -> None:
    def entries() -> list[int]:
        return [
            getattr(menu.draw, "_draw_funcs", []).count(draw) for menu, draw in menus._entries()
        ]

    assert entries() == [1, 1, 1, 1]
    ui.unregister()
    try:
        assert entries() == [0, 0, 0, 0]
    finally:
        ui.register()
    assert entries() == [1, 1, 1, 1]


def test_texts_that_are_put_together_are_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    # Blender's Python modules know no languages; the window's tests see the real thing.
    german = {"{:d}-{:d} of {:d}": "{:d}-{:d} von {:d}", "Faces": "Polygone"}
    for module in (compare, pages):
        monkeypatch.setattr(module, "iface_", lambda text: german.get(text, text))
    settings = SimpleNamespace(sort_by="faces", sort_descending=True)
    assert compare._heading(METRICS["faces"], settings) == "↓Polygone"
    shown = Layout()
    pages.draw_pages(shown, "TABLE", 25, 30, 40, True)
    assert "26-30 von 40" in shown.texts


def test_what_is_told_is_translated(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    german = {
        "Imported {} variations of {}": "{1}: {0} Varianten importiert",
        "{}: {} {}": "{1} von {0}: {2}",
        "Faces": "Polygone",
        "{} is not in the cache: import it by its ID": "{} ist nicht im Cache",
    }
    monkeypatch.setattr(texts, "_translate", lambda text: german.get(text, text))
    state = bpy.context.window_manager.csm_retopo
    import_file(filepath=str(folder))
    session_id = objects("VARIATION")[0].csm_retopo.session_id
    assert state.message == f"{session_id}: 2 Varianten importiert"
    name = objects("VARIATION")[0].name
    said = described("csm_retopo.select", object_name=name, metric="faces")
    assert said.startswith(f"Polygone von {name}: 6.\n")
    with pytest.raises(RuntimeError, match="SESSION_1_1 ist nicht im Cache"):
        bpy.ops.csm_retopo.import_cached(session_id="SESSION_1_1")
    assert state.message == "SESSION_1_1 ist nicht im Cache"


class Layout:
    """A layout whose parts note their texts in one list."""

    def __init__(self, texts: list[str] | None = None) -> None:
        self.texts = [] if texts is None else texts

    def row(self, **_: Any) -> Layout:
        return Layout(self.texts)

    def label(self, **keywords: Any) -> None:
        self.texts.append(keywords["text"])

    def operator(self, _idname: str, **_: Any) -> Any:
        return SimpleNamespace()
