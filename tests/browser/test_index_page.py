# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch's index.html, looked at and used in a real browser."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, Page
from test_report_page import CONTRASTS, HOSTILE, overflow, texts

from csm_retopo.batch import index_page
from csm_retopo.scene.measure import metrics

Show = Callable[..., Page]

COLORS = ((176, 84, 84), (90, 150, 96), (84, 112, 190), (190, 160, 84))


def strip() -> bytes:
    """A square of one color for each variation. A browser looks at what it is, not at its name."""
    row = b"\0" + b"".join(bytes(color) * 96 for color in COLORS)
    header = struct.pack(">IIBBBBB", 96 * len(COLORS), 96, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * 96)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def report(number: int, variations: int = 4, **changes: Any) -> dict[str, Any]:
    """What report.json says of a session."""
    meshes = [
        {
            "index": index,
            "asset_id": f"ASSET_{index}",
            "name": f"Robot retopo {index + 1}",
            "status": "imported",
            "error": None,
            "metrics": {
                **dict.fromkeys(metrics.METRICS),
                "faces": 1_000 * (1 + number % 9) + 10 * index,
                "triangle_count": 2_000 * (1 + number % 9),
                "quad_ratio": 1 - 0.01 * index - 0.001 * (number % 50),
                "scaled_jacobian_mean": 0.9,
                "poles_6_plus": number % 7 + index,
                "hausdorff_relative": 0.002 * (1 + number % 13 + index),
            },
        }
        for index in range(variations)
    ]
    source = {"asset_id": "A", "name": "Robot", "status": "imported", "error": None, "metrics": {}}
    session_id = f"SESSION_1747336753_{number:07}"
    return {
        "session_id": session_id,
        "status": "complete",
        "model": ("swift", "precision")[number % 2],
        "quads": True,
        "created_at": "2025-05-15T19:19:13.720Z",
        "error": None,
        "source": source,
        "variations": meshes,
        "warnings": [],
        "folder": session_id,
        **changes,
    }


def failed(
    number: int, reason: str = "The service knows no session of this ID", **changes: Any
) -> dict[str, Any]:
    empty = {"source": None, "model": None, "created_at": None, **changes}
    return report(number, 0, error=reason, **empty)


