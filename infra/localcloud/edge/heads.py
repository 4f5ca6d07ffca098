"""Reading request and response heads: pure, strict, one regular expression per grammar.

Not httptools: a proxy must know exactly which bytes it passes on, and its danger is request smuggling, two parsers reading
one head differently. So the grammar here is the strict core of RFC 9112 and everything that could be read in two ways is
refused: bare LF, folded lines, space before the colon, control characters, Content-Length beside Transfer-Encoding, either
of them twice, any coding but chunked (RFC 9112 section 6.3 and 11.2; RFC 9110 section 5.5). All expressions are linear,
and those of fields never go back (`++`, `*+`), so that a head that is refused at its last byte costs no more than another.

HeadError
  `status` is what the client gets: 400, 405, 431, 501 or 505.
"""

from __future__ import annotations

import re

import msgspec

HEAD_BYTES_MAX = 32 * 1024
HEADERS_MAX = 100

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
VALUE = rb"[\t\x20-\x7e\x80-\xff]"
# Every field line with the line end before it, so that what is cut out of them leaves whole lines.
_FIELDS = rb"((?:\r\n" + TOKEN + rb"++:" + VALUE + rb"*+){0,%d})\r\n\r\n" % HEADERS_MAX
_REQUEST = re.compile(rb"(" + TOKEN + rb"{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: (" + VALUE + rb"*+))?" + _FIELDS)
_REQUEST_LINE = re.compile(TOKEN + rb"{1,32} [\x21-\x7e]+ HTTP/1\.[01](?=\r\n)")
_ANY_FIELDS = re.compile(rb"(?:\r\n" + TOKEN + rb"++:" + VALUE + rb"*+)*\r\n\r\n")
_LENGTH = re.compile(rb"\d{1,15}")
_HOST = re.compile(rb"[A-Za-z0-9.\-_:\[\]]{1,255}")

