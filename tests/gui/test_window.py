# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on in Blender's window, used with mouse and keys. What is done there is in `acts/`.

An act that failed is played once more, from the beginning: a virtual mouse is quicker than any
hand. What can't be the mouse's fault, as a crash, an error or a leftover, fails at once.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import Blender
from standin import Fault, StandIn

pytestmark = pytest.mark.flaky(reruns=1, only_rerun="ActFailed")

SAMPLE_ID = "SESSION_1763900000_1000001"
OWN_CATALOG = "0f0e0d0c-0b0a-4900-8807-060504030201:Props:Props"


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
    # However slow the machine: the first import is not over before it is cancelled.
    slow_service.add_fault("retopo_mesh_4.obj", Fault("stall", after_bytes=500))
    blender.play("importing.by_id", service=slow_service, session_id=SAMPLE_ID, url=url)


def test_urls_are_not_kept_by_blender(blender: Blender, service: StandIn) -> None:
    url = f"https://3d.example/artist@example.com/{SAMPLE_ID}?sig=CANARY"
    played = blender.play(
        "secrets.overheard", "--debug-all", leaves_at_once=True, service=service, url=url
    )
    assert "Suzanne, sculpted" in played.output  # Blender tells what it does
    assert "CANARY" not in played.output
    assert "artist@example.com" not in played.output


def test_an_import_waits_for_object_mode_and_another_adds_nothing(
    blender: Blender, sample: Path
) -> None:
    blender.play("importing.in_edit_mode_then_from_folder", folder=str(sample))


def test_errors_are_shown_in_the_panel_and_a_retry_helps(
    blender: Blender, service: StandIn
) -> None:
    service.add_fault("retopo_mesh_1.obj", Fault("html_200"))
    blender.play(
        "importing.errors",
        service=service,
        session_id=SAMPLE_ID,
        unknown_id="SESSION_1763900000_9999999",
    )


def test_the_table_is_sorted_and_its_rows_clicked(blender: Blender) -> None:
    blender.play("comparing.table")


def test_columns_are_chosen_and_the_table_exported(blender: Blender) -> None:
    blender.play("comparing.columns_and_export", folder=str(blender.folder))


def test_colors_and_wires_are_switched_and_undone(blender: Blender) -> None:
    blender.play("comparing.colors")


def test_table_and_legend_where_there_is_little_room(blender: Blender) -> None:
    blender.play("comparing.narrow")


def test_variations_are_flipped_through_in_place_with_keys(blender: Blender) -> None:
    blender.play("deciding.flip")


def test_one_is_kept_and_the_choice_undone(blender: Blender) -> None:
    blender.play("deciding.keep")


def test_a_report_is_cancelled_written_and_opened(blender: Blender) -> None:
    blender.play("reporting.report", folder=str(blender.folder))


def test_the_extension_can_be_disabled_while_it_imports(blender: Blender, service: StandIn) -> None:
    service.add_fault("retopo_mesh_1.obj", Fault("stall", after_bytes=500), times=None)
    blender.play("leaving.disabled", service=service, session_id=SAMPLE_ID)


def test_many_sessions_are_listed(blender: Blender, sample: Path) -> None:
    blender.play("drawing.long_list", picture=str(next(sample.glob("*.png"))))


def test_the_pages_of_table_and_sessions_are_turned(blender: Blender) -> None:
    blender.play("drawing.pages")


def test_a_session_is_opened_again_from_the_cache(blender: Blender, service: StandIn) -> None:
    blender.play("recent.from_cache", service=service, session_id=SAMPLE_ID)
    assert len(service.api_requests) == 1


def test_recent_sessions_are_leafed_through_and_filtered(blender: Blender, sample: Path) -> None:
    blender.play("recent.pages", picture=str(next(sample.glob("*.png"))))


def test_previews_are_shown_and_freed(blender: Blender) -> None:
    blender.play("recent.gallery")


