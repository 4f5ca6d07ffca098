"""Spans of requests that are no L1 hits, and of what they ask the issuer and the database.

A hit never comes here: a span costs as much as a hit does. Without an endpoint there is no tracer, and `asking` costs one look
at a context variable. A span holds names, statuses and times; never a token, an address or a query: nothing else is put in.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from service.tracing.context import TraceContext, read_traceparent

Kind = Literal["server", "client"]
WAITING_MAX = 4096

_current: ContextVar[Span | None] = ContextVar("span", default=None)


@dataclass(slots=True)
class Span:
    """One piece of work. Times in nanoseconds since 1970, as OTLP wants them."""

    context: TraceContext
    parent_id: str
    name: str
    kind: Kind
    began_ns: int
    waiting: deque[Span]
    ended_ns: int = 0
    attributes: dict[str, str | int] = field(default_factory=dict)
    is_failed: bool = False


class Tracer:
    """Keeps ended spans until the exporter takes them; past WAITING_MAX the oldest go. `sampled_share`: 0 to 1, of new traces."""

    def __init__(self, sampled_share: float = 1.0, random: Callable[[], float] | None = None) -> None:
        self._sampled_share = sampled_share
        self._random = random or (lambda: secrets.randbelow(1 << 32) / (1 << 32))
        self.waiting: deque[Span] = deque(maxlen=WAITING_MAX)

    @contextmanager
    def request(self, headers: list[tuple[bytes, bytes]], method: str) -> Iterator[Span]:
        """A request's own span, within the caller's trace where it brings one; sampled as the caller samples."""
        caller = read_traceparent([value for name, value in headers if name == b"traceparent"])
        if caller is None:
            is_sampled = self._random() < self._sampled_share
            context = TraceContext(secrets.token_hex(16), secrets.token_hex(8), is_sampled)
        else:
            context = TraceContext(caller.trace_id, secrets.token_hex(8), caller.is_sampled)
        span = Span(context, caller.span_id if caller else "", method, "server", time.time_ns(), self.waiting)
        with _running(span):
            yield span


@contextmanager
def asking(name: str) -> Iterator[Span | None]:
    """A question to somebody else, as a child of the request under way; None where nothing is traced."""
    parent = _current.get()
    if parent is None:
        yield None
        return
    context = TraceContext(parent.context.trace_id, secrets.token_hex(8), parent.context.is_sampled)
    with _running(Span(context, parent.context.span_id, name, "client", time.time_ns(), parent.waiting)) as span:
        yield span


def note_answer(route: str, status: int) -> None:
    """Names the request's span by its route, once it is known how it ended."""
    span = _current.get()
    if span is not None and span.kind == "server":
        span.attributes = {"http.request.method": span.name, "http.route": route, "http.response.status_code": status}
        span.name = f"{span.name} {route}"
        span.is_failed = status >= 500


@contextmanager
def _running(span: Span) -> Iterator[Span]:
    token = _current.set(span)
    try:
        yield span
    except BaseException:
        span.is_failed = True
        raise
    finally:
        _current.reset(token)
        span.ended_ns = time.time_ns()
        if span.context.is_sampled:
            span.waiting.append(span)
