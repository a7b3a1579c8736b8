# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all variations: its lines, their order, the best values, and the export."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left

from bl_ext.user_default.csm_retopo.operators.comparing import CSM_RETOPO_OT_sort_table
from bl_ext.user_default.csm_retopo.operators.selecting import CSM_RETOPO_OT_select
from bl_ext.user_default.csm_retopo.scene import pages
from bl_ext.user_default.csm_retopo.scene.compare import table
from bl_ext.user_default.csm_retopo.scene.measure.metrics import METRICS

__all__ = ["nothing_left"]

operators = bpy.ops.csm_retopo


def settings() -> Any:
    return bpy.context.scene.csm_retopo


def add_session(
    session_id: str, model: str, named: dict[str, dict[str, Any] | str]
) -> list[bpy.types.Object]:
    """A session with these variations, by name with their metrics."""
    collection = bpy.data.collections.new(session_id)
    bpy.context.scene.collection.children.link(collection)
    collection.csm_retopo.session_id = session_id
    collection.csm_retopo.model = model
    made = []
    for index, (name, metrics) in enumerate(named.items()):
        obj = bpy.data.objects.new(name, bpy.data.meshes.new(name))
        collection.objects.link(obj)
        carried = obj.csm_retopo
        carried.role, carried.session_id, carried.index = "VARIATION", session_id, index
        carried.metrics = metrics if isinstance(metrics, str) else json.dumps(metrics)
        made.append(obj)
    return made


def titles() -> list[str]:
    return [line.title for line in table.read_table(bpy.context.scene).lines]


def best() -> dict[str, Any]:
    shown = table.read_table(bpy.context.scene)
    return {column.key: value for column, value in zip(shown.columns, shown.best, strict=True)}


def sort(key: str) -> list[str]:
    operators.sort_table(column=key)
    return titles()


def test_the_third_click_brings_the_sessions_order_back() -> None:
    add_session(
        "SESSION_1_1",
        "swift",
        {
            "Statue retopo 1": {"faces": 20, "quad_ratio": 0.5},
            "Statue retopo 2": {"faces": 10, "quad_ratio": 0.9},
            "Statue retopo 3": {"faces": 30, "quad_ratio": 0.7},
        },
    )
    begin = ["retopo 1", "retopo 2", "retopo 3"]
    assert titles() == begin
    assert sort("faces") == ["retopo 2", "retopo 1", "retopo 3"]
    assert sort("faces") == ["retopo 3", "retopo 1", "retopo 2"]
    # Where more is better, more comes first.
    assert sort("quad_ratio") == ["retopo 2", "retopo 3", "retopo 1"]
    assert sort("quad_ratio") == ["retopo 1", "retopo 3", "retopo 2"]
    assert sort("quad_ratio") == begin


def test_what_is_missing_comes_last_both_ways() -> None:
    add_session(
        "SESSION_1_1",
        "swift",
        {
            "A 1": {"scaled_jacobian_mean": None},
            "A 2": {"scaled_jacobian_mean": 0.2},
            "A 3": {},
            "A 4": {"scaled_jacobian_mean": -0.5},
            "A 5": "no JSON",
            "A 6": {"scaled_jacobian_mean": 0},
        },
    )
    missing = ["A 1", "A 3", "A 5"]
    assert sort("scaled_jacobian_mean") == ["A 2", "A 6", "A 4", *missing]
    assert sort("scaled_jacobian_mean") == ["A 4", "A 6", "A 2", *missing]
    assert best()["scaled_jacobian_mean"] == 0.2


def test_a_flag_sorts_too() -> None:
    add_session("SESSION_1_1", "", {"A 1": {"has_uv": False}, "A 2": {"has_uv": True}})
    assert sort("has_uv") == ["A 2", "A 1"]


def test_columns_are_kept_in_the_order_of_the_metrics() -> None:
    add_session("SESSION_1_1", "", {"A": {"faces": 1}})
    settings().columns = "spirals faces no_metric"
    assert list(best()) == ["faces", "spirals"]
    operators.toggle_column(column="vertices")
    assert settings().columns == "vertices faces spirals"
    operators.sort_table(column="faces")
    operators.toggle_column(column="faces")
    assert settings().columns == "vertices spirals"
    assert settings().sort_by == ""
    for key in METRICS:
        settings().columns = key
        assert list(best()) == [key]
    settings().columns = ""
    assert table.read_table(bpy.context.scene).columns == ()


