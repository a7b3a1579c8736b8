# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the service is and which key opens it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .addresses import is_loopback
from .errors import ConfigurationError
from .session import Links, remote_file

DEFAULT_API_URL = "https://api.csm.ai"


@dataclass(frozen=True)
class Service:
    """The service's base URL, without a slash at its end, and the key, which `repr` leaves out."""

    api_url: str
    key: str = field(repr=False)

    @property
    def host(self) -> str:
        """The host, to name the service to the user."""
        return urlsplit(self.api_url).hostname or ""

    @property
    def on_this_machine(self) -> bool:
        """Whether it is a stand-in on the loopback interface."""
        return is_loopback(self.host)

    @property
    def own_host(self) -> str:
        """Its host, if it is one that the user named: it may be in a private network, and serve its
        files from there. Empty for the vendor's.
        """
        return "" if self.host == urlsplit(DEFAULT_API_URL).hostname else self.host

    @property
    def links(self) -> Links:
        """Which links its sessions may hold."""
        return Links.LOOPBACK if self.on_this_machine else Links.SECURE


def find_api_url(environ: Mapping[str, str], preference: str = "") -> str:
    """The base URL: `CSM_API_URL`, else the preference, else the vendor's.

    Raises ConfigurationError when it is not https, or http on this machine.
    """
    if url := environ.get("CSM_API_URL", "").strip():
        place = "the variable CSM_API_URL"
    elif url := preference.strip():
        place = "the add-on's preferences"
    else:
        return DEFAULT_API_URL
    if not _can_be_used(url):
        raise ConfigurationError(
            f"The service's address in {place} can't be used: it must look like {DEFAULT_API_URL} "
            "(http is for this machine only)"
        )
    return url.rstrip("/").removesuffix("/v3")


@functools.lru_cache(maxsize=4)
def _can_be_used(url: str) -> bool:
    # Remembered: panels ask whenever they are drawn.
    return remote_file(url, Links.LOOPBACK).url is not None and "?" not in url and "#" not in url


def find_key(environ: Mapping[str, str], preference: str = "") -> str:
    """The API key: `CSM_API_KEY`, else the preference.

    Raises ConfigurationError when there is none, or when it holds what no HTTP header can.
    """
    if key := environ.get("CSM_API_KEY", "").strip():
        place = "the variable CSM_API_KEY"
    elif key := preference.strip():
        place = "the add-on's preferences"
    else:
        raise ConfigurationError(
            "There is no API key: enter yours in the add-on's preferences, "
            "or set the variable CSM_API_KEY"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"The API key in {place} holds a character that no key has: copy it again"
        )
    return key
