# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which the stand-in can misbehave."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import http
import json
import re
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from .wire import Connection, Request, Response

Kind = Literal[
    "chunk_extension",
    "chunked",
    "close",
    "continue_flood",
    "corrupt",
    "drip_body",
    "drip_headers",
    "expired",
    "flood_headers",
    "gzip",
    "gzip_bomb",
    "html_200",
    "huge_header",
    "large_body",
    "no_length",
    "not_json",
    "range_416",
    "range_ignored",
    "range_no_validator",
    "range_other_file",
    "range_wrong_offset",
    "range_wrong_total",
    "redirect",
    "redirect_loop",
    "replace",
    "reset",
    "stall",
    "status",
    "trailer_flood",
    "truncate",
    "truncate_chunked",
    "truncate_headers",
    "truncate_no_length",
    "wrong_length_short",
]

LOOP_PATH = "/redirect-loop/"

_HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Hello</body></html>\n"
_MEBIBYTE = 1 << 20
_RANGE_NUMBERS = re.compile(r"(\w+) (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Fault:
    """One way to answer wrongly, or unusually.

    Instead of the real answer:

    - `status`: `status` (503 if not given) with `body`, `content_type` and `headers`,
      which may hold another Content-Length
    - `html_200`: a web page with status 200
    - `not_json`: status 200, called JSON, but cut off in the middle
    - `redirect`: `status` (302 if not given) to `location`
    - `redirect_loop`: a redirect that leads to itself for ever, on the same server
    - `replace`: `body`, with headers that fit it, as if the file had been exchanged
    - `expired`: the URL was valid until this request; the 403 lasts until the session has been
      fetched again. At the API: the URLs of this answer are expired when they arrive

    The real answer, transferred badly after `after_bytes` of the body:

    - `reset`, `close`, `stall`: RST, FIN, or silence until the client leaves. Without `after_bytes`
      not even headers are sent
    - `truncate`: FIN after `after_bytes` (half of the body if not given; never all of it), though
      Content-Length promises more
    - `truncate_no_length`: the same, without Content-Length
    - `truncate_chunked`: the same, chunked: FIN after so many bytes of the chunks, before their end
    - `truncate_headers`: FIN in the middle of the headers
    - `wrong_length_short`: all of the body, but Content-Length says `after_bytes` (or half)
    - `corrupt`: the bits of one byte, the one at `after_bytes` (or half), are flipped
    - `drip_headers`, `drip_body`: a byte every `interval_s`; of the body after `after_bytes` (or 0)
    - `gzip_bomb`: `size_bytes` of zeros (rounded up to MiB), gzip-encoded
    - `large_body`: JSON with `size_bytes` more in a field that nobody knows

    - `huge_header`: one header of `size_bytes`; `flood_headers`: headers without end
    - `continue_flood`: interim answers (100 Continue) without end, one every `interval_s`
    - `chunk_extension`: a chunk whose first line has no end; `trailer_flood`: all of the body, then
      trailers without end, one every `interval_s`

    A request for a part (Range) answered wrongly; other requests are not taken for these:

    - `range_ignored`: all of the file, as if no part had been asked for; `range_416`: no such part
    - `range_wrong_offset`, `range_wrong_total`: Content-Range is one off
    - `range_other_file`: a part of another file, which has another ETag
    - `range_no_validator`: neither ETag nor Last-Modified

    The real answer, unusual but correct: `gzip`, `chunked`, `no_length`.

    A fault is over when `until`, called on any thread, says so: requests that come later are
    answered as they should be, and a stalled answer goes on.
    """

    kind: Kind
    after_bytes: int | None = None
    status: int | None = None
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    interval_s: float = 1.0
    size_bytes: int = 64 * _MEBIBYTE
    until: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"No such fault: {self.kind}")


@dataclass
class _Rule:
    pattern: str
    fault: Fault
    times: int | None
    skip: int


