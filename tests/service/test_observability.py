"""What is seen from outside: metrics and the files that use them, secrets kept out of logs, probes, the memory profile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import structlog
import yaml
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from service.logs import hide_secrets
from service.memory_profile import Step, table
from service.metrics import exposition as exposition_module
from service.metrics.counters import Counters
from service.metrics.exposition import Exposition, Gauges
from service.web import front
from tests.service import issuing
from tests.service.conftest import good_environment
from tests.service.parts import Parts
from tests.service.test_front import ME, VERIFY, Web

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "service" / "observability"
DASHBOARD = json.loads((FILES / "grafana-dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
EXPRESSIONS = {
    **{f"{panel['title']} {target['refId']}": target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]},
    **{rule["alert"]: rule["expr"] for rule in RULES},
}
PAIRS = {")": "(", "]": "[", "}": "{"}


def exposed() -> Exposition:
    """Everything that a replica may expose, with each kind of label once."""
    counters = Counters()
    counters.route(VERIFY).statuses[200] = 1
    counters.upstream("user").observe(0.1)
    counters.logins["ok"] = counters.limited["address"] = 1
    gauges = Gauges(
        **{name: (lambda: 0) for name in Gauges.__dataclass_fields__ if name != "breakers"}, breakers=lambda: {"redis": True}
    )
    return Exposition(counters, gauges, "r", "here", "replica-1")


def test_pieces_are_what_prometheus_writes_itself(monkeypatch: pytest.MonkeyPatch):
    """They are cut so that no scrape holds up a hit; nothing may show where."""
    monkeypatch.setattr(exposition_module, "SAMPLES_AT_ONCE", 3)
    exposition = exposed()
    assert len(list(exposition.pieces())) > 20
    assert exposition.text() == generate_latest(exposition)


def labels_by_metric() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in exposed().text().decode().splitlines():
        sample = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line)
        if sample and not line.startswith("#"):
            found.setdefault(sample[1], set()).update(re.findall(r'(\w+)="', sample[2] or ""))
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_expression_names_only_what_is_exposed(expression: str):
    """A dashboard for a metric that was renamed shows an empty panel, and an alert on it never fires."""
    metrics = labels_by_metric()
    named = re.findall(r"\b(cached_auth_\w+)(?:\{([^}]*)\})?", expression)
    assert named
    for metric, selector in named:
        assert metric in metrics
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= metrics[metric]
    assert not re.findall(r"rate\((?!cached_auth_\w+_(?:total|bucket|sum|count)\b)", expression), "rate() is for counters"


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_expression_is_balanced(expression: str):
    stack: list[str] = []
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression):
        if character in "([{":
            stack.append(character)
        elif character in PAIRS:
            assert stack
            assert stack.pop() == PAIRS[character]
    assert not stack
    assert expression.count('"') % 2 == 0


def test_labels_that_are_grouped_by_are_exposed_or_the_scrapes_own():
    metrics = labels_by_metric()
    for expression in EXPRESSIONS.values():
        known = set().union(*(metrics[name] for name, _ in re.findall(r"\b(cached_auth_\w+)(\{)?", expression)))
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= known | {"region"}


def test_every_alert_says_what_to_do():
    assert len(RULES) >= 8
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "action"}


def test_dashboard_can_be_imported():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"]) >= 12
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in DASHBOARD["panels"])


def test_series_of_two_replicas_never_meet():
    """An edge hands scrapes to one replica or the other; without the label a counter would seem to fall at each."""
    for metric, labels in labels_by_metric().items():
        assert "replica" in labels, metric


CANARIES = {
    "token": issuing.token().decode(),
    "password": "canary-password-1",
    "refresh": "canary-refresh-token",
    "mail": "canary@example.com",
    "key": "service-role-key-canary",
    "apikey": "canary-api-key",
}


@pytest.fixture
async def web(anyio_backend: str) -> AsyncIterator[Web]:
    web = Web(Parts())
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


async def test_no_secret_reaches_a_log_whatever_goes_wrong(web: Web, monkeypatch: pytest.MonkeyPatch):
    """Canaries in every place a caller may put a secret, with every request slow and the issuer both away and broken."""
    monkeypatch.setattr(front, "SLOW_S", -1.0)
    credentials = {"email": CANARIES["mail"], "password": CANARIES["password"], "refresh_token": CANARIES["refresh"]}
    headers = {
        "Authorization": f"Bearer {CANARIES['token']}",
        "apikey": CANARIES["apikey"],
        "X-Secret": CANARIES["key"],
        "Cookie": CANARIES["key"],
    }
    with capture_logs() as events:
        for fault in (None, ZeroDivisionError(f"{CANARIES['token']} of {CANARIES['mail']}")):
            web.parts.issuer.fault = fault  # type: ignore[assignment]
            for path in (VERIFY, ME, f"{VERIFY}?policy=strict", "/performance-metrics", f"/nowhere?x={CANARIES['key']}"):
                await web.client.get(path, headers=headers)
            for path in ("/api/v1/auth/login", "/api/v1/auth/register", "/api/v1/auth/refresh", "/api/v1/auth/logout"):
                await web.client.post(path, json=credentials, headers=headers)
            for path in ("token?grant_type=password", f"verify?token={CANARIES['refresh']}", "logout"):
                await web.client.post(f"/auth/v1/{path}", json=credentials, headers=headers)
    assert len(events) > 20
    lines = []
    for event in events:
        try:
            raise web.parts.issuer.fault if event.get("exc_info") and web.parts.issuer.fault else LookupError
        except Exception:  # noqa: BLE001 - whatever it was, it is what the log would render
            event = structlog.processors.format_exc_info(None, "", dict(event))  # type: ignore[arg-type]
        lines.append(json.dumps(hide_secrets(None, "", event), default=str))
    text = "\n".join(lines)
    for name, canary in CANARIES.items():
        assert canary not in text, name


async def test_slow_requests_are_told_with_route_and_time(web: Web, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(front, "SLOW_S", -1.0)
    for number in range(60):
        await web.client.get(f"/nowhere/{number}")
    monkeypatch.setattr(front, "SLOW_S", 1.0)
    headers = {"Authorization": "Bearer service-role-key"}
    report = (await web.client.get("/performance-metrics", headers=headers)).json()
    slow = report["auth"]["recent_slow_operations"]
    assert len(slow) == 50
    assert (slow[0]["route"], slow[0]["status"]) == ("other", 404)
    assert slow[0]["at"] >= slow[-1]["at"]
    assert report["auth"]["slow_operations"] == 60


async def test_percentiles_are_of_the_last_thousand(web: Web):
    web.parts.counters.recent_s.extend([9.0] * 500 + [0.001 * number for number in range(1, 1001)])
    headers = {"Authorization": "Bearer service-role-key"}
    times = (await web.client.get("/performance-metrics", headers=headers)).json()["auth"]["response_times_ms"]
    assert times == {"samples": 1000, "p50": 501.0, "p95": 951.0, "p99": 991.0, "max": 1000.0}


async def test_flood_of_readiness_checks_is_one_set_of_probes(web: Web, monkeypatch: pytest.MonkeyPatch):
    probes, gate = 0, asyncio.Event()

    async def probe(*_: object, **__: object) -> list[Any]:
        nonlocal probes
        probes += 1
        await gate.wait()
        return []

    monkeypatch.setattr("service.database.pools.Pool.fetch", probe)
    asked = [asyncio.create_task(web.client.get("/health/ready")) for _ in range(50)]
    async with asyncio.timeout(10):
        while not probes:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {503}
    assert probes < 50


def test_memory_profile_of_a_replica():
    """Its dependencies are away: what is asked is memory, not health."""
    environment = {"PATH": os.environ["PATH"], **good_environment(CACHE_ENTRIES_MAX="500")}
    command = [sys.executable, "-m", "service", "memory-profile"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(.+?) +([\d.]+) MB", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "interpreter and settings",
        "libraries",
        "replica, all parts made",
        "L1 with 500 tokens",
    ]
    assert all(5 < float(resident) < 500 for _, resident in rows)


def test_steps_are_told_with_what_each_adds():
    assert table([Step("one", 10_000_000), Step("two", 12_500_000)]).splitlines()[2].split() == ["two", "12.5", "MB", "+2.5"]


class _LogIn(BaseHTTPRequestHandler):
    """POST answers 200 to the right password; keeps what came."""

    bodies: list[bytes] = []  # noqa: RUF012 - one server, one test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(body)
        self.send_response(200 if json.loads(body)["password"] == 'q"uo\\te' else 400)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def log_in_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _LogIn)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("password", "target_s", "code"), [('q"uo\\te', "5", 0), ("wrong", "5", 1), ('q"uo\\te', "0.0000001", 1)]
)
def test_login_timing_measures_and_judges(log_in_url: str, password: str, target_s: str, code: int):
    environment = {"PATH": os.environ["PATH"], "EMAIL": "a@example.com", "PASSWORD": password, "TARGET_S": target_s}
    command = [str(FILES / "login-timing"), log_in_url, "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.count("first byte") == 2
    assert json.loads(_LogIn.bodies[-1]) == {"email": "a@example.com", "password": password}
    assert password not in done.stdout


def test_login_timing_says_how_it_is_used():
    done = subprocess.run(
        [str(FILES / "login-timing")], env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr[:6]) == (2, b"usage:")
