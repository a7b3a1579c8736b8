# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a web page: one file that needs no other and no network.

Whatever comes from the service or from an artist is text on the page, and nothing else. It knows no
bpy, so that the page can be looked at in a browser without a Blender.
"""

from __future__ import annotations

import base64
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..layout import short_names
from ..measure.metrics import METRICS, Metric, MetricValue, best_value, value_text
from .models import PictureKind, Report, ReportLegend, ReportMesh, ReportSession

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What the page may do, as a browser is told: show what is in it, and fetch nothing."""

_HERE = Path(__file__).parent
_TYPES = {".png": "image/png", ".webp": "image/webp"}

_KIND_TITLES = {
    PictureKind.MESH: "Mesh",
    PictureKind.DEVIATION: "Deviation",
    PictureKind.PREVIEW: "Preview",
}
_KEY_NUMBERS = ("faces", "quad_ratio", "scaled_jacobian_mean", "hausdorff_relative")
"""What a card says of its mesh."""

_HIGHLIGHTS = (
    ("hausdorff_relative", "Closest to the source"),
    ("deviation_rms", "Lowest RMS deviation"),
    ("quad_ratio", "Most quads"),
    ("scaled_jacobian_mean", "Best quad shape"),
    ("poles_6_plus", "Fewest 6+ poles"),
)

_GROUPS = {
    "vertices": "Faces",
    "boundary_edges": "Defects",
    "poles_3": "Edge Flow",
    "scaled_jacobian_min": "Shape and Size",
    "deviation_mean": "Distance to the Source",
}
"""The groups of columns, by the metric that each begins with."""

_MANY = 12
"""From so many variations on, the cards are smaller."""


@dataclass(frozen=True)
class _Row:
    """A variation in the table."""

    session: ReportSession
    mesh: ReportMesh
    title: str
    metrics: Mapping[str, MetricValue]


