# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports made ready to start, with the user's settings: the same for panel, console and batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from .. import __package__ as base_package
from ..api.cache import DEFAULT_LIMIT_BYTES, Cache
from ..api.errors import CacheError, ConfigurationError
from ..api.jobs import DownloadJob, FolderJob, Job
from ..api.session import find_session_id
from ..api.settings import Service, find_api_url, find_key

if TYPE_CHECKING:
    from ..api.transport import Transport

SAMPLE_FOLDER = Path(__file__).resolve().parents[1] / "sample"


def preferences() -> Any:
    """The add-on's preferences, or None where it isn't enabled."""
    addon = bpy.context.preferences.addons.get(base_package)
    return addon.preferences if addon else None


def open_cache() -> Cache:
    """The cache in the extension's own folder of the user's files. Makes nothing.

    Raises CacheError where Blender has no such folder.
    """
    path = bpy.utils.extension_path_user(base_package, path="cache")
    if not os.path.isabs(path):  # it would be wherever Blender was started
        raise CacheError(
            "Blender has no folder for the files of extensions: set the variable HOME, or "
            "BLENDER_USER_RESOURCES, before you start it"
        )
    return Cache(Path(path))


def cache_limit_bytes() -> int:
    """How large the cache may grow, from the preferences."""
    chosen = preferences()
    return int(chosen.cache_limit_gb * 2**30) if chosen else DEFAULT_LIMIT_BYTES


def wait_limit_s() -> float:
    """How long an artist's import waits for a session that is still running."""
    chosen = preferences()
    return 60.0 * chosen.wait_limit_min if chosen and chosen.wait_for_running else 0.0


def find_service() -> Service:
    """The service as the variables and the preferences have it.

    Raises ConfigurationError when something is missing, and says where to set it.
    """
    chosen = preferences()
    service = Service(
        find_api_url(os.environ, chosen.api_url if chosen else ""),
        find_key(os.environ, chosen.api_key if chosen else ""),
    )
    if not (bpy.app.online_access or service.on_this_machine):
        raise ConfigurationError(
            "Online access is off: allow it in Blender's preferences (System > Network), "
            "or start Blender with --online-mode"
        )
    return service


def needs_online_access() -> bool:
    """Whether Blender's own setting is all that keeps the service from being used."""
    return not bpy.app.online_access and _has_key()


def _has_key() -> bool:
    chosen = preferences()
    try:
        find_key(os.environ, chosen.api_key if chosen else "")
    except ConfigurationError:
        return False
    return True


def session_job(
    text: str,
    cache: Cache,
    *,
    with_source: bool = True,
    wait_s: float = 0.0,
    refetch: bool = False,
    early: bool = False,
    transport: Transport | None = None,
) -> Job:
    """The job that brings the session whose ID is in `text`, from the service, else, if the
    service can't be used, from the cache.

    It waits up to `wait_s` for a session that is still running; with `early`, it brings variations
    that are ready while others are not. A `transport` given is used, and left open.

    Raises InvalidSessionID and ConfigurationError.
    """
    session_id = find_session_id(text)
    try:
        service = find_service()
    except ConfigurationError as error:
        folder = cache.root / session_id
        if refetch or not (folder / "session.json").is_file():
            raise
        notice = f"{error}. This is what was fetched before"
        return FolderJob(folder, cache, with_source=with_source, notice=notice)
    return DownloadJob(
        session_id,
        service,
        cache,
        with_source=with_source,
        wait_s=wait_s,
        refetch=refetch,
        early=early,
        transport=transport,
    )
