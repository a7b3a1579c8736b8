# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on in Blender's window, used with mouse and keys. What is done there is in `acts/`."""

from __future__ import annotations

from pathlib import Path

from conftest import Blender
from standin import Fault, StandIn

SAMPLE_ID = "SESSION_1763900000_1000001"
QUIT_LIMIT_S = 2.0
DRAW_LIMIT_MS = 1.0


def test_the_panel_leads_to_the_settings_that_are_missing(blender: Blender) -> None:
    blender.play("first_look.settings")


def test_the_cache_is_cleared_in_the_preferences(blender: Blender) -> None:
    blender.play("first_look.clear_cache")


def test_the_sample_is_imported_looked_at_undone_and_redone(blender: Blender) -> None:
    blender.play("importing.sample")


def test_an_import_by_id_is_cancelled_and_done_again_by_url(
    blender: Blender, slow_service: StandIn
) -> None:
    url = f"https://3d.example/sessions/{SAMPLE_ID}?sig=CANARY"
    blender.play("importing.by_id", service=slow_service, session_id=SAMPLE_ID, url=url)


def test_an_import_waits_for_object_mode_and_another_adds_nothing(
    blender: Blender, sample: Path
) -> None:
    blender.play("importing.in_edit_mode_then_from_folder", folder=str(sample))


def test_errors_are_shown_in_the_panel(blender: Blender, service: StandIn) -> None:
    service.add_fault("retopo_mesh_1.obj", Fault("html_200"), times=None)
    blender.play(
        "importing.errors",
        service=service,
        session_id=SAMPLE_ID,
        unknown_id="SESSION_1763900000_9999999",
    )


def test_the_table_is_sorted_and_its_rows_clicked(blender: Blender) -> None:
    blender.play("comparing.table", timeout_s=150)


def test_columns_are_chosen_and_the_table_exported(blender: Blender) -> None:
    blender.play("comparing.columns_and_export", folder=str(blender.folder))


def test_colors_and_wires_are_switched_and_undone(blender: Blender) -> None:
    blender.play("comparing.colors", timeout_s=150)


def test_table_and_legend_where_there_is_little_room(blender: Blender) -> None:
    blender.play("comparing.narrow")


def test_variations_are_flipped_through_in_place_with_keys(blender: Blender) -> None:
    blender.play("deciding.flip", timeout_s=150)


def test_one_is_kept_and_the_choice_undone(blender: Blender) -> None:
    blender.play("deciding.keep", timeout_s=150)


def test_a_report_is_cancelled_written_and_opened(blender: Blender) -> None:
    blender.play("reporting.report", folder=str(blender.folder), timeout_s=150)


def test_the_extension_can_be_disabled_while_it_imports(
    blender: Blender, slow_service: StandIn
) -> None:
    blender.play("leaving.disabled", service=slow_service, session_id=SAMPLE_ID)


def test_nothing_arrives_in_a_new_file_and_quitting_is_quick(
    blender: Blender, slow_service: StandIn
) -> None:
    played = blender.play("leaving.new_file_then_quit", service=slow_service, session_id=SAMPLE_ID)
    assert played.ended_at - played.facts["quit_at"] < QUIT_LIMIT_S


def test_drawing_a_long_list_takes_no_time(blender: Blender) -> None:
    facts = blender.play("drawing.long_list").facts
    assert sum(taken for name, taken in facts.items() if name.endswith("_ms")) < DRAW_LIMIT_MS
