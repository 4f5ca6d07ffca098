"""Ended spans to a collector: OTLP over HTTP in its JSON form (opentelemetry-proto, "JSON Protobuf Encoding").

Batches, with a deadline each; a collector that is away loses spans and costs nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import structlog

from service.tracing.tracer import Span, Tracer

EVERY_S = 2.0
TIMEOUT_S = 3.0
BATCH_MAX = 512
# opentelemetry.proto.trace.v1: SpanKind and Status.code
_KINDS = {"server": 2, "client": 3}
_STATUS_ERROR = 2

log = structlog.get_logger("service.tracing")


class Exporter:
    """`run` until cancelled, then `close`, which sends what is left once."""

    def __init__(self, endpoint: str, headers: str, resource: dict[str, str], tracer: Tracer) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        texts = {"content-type": "application/json", **read_headers(headers)}
        self._headers = {name.encode(): value.encode() for name, value in texts.items()}  # httpx would take ASCII alone
        self._resource = resource
        self._tracer = tracer
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)
        self.failures = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Sends what waits, batch by batch; a batch that fails is dropped and ends this round. Never raises."""
        waiting = self._tracer.waiting
        while waiting:
            batch = [waiting.popleft() for _ in range(min(BATCH_MAX, len(waiting)))]
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    response = await self._client.post(self._url, content=encoded(batch, self._resource), headers=self._headers)
                is_taken = response.is_success
                reason = str(response.status_code)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a collector or its address ends no replica
                is_taken, reason = False, type(error).__name__
            if not is_taken:
                self.failures += 1
                log.warning("spans_dropped", count=len(batch), reason=reason)
                return

    async def close(self) -> None:
        await self.flush()
        await self._client.aclose()


def encoded(spans: Iterable[Span], resource: dict[str, str]) -> bytes:
    """An ExportTraceServiceRequest."""
    scope = {"scope": {"name": "cached-auth"}, "spans": [_span(span) for span in spans]}
    return msgspec.json.encode({"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}]})


def read_headers(text: str) -> dict[str, str]:
    """OTEL_EXPORTER_OTLP_HEADERS: `name=value` pairs with commas between them, values percent-encoded."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.context.trace_id,
        "spanId": span.context.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.began_ns),
        "endTimeUnixNano": str(span.ended_ns),
        "attributes": _attributes(span.attributes),
        "status": {"code": _STATUS_ERROR} if span.is_failed else {},
    }


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    # 64-bit integers are text in this encoding.
    return [
        {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for name, value in values.items()
    ]