class FaultPlan:
    """Which requests get which fault. Usable on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(self, pattern: str, fault: Fault, times: int | None, skip: int) -> None:
        """See `StandIn.add_fault`."""
        with self._lock:
            self._rules.append(_Rule(pattern, fault, times, skip))

    def take(self, request: Request) -> Fault | None:
        """The fault for this request, counted as used."""
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.times != 0]
            for rule in self._rules:
                if not any(
                    fnmatchcase(text, rule.pattern) for text in (request.name, request.path)
                ):
                    continue
                if rule.fault.kind.startswith("range_") and "range" not in request.headers:
                    continue
                if rule.fault.until is not None and rule.fault.until():
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                elif rule.times is None:
                    return rule.fault
                elif rule.times > 0:
                    rule.times -= 1
                    return rule.fault
        return None

    def pending(self) -> list[tuple[str, Fault]]:
        """The counted faults that have not happened as often as they were to."""
        with self._lock:
            return [(rule.pattern, rule.fault) for rule in self._rules if rule.times]

    def clear(self) -> None:
        """Forgets all faults."""
        with self._lock:
            self._rules.clear()


def substitute(fault: Fault) -> Response | None:
    """The answer that the fault gives instead of the real one, if it is of that kind."""
    match fault.kind:
        case "status":
            status = 503 if fault.status is None else fault.status
            body = fault.body
            if body is None:
                known = status in set(http.HTTPStatus)
                message = http.HTTPStatus(status).phrase if known else "Unknown"
                body = json.dumps({"message": message}).encode()
            return Response(status, body, {"Content-Type": fault.content_type, **fault.headers})
        case "html_200":
            return Response(200, _HTML, {"Content-Type": "text/html; charset=utf-8"})
        case "not_json":
            return Response(200, b'{"_id": "SESSION_', {"Content-Type": "application/json"})
        case "redirect":
            status = 302 if fault.status is None else fault.status
            return Response(status, headers={"Location": fault.location, **fault.headers})
        case "redirect_loop":
            return loop_step(LOOP_PATH)
        case "range_416":
            return Response(416)
        case _:
            return None


def loop_step(path: str) -> Response:
    """One step of the endless redirect between two paths."""
    return Response(302, headers={"Location": LOOP_PATH + ("1" if path.endswith("0") else "0")})


def deliver(
    connection: Connection, response: Response, fault: Fault | None, *, keep_alive: bool
) -> bool:
    """Sends the answer in the fault's way; says whether the connection can be used again.

    Raises OSError when the client is gone and ServiceClosed.
    """
    if fault is not None:
        response = _transformed(response, fault)
    body = memoryview(response.body)
    framing = {} if "Content-Length" in response.headers else {"Content-Length": str(len(body))}
    if not keep_alive:
        framing["Connection"] = "close"
    if fault is None:
        connection.send(response.head(framing), body)
        return keep_alive

    until_close = {"Connection": "close"}
    at = fault.after_bytes
    cut = _cut(response.body, at)
    match fault.kind:
        case "reset" | "close" | "stall":
            if at is not None:
                connection.send(response.head(framing), body[:at])
            if fault.kind == "reset":
                connection.reset()
            elif fault.kind == "stall" and connection.stays_until(fault.until):
                connection.send(b"" if at is not None else response.head(framing), body[at or 0 :])
                return keep_alive
            return False
        case "truncate":
            connection.send(response.head(framing), body[:cut])
            return False
        case "truncate_headers":
            head = response.head(framing)
            connection.send(head[: len(head) // 2])
            return False
        case "truncate_no_length":
            connection.send(response.head(until_close), body[:cut])
            return False
        case "truncate_chunked":
            chunks = _chunked(response.body)
            end = len(chunks) - len(b"0\r\n\r\n")
            cut = max(0, min(len(chunks) // 2 if at is None else at, end))
            head = response.head({**until_close, "Transfer-Encoding": "chunked"})
            connection.send(head, chunks[:cut])
            return False
        case "no_length":
            connection.send(response.head(until_close), body)
            return False
        case "wrong_length_short":
            connection.send(response.head({**framing, "Content-Length": str(cut)}), body)
        case "drip_headers":
            connection.drip(response.head(framing), fault.interval_s)
            connection.send(b"", body)
        case "huge_header":
            huge = {**framing, "X-Huge": "x" * fault.size_bytes}
            connection.send(response.head(huge), body)
        case "flood_headers" | "continue_flood" | "chunk_extension" | "trailer_flood":
            _flood(connection, response, fault)
        case "drip_body":
            connection.send(response.head(framing), body[: at or 0])
            connection.drip(body[at or 0 :], fault.interval_s)
        case "chunked":
            framing.pop("Content-Length", None)
            connection.send(
                response.head({**framing, "Transfer-Encoding": "chunked"}), _chunked(response.body)
            )
        case _:
            connection.send(response.head(framing), body)
    return keep_alive


def _flood(connection: Connection, response: Response, fault: Fault) -> None:
    """Sends what never comes to an end, until the client is gone."""
    chunked = response.head({"Transfer-Encoding": "chunked"})
    start, more = {
        "flood_headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        "continue_flood": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "chunk_extension": (chunked + b"5;", b"x" * 4096),
        "trailer_flood": (chunked + _chunked(response.body)[:-2], b"X-More: 1\r\n"),
    }[fault.kind]
    connection.send(start)
    while True:
        connection.wait(fault.interval_s)
        connection.send(more)


def _transformed(response: Response, fault: Fault) -> Response:
    match fault.kind:
        case "corrupt":
            body = bytearray(response.body)
            if body:
                body[_cut(response.body, fault.after_bytes)] ^= 0xFF
            return replace(response, body=bytes(body))
        case "large_body":
            field_start = b', "image_embedding": "'
            padding = field_start + b"A" * fault.size_bytes + b'"}'
            return replace(response, body=response.body[:-1] + padding)
        case "range_wrong_offset" | "range_wrong_total" if response.status == 206:
            unit, first, last, total = _RANGE_NUMBERS.findall(response.headers["Content-Range"])[0]
            moved = 1 if fault.kind == "range_wrong_offset" else 0
            text = f"{unit} {int(first) - moved}-{int(last) - moved}/{int(total) + 1 - moved}"
            return replace(response, headers={**response.headers, "Content-Range": text})
        case "range_other_file" if response.status == 206:
            other = {"ETag": '"0xOTHER"', "Last-Modified": "Thu, 15 May 2025 19:00:00 GMT"}
            body = bytes(reversed(response.body))
            return replace(response, body=body, headers={**response.headers, **other})
        case "range_no_validator":
            kept = {
                name: value
                for name, value in response.headers.items()
                if name not in ("ETag", "Last-Modified")
            }
            return replace(response, headers=kept)
        case "gzip":
            return _gzipped(response, gzip.compress(response.body, mtime=0))
        case "gzip_bomb":
            return _gzipped(response, _bomb(-(-fault.size_bytes // _MEBIBYTE)))
        case _:
            return response


def _gzipped(response: Response, body: bytes) -> Response:
    headers = {**response.headers, "Content-Encoding": "gzip"}
    if "Content-MD5" in headers:  # it is about the bytes on the wire
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
    return replace(response, body=body, headers=headers)


@functools.lru_cache(maxsize=4)
def _bomb(mebibytes: int) -> bytes:
    """That many MiB of zeros as a valid gzip file, without compressing each of them."""
    zeros = bytes(_MEBIBYTE)
    compressor = zlib.compressobj(9, wbits=-15)
    block = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(zeros, checksum)
    size = (mebibytes * _MEBIBYTE) & 0xFFFFFFFF
    start = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    end_of_stream = b"\x03\x00"
    return start + block * mebibytes + end_of_stream + struct.pack("<II", checksum, size)


def _chunked(body: bytes) -> bytes:
    size = 8192
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def _cut(body: bytes, after_bytes: int | None) -> int:
    wanted = len(body) // 2 if after_bytes is None else after_bytes
    return max(0, min(wanted, len(body) - 1))
