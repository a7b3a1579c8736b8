# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in service in a process of its own, so that its threads share nobody's GIL.

As a program it serves, and answers each line of its input with the requests since the last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Network:
    """What the way to the service costs, as the stand-in has it."""

    latency_s: float = 0.0
    connect_latency_s: float = 0.0
    bandwidth_bps: float | None = None


class Service:
    """The running service, seen from the process that started it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        facts = self._read()
        self.api_url: str = facts["api_url"]
        self.key: str = facts["key"]
        self.session_ids: list[str] = facts["session_ids"]

    def take_requests(self) -> list[str]:
        """The paths of all requests since the last call, each after the name of its server."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()["requests"]

    def _read(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the stand-in service has ended")
        return json.loads(line)


@contextlib.contextmanager
def serving(folders: Sequence[Path], network: Network, copies: int = 0) -> Iterator[Service]:
    """Serve these session folders as long as the block lasts, or so many copies of them, each
    under an ID of its own.
    """
    command = [sys.executable, "-B", __file__, "--latency", str(network.latency_s)]
    command += ["--connect-latency", str(network.connect_latency_s), "--copies", str(copies)]
    if network.bandwidth_bps is not None:
        command += ["--bandwidth", str(network.bandwidth_bps)]
    process = subprocess.Popen(
        [*command, *map(str, folders)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Service(process)
    finally:
        with contextlib.suppress(OSError):
            process.communicate(timeout=10)
        process.kill()
        process.wait()


def _main() -> None:
    sys.path[0] = str(TESTS)
    from standin import StandIn

    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--connect-latency", type=float, default=0.0)
    parser.add_argument("--bandwidth", type=float)
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("folders", type=Path, nargs="*")
    options = parser.parse_args()
    with StandIn(
        latency_s=options.latency,
        connect_latency_s=options.connect_latency,
        bandwidth_bps=options.bandwidth,
    ) as service:
        for folder in options.folders:
            if not options.copies:
                service.add_session(folder=folder)
                continue
            document = json.loads((folder / "session.json").read_text(encoding="utf-8"))
            files = {each.name: each.read_bytes() for each in folder.iterdir()}
            for number in range(options.copies):
                session_id = f"SESSION_1800000000_{number:07}"
                service.add_session(session_id, document=document, files=files)
        facts = {"api_url": service.api_url, "key": service.key, "session_ids": service.session_ids}
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            requests = [f"{each.server} {each.path}" for each in service.requests]
            service.clear()
            print(json.dumps({"requests": requests}), flush=True)


if __name__ == "__main__":
    _main()
