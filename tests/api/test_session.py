# SPDX-License-Identifier: GPL-3.0-or-later
"""Session IDs as they are pasted, and sessions as the service words them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fetching import SESSION_ID, session_document

from csm_retopo.api.errors import (
    InvalidSessionID,
    NotJSON,
    NotRetopology,
    NoVariations,
    SessionFailed,
    StillRunning,
)
from csm_retopo.api.session import (
    NAME_LIMIT,
    Links,
    RemoteFile,
    Session,
    clean_name,
    find_session_id,
    parse_session,
    remote_file,
)

GONE = object()
STORAGE = "https://storage.example/inference-outputs/artist@example.com"


def parse(document: Any, links: Links = Links.SECURE) -> Session:
    return parse_session(json.dumps(document).encode(), links)


def with_mesh(**changes: Any) -> dict[str, Any]:
    """The session with one variation, some of whose fields are others or GONE."""
    document = session_document(1)
    mesh = document["output"]["meshes"][0]
    mesh.update(changes)
    for name in [name for name, value in changes.items() if value is GONE]:
        del mesh[name]
    return document


@pytest.mark.parametrize(
    "pasted",
    [
        SESSION_ID,
        f"  {SESSION_ID}\t\r\n",
        f"\u00a0{SESSION_ID}\u2003",
        f"https://api.csm.ai/v3/sessions/{SESSION_ID}",
        f"https://api.csm.ai/v3/sessions/{SESSION_ID}/",
        f"https://app.csm.ai/retopology?session={SESSION_ID}&tab=meshes",
        f"https://app.csm.ai/#/sessions/{SESSION_ID}",
        f"https://app.csm.ai/sessions/{SESSION_ID}#{SESSION_ID}",
        f"https://app.csm.ai/login?next=%2Fsessions%2F{SESSION_ID}%3Ftab%3D1",
        f"app.csm.ai/sessions/{SESSION_ID}",
        f"<https://app.csm.ai/sessions/{SESSION_ID}>",
        f'"https://app.csm.ai/sessions/{SESSION_ID}"',
        f"{STORAGE}/{SESSION_ID}/retopo_mesh_0.obj?se=2099&sig=abc%3D",
        f"{STORAGE}/{SESSION_ID}/SESSION_9_9.obj",
        f"See https://app.csm.ai/sessions/{SESSION_ID} please",
    ],
)
def test_a_session_id_is_found_in_what_was_pasted(pasted: str) -> None:
    assert find_session_id(pasted) == SESSION_ID


@pytest.mark.parametrize("session_id", ["SESSION_P_44569824122", "SESSION_1"])
def test_older_session_ids_are_known(session_id: str) -> None:
    assert find_session_id(session_id) == session_id


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        " \n",
        "../../users/me",
        "..%2F..%2Fusers%2Fme",
        "SESSION_/../../users/me",
        f"{SESSION_ID}.obj",
        f"https://app.csm.ai/files/{SESSION_ID}.obj",
        f"https://app.csm.ai/files/{SESSION_ID}-old",
        f"X{SESSION_ID}",
        f"{SESSION_ID}\n{SESSION_ID}",
        "SESSION_",
        "SESSION__1",
        "SESSION_1_",
        "SESSION_é",
        "SESSION_\uff11",
        "SESSION_1\0",
        "ASSET_1747336753_4977382",
        "https://app.csm.ai/sessions/",
        "SESSION_" + "1" * 200,
        "https://app.csm.ai/SESSION_" + "1" * 200,
    ],
)
def test_what_holds_no_session_id_is_refused(pasted: str) -> None:
    with pytest.raises(InvalidSessionID, match=r"no session ID: paste one like SESSION_17473"):
        find_session_id(pasted)


def test_a_novel_pasted_by_mistake_is_refused_at_once() -> None:
    start_s = time.perf_counter()
    with pytest.raises(InvalidSessionID):
        find_session_id("SESSION_" + "a_" * 500_000 + "/")
    assert time.perf_counter() - start_s < 2.0


def test_the_documented_example_is_read() -> None:
    session = parse(session_document())
    assert session.session_id == SESSION_ID
    assert session.status == "complete"
    assert session.created_at == "2025-05-15T19:19:13.720Z"
    assert session.model == "swift"
    assert session.quads is True
    assert session.source is not None
    assert session.source.name == "Cube"
    assert session.source.asset_id == "ASSET_1_0"
    assert [each.name for each in session.variations] == [
        "Cube retopo 1",
        "Cube retopo 2",
        "Cube retopo 3",
    ]
    assert [each.index for each in session.variations] == [0, 1, 2]
    assert session.variations[2].asset_id == "ASSET_1_3"
    assert str(session.variations[2].mesh.url).endswith("/retopo_mesh_2.obj")
    session.require_result()


def test_fields_that_nobody_knows_are_passed_over() -> None:
    document = session_document(image_embedding=[0.5] * 1000, percent_done=100)
    document["input"]["mesh"]["data"]["usdz_url"] = "ftp://somewhere"
    document["output"]["meshes"][0]["data"]["glb_url"] = 3
    assert parse(document) == parse(session_document())


def test_a_body_of_many_megabytes_is_read() -> None:
    document = session_document(image_embedding="A" * 8_000_000)
    assert parse(document) == parse(session_document())


@pytest.mark.parametrize("mark", ["\ufeff", "\n\n  "])
def test_what_editors_put_before_the_json_is_passed_over(mark: str) -> None:
    body = (mark + json.dumps(session_document())).encode()
    assert parse_session(body) == parse(session_document())


@pytest.mark.parametrize(
    "status", ["incomplete", "pending", "queued", "processing", "in_progress", "no such word", ""]
)
def test_every_unknown_status_counts_as_running(status: str) -> None:
    with pytest.raises(StillRunning, match="is still running"):
        parse(session_document(status=status)).require_result()


@pytest.mark.parametrize("status", [None, 3, ["complete"], {}])
def test_a_status_that_is_no_word_counts_as_running(status: object) -> None:
    with pytest.raises(StillRunning):
        parse(session_document(status=status)).require_result()


@pytest.mark.parametrize("status", ["complete", "Complete", " COMPLETE "])
def test_a_status_is_read_as_a_person_would(status: str) -> None:
    parse(session_document(status=status)).require_result()


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("swift", " (the swift model usually takes 5 to 10 minutes)"),
        ("precision", " (the precision model usually takes up to 50 minutes)"),
        ("newer", ""),
        (None, ""),
    ],
)
def test_a_running_session_says_how_long_it_may_take(model: str | None, hint: str) -> None:
    session = parse(session_document(status="incomplete", input={"model": model}))
    with pytest.raises(StillRunning) as caught:
        session.require_result()
    assert str(caught.value) == f"{SESSION_ID} is still running{hint}: import it again later"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"status_message": "The mesh has\n no faces"}, " (The mesh has no faces)"),
        ({"error_code": "E17"}, " (E17)"),
        ({"status_message": "x" * 5000}, f" ({'x' * 200})"),
        ({"status_message": {"a": 1}}, ""),
    ],
)
def test_a_failed_session_says_why(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(SessionFailed) as caught:
        parse(session_document(status="failed", **fields)).require_result()
    assert str(caught.value) == (
        f"{SESSION_ID} failed on the service{reason}: start the retopology again there"
    )


@pytest.mark.parametrize("output", [None, {}, {"meshes": []}, {"meshes": None}, {"meshes": 7}, []])
def test_a_session_without_meshes_is_told_apart(output: object) -> None:
    with pytest.raises(NoVariations, match=f"{SESSION_ID} is complete, but holds no variation"):
        parse(session_document(output=output)).require_result()


@pytest.mark.parametrize(
    ("type_", "shown"),
    [
        ("image_to_3d", "image_to_3d"),
        ("text_to_image", "text_to_image"),
        ("", "unknown"),
        (None, "unknown"),
        (["retopology"], "unknown"),
        ("evil\x1b[31m" + "x" * 500, "evil [31m" + "x" * (NAME_LIMIT - 9)),
    ],
)
def test_a_session_of_another_type_is_refused(type_: object, shown: str) -> None:
    with pytest.raises(NotRetopology) as caught:
        parse(session_document(type=type_))
    assert str(caught.value) == (
        f"{SESSION_ID} is a session of type {shown}: only retopology sessions can be imported"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b"\n <html>", "it is a web page"),
        (b'{"_id": "SESSION_', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\x00\xd8", "not JSON"),
        (b"\x80abc", "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b"[" + b"[]," * 500_000 + b"[]]", "it is too large"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "it has no session ID"),
        (b'{"_id": "../../users/me", "type": "retopology"}', "it has no session ID"),
        (b'{"_id": 12, "type": "retopology"}', "it has no session ID"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_what_is_no_session_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(NotJSON) as caught:
        parse_session(body)
    assert f"The answer is not a session ({reason}): check the" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "complete"),
    [("complete", True), (GONE, True), ("", True), ("incomplete", False), ("failed", False)],
)
def test_a_variation_has_a_status_of_its_own(status: object, complete: bool) -> None:
    assert parse(with_mesh(status=status)).variations[0].is_complete is complete


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (GONE, "Variation 1"),
        (None, "Variation 1"),
        ("  \n", "Variation 1"),
        ("Red\r\nCube\x00\x1b[31m\u202e", "Red Cube [31m"),
        ("x" * 10_000, "x" * NAME_LIMIT),
        ("Stra\u00dfe \U0001f600", "Stra\u00dfe \U0001f600"),
        ("\ud800lone", "lone"),
        ("../../x", "../../x"),
    ],
)
def test_a_name_is_one_line_that_can_be_shown(name: object, shown: str) -> None:
    assert parse(with_mesh(name=name)).variations[0].name == shown


def test_a_name_is_cut_between_characters() -> None:
    assert clean_name("a " * 100, 4) == "a a"


@pytest.mark.parametrize(
    "mesh", [None, 3, "ASSET_1", [], {}, {"data": None}, {"data": []}, {"data": {"obj_url": 5}}]
)
def test_a_variation_that_makes_no_sense_keeps_its_place(mesh: object) -> None:
    document = session_document()
    document["output"]["meshes"][1] = mesh
    session = parse(document)
    assert [each.index for each in session.variations] == [0, 1, 2]
    odd = session.variations[1]
    assert odd.name == "Variation 2"
    assert odd.mesh == odd.preview == RemoteFile(None, "the session names no file for it")
    assert session.variations[2] == parse(session_document()).variations[2]


@pytest.mark.parametrize(
    ("mesh", "asset_id"),
    [
        ("ASSET_1_2", "ASSET_1_2"),
        ("https://example.com/a.glb?sig=CANARY", ""),
        ({"_id": "ASSET_1_2"}, "ASSET_1_2"),
        ({"_id": "../x", "data": {}}, ""),
    ],
)
def test_the_input_mesh_may_be_named_without_its_file(mesh: object, asset_id: str) -> None:
    source = parse(session_document(input={"mesh": mesh})).source
    assert source is not None
    assert (source.asset_id, source.name, source.mesh.url) == (asset_id, "Input Mesh", None)


@pytest.mark.parametrize("given", [None, [], "swift", {}, {"mesh": None}, {"mesh": 3}])
def test_a_session_may_say_nothing_of_its_input(given: object) -> None:
    session = parse(session_document(input=given))
    assert (session.source, session.model, session.quads) == (None, None, None)
    session.require_result()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2025-05-15T19:19:13.720Z", "2025-05-15T19:19:13.720Z"),
        ("yesterday", None),
        (1747336753, None),
        ("2025-05-15\n19:19:13", "2025-05-15 19:19:13"),
        ("2025-05-15\x1b19:19:13", "2025-05-15 19:19:13"),
    ],
)
def test_a_date_is_a_date(text: object, kept: str | None) -> None:
    assert parse(session_document(created_at=text)).created_at == kept


LOOPBACK_HOSTS = ["127.0.0.1:8000", "localhost", "LOCALHOST", "[::1]:8000"]
NOT_SECURE = "its link is not a secure one (https)"
NOT_VALID = "its link is not a valid URL"


@pytest.mark.parametrize(
    "url",
    [
        f"{STORAGE}/{SESSION_ID}/retopo_mesh_0.obj?se=2099-01-01T00%3A00%3A00Z&sp=r&sig=a%2Bb%3D",
        "https://files.example:8443/a%20b.obj",
        "HTTPS://files.example/a.obj",
    ],
)
def test_an_https_link_is_kept_as_it_is(url: str) -> None:
    assert remote_file(url, Links.SECURE).url == url
    assert remote_file(f" {url}\n", Links.LOOPBACK).url == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://files.example/a.obj", NOT_SECURE),
        ("ftp://files.example/a.obj", NOT_SECURE),
        ("//files.example/a.obj", NOT_SECURE),
        ("javascript:alert(1)", NOT_VALID),
        ("file:///etc/passwd", NOT_VALID),
        ("data:text/plain,x", NOT_VALID),
        ("/etc/passwd", NOT_VALID),
        ("retopo_mesh_0.obj", NOT_VALID),
        ("https://", NOT_VALID),
        ("https:///a.obj", NOT_VALID),
        ("https://[::1/a.obj", NOT_VALID),
        ("https://files.example:port/a.obj", NOT_VALID),
        ("https://files.example:99999/a.obj", NOT_VALID),
        ("https://user:word@files.example/a.obj", NOT_VALID),
        ("https://files.example\\@evil.example/a.obj", NOT_VALID),
        ("https://files.example/a b.obj", NOT_VALID),
        ("https://files.example/a\nb.obj", NOT_VALID),
        ("https://files.example/a\x00.obj", NOT_VALID),
    ],
)
@pytest.mark.parametrize("links", [Links.SECURE, Links.LOOPBACK])
def test_no_other_link_is_used(url: str, problem: str, links: Links) -> None:
    assert remote_file(url, links) == RemoteFile(None, problem)


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_link_to_this_machine_is_for_a_stand_in_only(scheme: str, host: str) -> None:
    url = f"{scheme}://{host}/a.obj"
    assert remote_file(url, Links.SECURE) == RemoteFile(None, NOT_SECURE)
    assert remote_file(url, Links.LOOPBACK).url == url


@pytest.mark.parametrize("value", [None, "", "  ", 3, [], {"url": "https://files.example/a"}])
def test_a_missing_link_is_told_as_missing(value: object) -> None:
    for links in Links:
        assert remote_file(value, links) == RemoteFile(None, "the session names no file for it")


def test_links_are_in_no_text_of_a_session() -> None:
    document = session_document()
    document["output"]["meshes"][0]["data"]["obj_url"] = f"{STORAGE}/a.obj?sig=CANARY"
    document["output"]["meshes"][1]["data"]["obj_url"] = "http://CANARY.example/?sig=CANARY"
    session = parse(document)
    for text in (repr(session), str(session), repr(session.variations[0].mesh)):
        assert "CANARY" not in text
        assert "artist@" not in text
        assert "://" not in text
