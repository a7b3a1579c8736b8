# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page, looked at and used in a real browser."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, Page

from csm_retopo.scene.measure import metrics
from csm_retopo.scene.report import models as report_models, page as report_page
from csm_retopo.scene.report.models import Report, ReportLegend, ReportMesh, ReportSession

Show = Callable[..., Page]

WIDTH, HEIGHT = 72, 54
LEGEND = ReportLegend(
    "Deviation",
    "% of the source's diagonal · scene units",
    tuple(
        (f"#{band * 16:02x}4080", f"{band / 10:.1f} % · {band / 50:.3f}" if band % 3 == 0 else "")
        for band in range(16)
    ),
)
HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "'-alert(1)-' &amp; <b>bold</b> ]]> --> </style></script></title>",
    "<svg/onload=window.hacked=1>",
    "https://tracker.example/pixel.png",
    "W" * 400,
    "very " * 80,
    "عملية إعادة البناء",
    "\u202egnp.txt\u202c \u0000\u001b[31m\ud800",
    "",
)


def png(red: int, green: int, blue: int) -> bytes:
    """A picture of one color."""
    rows = (b"\0" + bytes((red, green, blue)) * WIDTH) * HEIGHT
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


class Maker:
    """Makes reports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def mesh(self, index: int, name: str = "", **changes: Any) -> ReportMesh:
        number = next(self._numbers)
        kinds = ("MESH",) if index < 0 else ("MESH", "DEVIATION", "PREVIEW")
        pictures = {}
        for shade, kind in enumerate(kinds):
            path = self._folder / f"{number}_{kind}.png"
            path.write_bytes(png(90 + 60 * shade, 100 + 5 * number % 100, 120))
            pictures[kind] = str(path)
        fields = {"metrics": numbers(index), "pictures": pictures, **changes}
        return ReportMesh(index, name or f"Robot retopo {index + 1}", **fields)

    def session(self, variations: int = 5, **changes: Any) -> ReportSession:
        meshes = [self.mesh(-1, "Robot"), *(self.mesh(index) for index in range(variations))]
        fields: dict[str, Any] = {
            "session_id": "SESSION_1700000001_1234567",
            "created_at": "2025-05-15T19:19:13.720Z",
            "model": "swift",
            "input_asset_id": "ASSET_IN",
            "meshes": tuple(meshes),
            "width": WIDTH,
            "height": HEIGHT,
        }
        return ReportSession(**{**fields, **changes})


def numbers(index: int) -> dict[str, Any]:
    """Metrics that differ from one variation to the next."""
    found: dict[str, Any] = {}
    for place, (key, metric) in enumerate(metrics.METRICS.items()):
        step = (index * (place + 3) * 7) % 11
        match metric.kind:
            case "count":
                found[key] = 100 * step + place
            case "flag":
                found[key] = index % 2 == 0
            case "relative":
                found[key] = 0.001 * (1 + step)
            case _:
                found[key] = 0.05 * (1 + step)
    if index < 0:
        found |= dict.fromkeys(metrics.DEVIATION_KEYS)
    return found


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Opens the page of a report of these sessions."""

    def open_page(*sessions: ReportSession, **size: int) -> Page:
        path = tmp_path / "report.html"
        report = Report(sessions, LEGEND, 0.01)
        text = report_page.page(report, "CSM Retopo")
        path.write_bytes(text.encode("utf-8", errors="replace"))
        return browser.open(path, **size)

    return open_page


def check_peace(page: Page) -> None:
    """All pictures are there, nothing was asked for and nothing went wrong."""
    assert page.run(
        "[...document.images].filter(i => i.closest('.card')).every(i => i.naturalWidth > 0)"
    )
    assert [url for url in page.requests() if not url.startswith(("file:///", "data:"))] == []
    assert page.troubles() == []


def texts(page: Page, selector: str) -> list[str]:
    return page.run(f"[...document.querySelectorAll({selector!r})].map(e => e.textContent)")


def shown(page: Page, selector: str) -> list[str]:
    """The texts of such elements that can be seen."""
    return page.run(
        f"[...document.querySelectorAll({selector!r})]"
        ".filter(e => e.checkVisibility()).map(e => e.textContent)"
    )


def overflow(page: Page) -> int:
    """By how many pixels the page is broader than its window."""
    return page.run("document.documentElement.scrollWidth - innerWidth")


