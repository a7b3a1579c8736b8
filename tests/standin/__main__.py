# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves session folders until standard input is closed or SIGTERM comes."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from .service import KEY, StandIn


def main() -> int:
    """Prints one line of JSON (`api_url`, `files_url`, `key`, `session_ids`), then serves."""
    parser = argparse.ArgumentParser(prog="standin", description=__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        action="append",
        default=[],
        help="a folder with a session.json and its files; can be given several times",
    )
    parser.add_argument("--port", type=int, default=0, help="of the API; 0: any")
    parser.add_argument("--files-port", type=int, default=0, help="of the storage host; 0: any")
    parser.add_argument("--key", default=KEY, help="the API key that is accepted")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per request")
    parser.add_argument("--connect-latency", type=float, default=0.0, help="seconds per connection")
    parser.add_argument("--bandwidth", type=float, help="bytes per second and connection")
    parser.add_argument(
        "--polls", type=int, default=0, help="how often a session is first said to be incomplete"
    )
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, _leave)
    with StandIn(
        latency_s=options.latency,
        connect_latency_s=options.connect_latency,
        bandwidth_bps=options.bandwidth,
        key=options.key,
        polls_after_request=options.polls,
        port=options.port,
        files_port=options.files_port,
    ) as service:
        for folder in options.folder:
            service.add_session(folder=folder, polls_until_complete=options.polls)
        facts = {
            "api_url": service.api_url,
            "files_url": service.files_url,
            "key": service.key,
            "session_ids": service.session_ids,
        }
        print(json.dumps(facts), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.buffer.read()
    return 0


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
