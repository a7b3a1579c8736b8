# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the network is waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Limits in seconds, so that every wait ends, and how often something is tried."""

    connect_s: float = 10.0
    """To look a name up, and to connect to one address."""
    silence_s: float = 30.0
    """Without a byte. A drip gets round it, so that the rest is limited, too."""
    answer_s: float = 60.0
    """From the look-up of the name to the end of an answer's headers."""
    post_silence_s: float = 90.0
    """Of a POST. Longer, since nobody knows what became of one that was given up."""
    post_answer_s: float = 120.0
    slow_s: float = 60.0
    """How long a body may come more slowly than `least_bytes_per_s`."""
    least_bytes_per_s: float = 512.0
    """Of one body. A line of 20 KB/s gives each of 16 files at once more than that."""
    session_s: float = 300.0
    """For a session, all tries and pauses together."""
    file_s: float = 4 * 3600.0
    """For a file, likewise."""
    tries: int = 3
    """In a row without any headway."""
    most_tries: int = 20
    first_pause_s: float = 1.0
    """Before the second try; each that follows is twice as long. All are shortened by chance, by
    up to a half, so that what failed together doesn't come back together."""
    longest_pause_s: float = 20.0
    """If a host asks for a longer one, the try was the last."""
    busy_tries: int = 3
    """Where a host says that it has no room for the request."""


FOR_BATCHES = Patience(session_s=7200.0, most_tries=60, longest_pause_s=900.0, busy_tries=40)
"""Nobody waits before a screen, and a host that all of a batch keeps busy may well say so."""