@pytest.mark.parametrize("count", [1, 5, 50])
def test_what_it_shows(show: Show, make: Maker, pictures: Path, count: int) -> None:
    page = show(make.session(count))
    check_peace(page)
    assert texts(page, "h1") == ["Robot"]
    assert texts(page, ".card h4")[0].startswith("Robot")
    assert len(texts(page, ".card")) == count + 1
    assert page.run("document.querySelectorAll('.card img').length") == 1 + 3 * count
    assert len(texts(page, "table.sortable .rows tr")) == count
    assert len(texts(page, "table.sortable .rows tr:first-child > *")) == 1 + len(metrics.METRICS)
    assert len(texts(page, ".bands span")) == 16
    page.photograph(pictures / f"{count}-light.png")
    for width in (390, 800, 1920):
        page.resize(width, 900)
        assert overflow(page) == 0, width
        if count == 5:
            page.photograph(pictures / f"5-{width}.png")


def test_light_and_dark(show: Show, make: Maker, pictures: Path) -> None:
    page = show(make.session())
    grounds = {}
    for scheme in ("light", "dark"):
        page.show_as(scheme=scheme)
        # Texts of every kind, against what is behind them.
        contrasts = page.run(CONTRASTS)
        assert len(contrasts) > 100
        assert min(contrasts.values()) >= 4.5, min(contrasts, key=contrasts.get)
        grounds[scheme] = page.run("getComputedStyle(document.body).backgroundColor")
        page.photograph(pictures / f"5-{scheme}.png")
    assert grounds["light"] != grounds["dark"]


# The WCAG's contrast ratio of every text that can be seen, by the text.
CONTRASTS = """(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (color) => { context.fillStyle = color; context.fillRect(0, 0, 1, 1); };
  const light = () => {
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, style, .pictures")) continue;
    const grounds = [];
    for (let e = element; e; e = e.parentElement) {
      grounds.unshift(getComputedStyle(e).backgroundColor);
    }
    context.clearRect(0, 0, 1, 1);
    grounds.forEach(paint);
    const ground = light();
    paint(getComputedStyle(element).color);
    const [low, high] = [ground, light()].sort((a, b) => a - b);
    found[`${element.className} ${walker.currentNode.data}`] = (high + 0.05) / (low + 0.05);
  }
  return found;
})()"""


def column(page: Page, key: str) -> list[str]:
    """The names of the rows, from the top, and what they have in that column."""
    place = page.run(
        f"[...document.querySelectorAll('table.sortable thead tr:last-child th')]"
        f".findIndex(e => e.dataset.key === {key!r})"
    )
    cells = f"tr => tr.cells[0].textContent + '|' + tr.cells[{place}].textContent"
    return page.run(f"[...document.querySelectorAll('table.sortable .rows tr')].map({cells})")


def test_a_heading_sorts(show: Show, make: Maker) -> None:
    values = {0: 30, 1: 1_200, 2: None, 3: 4, 4: 500}
    meshes = [
        make.mesh(index, metrics={"faces": value, "triangles": value})
        for index, value in values.items()
    ]
    page = show(make.session(meshes=(make.mesh(-1, "Robot"), *meshes)))
    heading = "table.sortable th[data-key='{}']"
    button = heading + " button"

    def order(key: str) -> list[str]:
        return [each.rpartition("|")[2] for each in column(page, key)]

    def sort_state(key: str) -> str | None:
        return page.run(f'document.querySelector("{heading.format(key)}").ariaSort')

    as_it_was = ["30", "1,200", "-", "4", "500"]
    assert order("faces") == as_it_was
    # The most first; what has no value stays last.
    page.click(button.format("faces"))
    assert order("faces") == ["1,200", "500", "30", "4", "-"]
    assert sort_state("faces") == "descending"
    # Where less is better, the least first. By keyboard, too.
    page.run(f'document.querySelector("{button.format("triangles")}").focus()')
    page.press("Enter")
    assert order("triangles") == ["4", "30", "500", "1,200", "-"]
    assert (sort_state("triangles"), sort_state("faces")) == ("ascending", None)
    page.press(" ")
    assert order("triangles") == ["1,200", "500", "30", "4", "-"]
    page.press("Enter")
    assert order("triangles") == as_it_was
    assert sort_state("triangles") is None
    page.click(button.format("name"))
    assert order("faces") == as_it_was
    page.click(button.format("name"))
    assert order("faces") == as_it_was[::-1]
    # The source is no variation, and stays on top.
    assert texts(page, "table.sortable tbody tr:first-child th")[0] == "Source"
    check_peace(page)


