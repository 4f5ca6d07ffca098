"""The `traceparent` header (W3C Trace Context, level 1): read strictly, written anew for what we ask others. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in which trace we are. Ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    is_sampled: bool

    @property
    def header(self) -> bytes:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}".encode()


def read_traceparent(values: list[bytes]) -> TraceContext | None:
    """The caller's context; None where there is none, more than one, or none that can be read: a new trace begins then."""
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more) or not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceContext(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED))