def test_every_metric_is_in_one_group_at_most() -> None:
    grouped = [key for _, keys in table.GROUPS for key in keys]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) < set(METRICS)
    others = set(METRICS) - set(grouped)
    assert all(key.startswith(("deviation_", "coverage_", "hausdorff")) for key in others)


def test_several_sessions_are_told_apart_by_model_or_else_by_their_ids() -> None:
    add_session("SESSION_100_0001234", "swift", {"Statue retopo 1": {}, "Statue retopo 2": {}})
    assert titles() == ["retopo 1", "retopo 2"]
    add_session("SESSION_100_0005678", "precision", {"Statue retopo 1": {}, "Statue retopo 2": {}})
    assert titles() == [
        *("retopo 1 swift", "retopo 2 swift"),
        *("retopo 1 precision", "retopo 2 precision"),
    ]
    lines = table.read_table(bpy.context.scene).lines
    assert [line.short_title for line in lines][:3] == ["1 swift", "2 swift", "1 precision"]
    add_session("SESSION_101_0005678", "swift", {"Statue retopo 1": {}})
    assert titles()[0] == "retopo 1 0_0001234"
    assert titles()[-1] == "Statue retopo 1 1_0005678"


def test_over_the_budget() -> None:
    add_session(
        "SESSION_1_1",
        "",
        {"A 1": {"triangle_count": 100}, "A 2": {"triangle_count": 101}, "A 3": {}},
    )

    def over() -> list[str]:
        lines = table.read_table(bpy.context.scene).lines
        return [line.title for line in lines if line.is_over]

    assert over() == []
    settings().triangle_budget = 100
    assert over() == ["A 2"]


def test_a_tooltip_says_what_the_value_means_and_who_is_over() -> None:
    add_session("SESSION_1_1", "", {"Statue 1": {"triangle_count": 9_000, "quad_ratio": 0.98765}})
    properties = type("P", (), {"object_name": "Statue 1", "metric": "quad_ratio"})
    text = CSM_RETOPO_OT_select.description(bpy.context, properties)
    assert "Statue 1: Quad Ratio 98.8 % (0.98765)" in text
    assert METRICS["quad_ratio"].description in text
    assert "budget" not in text
    settings().triangle_budget = 5_000
    text = CSM_RETOPO_OT_select.description(bpy.context, properties)
    assert "9,000 instead of 5,000" in text
    heading = type("P", (), {"column": "spirals"})
    text = CSM_RETOPO_OT_sort_table.description(bpy.context, heading)
    assert METRICS["spirals"].description in text
    gone = type("P", (), {"object_name": "Deleted", "metric": ""})
    assert CSM_RETOPO_OT_select.description(bpy.context, gone) == ""


def test_no_session_and_empty_sessions() -> None:
    assert titles() == []
    add_session("SESSION_1_1", "", {})
    assert titles() == []
    assert set(best().values()) == {None}
    assert pages.within(3, 0, pages.TABLE_LINES) == 0
    odd = dict.fromkeys(METRICS, "many") | {"faces": [1], "edges": float("nan"), "area": {}}
    add_session("SESSION_1_2", "", {"A": "[1, 2]", "B": "", "C": odd, "D": odd})
    settings().columns = " ".join(METRICS)
    assert set(best().values()) == {None}
    shown = {value for row in table.export_rows(bpy.context.scene) for value in row.values()}
    assert not {"many", float("inf")} & shown


def test_pages() -> None:
    lines = pages.TABLE_LINES
    assert [pages.within(page, 2 * lines, lines) for page in (-1, 0, 1, 2)] == [0, 0, 1, 1]
    assert pages.within(5, 2 * lines + 1, lines) == 2
    add_session("SESSION_1_1", "", {f"A {number}": {} for number in range(lines + 1)})
    state = bpy.context.window_manager.csm_retopo
    for step, page in ((1, 1), (1, 1), (-1, 0), (-1, 0)):
        operators.turn_page(pages="TABLE", step=step)
        assert state.table_page == page


def test_pages_of_sessions() -> None:
    for number in range(pages.SESSIONS + 1):
        add_session(f"SESSION_1_{number}", "", {"A": {}})
    state = bpy.context.window_manager.csm_retopo
    for step, page in ((1, 1), (1, 1), (-1, 0), (-1, 0)):
        operators.turn_page(pages="SESSIONS", step=step)
        assert state.sessions_page == page


HOSTILE = ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", 'Quote " and, comma', "Größe\n2", "\tTab")