def test_headings_explain_themselves_and_the_best_is_marked(show: Show, make: Maker) -> None:
    page = show(make.session(3))
    for key, metric in metrics.METRICS.items():
        heading = f"table.sortable th[data-key='{key}']"
        assert page.run(f'document.querySelector("{heading}").title') == metric.description
        best = metrics.best_value(key, [numbers(index)[key] for index in range(3)])
        cells = column(page, key)
        place = 1 + list(metrics.METRICS).index(key)
        marked = page.run(
            "[...document.querySelectorAll('table.sortable .rows tr')]"
            f".filter(tr => tr.cells[{place}].matches('.best'))"
            f".map(tr => tr.cells[0].textContent + '|' + tr.cells[{place}].textContent)"
        )
        expected = [] if best is None else [metrics.value_text(key, best)]
        assert sorted({each.rpartition("|")[2] for each in marked}) == expected, (key, cells)


def test_which_pictures(show: Show, make: Maker, pictures: Path) -> None:
    page = show(make.session(2))
    visible = "[...document.querySelectorAll('.card figure')].filter(e => e.checkVisibility())"
    assert len(page.run(f"{visible}.map(e => e.dataset.kind)")) == 1 + 2 * 3
    for kind in ("deviation", "preview", "mesh"):
        page.click(f".switch input[value='{kind}'] + span")
        # The source has but one, which stays.
        assert page.run(f"{visible}.map(e => e.dataset.kind)") == ["mesh", kind, kind]
        page.photograph(pictures / f"2-{kind}.png")
    page.press("ArrowRight")  # from radio button to radio button
    assert page.run(f"{visible}.map(e => e.dataset.kind)") == ["mesh", "deviation", "deviation"]
    check_peace(page)


def test_flip_through_the_variations(show: Show, make: Maker, pictures: Path) -> None:
    page = show(make.session(3))
    title = ".lightbox strong"
    assert not page.run("document.querySelector('dialog').open")
    page.click(".card:nth-of-type(2) figure[data-kind='deviation'] button")
    assert page.run("document.querySelector('dialog').open")
    assert texts(page, title) == ["Robot retopo 1"]
    same = (
        "document.querySelector('.lightbox .stage img').src === document.querySelector("
        "\".card:nth-of-type({}) figure[data-kind='{}'] img\").src"
    )
    assert page.run(same.format(2, "deviation"))
    page.press("ArrowRight")
    assert texts(page, title) == ["Robot retopo 2"]
    assert page.run(same.format(3, "deviation"))
    page.photograph(pictures / "3-flip.png")
    page.press("ArrowRight")
    page.press("ArrowRight")  # round to the source, which has no deviation
    assert texts(page, title)[0].startswith("Robot")
    assert page.run(same.format(1, "mesh"))
    page.press("ArrowLeft")
    assert texts(page, title) == ["Robot retopo 3"]
    page.press("Escape")
    page.wait_for("!document.querySelector('dialog').open")
    check_peace(page)


@pytest.mark.parametrize("count", [5, 50])
def test_on_paper(show: Show, make: Maker, pictures: Path, count: int) -> None:
    page = show(make.session(count))
    page.show_as(scheme="dark", media="print")
    # A4 across, without its margins.
    page.resize(1039, 710)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert overflow(page) == 0
    assert shown(page, ".switch") == []
    assert shown(page, "table.sortable") == []
    assert len(shown(page, ".paper table")) > 3
    headings = set(shown(page, ".paper thead th"))
    assert {each.heading for each in metrics.METRICS.values()} <= headings
    page.photograph(pictures / f"{count}-paper.png")
    page.show_as()
    pages = page.print_to(pictures / f"{count}.pdf")
    assert 2 <= pages <= 2 + count


