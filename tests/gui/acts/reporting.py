# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, written from the panel while the artist works."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import bpy
from driver import FILES_BAR, FILES_OPTIONS, RIGHT, Gui, Steps, children, contents, has_timers

_CONTACT_SHEET = (15, 17)
_OPEN_WHEN_DONE = (15, 44)


def report(gui: Gui) -> Steps:
    yield from gui.open_tab()
    yield from gui.click("import_sample")
    yield from gui.finished()
    gui.check(not gui.state.message_is_error, gui.state.message)
    before = contents()
    opened: list[str] = []
    webbrowser.open = lambda url, *_: opened.append(url)  # type: ignore[assignment,func-returns-value]

    page = Path(gui.arguments["folder"], "report.html")
    yield from _choose_file(gui, page)
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    yield from gui.wait(lambda: "Drawing" in gui.state.jobs[0].stage, "nothing is being drawn")
    yield from gui.hover("csm_retopo.cancel", column=RIGHT)
    gui.picture("drawing")
    yield from gui.press()
    yield from gui.wait(lambda: not gui.state.jobs, "cancel did not end it")
    gui.equal(gui.state.message, "Cancelled: Report", "the message")
    yield from gui.wait(lambda: not has_timers(), "a timer is still registered")
    yield from gui.wait(lambda: not children(), "a process is still running")
    gui.check(not page.exists(), "there is a page after the cancel")

    yield from _choose_file(gui, page)
    yield from gui.wait(lambda: gui.state.jobs, "no progress row appeared")
    yield from gui.finished()
    gui.equal(gui.state.message, "Wrote report.html and report.png", "the message")
    gui.equal(opened, [page.as_uri()], "opened in the browser")
    gui.equal(contents(), before, "the file after the report")
    gui.check(page.stat().st_size > 500_000, "the page has no pictures")
    gui.check(page.with_suffix(".png").stat().st_size > 500_000, "the sheet has no pictures")
    yield from gui.look("written")


def _choose_file(gui: Gui, page: Path) -> Steps:
    yield from gui.click("csm_retopo.write_report")
    yield from gui.wait(lambda: len(bpy.context.window_manager.windows) == 2, "no file browser")
    yield 0.8
    browser = bpy.context.window_manager.windows[-1].screen.areas[0].spaces.active
    gui.equal(browser.params.filename, "retopology_report.html", "the name it proposes")
    browser.params.directory = str(page.parent).encode()
    browser.params.filename = page.name
    yield 0.5
    operator = browser.active_operator
    gui.check(operator.open_when_done, "it would not be opened")
    if not operator.contact_sheet:  # which is as it was the last time
        yield from gui.press_at(FILES_OPTIONS, *_CONTACT_SHEET)
    yield from gui.press_at(FILES_OPTIONS, *_OPEN_WHEN_DONE)
    gui.picture("browser")
    gui.equal((operator.contact_sheet, operator.open_when_done), (True, False), "the options")
    yield from gui.press_at(FILES_OPTIONS, *_OPEN_WHEN_DONE)
    yield from gui.click("file.execute", FILES_BAR, column=0.9)
