"""Tokens go to whom they are for: not to a proxy on the way to this machine, and not in the clear over a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli.cloud import LocalCloud
from infra.cli.errors import UsageError
from infra.cli.platform_api import ask

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class Recorder(BaseHTTPRequestHandler):
    """Answers every request alike and notes its request line: a proxy gets a whole URL there, a server a path."""

    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        body = b'{"data": {"n": 1}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the test's stderr."""


@pytest.fixture
def server() -> Iterator[Any]:
    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.seen = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture
def cloud(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """A local cloud at the recorder, and the same recorder as everybody's proxy."""
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for name in PROXY_VARIABLES:
        monkeypatch.setenv(name, url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("t0ken")
    return LocalCloud(url, tmp_path / "token")


def test_local_cloud_is_asked_without_a_proxy(cloud: LocalCloud, server: Any) -> None:
    assert cloud.status() == {"data": {"n": 1}}
    session: Any = SimpleNamespace(cloud=cloud, file=SimpleNamespace(name="dev"))
    assert ask(session, "query { n }", {}) == {"n": 1}
    assert server.seen == ["/_local/status", "/graphql/v2"]


def test_token_does_not_cross_a_network_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider refuses this address, so the commands that ask by themselves have to as well."""
    monkeypatch.setenv("RAILWAY_API_TOKEN", "t0ken")
    monkeypatch.setenv("RAILWAY_API_URL", "http://railway.example/graphql/v2")
    session: Any = SimpleNamespace(cloud=None, file=SimpleNamespace(name="prod"))
    with pytest.raises(UsageError, match="RAILWAY_API_URL: expected https") as caught:
        ask(session, "query { n }", {})
    assert "t0ken" not in str(caught.value)