def test_a_session_is_imported_by_the_file_menu(blender: Blender, sample: Path) -> None:
    blender.play("ways_in.file_menu", folder=str(sample))


def test_a_sessions_meshes_are_dropped(blender: Blender, sample: Path) -> None:
    elsewhere = blender.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    shutil.copy(sample / "retopo_mesh_0.obj", elsewhere / "chair.obj")
    blender.play("ways_in.dropped", folder=str(sample), elsewhere=str(elsewhere))


def test_a_sessions_files_are_dragged_with_the_mouse(blender: Blender, sample: Path) -> None:
    blender.play("ways_in.dragged", folder=str(sample))


def test_a_row_has_a_context_menu(blender: Blender) -> None:
    blender.play("ways_in.context_menu")


def test_all_is_found_by_its_name(blender: Blender) -> None:
    blender.play("ways_in.find_by_name")


def test_all_is_in_the_object_menu(blender: Blender, service: StandIn) -> None:
    blender.play("menus.every_entry", service=service)


def test_layout_and_tab_follow_the_preferences(blender: Blender) -> None:
    blender.play("ways_in.preferences")


def test_every_preference_can_be_changed(blender: Blender, sample: Path) -> None:
    blender.play("ways_in.every_preference", folder=str(sample))


def test_the_interface_can_be_translated(blender: Blender) -> None:
    facts = blender.play("ways_in.translated").facts
    # Debian's 4.3 offers no languages.
    assert facts["has_languages"] or blender.version == "4.3"


def test_a_running_session_comes_bit_by_bit_and_waits_for_the_artist(
    blender: Blender, sample: Path
) -> None:
    with StandIn() as service:
        service.add_session(folder=sample, polls_until_complete=60, early=[2])
        blender.play("waiting.early_then_all", service=service, session_id=SAMPLE_ID)


def test_a_result_leaves_other_windows_scenes_and_modes_alone(
    blender: Blender, sample: Path
) -> None:
    with StandIn() as service:
        session_id = "SESSION_1763900000_7000003"
        service.add_session(session_id, folder=sample, polls_until_complete=40)
        blender.play("waiting.elsewhere", service=service, session_id=session_id)


def test_a_result_comes_in_the_middle_of_nothing(blender: Blender) -> None:
    blender.play("waiting.in_the_middle")


def test_waiting_is_stopped(blender: Blender, sample: Path) -> None:
    with StandIn() as service:
        ids = [f"SESSION_1763900000_{number}" for number in (7000001, 7000002)]
        for each in ids:
            service.add_session(each, folder=sample, polls_until_complete=1000)
        blender.play("waiting.stopped", service=service, session_ids=ids)


def test_another_retopology_is_requested_once(blender: Blender, service: StandIn) -> None:
    service.polls_after_request = 4
    blender.play("requesting.another", service=service, session_id=SAMPLE_ID)
    posts = [each for each in service.requests if each.method == "POST"]
    assert len(posts) == len(service.requested_ids) == 1


def test_a_batch_is_browsed_as_an_asset_library(blender: Blender, sample: Path) -> None:
    library = blender.folder / "library"
    library.mkdir(exist_ok=True)
    (library / "blender_assets.cats.txt").write_text(f"VERSION 1\n\n{OWN_CATALOG}\n")
    sources = [sample]
    for number, model in ((7100001, "precision"), (7100002, "swift")):
        folder = shutil.copytree(sample, blender.folder / str(number))
        document = json.loads((folder / "session.json").read_text())
        document["_id"] = f"SESSION_1763900000_{number}"
        document["input"]["model"] = model
        (folder / "session.json").write_text(json.dumps(document))
        sources.append(folder)
    command = ["--command", "csm_retopo", "import", *map(str, sources), "--asset-library"]
    blender.run(*command, "--output", str(library))
    lines = (library / "blender_assets.cats.txt").read_text().splitlines()
    catalogs = [line.split(":")[0] for line in lines if ":CSM Retopo" in line]
    blender.play("assets.browse", folder=str(library), catalogs=catalogs)
