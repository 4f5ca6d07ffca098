"""Traces: what is read from callers, what is told to others, what reaches the collector; and that hits have no part in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.errors import Unavailable
from service.metrics.counters import Counters
from service.tracing.context import TraceContext, read_traceparent
from service.tracing.otlp import BATCH_MAX, Exporter, encoded, read_headers
from service.tracing.tracer import WAITING_MAX, Tracer, asking
from service.upstream.auth_api import AuthApi
from service.upstream.exchanges import Received
from service.upstream.pass_through import PassThrough
from tests.service import issuing
from tests.service.parts import Parts, outcome_of
from tests.service.test_front import VERIFY, Web, bearer

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [(CALLER, True), (f"00-{TRACE}-{SPAN}-00", False), (f"00-{TRACE}-{SPAN}-ff", True), (f"cc-{TRACE}-{SPAN}-01-what-the", True)],
)
def test_callers_context_is_read(header: str, is_sampled: bool):
    assert read_traceparent([header.encode()]) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [CALLER.encode()] * 2,
        [f"00-{TRACE.upper()}-{SPAN}-01".encode()],
        [f"00-{'0' * 32}-{SPAN}-01".encode()],
        [f"00-{TRACE}-{'0' * 16}-01".encode()],
        [f"ff-{TRACE}-{SPAN}-01".encode()],
        [f"00-{TRACE}-{SPAN}-01-more".encode()],
        [f"00-{TRACE}-{SPAN}-1".encode()],
        [f"00-{TRACE[:-1]}-{SPAN}-01".encode()],
        [CALLER.encode() + b"\n"],
    ],
)
def test_context_that_cannot_be_read_begins_a_new_trace(headers: list[bytes]):
    """W3C Trace Context section 3.2: what is not valid is not to be used, and no request fails for it."""
    assert read_traceparent(headers) is None


@given(some.binary(max_size=80))
def test_no_header_is_a_fault(header: bytes):
    found = read_traceparent([header])
    assert found is None or read_traceparent([found.header]) == found


class Issuer:
    """Answers with a user and keeps the traceparents it saw."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.headers.get("traceparent"))
        return httpx.Response(200, json={"id": issuing.USER})

    async def exchange(self, _method: str, _target: str, headers: Mapping[str, str]) -> Received:
        self.seen.append(headers.get("traceparent"))
        return Received(200, {}, b'{"id":"%s"}' % issuing.USER.encode())

    async def close(self) -> None: ...


@pytest.fixture
async def traced(anyio_backend: str) -> AsyncIterator[tuple[Web, Tracer]]:
    web, tracer = Web(Parts()), Tracer()
    web.front._tracer = tracer
    async with web.client, web.behind:
        yield web, tracer
    await web.auth_api.close()
    await web.upstream.close()


async def test_request_is_a_span_of_its_callers_trace(traced: tuple[Web, Tracer]):
    web, tracer = traced
    answer = await web.client.get(VERIFY, headers=[*bearer(issuing.token()), ("traceparent", CALLER)])
    assert answer.status_code == 200
    (span,) = tracer.waiting
    assert (span.context.trace_id, span.parent_id, span.name, span.kind) == (TRACE, SPAN, f"GET {VERIFY}", "server")
    assert span.attributes["http.response.status_code"] == 200
    assert span.ended_ns >= span.began_ns > 1e18


async def test_hit_leaves_no_span(traced: tuple[Web, Tracer]):
    web, tracer = traced
    token = issuing.token()
    await web.parts.verify(token)
    request = b"GET %b HTTP/1.1\r\nHost: service\r\nAuthorization: Bearer %b\r\n\r\n" % (VERIFY.encode(), token)
    assert b"x-cache: l1" in (web.shortcut.at_once(request, []) or b"")
    assert not tracer.waiting


async def test_fault_and_drop_in_are_spans_too_and_names_are_ours(traced: tuple[Web, Tracer]):
    web, tracer = traced
    web.parts.issuer.fault = Unavailable("upstream", "away")
    await web.client.get(VERIFY, headers=bearer(issuing.token()))
    await web.client.get("/auth/v1/user/made-up", headers={"apikey": "k"})
    await web.client.get("/nowhere/else")
    server = [span for span in tracer.waiting if span.kind == "server"]
    assert [span.name for span in server] == [f"GET {VERIFY}", "GET /auth/v1/*", "GET other"]
    assert [span.is_failed for span in server] == [True, True, False]
    client = [span for span in tracer.waiting if span.kind == "client"]
    assert [(span.name, span.is_failed, span.parent_id) for span in client] == [
        ("issuer pass-through", True, server[1].context.span_id)
    ]


async def test_issuer_is_told_whose_trace_it_works_for(monkeypatch: pytest.MonkeyPatch):
    issuer, tracer = Issuer(), Tracer()
    api = AuthApi("http://issuer/auth/v1", "", "anon", Counters())
    upstream = PassThrough("http://issuer", Counters())
    monkeypatch.setattr(api, "_server", issuer)
    monkeypatch.setattr(upstream, "_client", httpx.AsyncClient(transport=httpx.MockTransport(issuer.handle)))
    with tracer.request([(b"traceparent", CALLER.encode())], "GET"):
        await api.user(b"token")
        async with upstream.opened("GET", b"/auth/v1/x", [(b"traceparent", CALLER.encode())]):
            pass
    children = {span.context.header.decode() for span in tracer.waiting if span.kind == "client"}
    assert set(issuer.seen) == children
    assert all(header.split("-")[1] == TRACE for header in children)
    await api.user(b"token")
    assert issuer.seen[-1] is None, "nothing is traced, nothing is told"
    await api.close()
    await upstream.close()