# Fields that concern one connection only (RFC 9110 section 7.6.1) are never passed on.
HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"})
REQUEST_SPECIAL = HOP_BY_HOP | {
    *(b"host", b"content-length", b"expect", b"x-railway-debug"),
    # what the edge itself says: a client's own claim is dropped
    *(b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded", b"x-real-ip"),
    *(b"x-request-start", b"x-railway-request-id", b"x-railway-edge"),
}
RESPONSE_SPECIAL = HOP_BY_HOP | {
    *(b"content-length", b"server", b"x-railway-edge", b"x-railway-request-id", b"x-railway-upstream-zone"),
}

Special = dict[bytes, list[bytes]]


def _splitter(names: frozenset[bytes]) -> re.Pattern[bytes]:
    """Splits field lines: those before one of these names, the name, its value, those between, name, value, ..., the rest."""
    return re.compile(rb"\r\n(?i:(" + b"|".join(map(re.escape, sorted(names))) + rb")):([^\r]*)")


_SPLIT_REQUEST, _SPLIT_RESPONSE = _splitter(REQUEST_SPECIAL).split, _splitter(RESPONSE_SPECIAL).split


class HeadError(Exception):
    """A head that is not passed on."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestHead(msgspec.Struct, frozen=True):
    """`fields` are the lines to pass on as they came, each after its CRLF; `special` holds the rest by lower-case name."""

    method: bytes
    target: bytes
    is_http11: bool
    fields: bytes
    special: Special
    host: bytes
    head_bytes: int
    body_bytes: int = 0  # 0 without a body
    is_chunked: bool = False
    is_keep_alive: bool = True
    is_expecting: bool = False
    is_debugging: bool = False  # wants to know which region answered
    upgrade: bytes | None = None


class ResponseHead(msgspec.Struct, frozen=True):
    status: int
    reason: bytes
    fields: bytes
    special: Special
    body_bytes: int | None  # None: until the connection closes (or chunked)
    is_chunked: bool
    is_keep_alive: bool


def parse_request(raw: bytes) -> RequestHead:
    """`raw` is a whole head with its empty line."""
    found = _REQUEST.fullmatch(raw)
    if found is None:
        raise _bad_request(raw)
    method, target, minor, lines = found.groups()
    if method == b"CONNECT":
        raise HeadError(405, "the edge is no forward proxy")
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        raise HeadError(400, "request target: expected a path")
    fields, special = _special(_SPLIT_REQUEST(lines))
    is_http11 = minor == b"1"
    host = _host(special, is_http11)
    if is_http11 and len(special) == 1:  # nothing special but its Host: most requests
        return RequestHead(method, target, is_http11, fields, special, host, len(raw))
    tokens = _connection_tokens(special)
    body_bytes, is_chunked = _request_framing(special, is_http11)
    return RequestHead(
        method=method,
        target=target,
        is_http11=is_http11,
        fields=_without(fields, tokens) if tokens else fields,
        special=special,
        host=host,
        head_bytes=len(raw),
        body_bytes=body_bytes,
        is_chunked=is_chunked,
        is_keep_alive=b"close" not in tokens and (is_http11 or b"keep-alive" in tokens),
        is_expecting=is_http11 and any(value.lower() == b"100-continue" for value in special.get(b"expect", ())),
        is_debugging=b"x-railway-debug" in special,
        upgrade=_upgrade(special) if b"upgrade" in tokens and method == b"GET" and not body_bytes and not is_chunked else None,
    )


def parse_response(raw: bytes, method: bytes) -> ResponseHead:
    """`method` is the request's: an answer to HEAD has a length but no body."""
    found = _RESPONSE.fullmatch(raw)
    if found is None:
        raise HeadError(502, "not a response head, or too many fields")
    minor, code, reason, lines = found.groups()
    fields, special = _special(_SPLIT_RESPONSE(lines))
    status = int(code)
    tokens = _connection_tokens(special)
    length, is_chunked = _length(special), _is_chunked(special)
    if length is not None and is_chunked:
        raise HeadError(502, "Content-Length beside Transfer-Encoding")
    body_bytes = 0 if method == b"HEAD" or status < 200 or status in (204, 304) else length
    return ResponseHead(
        status=status,
        reason=reason or b"",
        fields=_without(fields, tokens) if tokens else fields,
        special=special,
        body_bytes=body_bytes,
        is_chunked=is_chunked and body_bytes is None,
        is_keep_alive=b"close" not in tokens and (minor == b"1" or b"keep-alive" in tokens),
    )


def _special(parts: list[bytes]) -> tuple[bytes, Special]:
    """What a splitter made of the field lines: those to pass on, and the values of the others."""
    special: Special = {}
    for position in range(1, len(parts), 3):
        special.setdefault(parts[position].lower(), []).append(parts[position + 1].strip(b" \t"))
    return b"".join(parts[::3]), special


_NO_TOKENS: frozenset[bytes] = frozenset()


def _connection_tokens(special: Special) -> frozenset[bytes]:
    values = special.get(b"connection")
    if values is None:
        return _NO_TOKENS
    return frozenset(token.strip(b" \t").lower() for value in values for token in value.split(b","))


def _without(fields: bytes, tokens: frozenset[bytes]) -> bytes:
    """Without the fields that Connection names as hop-by-hop."""
    if tokens <= {b"close", b"keep-alive", b"upgrade", b""}:
        return fields
    lines = fields.split(b"\r\n")[1:]
    return b"".join(b"\r\n" + line for line in lines if line.partition(b":")[0].lower() not in tokens)


def _host(special: Special, is_http11: bool) -> bytes:
    hosts = special.get(b"host", [])
    if len(hosts) > 1 or (not hosts and is_http11) or (hosts and not _HOST.fullmatch(hosts[0])):
        raise HeadError(400, "Host: expected exactly one")
    return hosts[0] if hosts else b""


def _upgrade(special: Special) -> bytes | None:
    """WebSocket only: an upgrade to h2c would open a tunnel past every check of ours."""
    return b"websocket" if [value.lower() for value in special.get(b"upgrade", ())] == [b"websocket"] else None


def _request_framing(special: Special, is_http11: bool) -> tuple[int, bool]:
    length, is_chunked = _length(special), _is_chunked(special)
    if is_chunked and (length is not None or not is_http11):
        raise HeadError(400, "Transfer-Encoding beside Content-Length, or in HTTP/1.0")
    return length or 0, is_chunked


def _length(special: Special) -> int | None:
    values = special.get(b"content-length")
    if values is None:
        return None
    if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
        raise HeadError(400, "Content-Length: expected one decimal number")
    return int(values[0])


def _is_chunked(special: Special) -> bool:
    values = special.get(b"transfer-encoding")
    if values is None:
        return False
    if len(values) > 1:
        raise HeadError(400, "Transfer-Encoding: expected one")
    if values[0].lower() != b"chunked":
        raise HeadError(501, "Transfer-Encoding: expected chunked")
    return True


def _bad_request(raw: bytes) -> HeadError:
    """Why a head did not match; only now, since it hardly ever happens."""
    line = _REQUEST_LINE.match(raw)
    if line is None:
        if re.match(rb"\S+ \S+ HTTP/(?!1\.[01]\r\n)\d+(\.\d+)?\r\n", raw):
            return HeadError(505, "HTTP version")
        return HeadError(400, "request line")
    if _ANY_FIELDS.fullmatch(raw, line.end()):
        return HeadError(431, "too many header fields")
    return HeadError(400, "malformed header field")
