"""Heads that came before: read once, then known by their bytes. Pure.

Clients on kept connections ask with the same head again and again, and replicas answer with few; reading one costs more than
all else that the edge does for a request. A longer head than HEAD_BYTES_MAX is read each time, so these memories stay below
some megabytes. What is kept is immutable and depends on the bytes alone.
"""

from __future__ import annotations

from functools import lru_cache

from infra.localcloud.edge.forwarding import request_lines, response_lines
from infra.localcloud.edge.heads import RequestHead, ResponseHead, parse_request, parse_response

HEADS_MAX = 256  # of each kind
HEAD_BYTES_MAX = 2048


def _read_request(raw: bytes) -> tuple[RequestHead, bytes]:
    head = parse_request(raw)
    return head, request_lines(head)


def _read_response(raw: bytes, method: bytes, is_http11: bool) -> tuple[ResponseHead, bytes]:
    head = parse_response(raw, method)
    return head, response_lines(head, is_http11)


_remembered_request = lru_cache(HEADS_MAX)(_read_request)
_remembered_response = lru_cache(HEADS_MAX)(_read_response)


def read_request(raw: bytes) -> tuple[RequestHead, bytes]:
    """A head, and the lines of it that a replica is sent. HeadError."""
    return _remembered_request(raw) if len(raw) <= HEAD_BYTES_MAX else _read_request(raw)


def read_response(raw: bytes, method: bytes, is_http11: bool) -> tuple[ResponseHead, bytes]:
    """A head, and the lines of it that a client of this version is sent. HeadError."""
    if len(raw) <= HEAD_BYTES_MAX:
        return _remembered_response(raw, method, is_http11)
    return _read_response(raw, method, is_http11)
