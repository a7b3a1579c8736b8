# SPDX-License-Identifier: GPL-3.0-or-later
"""Where requests may go: to public addresses only, whoever names them, and however."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fetching import FILES, QUICK, SESSION_ID, Run, run, session_document

from csm_retopo.api.addresses import literal_address, may_reach
from csm_retopo.api.cache import Cache
from csm_retopo.api.cancellation import Cancellation
from csm_retopo.api.errors import Unreachable
from csm_retopo.api.jobs import DownloadJob, FileKind
from csm_retopo.api.settings import Service
from csm_retopo.api.transport import Transport
from standin import KEY, StandIn

PUBLIC = ["8.8.8.8", "20.60.1.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "what is this",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert may_reach("files.example", address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_address_may_be_reached(address: str) -> None:
    assert not may_reach("files.example", address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_name_of_this_machine_leads_to_this_machine_only(host: str) -> None:
    assert may_reach(host, "127.0.0.1")
    assert may_reach(host, "::1")
    assert not any(may_reach(host, each) for each in PUBLIC)
    assert not may_reach(host, "192.168.0.1")


def test_a_service_of_one_s_own_may_be_in_a_private_network() -> None:
    own = "csm.studio.example"
    for address in ("10.0.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "8.8.8.8"):
        assert may_reach(own, address, own)
    for address in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1"):
        assert not may_reach(own, address, own)
    assert not may_reach("files.example", "10.0.0.1", own)


@pytest.mark.parametrize(
    ("url", "own_host"),
    [
        ("https://api.csm.ai", ""),
        ("https://csm.studio.example", "csm.studio.example"),
        ("http://127.0.0.1:8000", "127.0.0.1"),
    ],
)
def test_only_a_service_that_the_user_named_is_his_own(url: str, own_host: str) -> None:
    assert Service(url, "key").own_host == own_host


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("169.254.43518", "169.254.169.254"),
        ("::1", "::1"),
        ("[::ffff:10.0.0.1]", "10.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
        ("files.example", None),
        ("127.0.0.1.example", None),
        ("", None),
    ],
)
def test_an_address_is_known_in_every_spelling(host: str, address: str | None) -> None:
    assert literal_address(host) == address


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing leaves this machine, nor reaches it: the addresses that were to be connected to."""
    addresses: list[str] = []

    def connect(_: socket.socket, address: Any) -> None:
        addresses.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return addresses


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses."""

    def getaddrinfo(_host: Any, port: Any, *_: Any, **__: Any) -> Any:
        return [
            (
                socket.AF_INET6 if ":" in each else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (each, port),
            )
            for each in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def fetch(url: str, cache_root: Path) -> Run:
    service = Service(url, KEY)
    return run(DownloadJob(SESSION_ID, service, Cache(cache_root), patience=QUICK))


NOT_ALLOWED = "can't be reached: its address is not a public one. Check the network and try again"


@pytest.mark.parametrize("address", [each for each in NOT_PUBLIC if "%" not in each])
def test_the_vendor_s_name_is_not_followed_into_the_own_network(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch, connected: list[str], address: str
) -> None:
    resolve(monkeypatch, address)
    told = fetch("https://api.csm.ai", cache_root)
    assert type(told.error) is Unreachable
    assert str(told.error) == f"api.csm.ai {NOT_ALLOWED}"
    assert connected == []


def test_of_several_addresses_only_public_ones_are_tried(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch, connected: list[str]
) -> None:
    resolve(monkeypatch, "10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111")
    assert "no connection" in str(fetch("https://api.csm.ai", cache_root).error)
    assert connected == ["8.8.8.8", "2606:4700::1111"] * QUICK.tries


def test_a_name_that_changes_its_address_is_not_followed(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch, connected: list[str]
) -> None:
    look_up = iter(["8.8.8.8", "127.0.0.1"])

    def getaddrinfo(_host: Any, port: Any, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(look_up), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert NOT_ALLOWED in str(fetch("https://api.csm.ai", cache_root).error)
    assert connected == ["8.8.8.8"]


def test_the_user_s_own_service_may_be_private(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch, connected: list[str]
) -> None:
    resolve(monkeypatch, "192.168.7.7")
    assert "no connection" in str(fetch("https://csm.studio.example", cache_root).error)
    assert connected == ["192.168.7.7"] * QUICK.tries


@pytest.mark.parametrize(
    "link",
    [
        "https://10.0.0.1/a.obj",
        "https://2130706433/a.obj",
        "https://0x7f.1/a.obj",
        "https://①②⑦.⓪.⓪.①/a.obj",
        "https://127\ufe0f.0.0.1/a.obj",
        "https://[::ffff:192.168.0.1]/a.obj",
        "https://localhost./a.obj",
        "https://inside.example/a.obj",
    ],
)
def test_a_link_in_a_session_does_not_lead_into_the_own_network(
    service: StandIn, cache_root: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    look_up, connect = socket.getaddrinfo, socket.socket.connect
    ports = {int(url.rpartition(":")[2]) for url in (service.api_url, service.files_url)}
    strayed = []

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = "10.1.1.1" if host == "inside.example" else host
        return look_up(name, port, *args, **options)

    def connect_here(self: socket.socket, address: Any) -> None:
        if address[1] not in ports:
            strayed.append(address)
            raise ConnectionRefusedError
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    document = session_document()
    for number, mesh in enumerate(document["output"]["meshes"]):
        names = (f"retopo_mesh_{number}.obj", f"retopo_render_{number}.png")
        urls = (service.file_url(SESSION_ID, each) for each in names)
        mesh["data"] = dict(zip(("obj_url", "image_url"), urls, strict=True))
    document["input"]["mesh"]["data"]["glb_url"] = service.file_url(SESSION_ID, "mesh.glb")
    document["output"]["meshes"][1]["data"]["obj_url"] = link
    service.add_session(document=document, files=FILES, rewrite_urls=False)
    told = run(
        DownloadJob(SESSION_ID, Service(service.api_url, KEY), Cache(cache_root), patience=QUICK)
    )
    assert set(told.failed) == {(FileKind.MESH, 1)}
    assert "can't be reached: its address is not" in told.failed[FileKind.MESH, 1]
    assert strayed == []


# Through a proxy, which looks names up itself


@contextmanager
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A proxy in the private network that lets nothing through, and what it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        closing = threading.Event()

        def serve() -> None:
            while not closing.is_set():
                sock, _ = listener.accept()
                with sock:
                    heard.append(sock.recv(65_536))
                    sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield heard
        closing.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join(5.0)


def through_proxy(url: str) -> str:
    transport = Transport(Cancellation(), patience=QUICK)
    try:
        with pytest.raises(Unreachable) as caught:
            transport.retrying(url, lambda last_s: transport.get_file(url, last_s=last_s), 10.0)
    finally:
        transport.close()
    return str(caught.value)


def test_a_proxy_may_be_private(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(monkeypatch) as heard:
        assert "the proxy does not let it through" in through_proxy("https://files.example/a")
        assert len(heard) == QUICK.tries
        assert heard[0].startswith(b"CONNECT files.example:443")


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::ffff:10.0.0.1]",
        "①②⑦.0.0.1",
        "127\ufe0f.0.0.1",
        "a.localhost",
    ],
)
def test_a_proxy_is_not_asked_for_an_address_that_is_not_public(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with proxy(monkeypatch) as heard:
        assert "its address is not" in through_proxy(f"https://{host}/a")
        assert heard == []


@pytest.mark.parametrize("kind", ["socks5", "socks5h", "SOCKS4"])
def test_a_proxy_that_nothing_bounds_is_not_used(
    monkeypatch: pytest.MonkeyPatch, connected: list[str], kind: str
) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"{kind}://127.0.0.1:1")
    assert "the proxy that is set can't be used" in through_proxy("https://files.example/a")
    assert connected == []


def test_a_proxy_for_something_else_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(monkeypatch) as heard:
        for name in ("ALL_PROXY", "FTP_PROXY"):
            monkeypatch.setenv(name, "socks5://127.0.0.1:1")
        through_proxy("https://files.example/a")
        assert heard