def partly(number: int) -> dict[str, Any]:
    fields = report(number, 3)
    fields["variations"][1].update(status="failed", error="it is a web page", metrics=None)
    return fields


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Opens the page of these sessions, each with the strip of thumbnails."""

    def open_page(sessions: Sequence[dict[str, Any]], more: int = 0) -> Page:
        path = tmp_path / "index.html"
        encoded = base64.b64encode(strip() + bytes(more))
        rows = b",\n".join(index_page.row(each, encoded, has_page=True) for each in sessions)
        path.write_bytes(index_page.head() + rows + index_page.foot())
        return browser.open(path)

    return open_page


def check_peace(page: Page) -> None:
    assert [url for url in page.requests() if not url.startswith(("file:///", "data:"))] == []
    assert page.troubles() == []


def names(page: Page) -> list[str]:
    """The sessions in sight, from the top."""
    return page.run(
        "[...document.querySelectorAll('#rows .row')]"
        ".sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top))"
        ".map(e => e.querySelector('.open').textContent)"
    )


def type_words(page: Page, words: str) -> None:
    page.run(
        f"words.value = {json.dumps(words)}; words.dispatchEvent(new Event('input')); undefined"
    )


def test_what_it_shows(show: Show, pictures: Path) -> None:
    page = show([report(0), partly(1), failed(2), *(report(number) for number in range(3, 20))])
    check_peace(page)
    assert texts(page, "h1") == ["Retopology Sessions"]
    assert texts(page, "#counts") == ["20 sessions, 18 imported whole; 74 variations"]
    assert texts(page, "#statuses small") == ["20", "18", "1", "1"]
    cells = page.run(
        "[...document.querySelectorAll('#rows .row')].slice(0, 3)"
        ".map(row => [...row.querySelectorAll('.cell')].slice(2).map(e => e.innerText))"
    )
    numbers = ["1,000\nto 1,030", "2,000", "100 %", "0.90", "0", "0.2 %"]
    assert cells[0] == ["Imported", "4", *numbers]
    assert cells[1][:2] == ["Partly\nRobot retopo 2: it is a web page", "2 of 3"]
    assert cells[2] == ["Failed\nThe service knows no session of this ID", "0", *["-"] * 6]
    for width in (390, 800, 1440, 1920):
        page.resize(width, 900)
        assert overflow(page) == 0, width
    page.resize(1440, 900)
    for scheme in ("light", "dark"):
        page.show_as(scheme=scheme)
        contrasts = page.run(CONTRASTS)
        assert len(contrasts) > 50
        assert min(contrasts.values()) >= 4.5, min(contrasts, key=contrasts.get)
        page.photograph(pictures / f"index-{scheme}.png", whole=False)


def test_sorting(show: Show) -> None:
    page = show([failed(0), *(report(number) for number in range(1, 10))])
    as_it_was = names(page)
    faces = "#heads .faces button"
    page.click(faces)
    assert page.run("document.querySelector('#heads .faces').ariaSort") == "descending"
    by_faces = names(page)
    assert by_faces[0] == "SESSION_1747336753_0000008"
    assert by_faces[-1] == "SESSION_1747336753_0000000"  # what has no value stays last
    page.click(faces)
    assert names(page)[0] == "SESSION_1747336753_0000009"
    assert names(page)[-1] == "SESSION_1747336753_0000000"
    page.click(faces)
    assert names(page) == as_it_was
    # Where less is better, the least comes first.
    page.click("#heads .hausdorff_relative button")
    assert page.run("document.querySelector('#heads .hausdorff_relative').ariaSort") == "ascending"
    assert names(page)[0] == "SESSION_1747336753_0000001"


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("", 40),
        ("0000007", 1),
        ("ROBOT precision", 20),
        ("knows no", 1),
        ("web page", 1),
        ("faces<2000", 4),
        ("faces>=9000, quads>99", 1),
        ("deviation<0.3 swift", 1),
        ("nothing-like-it", 0),
        ("<script>", 0),
    ],
)
def test_filtering(show: Show, words: str, count: int) -> None:
    page = show([failed(0), partly(1), *(report(number) for number in range(2, 40))])
    type_words(page, words)
    assert page.run("parseInt(rows.style.height) / 76") == count
    assert texts(page, "#statuses small")[0] == str(count)
    assert page.run("document.getElementById('nothing').checkVisibility()") == (count == 0)
    check_peace(page)


def test_only_those_that_failed(show: Show) -> None:
    page = show([failed(0), partly(1), *(report(number) for number in range(2, 40))])
    page.click("#statuses label[data-status='failed'] span")
    assert names(page) == ["SESSION_1747336753_0000000"]
    assert texts(page, "#found") == ["1 of 40 shown"]
    page.click("#statuses label[data-status='partly'] span")
    assert names(page) == ["SESSION_1747336753_0000001"]


def test_a_session_in_full(show: Show, pictures: Path) -> None:
    page = show([report(0), partly(1)])
    page.click("#rows .row:nth-child(2) .open")
    assert page.run("document.getElementById('detail').open")
    assert texts(page, "#detail-title") == ["SESSION_1747336753_0000001"]
    assert texts(page, "#detail tbody th") == [f"Robot retopo {number}" for number in (1, 2, 3)]
    assert texts(page, "#detail td.trouble") == ["it is a web page"]
    links = page.run("[...document.querySelectorAll('#detail a')].map(a => a.getAttribute('href'))")
    folder = "SESSION_1747336753_0000001"
    assert links == [f"{folder}/report.html", f"{folder}/session.blend"]
    page.wait_for("[...document.querySelectorAll('#detail img')].every(i => i.naturalWidth > 0)")
    for scheme in ("light", "dark"):
        page.show_as(scheme=scheme)
        page.photograph(pictures / f"index-detail-{scheme}.png", whole=False)
    page.press("Escape")
    page.wait_for("!document.getElementById('detail').open")
    check_peace(page)


def test_what_a_rule_has_chosen(show: Show, pictures: Path) -> None:
    rule = "hausdorff_relative < 0.01, max quad_ratio"
    chosen = {"rule": rule, "index": 2, "name": "Robot retopo 3"}
    none = {"rule": rule, "index": None, "name": None}
    page = show([report(0, best=chosen), report(1, best=none), report(2), failed(3, best=none)])
    assert texts(page, "#rows .status + small") == [
        "\u2605 Robot retopo 3",
        "No variation fulfils the rule",
        "The service knows no session of this ID",
    ]
    page.photograph(pictures / "index-best.png", whole=False)
    page.click(".open")
    assert texts(page, "#detail .note") == [f"\u2605 Robot retopo 3, by the rule: {rule}"]
    names_ = [f"Robot retopo {number}" for number in (1, 2, 3, 4)]
    names_[2] = f"\u2605 {names_[2]}"
    assert texts(page, "#detail tbody th") == names_
    page.photograph(pictures / "index-best-detail.png", whole=False)
    page.press("Escape")
    type_words(page, "fulfils rule")
    assert names(page) == ["SESSION_1747336753_0000001"]
    check_peace(page)


def test_kept_on_another_machine(show: Show) -> None:
    page = show([report(0, kept_on="node-7", folder="/data/out/SESSION_1747336753_0000000")])
    page.click(".open")
    assert texts(page, "#detail .place") == ["On node-7: /data/out/SESSION_1747336753_0000000"]
    assert texts(page, "#detail a") == []


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names(show: Show, hostile: str) -> None:
    fields = report(0, model=hostile, warnings=[hostile], kept_on=hostile)
    fields["source"].update(name=hostile, error=hostile)
    fields["variations"][0]["name"] = hostile
    fields["best"] = {"rule": "max faces", "index": 0, "name": hostile}
    fields["variations"][1].update(name=hostile, status="failed", error=hostile)
    page = show([fields, failed(1, hostile)])
    page.click(".open")
    page.wait_for("document.getElementById('detail').open")
    assert overflow(page) == 0
    assert page.run("window.hacked") is None
    shown = page.run("document.body.innerText")
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    check_peace(page)


def test_thousands(show: Show, pictures: Path) -> None:
    sessions = [failed(n) if n % 10 == 0 else report(n) for n in range(5_000)]
    page = show(sessions, 6_000)
    assert texts(page, "#counts") == ["5,000 sessions, 4,500 imported whole; 18,000 variations"]
    assert page.run("document.querySelectorAll('*').length") < 2_000
    page.photograph(pictures / "index-5000.png", whole=False)
    page.run("frame.scrollTop = rows.offsetHeight; undefined")
    page.wait_for(
        "[...document.querySelectorAll('.open')].some(e => e.textContent.endsWith('4999'))"
    )
    page.wait_for("[...document.querySelectorAll('.row img')].every(i => i.naturalWidth > 0)")
    assert page.run("document.querySelectorAll('*').length") < 2_000
    type_words(page, "faces<2000")
    assert page.run("frame.scrollTop") == 0
    check_peace(page)
