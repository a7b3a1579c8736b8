# SPDX-License-Identifier: GPL-3.0-or-later
"""The output folder as an asset library: what is an asset, its looks, and where it is filed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.scene.assets.catalogs import CATALOGS_NAME, catalog_id
from bl_ext.user_default.csm_retopo.scene.background import converter

__all__ = ["nothing_left"]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


def batch(library: Path, *arguments: str | Path) -> int:
    return cli.main(["import", *map(str, arguments), "--output", str(library)])


def report(library: Path, session_id: str) -> dict[str, Any]:
    return json.loads((library / session_id / "report.json").read_text(encoding="utf-8"))


def new_session(folder: Path, variations: int = 3, **changes: bytes | None) -> str:
    """A session folder in which the variations differ from the source by 0, 5, 10 ... percent."""
    sessions.new_folder(folder, variations, **changes)
    return json.loads((folder / "session.json").read_text())["_id"]


def assets(library: Path, session_id: str) -> dict[str, Any]:
    """The assets of a session's .blend, by name. It is the open file then."""
    bpy.ops.wm.open_mainfile(filepath=str(library / session_id / "session.blend"))
    return {each.name: each for each in bpy.data.objects if each.asset_data is not None}


def test_every_variation_is_an_asset(tmp_path: Path, library: Path) -> None:
    picture = sessions.png(512, 384)
    session_id = new_session(tmp_path / "one", 2, retopo_render_1_png=picture)
    assert batch(library, tmp_path / "one", "--asset-library") == 0
    assert report(library, session_id)["assets"] == [0, 1]

    found = assets(library, session_id)
    assert list(found) == ["Box retopo 1", "Box retopo 2"]
    for obj in found.values():
        asset = obj.asset_data
        assert "12 triangles, 100 % quads" in asset.description
        assert session_id in asset.description
        assert asset.author == "Common Sense Machines"
        assert asset.catalog_id == catalog_id(session_id)
        assert {each.name for each in asset.tags} == {"Retopology", session_id, "Swift", "Quads"}
    # Small pictures stay as they are; large ones are made to fit.
    assert tuple(found["Box retopo 1"].preview.image_size) == (8, 8)
    preview = found["Box retopo 2"].preview
    assert tuple(preview.image_size) == (256, 192)
    assert preview.image_pixels_float[:4] == pytest.approx((0.5, 0.5, 0.5, 1.0), abs=0.01)
    # The row is what it is without a library.
    assert [len(objects(role)) for role in ("SOURCE", "VARIATION", "PREVIEW", "LABEL")] == [
        *(1, 2, 2, 3)
    ]
    name = session_id.removeprefix("SESSION_")
    lines = (library / CATALOGS_NAME).read_text().splitlines()
    assert lines[-1] == f"{catalog_id(session_id)}:CSM Retopo/{name}:CSM Retopo-{name}"


def test_only_the_best_is_an_asset(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session_id = new_session(tmp_path / "one")
    rule = "hausdorff_relative > 0.001, min hausdorff_relative"
    assert batch(library, tmp_path / "one", "--asset-library", "--best", rule) == 0
    said = capsys.readouterr().err
    assert f"{session_id}: the best is Box retopo 2" in said
    fields = report(library, session_id)
    assert fields["best"] == {"rule": rule, "index": 1, "name": "Box retopo 2"}
    assert fields["assets"] == [1]
    found = assets(library, session_id)
    assert list(found) == ["Box retopo 2"]
    assert "Best" in found["Box retopo 2"].asset_data.tags


def test_where_none_fulfils_the_rule_there_is_no_asset(tmp_path: Path, library: Path) -> None:
    """Without a source there is no deviation to be small enough."""
    session_id = new_session(tmp_path / "one", 1)
    rule = ("--best", "hausdorff_relative < 1, max quad_ratio")
    assert batch(library, tmp_path / "one", "--no-source", "--asset-library", *rule) == 0
    fields = report(library, session_id)
    assert (fields["best"]["index"], fields["best"]["name"]) == (None, None)
    assert assets(library, session_id) == {}
    assert not (library / CATALOGS_NAME).exists()


def test_another_choice_changes_the_assets_and_nothing_is_done_twice(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = new_session(tmp_path / "one")
    blend = library / session_id / "session.blend"
    by_rule = ("--best", "min hausdorff_relative")
    assert batch(library, tmp_path / "one") == 0
    assert assets(library, session_id) == {}

    # A rule alone is applied to what is there.
    written = blend.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(converter, "_Process", lambda _: pytest.fail("A converter was started"))
        assert batch(library, tmp_path / "one", *by_rule) == 0
    assert report(library, session_id)["best"]["index"] == 0
    assert blend.stat().st_mtime_ns == written

    assert batch(library, tmp_path / "one", "--asset-library") == 0
    assert len(assets(library, session_id)) == 3
    assert batch(library, tmp_path / "one", "--asset-library", *by_rule) == 0
    assert list(assets(library, session_id)) == ["Box retopo 1"]

    # A catalog file that was lost comes back, and that is all.
    written = blend.stat().st_mtime_ns
    (library / CATALOGS_NAME).unlink()
    assert batch(library, tmp_path / "one", "--asset-library", *by_rule) == 0
    assert catalog_id(session_id) in (library / CATALOGS_NAME).read_text()
    assert blend.stat().st_mtime_ns == written


def test_catalogs_that_can_not_be_written_are_told_once(
    tmp_path: Path, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        new_session(tmp_path / name, 1)
    library.mkdir()
    (library / CATALOGS_NAME).write_text("a shopping list\n")
    assert batch(library, tmp_path / "one", tmp_path / "two", "--asset-library") == 1
    said = capsys.readouterr().err
    assert said.count(CATALOGS_NAME) == 1
    assert said.splitlines()[-1] == "2 of 2 sessions imported whole"
    assert (library / CATALOGS_NAME).read_text() == "a shopping list\n"


def test_an_asset_is_appended_alone_and_is_no_part_of_a_session(
    tmp_path: Path, library: Path
) -> None:
    session_id = new_session(tmp_path / "one", 2)
    assert batch(library, tmp_path / "one", "--asset-library") == 0
    before = set(bpy.data.user_map())
    with bpy.data.libraries.load(
        str(library / session_id / "session.blend"), link=False, assets_only=True
    ) as (available, wanted):
        assert sorted(available.objects) == ["Box retopo 1", "Box retopo 2"]
        wanted.objects = ["Box retopo 2"]
    (dropped,) = wanted.objects
    bpy.context.scene.collection.objects.link(dropped)
    brought = {each.id_type for each in set(bpy.data.user_map()) - before}
    assert brought <= {"OBJECT", "MESH", "LIBRARY"}
    assert not dropped.children
    assert json.loads(dropped.csm_retopo.metrics)["faces"] == 6

    # The session comes whole, twice over, and what was there already stays as it is.
    dropped.location = (7.0, 8.0, 9.0)
    for _ in range(2):
        bpy.ops.csm_retopo.import_folder(directory=str(tmp_path / "one"))
        (collection,) = [each for each in bpy.data.collections if each.csm_retopo.session_id]
        assert len(collection.objects) == 1 + 2 + 2 + 3
        assert dropped.name not in collection.objects
        assert not dropped.children
        assert tuple(dropped.location) == (7.0, 8.0, 9.0)
