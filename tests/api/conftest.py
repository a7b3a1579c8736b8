# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the stand-in up."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import without_blender  # noqa: F401 - before anything of api/

from standin import StandIn


@pytest.fixture
def cache_root(tmp_path: Path) -> Path:
    """Where the tests' cache is."""
    return tmp_path / "cache"


@pytest.fixture
def service(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    cache_root: Path,
) -> Iterator[StandIn]:
    """The stand-in with a session. At the end of every test that uses it: the key went to the API
    only, no secret was logged, printed or kept, no thread and no temporary file is left.
    """
    from fetching import FILES, SECRETS, job_threads, session_document

    caplog.set_level(logging.DEBUG)
    with StandIn() as running:
        running.add_session(document=session_document(), files=FILES)
        yield running
        requests = running.requests

    assert job_threads(within_s=3.0) == []
    for request in requests:
        if request.server == "files":
            assert b"CANARY-KEY" not in request.raw
            assert "x-api-key" not in request.headers
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers
    printed = capfd.readouterr()
    texts = [caplog.text, printed.out, printed.err]
    if cache_root.is_dir():
        kept = [path for path in cache_root.rglob("*") if path.is_file()]
        assert not [path for path in kept if path.suffix == ".part"]
        texts += [path.read_bytes().decode("latin-1") for path in kept]
        texts += [str(path) for path in kept]
    assert not [secret for secret in SECRETS for text in texts if secret in text]


@pytest.fixture
def silent_address() -> Iterator[str]:
    """The origin of a port of this machine that does not take up connections: its queue is full."""
    waiting: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = socket.socket()
            waiting.append(sock)
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        with contextlib.closing(socket.socket()) as probe:
            probe.settimeout(0.3)
            with contextlib.suppress(OSError):
                probe.connect(listener.getsockname())
                pytest.skip("connections beyond the queue's length are taken up here")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sock in waiting:
            sock.close()
