# SPDX-License-Identifier: GPL-3.0-or-later
"""index.html: every session of an output folder on one page that needs no other file.

The page holds what its script shows as data, a line for each session, so that it can be put
together from parts; of thousands of rows, only those in sight are made. Whatever comes from the
service is text on the page, and nothing else. It knows no bpy, as the report's page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..scene.measure.metrics import METRICS
from ..scene.report import page

NUMBERS = (
    *("faces", "triangle_count", "quad_ratio", "scaled_jacobian_mean", "poles_6_plus"),
    "hausdorff_relative",
)
"""The metrics that the page shows."""

_HERE = Path(__file__).parent
_LONGEST = 300
"""Of a name or reason, in characters."""


def head() -> bytes:
    """What comes before the sessions."""
    style = (_HERE / "index.css").read_text(encoding="utf-8")
    body = (_HERE / "index_body.html").read_text(encoding="utf-8")
    metrics = [
        [each.key, each.heading, each.label, each.description, each.kind, each.better]
        for each in (METRICS[key] for key in NUMBERS)
    ]
    parts = [
        *page.head("Retopology Sessions", style),
        "<body>",
        body,
        f'<script type="application/json" id="metrics">{_json(metrics)}</script>',
        '<script type="application/json" id="sessions">[',
        "",
    ]
    return "\n".join(parts).encode()


def foot() -> bytes:
    """What comes after them."""
    script = (_HERE / "index.js").read_text(encoding="utf-8")
    return f"\n]</script>\n<script>{script}</script>\n</body>\n</html>\n".encode()


def row(fields: Mapping[str, Any], thumbnails: bytes, has_page: bool) -> bytes:
    """A session: a report as report.json has it with its `folder`, its thumbnails in Base64, and
    whether there is a page. Raises KeyError, TypeError and AttributeError for another.
    """
    variations = [
        [
            each["index"],
            _text(each["name"]),
            each["status"],
            _text(each["error"]),
            *(_number((each["metrics"] or {}).get(key)) for key in NUMBERS),
        ]
        for each in fields["variations"]
    ]
    source = fields["source"]
    best = fields.get("best")
    data = [
        _text(fields["session_id"]),
        _text(fields["error"]),
        _text(fields["model"]),
        _text(fields["created_at"])[:10],
        _text(fields.get("folder")),
        _text(fields.get("kept_on")),
        has_page,
        [_text(source["name"]), source["status"], _text(source["error"])] if source else None,
        [_text(each) for each in fields["warnings"]],
        [_text(best["rule"]), best["index"]] if best else None,
        variations,
        thumbnails.decode("ascii"),
    ]
    return _json(data).encode()


def without_thumbnails(part: bytes) -> bytes:
    """What `row` returned, with no thumbnails."""
    return part[: part.rindex(b',"')] + b',""]'


def _json(value: object) -> str:
    """As JSON that can stand in a script element: nothing in it ends that."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _text(value: object) -> str:
    return page.plain(str(value))[:_LONGEST] if value is not None else ""


def _number(value: object) -> int | float | None:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value if isinstance(value, int) else None