def export_all() -> None:
    named = {
        name: {
            "faces": 10 + number,
            "triangle_count": 100 * number,
            "quad_ratio": 0.123456789012,
            "has_uv": number % 2 == 0,
            "scaled_jacobian_min": None,
            "deviation_max": -0.5,
        }
        for number, name in enumerate(HOSTILE)
    }
    add_session("SESSION_1_1", "swift", named)


def test_csv_is_complete_and_no_formula(tmp_path: Path) -> None:
    export_all()
    path = tmp_path / "größe.csv"
    assert operators.export_table(filepath=str(path)) == {"FINISHED"}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["session_id", "model", "index", "name", *METRICS]
    for number, (row, name) in enumerate(zip(rows, HOSTILE, strict=True)):
        assert row["name"].removeprefix("'") == bpy.data.objects[name].name
        assert not row["name"].startswith(("=", "+", "-", "@", "\t"))
        assert row["session_id"] == "SESSION_1_1" and row["model"] == "swift"
        assert row["index"] == str(number)
        assert row["faces"] == str(10 + number)
        assert float(row["quad_ratio"]) == 0.123456789012
        assert row["has_uv"] == ("true" if number % 2 == 0 else "false")
        assert row["scaled_jacobian_min"] == row["edges"] == ""
        assert float(row["deviation_max"]) == -0.5
    assert os.listdir(tmp_path) == [path.name]


def test_json_has_raw_values_and_the_budget(tmp_path: Path) -> None:
    export_all()
    settings().triangle_budget = 250
    operators.sort_table(column="faces")
    operators.sort_table(column="faces")
    path = tmp_path / "table.json"
    operators.export_table(filepath=str(path), format="JSON")
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == [
        bpy.data.objects[name].name for name in reversed(HOSTILE)
    ]
    assert [row["over_budget"] for row in rows] == [True] * 4 + [False] * 3
    assert rows[0]["scaled_jacobian_min"] is None and rows[0]["edges"] is None
    assert rows[0]["has_uv"] is True
    # The ending says it as well.
    other = tmp_path / "other.json"
    operators.export_table(filepath=str(other))
    assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "place", ["missing/table.csv", "", "folder", "file/table.csv", "x" * 300 + ".csv"]
)
def test_an_unwritable_path_is_told(tmp_path: Path, place: str) -> None:
    add_session("SESSION_1_1", "", {"A": {}})
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError) as raised:
        operators.export_table(filepath=str(tmp_path / place) if place else "")
    assert "can't be written" in str(raised.value) or "Name the file" in str(raised.value)
    left = sorted(each.name for each in tmp_path.rglob("*"))
    assert left == ["file", "folder"]


def test_a_failed_export_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_session("SESSION_1_1", "", {"A": {}})
    path = tmp_path / "table.csv"
    path.write_text("precious")

    def no_space(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(RuntimeError, match="No space left"):
        operators.export_table(filepath=str(path))
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_export_needs_a_session() -> None:
    assert not operators.export_table.poll()


def test_an_import_fills_the_table(tmp_path: Path) -> None:
    folder = sessions.new_folder(tmp_path / "folder")
    operators.import_folder(directory=str(folder))
    lines = table.read_table(bpy.context.scene).lines
    assert [line.title for line in lines] == ["retopo 1", "retopo 2"]
    assert all(line.metrics["faces"] == 6 for line in lines)
    path = tmp_path / "table.csv"
    operators.export_table(filepath=str(path))
    assert len(re.findall("SESSION_", path.read_text())) == 2


def test_a_collection_in_two_places_is_one_session() -> None:
    add_session("SESSION_1_1", "", {"A": {}, "B": {}})
    elsewhere = bpy.data.collections.new("Elsewhere")
    bpy.context.scene.collection.children.link(elsewhere)
    elsewhere.children.link(bpy.data.collections["SESSION_1_1"])
    assert titles() == ["A", "B"]


@pytest.mark.parametrize(
    "metrics",
    [
        "",
        "[1]",
        "[" * 100_000,
        '{"faces": 1' + "0" * 400 + "}",
        '{"faces": ' + "1" * 5000 + "}",
        '{"faces": NaN, "edges": "many"}',
    ],
)
def test_junk_instead_of_metrics(metrics: str) -> None:
    add_session("SESSION_1_1", "", {"A": metrics, "B": {"faces": 5}})
    assert sort("faces") == ["B", "A"]
    assert [row["faces"] for row in table.export_rows(bpy.context.scene)] == [5, None]
