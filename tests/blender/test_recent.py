# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions opened again from the cache by a script, and what the sidebar's list is told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.api.cache import mesh_name, preview_name
from bl_ext.user_default.csm_retopo.api.recent import Page
from bl_ext.user_default.csm_retopo.scene import recents, runner, sessions as ready
from standin import StandIn

__all__ = ["nothing_left"]

operators = bpy.ops.csm_retopo


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    ready.open_cache().clear()
    yield
    recents.stop()


def fetch(service: StandIn, **changes: Any) -> str:
    """A session that was fetched; the file is empty again."""
    session_id = sessions.new_id()
    document = sessions.document(session_id, **changes)
    service.add_session(document=document, files=sessions.files())
    assert operators.import_session(session_id=session_id) == {"FINISHED"}
    bpy.ops.wm.read_homefile(use_empty=True)
    return session_id


def folder_of(session_id: str) -> Path:
    return ready.open_cache().root / session_id


def go_offline(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    service.clear()
    monkeypatch.delenv("CSM_API_URL")
    monkeypatch.delenv("CSM_API_KEY")


def state() -> Any:
    return bpy.context.window_manager.csm_retopo


def read(number: int = 0, text: str = "") -> Page:
    """The page that the sidebar gets in the end. The bpy module runs no timers: this does."""
    recents.shown(number, text)
    end = time.monotonic() + 10.0
    while bpy.app.timers.is_registered(recents._tend):
        assert time.monotonic() < end
        if recents._tend() is None:
            bpy.app.timers.unregister(recents._tend)
    page = recents.shown(number, text)
    assert page is not None
    return page


def test_a_session_from_the_cache_with_neither_key_nor_network(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = fetch(service)
    go_offline(service, monkeypatch)
    assert operators.import_cached(session_id=session_id) == {"FINISHED"}
    assert state().message == f"Imported 2 variations of {session_id}"
    assert not state().message_is_error
    assert len(objects("VARIATION", session_id)) == 2
    assert len(objects("SOURCE", session_id)) == 1
    assert len(objects("PREVIEW", session_id)) == 2
    assert service.requests == []


def test_what_is_left_of_it_is_imported_and_the_rest_named(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = fetch(service)
    (folder_of(session_id) / mesh_name(1)).unlink()
    (folder_of(session_id) / preview_name(0)).unlink()
    go_offline(service, monkeypatch)
    (found,) = recents.find()
    assert (found.variations, found.available) == (2, 1)
    assert operators.import_cached(session_id=session_id) == {"FINISHED"}
    assert f"Imported 1 of 2 variations of {session_id}" in state().message
    assert "Box retopo 2" in state().message
    assert "not in the folder" in state().message
    assert [each.csm_retopo.index for each in objects("VARIATION", session_id)] == [0]


@pytest.mark.parametrize("text", ["SESSION_1_1", "", "../cache", "SESSION_1/../.."])
def test_what_is_not_in_the_cache_is_refused(text: str) -> None:
    with pytest.raises(RuntimeError) as raised:
        operators.import_cached(session_id=text)
    assert "SESSION_" in str(raised.value)
    assert state().message_is_error
    assert not bpy.data.collections


def test_a_script_finds_the_latest_used_first(service: StandIn) -> None:
    first, second = fetch(service), fetch(service, input={"model": "precision"})
    assert [each.session_id for each in recents.find()] == [second, first]
    assert [each.session_id for each in recents.find(limit=1)] == [second]
    assert [each.session_id for each in recents.find(text="swift")] == [first]
    assert operators.import_cached(session_id=first) == {"FINISHED"}
    assert [each.session_id for each in recents.find()] == [first, second]


def test_a_folder_that_was_imported_from_elsewhere_is_not_listed(tmp_path: Path) -> None:
    operators.import_folder(directory=str(sessions.new_folder(tmp_path / "session")))
    assert recents.find() == ()


def test_the_sidebar_is_told_what_is_new(service: StandIn) -> None:
    assert recents.shown(0, "") is None
    assert read().sessions == ()
    session_id = fetch(service)
    assert [each.session_id for each in read().sessions] == [session_id]
    assert not bpy.app.timers.is_registered(recents._tend)
    assert [each.session_id for each in read(text="precision").sessions] == []
    operators.clear_cache()
    assert read().sessions == ()


def test_nothing_is_read_again_while_nothing_changes(service: StandIn) -> None:
    fetch(service)
    page = read()
    for _ in range(3):
        assert recents.shown(0, "") is page
    assert not bpy.app.timers.is_registered(recents._tend)


def test_what_changes_during_an_import_is_read_at_its_end(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = fetch(service)
    read()
    monkeypatch.setattr(runner, "is_running", lambda key="": True)
    ready.open_cache().clear()
    assert [each.session_id for each in read().sessions] == [session_id]
    monkeypatch.setattr(runner, "is_running", lambda key="": False)
    assert read().sessions == ()


def test_a_page_beyond_the_last_is_the_last(service: StandIn) -> None:
    session_id = fetch(service)
    state().recent_page = 7
    assert [each.session_id for each in read(7).sessions] == [session_id]
    assert state().recent_page == 0


def test_pages_are_turned(service: StandIn) -> None:
    operators.turn_page(pages="RECENT", step=1)
    operators.turn_page(pages="RECENT", step=1)
    assert state().recent_page == 2
    operators.turn_page(pages="RECENT", step=-5)
    assert state().recent_page == 0
    operators.turn_page(pages="RECENT", step=1)
    state().recent_filter = "swift"
    assert state().recent_page == 0


def test_a_cache_that_can_not_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ready.open_cache().root
    kept = tmp_path / "kept"
    root.rename(kept)
    root.write_bytes(b"")
    try:
        monkeypatch.setattr(ready, "open_cache", lambda: ready.Cache(root))
        page = read()
        assert page.sessions == ()
        assert page.problem.startswith("The cache can't be read (")
        with pytest.raises(OSError, match="The cache can't be read"):
            recents.find()
    finally:
        root.unlink()
        shutil.move(kept, root)


def test_reading_ends_with_the_extension(service: StandIn) -> None:
    fetch(service)
    recents.shown(0, "")
    recents._tend()
    recents.stop()
    assert not bpy.app.timers.is_registered(recents._tend)
    assert recents.shown(0, "") is None


def test_previews_are_shown_and_hidden_for_each_session() -> None:
    operators.show_previews(session_id="SESSION_1_1", show=False)
    operators.show_previews(session_id="SESSION_1_2")
    shown = {each.name: each.is_shown for each in state().galleries}
    assert shown == {"SESSION_1_1": False, "SESSION_1_2": True}
    operators.show_previews(session_id="SESSION_1_1")
    assert state().galleries["SESSION_1_1"].is_shown
    state().galleries.clear()
