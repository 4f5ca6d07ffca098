"""A real browser, driven over WebDriver (W3C) by plain HTTP: nothing to install beyond chromium and its driver."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's own key for an element's id
DEADLINE_S = 20.0
REPLACED = ("stale element reference", "no such element")
CLICKS_MAX = 5


class WebDriverError(Exception):
    def __init__(self, value: dict[str, Any]) -> None:
        super().__init__(value["message"])
        self.code = value["error"]


class Browser:
    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._path = client, f"/session/{session}"

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that `return`s from a function body in the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def click(self, selector: str) -> None:
        """As a person would: once it is there, in view, and not just being replaced."""
        for attempt in range(CLICKS_MAX):
            self.run("document.querySelector(arguments[0])?.scrollIntoView({block: 'center'})", selector)
            try:
                self._ask("POST", f"/element/{self._element(selector)}/click", {})
            except WebDriverError as problem:
                if problem.code not in REPLACED or attempt + 1 == CLICKS_MAX:
                    raise
            else:
                return

    def type(self, selector: str, text: str) -> None:
        element = self._element(selector)
        self._ask("POST", f"/element/{element}/clear", {})
        self._ask("POST", f"/element/{element}/value", {"text": text})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def complaints(self) -> list[str]:
        """What the page's console says is wrong, once."""
        found = self._ask("POST", "/se/log", {"type": "browser"})
        return [line["message"] for line in found if line["level"] in ("SEVERE", "WARNING")]

    def _element(self, selector: str) -> str:
        return str(self._ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._client.request(method, f"{self._path}{path}", json=body)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise WebDriverError(value)
        return value


@contextlib.contextmanager
def browser(folder: Path, *more: str) -> Iterator[Browser]:
    """Headless, with a profile of its own in `folder`. Ended with all its processes."""
    assert DRIVER is not None
    assert CHROMIUM is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
    try:
        eventually(lambda: _is_ready(client))
        session = client.post("/session", json={"capabilities": {"alwaysMatch": _wishes(folder, more)}}).json()["value"]
        assert "sessionId" in session, session
        yield Browser(client, session["sessionId"])
        client.delete(f"/session/{session['sessionId']}")
    finally:
        client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, 9)
        driver.wait(DEADLINE_S)


def _wishes(folder: Path, more: tuple[str, ...]) -> dict[str, Any]:
    arguments = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1280,1000",
                 f"--user-data-dir={folder / 'profile'}", *more]  # fmt: skip
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # chromium's own sandbox refuses root
    return {
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    }


def _is_ready(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return bool(client.get("/status").json()["value"]["ready"])
    return False


def eventually(is_so: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
