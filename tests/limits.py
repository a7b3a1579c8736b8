# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that can't be written, also by root, and disks that are full."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_OVERRIDING = 0b1110
"""The capabilities DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER."""


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be written by this thread, nor by threads begun meanwhile.

    Processes begun meanwhile need `without_privileges` before their command.
    """
    folders = [folder, *(each for each in folder.rglob("*") if each.is_dir())]
    for each in folders:
        each.chmod(0o555)
    before = _effective_capabilities()
    _set_effective_capabilities(before & ~_OVERRIDING)
    try:
        if os.access(folder, os.W_OK, effective_ids=True):
            pytest.skip("everything can be written here")
        yield
    finally:
        _set_effective_capabilities(before)
        for each in folders:
            each.chmod(0o755)


def without_privileges() -> list[str]:
    """What to put before a command for which permissions are to count."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]


@contextlib.contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """A disk that has room for small files only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _effective_capabilities() -> int:
    return _capabilities()[0]


def _capabilities() -> list[int]:
    """Effective, permitted and inheritable ones, of the first 32 and then of the others."""
    values = ctypes.create_string_buffer(24)
    if _libc().capget(_header(), values) != 0:
        pytest.skip("capabilities can't be read here")
    return list(struct.unpack("6I", values.raw))


def _set_effective_capabilities(wanted: int) -> None:
    values = _capabilities()
    values[0] = wanted
    if _libc().capset(_header(), struct.pack("6I", *values)) != 0:
        pytest.skip("capabilities can't be changed here")


def _header() -> bytes:
    return struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