async def test_what_the_caller_does_not_sample_is_not_kept_but_told_on():
    tracer = Tracer()
    with tracer.request([(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())], "GET"), asking("issuer") as span:
        assert span is not None
        assert span.context.header.endswith(b"-00")
    assert not tracer.waiting


def test_new_traces_are_sampled_by_share():
    draws = iter([0.1, 0.3, 0.24, 0.9])
    tracer = Tracer(0.25, lambda: next(draws))
    for _ in range(4):
        with tracer.request([], "GET"):
            pass
    assert len(tracer.waiting) == 2


def test_spans_that_nobody_takes_are_bounded():
    tracer = Tracer()
    for _ in range(WAITING_MAX + 10):
        with tracer.request([], "GET"):
            pass
    assert len(tracer.waiting) == WAITING_MAX


def test_encoding_is_otlps_json():
    """Ids in hexadecimal, 64-bit numbers as text, enumerations as numbers (opentelemetry-proto, JSON Protobuf Encoding)."""
    tracer = Tracer()
    with tracer.request([(b"traceparent", CALLER.encode())], "GET") as span:
        span.attributes = {"http.response.status_code": 200, "http.route": "/x"}
    document: Any = json.loads(encoded(tracer.waiting, {"service.name": "s"}))
    (resource,) = document["resourceSpans"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "s"}}]
    (sent,) = resource["scopeSpans"][0]["spans"]
    assert (sent["traceId"], sent["parentSpanId"], sent["kind"], sent["status"]) == (TRACE, SPAN, 2, {})
    assert int(sent["endTimeUnixNano"]) >= int(sent["startTimeUnixNano"])
    assert {"key": "http.response.status_code", "value": {"intValue": "200"}} in sent["attributes"]


class Collector:
    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.sizes: list[int] = []
        self.headers: list[dict[str, str]] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/traces"
        document = json.loads(request.content)
        self.sizes.append(len(document["resourceSpans"][0]["scopeSpans"][0]["spans"]))
        self.headers.append(dict(request.headers))
        return httpx.Response(self.status)


async def exporter_to(collector: Collector, spans: int, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    tracer = Tracer()
    for _ in range(spans):
        with tracer.request([], "GET"):
            pass
    exporter = Exporter("http://collector:4318/", "Authorization=Bearer%20secret,x-team=a", {}, tracer)
    await exporter._client.aclose()
    monkeypatch.setattr(exporter, "_client", httpx.AsyncClient(transport=httpx.MockTransport(collector.handle)))
    return exporter


async def test_collector_gets_all_in_batches_with_its_headers(monkeypatch: pytest.MonkeyPatch):
    collector = Collector()
    exporter = await exporter_to(collector, BATCH_MAX + 3, monkeypatch)
    await exporter.close()
    assert collector.sizes == [BATCH_MAX, 3]
    assert (collector.headers[0]["authorization"], collector.headers[0]["x-team"]) == ("Bearer secret", "a")


async def test_collector_that_refuses_costs_a_batch_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    collector = Collector(status=503)
    exporter = await exporter_to(collector, BATCH_MAX + 3, monkeypatch)
    await exporter.flush()
    assert (collector.sizes, exporter.failures) == ([BATCH_MAX], 1)
    await exporter.close()


async def test_collector_that_is_away_is_no_fault():
    tracer = Tracer()
    with tracer.request([], "GET"):
        pass
    exporter = Exporter("http://127.0.0.1:9", "", {}, tracer)
    assert await outcome_of(exporter.flush()) is None
    assert exporter.failures == 1
    await exporter.close()


@pytest.mark.parametrize(
    ("endpoint", "headers"),
    [("http://127.0.0.1:9", "x-team=%C3%A9"), ("http://127.0.0.1:9", "t\u00e9am=a"), ("http://h:99999", "")],
)
async def test_collector_that_cannot_be_asked_at_all_ends_no_replica(endpoint: str, headers: str):
    tracer = Tracer()
    with tracer.request([], "GET"):
        pass
    exporter = Exporter(endpoint, headers, {}, tracer)
    await exporter.flush()
    assert exporter.failures == 1
    await exporter.close()


async def test_exporter_runs_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.tracing.otlp.EVERY_S", 0.0)
    sent = asyncio.Event()
    collector = Collector()
    exporter = await exporter_to(collector, 1, monkeypatch)
    handle = collector.handle
    monkeypatch.setattr(
        exporter, "_client", httpx.AsyncClient(transport=httpx.MockTransport(lambda request: (sent.set(), handle(request))[1]))
    )
    running = asyncio.create_task(exporter.run())
    await asyncio.wait_for(sent.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await exporter.close()
    assert collector.sizes == [1]


@pytest.mark.parametrize(
    ("text", "headers"),
    [("", {}), ("a=b", {"a": "b"}), (" A = b%2Cc , x", {"a": "b,c"}), ("k=v=w", {"k": "v=w"})],
)
def test_headers_are_read_as_opentelemetry_writes_them(text: str, headers: dict[str, str]):
    assert read_headers(text) == headers
