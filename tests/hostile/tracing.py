# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a process and its children open, and whom they ask, as strace tells."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path


def traced(command: list[str], log: Path) -> list[str]:
    """The command under strace, which stands aside: what is started is the command itself."""
    calls = "trace=open,openat,openat2,creat,connect"
    return ["strace", "-D", "-f", "-qq", "-y", "-s", "4096", "-e", calls, "-o", str(log), *command]


_OPENED = re.compile(
    r"(?:openat2?\((?:AT_FDCWD|\d+)(?:<(?P<folder>[^>]*)>)?, |(?:open|creat)\()"
    r'"(?P<path>(?:[^"\\]|\\.)*)"'
)
_FOUND = re.compile(r"(?:open|openat|openat2|creat)(?:\(| resumed>).* = \d+<(?P<path>/[^>]*)>")
_CONNECTED = re.compile(r"connect\(.*sa_family=AF_INET6?,.*")


def opened(log: Path) -> set[str]:
    """Every path that was opened, or that was tried to, and where links led."""
    text = log.read_text(errors="replace")
    asked = (os.path.join(each["folder"] or "", each["path"]) for each in _OPENED.finditer(text))
    found = (each["path"] for each in _FOUND.finditer(text))
    return {os.path.normpath(path) for path in (*asked, *found)}


def connected(log: Path) -> list[str]:
    """Every attempt to reach another process by a network's address."""
    return _CONNECTED.findall(log.read_text(errors="replace"))


# What Blender and its libraries look at when they start; no case of the corpus names any of it.
SYSTEM = ("/usr/lib", "/usr/local/lib", "/lib", "/lib64", "/usr/lib64", "/proc", "/sys", "/dev")
SYSTEM_FILES = {
    *("/etc/mtab", "/etc/passwd", "/usr/bin/xdg-user-dir"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/timezone"),
    *("/etc/nsswitch.conf", "/etc/group", "/etc/locale.alias", "/etc/host.conf"),
    *("/etc/drirc", "/etc/machine-id", "/etc/ssl/openssl.cnf", "/etc/resolv.conf"),
}


def outside(paths: Iterable[str], *allowed: Path) -> list[str]:
    """Those that are neither below the allowed folders, nor of Blender, Python or the system."""
    below = [
        *(str(each) for each in allowed),
        *(str(each.resolve()) for each in allowed),
        *{sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), str(Path(os.__file__).parent)},
        *SYSTEM,
        "/usr/share",
    ]
    return sorted(
        path
        for path in paths
        if os.path.isabs(path)
        and path not in SYSTEM_FILES
        and not path.endswith("/user-dirs.dirs")
        and not any(path == each or path.startswith(f"{each}/") for each in below)
    )
