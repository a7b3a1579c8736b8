# SPDX-License-Identifier: GPL-3.0-or-later
"""Open a file that may be anything, and say what it is by its first bytes. Any thread."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

from .errors import DamagedFile, MissingFile

CUT_SHORT = "it was cut short: some of it is missing"
"""What is said of a file of the right kind whose end isn't there."""

_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"v/1\x01", "an EXR image"),
    (b"%PDF", "a PDF document"),
    (b"glTF", "a GLB file"),
    (b"Kaydara FBX", "an FBX file"),
    (b"BLENDER", "a .blend file"),
    (b"ply\n", "a PLY file"),
    (b"ply\r", "a PLY file"),
)


def recognise(head: bytes) -> str | None:
    """Return what the first bytes of a file say that it is, in words; None if they don't."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16 text"
    if len(head) >= 16 and any(head[::2]) != any(head[1::2]):
        return "UTF-16 text"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP image"
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return what
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG image"
    if text.startswith((b"<!doctype html", b"<head", b"<body")):
        return "a web page"
    if text.startswith(b"<") and b"<html" in text:
        return "a web page"
    if text.startswith(b"<"):
        return "an XML document"
    if text.startswith((b"{", b"[")):
        return "a JSON document"
    if b"\0" in head:
        return "binary data"
    return None


def refuse(head: bytes, wanted: str) -> NoReturn:
    """Raise DamagedFile with what the file is instead of what is wanted."""
    what = recognise(head)
    raise DamagedFile(f"it is {what}, not {wanted}" if what else f"it is not {wanted}")


@contextmanager
def opened(path: str | os.PathLike[str], limit_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file: yield it and its size in bytes.

    Raises:
        MissingFile: There is no such file.
        DamagedFile: It is empty, larger than the limit, can't be read, or is no file (opening a
            pipe would never return).
    """
    try:
        _require_file(os.stat(path))
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            _require_file(status)
            if not status.st_size:
                raise DamagedFile("it is empty")
            if status.st_size > limit_bytes:
                raise DamagedFile(f"it is larger than {limit_bytes / 1e6:,.0f} MB")
            yield file, status.st_size
    except FileNotFoundError:
        raise MissingFile("it is missing") from None
    except OSError as error:
        # The error's own text would hold the path.
        raise DamagedFile(f"it can't be read ({error.strerror or 'input error'})") from error


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DamagedFile("it is not a file")


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting, should a pipe have taken the file's place this moment."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
