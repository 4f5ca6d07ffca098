"""What the edge writes: the request as the replica sees it, the answer as the client sees it. Pure.

Names and values as Railway's edge sends them (its docs, "Public networking" and "Edge networking").
"""

from __future__ import annotations

import json
from http import HTTPStatus

from infra.localcloud.edge.heads import RequestHead, ResponseHead

MESSAGES = {404: "Application not found", 502: "Application failed to respond"}
CLOSING = b"\r\nconnection: close"
STAYING = b"\r\nconnection: keep-alive"  # said to HTTP/1.0 only
PROTOCOL = b"http"  # the local cloud has no TLS; Railway says https


def peer_bytes(peer: bytes, edge: bytes) -> bytes:
    """What every request of a connection tells the replica: who asks, and where. `peer` is an IP address."""
    who = b"\r\nx-forwarded-for: %b\r\nx-real-ip: %b" % (peer, peer)
    return who + b"\r\nx-forwarded-proto: %b\r\nx-railway-edge: %b" % (PROTOCOL, edge)


def request_lines(head: RequestHead) -> bytes:
    """The part of the replica's head that the client's decides. The client's own X-Forwarded-* claims were dropped."""
    framing = b""
    if head.is_chunked:
        framing = b"\r\ntransfer-encoding: chunked"
    elif head.body_bytes or b"content-length" in head.special:
        framing = b"\r\ncontent-length: %d" % head.body_bytes
    if head.upgrade is not None:
        framing += b"\r\nconnection: upgrade\r\nupgrade: " + head.upgrade
    start = b"%b %b HTTP/1.1\r\nhost: %b" % (head.method, head.target, head.host)
    return start + head.fields + b"\r\nx-forwarded-host: " + head.host + framing


def request_bytes(lines: bytes, from_peer: bytes, request_id: bytes, started_ms: int) -> bytes:
    """The head for the replica, of what request_lines and peer_bytes gave."""
    return b"%b%b\r\nx-railway-request-id: %b\r\nx-request-start: %d\r\n\r\n" % (lines, from_peer, request_id, started_ms)


def response_lines(head: ResponseHead, is_http11: bool) -> bytes:
    """The part of the client's head that the replica's decides; the framing is chosen for what the client can read."""
    framing = b""
    if b"content-length" in head.special:
        framing = b"\r\ncontent-length: " + head.special[b"content-length"][0]
    elif head.body_bytes is None and is_http11:
        framing = b"\r\ntransfer-encoding: chunked"
    if head.status == 101:
        framing += b"\r\nconnection: upgrade\r\nupgrade: " + b",".join(head.special.get(b"upgrade", [b"websocket"]))
    return b"HTTP/1.1 %d %b%b\r\nserver: railway-edge%b" % (head.status, head.reason, head.fields, framing)


def response_bytes(lines: bytes, edge: bytes, request_id: bytes, more: bytes = b"") -> bytes:
    """The head for the client, of what response_lines gave; `more` are lines after a CRLF each, such as CLOSING."""
    return b"%b\r\nx-railway-edge: %b\r\nx-railway-request-id: %b%b\r\n\r\n" % (lines, edge, request_id, more)


def error_bytes(status: int, edge: bytes, request_id: bytes, message: str | None, *, is_closing: bool, is_head: bool) -> bytes:
    """The edge's own answer, JSON as Railway's: {"status","code","message","request_id"}."""
    phrase = HTTPStatus(status).phrase
    document = {
        "status": "error",
        "code": status,
        "message": message or MESSAGES.get(status, phrase),
        "request_id": request_id.decode("ascii"),
    }
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    connection = b"connection: close\r\n" if is_closing else b""
    fallback = b"x-railway-fallback: true\r\n" if status in MESSAGES else b""
    return (
        b"HTTP/1.1 %d %b\r\nserver: railway-edge\r\nx-railway-edge: %b\r\nx-railway-request-id: %b\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n"
        % (status, phrase.encode("ascii"), edge, request_id, len(body), fallback, connection)
    ) + (b"" if is_head else body)
