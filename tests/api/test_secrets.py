# SPDX-License-Identifier: GPL-3.0-or-later
"""The key and the links to files stay where they belong, whatever goes wrong and whoever listens.

What the fixture `service` looks for is looked for here, too: the key in requests to any place but
the API, and any secret in logs, in what was printed, and in the cache.
"""

from __future__ import annotations

import gc
import http.client
import json
import logging
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fetching import (
    CACHED_AS,
    FILES,
    SECRETS,
    SESSION_ID,
    Run,
    download_job,
    run,
    session_document,
    write_folder,
)
from requests.adapters import HTTPAdapter
from test_tls import asked, authority, bundle, url

from csm_retopo.api import downloads, jobs
from csm_retopo.api.cache import Cache
from csm_retopo.api.errors import Unreachable
from csm_retopo.api.jobs import DownloadJob, Failed, FolderJob, SessionRead
from csm_retopo.api.settings import Service
from standin import FORBIDDEN_KEY, Fault, StandIn

__all__ = ["asked", "authority", "bundle", "url"]


@pytest.fixture
def all_ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everybody who can log or print what is sent and received does."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    names = [
        "",
        "urllib3",
        "requests",
        "http.client",
        "http.cookiejar",
        *logging.root.manager.loggerDict,
    ]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


TROUBLE: dict[str, tuple[str, Fault | None]] = {
    "none": ("*", None),
    "session: reset": (SESSION_ID, Fault("reset")),
    "session: web page": (SESSION_ID, Fault("html_200")),
    "session: not JSON": (SESSION_ID, Fault("not_json")),
    "session: error": (SESSION_ID, Fault("status", status=500)),
    "session: elsewhere": (SESSION_ID, Fault("redirect", location="/CANARY/?sig=CANARY")),
    "session: cut": (SESSION_ID, Fault("truncate")),
    "file: expired": ("retopo_mesh_0.obj", Fault("expired")),
    "file: gone": ("retopo_mesh_0.obj", Fault("status", status=404)),
    "file: reset": ("retopo_mesh_0.obj", Fault("reset", after_bytes=100)),
    "file: cut": ("retopo_mesh_0.obj", Fault("truncate")),
    "file: loop": ("retopo_mesh_0.obj", Fault("redirect_loop")),
    "file: web page": ("retopo_mesh_0.obj", Fault("html_200")),
    "file: junk in headers": (
        "retopo_mesh_0.obj",
        Fault("status", status=503, headers={"X-A": "b\r\nno colon here\r\nX-C: d"}),
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_nobody_overhears_a_secret(
    service: StandIn, cache_root: Path, all_ears: None, trouble: str
) -> None:
    pattern, fault = TROUBLE[trouble]
    if fault is not None:
        service.add_fault(pattern, fault, times=None)
    require_silence(run(download_job(service, cache_root), timeout_s=60.0))


@pytest.mark.parametrize("key", [FORBIDDEN_KEY, "CANARY-UNKNOWN"])
def test_a_key_that_does_not_open(
    service: StandIn, cache_root: Path, all_ears: None, key: str
) -> None:
    told = run(download_job(service, cache_root, key=key))
    assert told.error
    require_silence(told)


@pytest.mark.parametrize("key", ["CANARY\r\nX-Other: CANARY", "\u201cCANARY\u201d"])
def test_a_key_that_got_past_all_checks(
    service: StandIn, cache_root: Path, all_ears: None, key: str
) -> None:
    told = run(download_job(service, cache_root, key=key), timeout_s=60.0)
    assert told.error
    require_silence(told)
    assert not service.requests


@pytest.mark.parametrize("place", ["download", "parse"])
def test_something_unforeseen_on_a_thread(
    service: StandIn,
    cache_root: Path,
    all_ears: None,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    def burst(*values: Any, **_: Any) -> None:
        raise RuntimeError(f"{values} https://files.example/artist@example.com/?sig=CANARY")

    if place == "download":
        monkeypatch.setattr(downloads, "download", burst)
    else:
        monkeypatch.setattr(jobs, "wanted_files", burst)
    told = run(download_job(service, cache_root))
    assert told.failed or told.of(Failed)
    require_silence(told)


def require_silence(told: Run) -> None:
    """Nothing that was told holds a secret, not even deep inside."""
    for failed in told.of(Failed):
        error = failed.error
        assert error.__traceback__ is None
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        text = "".join(trace.format())
        assert not [each for each in SECRETS if each in text]
        held = gc.get_referents(error)
        assert not [each for each in SECRETS if each in repr(held)]


def test_a_service_that_repeats_the_key_and_links(service: StandIn, cache_root: Path) -> None:
    link = f"{service.files_url}/inference-outputs/artist@example.com/x.glb?sig=CANARY%3D"
    document = session_document(status="failed", status_message=f"{service.key} can't read {link}")
    service.add_session(document=document, files=FILES)
    text = str(run(download_job(service, cache_root)).error)
    assert "can't read" in text

    document = session_document()
    for number, mesh in enumerate(document["output"]["meshes"]):
        mesh["name"] = (link, f"{service.key} one", link.removeprefix("http://"))[number]
    service.add_session(document=document, files=FILES)
    told = run(download_job(service, cache_root))
    told.require_whole()
    (read,) = told.of(SessionRead)
    assert [each.name for each in read.session.variations] == ["Variation 1", "one", "Variation 3"]


HOSTILE_IDS = [
    "../../x",
    "CON",
    "NUL.obj",
    "a\0b",
    "C:\\x",
    "a/b",
    "\u202egnp.exe",
    ".",
    "",
    "x" * 300,
]


def test_names_of_the_service_s_become_no_names_of_files(
    service: StandIn, cache_root: Path
) -> None:
    for hostile in HOSTILE_IDS:
        document = session_document(created_at=hostile, status="complete")
        document["input"]["model"] = hostile
        document["input"]["mesh"].update(_id=hostile, name=hostile)
        for mesh in document["output"]["meshes"]:
            mesh.update(_id=hostile, name=hostile)
        service.add_session(document=document, files=FILES)
        run(download_job(service, cache_root)).require_whole()
    expected = {"session.json"}
    for name, _ in CACHED_AS.values():
        expected |= {name, f"{name}.json"}
    assert {each.name for each in (cache_root / SESSION_ID).iterdir()} == expected
    assert [each.name for each in cache_root.iterdir()] == [SESSION_ID]


@pytest.mark.parametrize("name", ["..", "CON", "a:b.obj", "%2e%2e%2fx.obj", "x\0.obj", "x" * 300])
def test_a_link_names_no_file_of_ours(
    service: StandIn, cache_root: Path, tmp_path: Path, name: str
) -> None:
    document = session_document(1)
    document["output"]["meshes"][0]["data"]["obj_url"] = f"https://files.example/a/{name}"
    folder = write_folder(tmp_path / "folder", document, {})
    told = run(FolderJob(folder, Cache(cache_root)))
    assert told.failed
    service.add_session(document=document, files=FILES)
    run(download_job(service, cache_root))
    names = {each.name for each in cache_root.rglob("*")}
    assert names <= {SESSION_ID, "session.json"} | {
        each + suffix for each, _ in CACHED_AS.values() for suffix in ("", ".json")
    }


def test_what_is_kept_of_a_session_names_no_place(service: StandIn, cache_root: Path) -> None:
    run(download_job(service, cache_root)).require_whole()
    document = json.loads((cache_root / SESSION_ID / "session.json").read_bytes())
    links = [mesh["data"]["obj_url"] for mesh in document["output"]["meshes"]]
    assert links == ["variation_0.obj", "variation_1.obj", "variation_2.obj"]
    for path in cache_root.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        for forbidden in ("://", "?", "@", "127.0.0.1", *SECRETS):
            assert forbidden not in text, path.name


# Certificates are checked, whatever is set


@pytest.mark.parametrize(
    "environ",
    [
        {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""},
        {"REQUESTS_CA_BUNDLE": "0"},
        {"REQUESTS_CA_BUNDLE": "false", "CURL_CA_BUNDLE": "false"},
        {"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"},
        {"CURL_CA_BUNDLE": "/dev/null"},
        {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nowhere"},
        {"PYTHONHTTPSVERIFY": "0"},
    ],
    ids=repr,
)
def test_checking_certificates_can_not_be_switched_off(
    url: str,
    asked: list[str],
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    told = run(DownloadJob(SESSION_ID, Service(url, "CANARY-KEY-6f1e"), Cache(cache_root)))
    assert type(told.error) is Unreachable
    assert "secure connection" in str(told.error) or "no file with cert" in str(told.error)
    assert asked == []


def unchecked_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    merge = requests.Session.merge_environment_settings

    def merged(*args: Any, **options: Any) -> Any:
        return {**merge(*args, **options), "verify": False}

    monkeypatch.setattr(requests.Session, "merge_environment_settings", merged)


def unchecked_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    request = requests.Session.request

    def unchecked(*args: Any, **options: Any) -> Any:
        return request(*args, **{**options, "verify": False})

    monkeypatch.setattr(requests.Session, "request", unchecked)


def unchecked_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    init = requests.Session.__init__

    def unchecked(session: requests.Session) -> None:
        init(session)
        session.verify = False

    monkeypatch.setattr(requests.Session, "__init__", unchecked)


def unchecked_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    verify = HTTPAdapter.cert_verify

    def unchecked(self: HTTPAdapter, connection: Any, url: Any, _: Any, cert: Any) -> None:
        verify(self, connection, url, False, cert)

    monkeypatch.setattr(HTTPAdapter, "cert_verify", unchecked)


def unchecked_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("create_default_context", "_create_default_https_context"):
        monkeypatch.setattr(ssl, name, ssl._create_unverified_context)


def unchecked_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib3.connection.resolve_cert_reqs", lambda _: ssl.CERT_NONE)


SwitchOff = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    "switch_off",
    [
        *(unchecked_settings, unchecked_requests, unchecked_sessions),
        *(unchecked_adapters, unchecked_contexts, unchecked_connections),
    ],
)
def test_nor_by_other_code_in_blender(
    url: str,
    asked: list[str],
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    switch_off: SwitchOff,
) -> None:
    switch_off(monkeypatch)
    told = run(DownloadJob(SESSION_ID, Service(url, "CANARY-KEY-6f1e"), Cache(cache_root)))
    assert "secure connection" in str(told.error)
    assert asked == []


def test_nor_is_the_name_in_them(
    url: str, asked: list[str], bundle: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = HTTPAdapter.init_poolmanager

    def unchecked(*args: Any, **options: Any) -> None:
        init(*args, **options, assert_hostname=False)

    monkeypatch.setattr(HTTPAdapter, "init_poolmanager", unchecked)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    other = Service(url.replace("localhost", "127.0.0.1"), "CANARY-KEY-6f1e")
    told = run(DownloadJob(SESSION_ID, other, Cache(cache_root)))
    assert "secure connection" in str(told.error)
    assert asked == []


@pytest.mark.parametrize("switch_off", [unchecked_settings, unchecked_requests])
def test_a_good_certificate_is_good_all_the_same(
    url: str,
    asked: list[str],
    bundle: Path,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    switch_off: SwitchOff,
) -> None:
    switch_off(monkeypatch)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    run(DownloadJob(SESSION_ID, Service(url, "CANARY-KEY-6f1e"), Cache(cache_root)))
    assert asked == [f"/v3/sessions/{SESSION_ID}"]
