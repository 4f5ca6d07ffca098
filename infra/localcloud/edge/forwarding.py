"""What the edge writes: the request as the replica sees it, the answer as the client sees it. Pure.

Names and values as Railway's edge sends them (its docs, "Public networking" and "Edge networking").
"""

from __future__ import annotations

import json
from http import HTTPStatus

from infra.localcloud.edge.heads import RequestHead, ResponseHead

MESSAGES = {404: "Application not found", 502: "Application failed to respond"}
PROTOCOL = b"http"  # the local cloud has no TLS; Railway says https


def request_bytes(head: RequestHead, client: bytes, edge: bytes, request_id: bytes, started_ms: int) -> bytes:
    """The head for the replica. `client` is the peer's IP address: its own X-Forwarded-* claims were dropped."""
    lines = [
        b"%b %b HTTP/1.1\r\nhost: %b" % (head.method, head.target, head.host),
        *head.fields,
        b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\nx-real-ip: %b\r\nx-request-start: %d"
        % (client, PROTOCOL, head.host, client, started_ms),
        b"x-railway-request-id: %b\r\nx-railway-edge: %b" % (request_id, edge),
    ]
    if head.is_chunked:
        lines.append(b"transfer-encoding: chunked")
    elif head.body_bytes or b"content-length" in head.special:
        lines.append(b"content-length: %d" % head.body_bytes)
    if head.upgrade is not None:
        lines.append(b"connection: upgrade\r\nupgrade: %b" % head.upgrade)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def response_bytes(
    head: ResponseHead, edge: bytes, request_id: bytes, *, is_http11: bool, is_closing: bool, upstream_zone: bytes | None
) -> bytes:
    """The head for the client; the framing is chosen for what the client can read."""
    lines = [
        b"HTTP/1.1 %d %b" % (head.status, head.reason),
        *head.fields,
        b"server: railway-edge\r\nx-railway-edge: %b\r\nx-railway-request-id: %b" % (edge, request_id),
    ]
    if b"content-length" in head.special:
        lines.append(b"content-length: %b" % head.special[b"content-length"][0])
    elif head.body_bytes is None and is_http11:
        lines.append(b"transfer-encoding: chunked")
    if upstream_zone is not None:
        lines.append(b"x-railway-upstream-zone: %b" % upstream_zone)
    if head.status == 101:
        lines.append(b"connection: upgrade\r\nupgrade: %b" % b",".join(head.special.get(b"upgrade", [b"websocket"])))
    elif is_closing:
        lines.append(b"connection: close")
    elif not is_http11:
        lines.append(b"connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


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