def page(report: Report, made_with: str) -> str:
    """The page; `made_with` names the programs. Raises OSError for a picture that is gone."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    parts = [
        *head(f"{_text(report.title)} · Retopology Report", style),
        '<body data-view="all">',
        *_header(report),
        "<main>",
        *_groups(report),
        *_notes(report),
        *_glossary(),
        "</main>",
        f"<footer>Made with {_text(made_with)}</footer>",
        *_lightbox(),
        f"<script>{script}</script>",
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(parts)


def head(title: str, style: str) -> list[str]:
    """The lines of a page before its body; the title is HTML."""
    return [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title}</title>",
        f"<style>{style}</style>",
        "</head>",
    ]


def _header(report: Report) -> Iterator[str]:
    yield '<header class="page-head">'
    yield '<p class="eyebrow">Retopology Report</p>'
    yield f"<h1>{_name(report.title)}</h1>"
    yield '<ul class="sessions">'
    for session in report.sessions:
        variations = [each for each in session.meshes if not each.is_source]
        there = sum(each.error is None for each in variations)
        count = f"{there}" if there == len(variations) else f"{there} of {len(variations)}"
        facts = [
            session.model,
            session.created_at[:10],
            f"{count} variation{'' if len(variations) == 1 else 's'}",
        ]
        shown = "".join(f"<span>{_text(each)}</span>" for each in facts if each)
        yield f"<li><code>{_text(session.session_id)}</code>{shown}</li>"
    yield "</ul>"
    yield "</header>"


def _groups(report: Report) -> Iterator[str]:
    """The sessions in groups that retopologise the same mesh: others are no rivals."""
    groups: dict[str, list[ReportSession]] = {}
    for session in report.sessions:
        groups.setdefault(session.input_key, []).append(session)
    for number, sessions in enumerate(groups.values()):
        source = next((mesh for mesh in sessions[0].meshes if mesh.is_source), None)
        name = source.name if source else sessions[0].session_id
        title = name if len(groups) > 1 else "Variations"
        yield from _group(report, sessions, title, f"view-{number}")


def _group(report: Report, sessions: list[ReportSession], title: str, switch: str) -> Iterator[str]:
    rows = _rows(sessions)
    found = [each for session in sessions for each in session.meshes if each.is_source]
    sources = sorted(found, key=lambda source: source.error is not None)[:1]
    best = {
        key: best_value(key, [row.metrics.get(key) for row in rows if row.mesh.error is None])
        for key in METRICS
    }
    yield '<section class="group">'
    yield from _highlights(rows, best, several=len(sessions) > 1)
    has_deviation = any(PictureKind.DEVIATION in row.mesh.pictures for row in rows)
    yield f'<div class="toolbar"><h2>{_name(title)}</h2>'
    yield from _view_switch(rows, switch)
    if has_deviation:
        yield from _legend(report.legend)
    yield "</div>"
    if not has_deviation:
        yield f'<p class="remark">{_text(_why_no_deviation(sources, rows))}</p>'
    yield from _gallery(sessions, sources, rows, best)
    yield from _tables(sessions, sources, rows, best)
    yield "</section>"


def _rows(sessions: Iterable[ReportSession]) -> list[_Row]:
    found = [
        (session, mesh) for session in sessions for mesh in session.meshes if not mesh.is_source
    ]
    titles = short_names([mesh.name for _, mesh in found])
    return [
        _Row(session, mesh, title, _known(mesh.metrics))
        for (session, mesh), title in zip(found, titles, strict=True)
    ]


def _known(metrics: Mapping[str, object]) -> dict[str, MetricValue]:
    """The metrics that are numbers: an artist can write anything into an object."""
    known: dict[str, MetricValue] = {}
    for key in METRICS:
        value = metrics.get(key)
        if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            known[key] = value
    return known


def _highlights(
    rows: list[_Row], best: Mapping[str, MetricValue], *, several: bool
) -> Iterator[str]:
    """The best in what counts most, of several variations."""
    tiles = []
    for key, title in _HIGHLIGHTS:
        value = best[key]
        winners = [row for row in rows if value is not None and row.metrics.get(key) == value]
        if not winners:
            continue
        remarks = [winners[0].session.model] if several else []
        remarks += [f"and {len(winners) - 1} more"] if len(winners) > 1 else []
        more = f" <small>{_text(' '.join(remarks))}</small>"
        tiles.append(
            f'<li><span class="tile-title">{_text(title)}</span>'
            f'<span class="tile-name">{_name(winners[0].title)}{more}</span>'
            f'<span class="tile-value">{_text(value_text(key, value))}</span></li>'
        )
    if tiles:
        yield f'<ul class="tiles">{"".join(tiles)}</ul>'


def _gallery(
    sessions: list[ReportSession],
    sources: list[ReportMesh],
    rows: list[_Row],
    best: Mapping[str, MetricValue],
) -> Iterator[str]:
    shape = f"--shape: {sessions[0].width} / {sessions[0].height}"
    many = " many" if len(rows) >= _MANY else ""
    for session in sessions:
        if len(sessions) > 1:
            yield f'<h3 class="session">{_text(_session_title(session))}</h3>'
        yield f'<div class="cards{many}" style="{shape}">'
        if session is sessions[0]:
            for source in sources:
                yield from _card(source, "Source", _known(source.metrics), {})
        for row in rows:
            if row.session is session:
                yield from _card(row.mesh, "", row.metrics, best)
        yield "</div>"


def _session_title(session: ReportSession) -> str:
    return " · ".join(each for each in (session.model, session.session_id) if each)


def _why_no_deviation(sources: list[ReportMesh], rows: list[_Row]) -> str:
    if not any(source.error is None for source in sources):
        return (
            "There are no colors of the deviation: without its source, a variation has nothing to "
            "be compared with."
        )
    if not any(row.metrics.get("hausdorff_relative") is not None for row in rows):
        return (
            "There are no colors of the deviation: no variation could be compared with the source."
        )
    return "There are no colors of the deviation: the meshes don't carry it."


def _view_switch(rows: list[_Row], name: str) -> Iterator[str]:
    there = {kind for row in rows for kind in row.mesh.pictures}
    kinds = [(kind.lower(), title) for kind, title in _KIND_TITLES.items() if kind in there]
    if len(kinds) < 2:
        return
    yield '<fieldset class="switch"><legend>Pictures</legend>'
    for value, title in (("all", "All"), *kinds):
        checked = " checked" if value == "all" else ""
        yield (
            f'<label><input type="radio" name="{name}" value="{value}"{checked}>'
            f"<span>{title}</span></label>"
        )
    yield "</fieldset>"


def _legend(legend: ReportLegend) -> Iterator[str]:
    yield f'<figure class="legend"><figcaption>{_text(legend.title)} '
    yield f"<small>{_text(legend.unit)}</small></figcaption>"
    yield '<div class="bands">'
    for color, text in legend.entries:
        shown = _text(text).replace(" · ", "<br>")
        yield f'<span><i style="background: {_text(color)}"></i><b>{shown}</b></span>'
    yield "</div></figure>"


def _card(
    mesh: ReportMesh,
    badge: str,
    metrics: Mapping[str, MetricValue],
    best: Mapping[str, MetricValue],
) -> Iterator[str]:
    classes = "card source" if mesh.is_source else "card"
    yield f'<article class="{classes}">'
    yield '<div class="pictures">'
    if mesh.error is not None:
        yield f'<p class="missing">{_text(_sentence(mesh.error))}</p>'
    else:
        for kind, title in _KIND_TITLES.items():
            yield from _picture(mesh, kind, title)
    yield "</div>"
    shown = f' <span class="badge">{_text(badge)}</span>' if badge else ""
    yield f'<h4 title="{_text(mesh.name)}">{_name(mesh.name)}{shown}</h4>'
    if mesh.error is None:
        yield '<dl class="numbers">'
        for key in _KEY_NUMBERS:
            if mesh.is_source and key == "hausdorff_relative":
                continue
            metric, value = METRICS[key], metrics.get(key)
            mark = ' class="best"' if value is not None and value == best.get(key) else ""
            yield (
                f'<div{mark}><dt title="{_text(metric.description)}">{_text(metric.heading)}</dt>'
                f"<dd>{_text(value_text(key, value))}</dd></div>"
            )
        yield "</dl>"
    for note in mesh.notes:
        yield f'<p class="note">{_text(_sentence(note))}</p>'
    yield "</article>"


def _picture(mesh: ReportMesh, kind: PictureKind, title: str) -> Iterator[str]:
    path = mesh.pictures.get(kind)
    name = kind.lower()
    if path is None and mesh.is_source:
        return  # it has only one, which is shown whatever is chosen
    if path is None:
        yield f'<figure class="none" data-kind="{name}"><p>No {_text(title.lower())} picture</p>'
    else:
        alt = f"{mesh.name}: {title.lower()}"
        yield f'<figure data-kind="{name}"><button type="button" class="zoom">'
        yield f'<img src="{_data_uri(Path(path))}" alt="{_text(alt)}"></button>'
    yield f"<figcaption>{_text(title)}</figcaption></figure>"


def _tables(
    sessions: list[ReportSession],
    sources: list[ReportMesh],
    rows: list[_Row],
    best: Mapping[str, MetricValue],
) -> Iterator[str]:
    rows = [row for row in rows if row.mesh.error is None]
    sources = [each for each in sources if each.error is None]
    groups = _column_groups()
    several = len(sessions) > 1
    everything = [metric for _, metrics in groups for metric in metrics]
    yield '<div class="toolbar"><h2>Metrics</h2>'
    yield '<p class="hint">Choose a heading to sort by it. <b class="best">Best</b> of its column'
    yield "</p></div>"
    yield '<div class="table-frame" tabindex="0" role="region" aria-label="Metrics">'
    yield '<table class="metrics sortable"><thead><tr class="groups">'
    yield f'<th colspan="{1 + several}"></th>'
    for title, metrics in groups:
        yield f'<th colspan="{len(metrics)}" scope="colgroup">{_text(title)}</th>'
    yield "</tr>"
    yield from _table_rest(sources, rows, best, everything, sortable=True, several=several)
    yield "</table></div>"
    # On paper nothing scrolls: a table for each group of columns.
    yield '<div class="paper">'
    for title, metrics in groups:
        yield f'<table class="metrics"><caption>{_text(title)}</caption><thead>'
        yield from _table_rest(sources, rows, best, metrics, sortable=False, several=several)
        yield "</table>"
    yield "</div>"


def _column_groups() -> list[tuple[str, list[Metric]]]:
    groups: list[tuple[str, list[Metric]]] = []
    for key, metric in METRICS.items():
        if key in _GROUPS or not groups:
            groups.append((_GROUPS.get(key, "Metrics"), []))
        groups[-1][1].append(metric)
    return groups


def _table_rest(
    sources: list[ReportMesh],
    rows: list[_Row],
    best: Mapping[str, MetricValue],
    metrics: list[Metric],
    *,
    sortable: bool,
    several: bool,
) -> Iterator[str]:
    yield "<tr>"
    yield _heading("name", "Variation", "The name of the variation", "lower", sortable)
    if several:
        yield _heading("session", "Session", "The session it is from", "lower", sortable)
    for metric in metrics:
        direction = metric.better or "higher"
        yield _heading(metric.key, metric.heading, metric.description, direction, sortable)
    yield "</tr></thead>"
    if sources:
        yield '<tbody class="reference">'
        for source in sources:
            cells = "".join(_cell(each, _known(source.metrics), {}) for each in metrics)
            session = "<td></td>" if several else ""
            name = '<th scope="row">Source</th>'
            yield f"<tr>{name}{session}{cells}</tr>"
        yield "</tbody>"
    yield '<tbody class="rows">'
    for row in rows:
        cells = "".join(_cell(each, row.metrics, best) for each in metrics)
        name = (
            f'<th scope="row" title="{_text(row.mesh.name)}" data-value="{_text(row.title)}">'
            f"{_name(row.title)}</th>"
        )
        session = _session_title(row.session)
        shown = (
            f'<td class="of" data-value="{_text(session)}" title="{_text(session)}">'
            f"{_text(row.session.model or row.session.session_id)}</td>"
        )
        yield f"<tr>{name}{shown if several else ''}{cells}</tr>"
    yield "</tbody>"


def _heading(key: str, title: str, description: str, first: str, sortable: bool) -> str:
    tip = f' title="{_text(description)}"'
    if not sortable:
        return f'<th scope="col"{tip}>{_text(title)}</th>'
    return (
        f'<th scope="col" data-key="{_text(key)}" data-first="{first}"{tip}>'
        f'<button type="button">{_text(title)}</button></th>'
    )


def _cell(
    metric: Metric, metrics: Mapping[str, MetricValue], best: Mapping[str, MetricValue]
) -> str:
    value = metrics.get(metric.key)
    text = _text(value_text(metric.key, value))
    if value is None:
        return f'<td class="nothing">{text}</td>'
    mark = ' class="best"' if value == best.get(metric.key) else ""
    return f'<td{mark} data-value="{float(value)!r}">{text}</td>'


def _notes(report: Report) -> Iterator[str]:
    notes = []
    for session in report.sessions:
        found = [(each.name, each.error) for each in session.meshes if each.error]
        items = [f"{_name(name)}: {_text(error)}" for name, error in found]
        items += [_text(warning) for warning in session.warnings]
        notes += [f"<li>{each}</li>" for each in items]
    if notes:
        yield '<section class="notes"><h2>What to know</h2>'
        yield f"<ul>{''.join(notes)}</ul></section>"


def _glossary() -> Iterator[str]:
    yield '<section class="glossary"><h2>What the numbers mean</h2><dl>'
    for metric in METRICS.values():
        short = "" if metric.heading == metric.label else f" <small>{_text(metric.heading)}</small>"
        yield f"<div><dt>{_text(metric.label)}{short}</dt>"
        yield f"<dd>{_text(metric.description)}</dd></div>"
    yield "</dl></section>"


def _lightbox() -> Iterator[str]:
    yield '<dialog class="lightbox" aria-label="Picture">'
    yield '<div class="stage"><img alt=""></div>'
    yield '<div class="bar"><button type="button" data-do="previous" title="Previous (Left)">'
    yield '&#8592;</button><p><strong></strong><span></span></p><div class="kinds"></div>'
    yield '<button type="button" data-do="next" title="Next (Right)">&#8594;</button>'
    yield '<button type="button" data-do="close" title="Close (Esc)">&#10005;</button></div>'
    yield "</dialog>"


def _data_uri(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_TYPES[path.suffix]};base64,{data}"


def _name(name: str) -> str:
    """A name, kept apart from the text around it: it may run from right to left."""
    return f"<bdi>{_text(name)}</bdi>"


def _text(text: str) -> str:
    """Text for the page, in which nothing is markup and no control character is left."""
    return escape(plain(text))


def plain(text: str) -> str:
    """The text without control characters."""
    return "".join(" " if _is_control(each) else each for each in text)


def _is_control(letter: str) -> bool:
    """Whether it is no letter but an order, such as to turn the direction of the text around it."""
    if letter in "\u200c\u200d":  # joiners, without which some scripts can't be written
        return False
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
