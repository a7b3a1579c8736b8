# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a Chromium without a window over its own protocol (DevTools), through a pipe."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TIMEOUT_S = 30.0
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    # Nothing has an address: whatever the page asks for from elsewhere is not found.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
_KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}


class BrowserError(Exception):
    """The browser did not do what it was told; the text says what."""


@contextmanager
def started(command: str) -> Iterator[Browser]:
    """A browser with a profile of its own, for as long as the block lasts."""
    folder = tempfile.mkdtemp(prefix="csm_retopo_browser_")
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    # The browser finds its ends at 3 and 4; there must be nothing of ours in the way.
    ends = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (to_browser, from_browser)]
    os.close(to_browser)
    os.close(from_browser)
    process = subprocess.Popen(
        [
            *("bash", "-c", 'exec 3<&"$0" 4>&"$1" "${@:2}"', *map(str, ends)),
            *(command, *_OPTIONS, f"--user-data-dir={folder}"),
        ],
        pass_fds=ends,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": folder},
    )
    for end in ends:
        os.close(end)
    try:
        yield Browser(from_us, to_us)
    finally:
        os.close(from_us)  # it ends when its pipe does
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(to_us)
        shutil.rmtree(folder, ignore_errors=True)


class Browser:
    """A running browser."""

    def __init__(self, write_end: int, read_end: int) -> None:
        self._write_end = write_end
        self._read_end = read_end
        self._received = b""
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def open(self, path: Path, *, width: int = 1440, height: int = 900) -> Page:
        """Load a file in a tab of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.call("Page.navigate", url=path.as_uri())
        page.wait_for("document.readyState === 'complete'")
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write_end, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _TIMEOUT_S
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read_end], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise BrowserError(f"no answer within {_TIMEOUT_S:g} s")
            data = os.read(self._read_end, 1 << 20)
            if not data:
                raise BrowserError("the browser has ended")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


class Page:
    """A tab with a page."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this tab."""
        return self._browser.call(method, self._session, **parameters)

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise BrowserError(f"{code}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until the JavaScript expression is true."""
        end = time.monotonic() + _TIMEOUT_S
        while not self.run(condition):
            if time.monotonic() > end:
                raise BrowserError(f"never true: {condition}")
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click with the mouse into the middle of the first such element."""
        code = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        x, y = self.run(code)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=_KEYS[key],
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def resize(self, width: int, height: int) -> None:
        """Give the page a window of this size, in its pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def show_as(self, *, scheme: str = "light", media: str = "screen") -> None:
        """Show it to someone who prefers light or dark, on the screen or in print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def photograph(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the whole page, or of what its window shows."""
        options: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "scale": 1, "width": size["width"], "height": size["height"]}
            options = {"captureBeyondViewport": True, "clip": clip}
        data = self.call("Page.captureScreenshot", **options)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def print_to(self, path: Path) -> int:
        """Write a PDF; returns how many pages it has."""
        options = {"preferCSSPageSize": True, "printBackground": True}
        data = base64.b64decode(self.call("Page.printToPDF", **options)["data"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data.count(b"/Type /Page\n") + data.count(b"/Type /Page/")

    def requests(self) -> list[str]:
        """What it asked for so far, by URL."""
        return [
            each["params"]["request"]["url"] for each in self._events("Network.requestWillBeSent")
        ]

    def troubles(self) -> list[str]:
        """Errors of its script, and what the browser had to complain about."""
        thrown = [str(each["params"]) for each in self._events("Runtime.exceptionThrown")]
        logged = [each["params"]["entry"]["text"] for each in self._events("Log.entryAdded")]
        return thrown + logged

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            each
            for each in self._browser.events
            if each.get("sessionId") == self._session and each["method"] == method
        ]