def test_hostile_names(show: Show, make: Maker, pictures: Path) -> None:
    named = [make.mesh(index, name or " ") for index, name in enumerate(HOSTILE)]
    failed = [
        make.mesh(20 + index, name, pictures={}, metrics={}, error=name)
        for index, name in enumerate(HOSTILE[:-1])
    ]
    meshes = (make.mesh(-1, HOSTILE[0] + HOSTILE[5]), *named, *failed)
    session = make.session(
        session_id=HOSTILE[1], model=HOSTILE[2], created_at=HOSTILE[3], meshes=meshes
    )
    page = show(report_models.ReportSession(**{**vars(session), "warnings": HOSTILE}))
    check_peace(page)
    assert page.run("window.hacked") is None
    assert page.run("document.scripts.length") == 1
    assert page.run("document.querySelectorAll('svg, b b, .card b').length") == 0
    names = texts(page, ".card h4")
    for index in (0, 1, 2, 3, 4, 5, 7):
        assert HOSTILE[index] in names[1 + index]
    assert "\u202e" not in page.run("document.documentElement.textContent")
    page.photograph(pictures / "hostile.png")
    for width in (390, 1440):
        page.resize(width, 900)
        assert overflow(page) == 0, width
    page.click(".card:nth-of-type(3) .zoom")
    page.press("ArrowRight")
    assert page.run("window.hacked") is None


def test_nothing_can_be_fetched(show: Show, make: Maker) -> None:
    page = show(make.session(1))
    page.run(
        "new Promise(done => { const image = new Image(); image.onerror = done;"
        "image.src = 'https://tracker.example/pixel.png'; }).then(() => 0)"
    )
    assert page.run("fetch('https://tracker.example/').then(() => 'sent', () => 'refused')") == (
        "refused"
    )
    assert page.run("fetch(location.href).then(() => 'sent', () => 'refused')") == "refused"
    refused = [each for each in page.troubles() if "Content Security Policy" in each]
    assert len(refused) >= 2


def test_what_is_missing_is_said(show: Show, make: Maker, pictures: Path) -> None:
    bare = make.mesh(0, pictures={}, metrics={}, notes=("no picture: Blender crashed",))
    broken = make.mesh(1, pictures={}, metrics={}, error="the file is a web page, not a mesh")
    odd = make.mesh(
        2, pictures={}, metrics={"faces": float("nan"), "quad_ratio": "many", "quads": [1]}
    )
    page = show(
        make.session(
            meshes=(bare, broken, odd),
            model="",
            created_at="",
            input_asset_id="",
            warnings=("Robot retopo 1 has no preview image",),
        )
    )
    check_peace(page)
    assert texts(page, "h1") == ["SESSION_1700000001_1234567"]
    assert "without its source" in texts(page, ".remark")[0]
    assert texts(page, ".missing") == ["The file is a web page, not a mesh"]
    assert "No picture: Blender crashed" in texts(page, ".note")
    assert texts(page, ".notes li") == [
        "Robot retopo 2: the file is a web page, not a mesh",
        "Robot retopo 1 has no preview image",
    ]
    assert len(texts(page, "table.sortable .rows tr")) == 2
    assert set(texts(page, "table.sortable .rows td")) == {"-"}
    assert texts(page, ".tiles") == []
    page.photograph(pictures / "missing.png")


def test_several_sessions_of_one_input(show: Show, make: Maker, pictures: Path) -> None:
    swift = make.session(2)
    precision = make.session(3, session_id="SESSION_1700000002_1234567", model="precision")
    other = make.session(1, session_id="SESSION_1700000003_1234567", input_asset_id="OTHER")
    page = show(swift, precision, other)
    check_peace(page)
    assert len(texts(page, ".sessions li")) == 3
    assert len(texts(page, "table.sortable")) == 2  # what has another input is no rival
    rows = "section.group:first-of-type table.sortable .rows tr"
    assert [each.split()[0] for each in texts(page, f"{rows} .of")] == ["swift"] * 2 + [
        "precision"
    ] * 3
    # The source stands there once.
    assert len(texts(page, "section.group:first-of-type .card.source")) == 1
    assert len(texts(page, ".card.source")) == 2
    # Both switches say the same, whichever is used.
    page.click(".group + .group .switch input[value='deviation'] + span")
    assert page.run(
        "[...document.querySelectorAll('.switch input:checked')].map(e => e.value)"
    ) == ["deviation", "deviation"]
    page.photograph(pictures / "several.png")
