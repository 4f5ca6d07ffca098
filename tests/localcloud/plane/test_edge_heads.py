"""The edge's reading of heads and bodies: tables of what is passed on, what is refused, and bytes cut anywhere."""

from __future__ import annotations

import contextlib
import time

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.edge.bodies import BodyError, ChunkedBody, LengthBody, UntilCloseBody, chunk
from infra.localcloud.edge.forwarding import peer_bytes, request_bytes, request_lines, response_bytes, response_lines
from infra.localcloud.edge.heads import HeadError, RequestHead, parse_request, parse_response
from infra.localcloud.edge.remembered import HEAD_BYTES_MAX, HEADS_MAX, read_request, read_response
from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup, candidates

HOST = b"Host: a\r\n"

REFUSED = {
    "both framings": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    "the same length twice": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
    "a list of lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n\r\n", 400),
    "signed length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\n", 400),
    "hexadecimal length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x3\r\n\r\n", 400),
    "empty length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\n", 400),
    "endless length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
    "two codings": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "another coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "identity": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "coding with a vertical tab": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    "space before the colon": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length : 3\r\n\r\n", 400),
    "folded line": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n", 400),
    "folded first line": (b"GET / HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n", 400),
    "bare line feed": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\nC: d\r\n\r\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\rC: d\r\n\r\n", 400),
    "nul in a value": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0\r\n\r\n", 400),
    "space in a name": (b"GET / HTTP/1.1\r\n" + HOST + b"A b: c\r\n\r\n", 400),
    "empty name": (b"GET / HTTP/1.1\r\n" + HOST + b": c\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "odd host": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "absolute target": (b"GET http://b/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "connect": (b"CONNECT b:443 HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    "space in the target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "high byte in the target": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/2": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "too many fields": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 200 + b"\r\n", 431),
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes, status: int) -> None:
    """Each is a known way to smuggle a second request past a proxy, or nonsense."""
    with pytest.raises(HeadError) as caught:
        parse_request(raw)
    assert caught.value.status == status


def sent(head: RequestHead) -> bytes:
    return request_bytes(request_lines(head), peer_bytes(b"10.0.0.9", b"railway/us-west2"), b"id1", 1700000000000)


def cheapest_s(raw: bytes) -> float:
    costs = []
    for _ in range(20):
        begun = time.process_time()
        with contextlib.suppress(HeadError):
            parse_request(raw)
        costs.append(time.process_time() - begun)
    return min(costs)


def test_a_head_that_is_refused_at_its_end_costs_no_more_than_another() -> None:
    """An expression that goes back takes fifty times as long: one client could keep the edge busy with nothing but nonsense."""
    raw = b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 30_000
    assert cheapest_s(raw + b"\0\r\n\r\n") < 10 * cheapest_s(raw + b"\r\n\r\n")


def forwarded(raw: bytes) -> bytes:
    return sent(parse_request(raw))


def test_a_client_cannot_say_who_it_is() -> None:
    """The service trusts X-Forwarded-For for its limits: only the edge may write it."""
    claims = b"X-Forwarded-For: 1.1.1.1\r\nx-real-ip: 1.1.1.1\r\nX-Railway-Edge: fake\r\nForwarded: for=1.1.1.1\r\n"
    out = forwarded(b"GET / HTTP/1.1\r\n" + HOST + claims + b"\r\n")
    assert b"1.1.1.1" not in out
    assert b"fake" not in out
    assert out.count(b"x-forwarded-for: 10.0.0.9\r\n") == out.count(b"x-real-ip: 10.0.0.9\r\n") == 1
    assert b"x-forwarded-host: a\r\n" in out
    assert b"x-request-start: 1700000000000\r\n" in out


def test_hop_by_hop_fields_end_at_the_edge() -> None:
    out = forwarded(
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"Trailer: x\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nAccept: */*\r\n\r\n"
    )  # fmt: skip
    lower = out.lower()
    assert b"accept: */*" in lower
    for name in (b"connection", b"x-secret", b"keep-alive", b"te", b"trailer", b"proxy-connection", b"upgrade"):
        assert b"\r\n" + name + b":" not in lower


@pytest.mark.parametrize(
    ("line", "fields", "upgrade"),
    [
        (b"GET / HTTP/1.1", b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", b"websocket"),
        (b"GET / HTTP/1.1", b"Connection: upgrade\r\nUpgrade: h2c\r\n", None),
        (b"GET / HTTP/1.1", b"Upgrade: websocket\r\n", None),
        (b"POST / HTTP/1.1", b"Connection: upgrade\r\nUpgrade: websocket\r\n", None),
        (b"GET / HTTP/1.1", b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", None),
    ],
)
def test_only_a_websocket_may_become_a_tunnel(line: bytes, fields: bytes, upgrade: bytes | None) -> None:
    assert parse_request(line + b"\r\n" + HOST + fields + b"\r\n").upgrade == upgrade


def test_a_forwarded_head_reads_the_same_again() -> None:
    raw = b"POST /p?q=1 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nX-A:  b c \r\n\r\n"
    once, twice = parse_request(raw), parse_request(forwarded(raw))
    assert (once.method, once.target, once.host, once.body_bytes) == (twice.method, twice.target, twice.host, twice.body_bytes)


@pytest.mark.parametrize(
    ("connection", "version", "is_kept"),
    [(b"", b"1.1", True), (b"Connection: close\r\n", b"1.1", False), (b"", b"1.0", False),
     (b"Connection: Keep-Alive\r\n", b"1.0", True), (b"Connection: x, CLOSE\r\n", b"1.1", False)],
)  # fmt: skip
def test_connections_are_kept_as_the_version_says(connection: bytes, version: bytes, is_kept: bool) -> None:
    assert parse_request(b"GET / HTTP/" + version + b"\r\n" + HOST + connection + b"\r\n").is_keep_alive is is_kept


@pytest.mark.parametrize(
    ("head", "method", "body_bytes", "is_chunked"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", b"GET", 7, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", b"HEAD", 0, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET", 0, False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"GET", 0, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET", None, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HEAD", 0, False),
        (b"HTTP/1.1 200\r\n\r\n", b"GET", None, False),
    ],
)
def test_the_framing_of_answers(head: bytes, method: bytes, body_bytes: int | None, is_chunked: bool) -> None:
    parsed = parse_response(head, method)
    assert (parsed.body_bytes, parsed.is_chunked) == (body_bytes, is_chunked)


def test_an_answer_says_who_served_it_and_hides_the_server() -> None:
    head = parse_response(
        b"HTTP/1.1 200 OK\r\nServer: uvicorn\r\nX-Railway-Edge: fake\r\nETag: 1\r\nContent-Length: 0\r\n\r\n", b"GET"
    )
    out = response_bytes(response_lines(head, is_http11=True), b"railway/us-west2", b"id1")
    assert out.count(b"\r\nserver: railway-edge\r\n") == 1
    assert b"\r\nx-railway-edge: railway/us-west2\r\nx-railway-request-id: id1\r\n" in out
    assert b"uvicorn" not in out
    assert b"fake" not in out
    assert b"ETag: 1\r\n" in out


def test_a_head_that_came_before_reads_as_it_did() -> None:
    """Heads are known by their bytes: one more byte is another head, a refusal is none, and a long one is not kept."""
    raw = b"GET /p HTTP/1.1\r\n" + HOST + b"A: %b\r\n\r\n"
    first, again, other = read_request(raw % b"1"), read_request(raw % b"1"), read_request(raw % b"2")
    assert first is again
    assert (first[0], first[1]) == (parse_request(raw % b"1"), request_lines(parse_request(raw % b"1")))
    assert other[0].fields == b"\r\nA: 2"
    for _ in range(2):
        with pytest.raises(HeadError):
            read_request(b"GET /p HTTP/1.1\r\n" + HOST + HOST + b"\r\n")
    long = raw % (b"x" * HEAD_BYTES_MAX)
    assert read_request(long) is not read_request(long)
    for number in range(2, HEADS_MAX + 2):
        read_request(raw % b"%d" % number)
    assert read_request(raw % b"1") is not first, "the memory has a bound"


def test_an_answer_is_read_for_the_request_and_the_client_that_it_is_for() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read_response(raw, b"HEAD", True)[0].body_bytes == 0
    head, lines = read_response(raw, b"GET", True)
    assert head.body_bytes is None
    assert b"transfer-encoding: chunked" in lines
    assert b"transfer-encoding" not in read_response(raw, b"GET", False)[1]


bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(bodies, st.integers(1, 7))
def test_a_chunked_body_is_the_same_wherever_it_is_cut(pieces: list[bytes], step: int) -> None:
    wire = b"".join(chunk(piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n" + b"NEXT"
    body, out, rest = ChunkedBody(is_chunking=False), b"", None
    position = 0
    while rest is None:
        piece, rest = body.feed(wire[position : position + step])
        out += piece
        position += step
    assert out == b"".join(pieces)
    assert rest + wire[position:] == b"NEXT"


@pytest.mark.parametrize(
    "wire",
    [b"g\r\n", b"-1\r\n", b"0x1\r\n", b"\r\n", b"1\nA\r\n", b"1\r\nAB\r\n", b"1 2\r\n", b"123456789\r\n", b"1;" + b"x" * 400,
     b" 1\r\n", b"1;a\x0bb\r\n"],
)  # fmt: skip
def test_a_broken_chunk_is_refused(wire: bytes) -> None:
    with pytest.raises(BodyError):
        ChunkedBody().feed(wire)


def test_many_tiny_chunks_cost_as_much_as_their_bytes() -> None:
    """A copy of the rest per chunk let one client with one-byte chunks keep the edge busy for minutes."""
    wire = b"1\r\nx\r\n" * 200_000
    body = ChunkedBody(is_chunking=False)
    begun = time.process_time()
    out, rest = body.feed(wire)
    assert (len(out), rest) == (200_000, None)
    assert time.process_time() - begun < 5.0, "linear takes 0.2 s, quadratic minutes"


def test_chunk_extensions_and_trailers_end_at_the_edge() -> None:
    assert ChunkedBody().feed(b"3;ext=1\r\nabc\r\n0\r\nX: y\r\n\r\n") == (b"3\r\nabc\r\n0\r\n\r\n", b"")


def test_a_length_body_leaves_what_follows() -> None:
    assert LengthBody(3).feed(b"abcNEXT") == (b"abc", b"NEXT")


def test_a_body_until_the_end_becomes_chunks() -> None:
    body = UntilCloseBody(is_chunking=True)
    assert body.feed(b"abc") == (b"3\r\nabc\r\n", None)
    assert body.end() == b"0\r\n\r\n"


def route() -> EdgeRoute:
    groups = (UpstreamGroup("us-west2", (("a", 1), ("b", 1))), UpstreamGroup("europe-west4-drams3a", (("c", 1),)))
    return EdgeRoute("d", "127.0.0.1", 8080, groups, True)


@pytest.mark.parametrize("index", [0, 1])
def test_the_own_region_comes_first_whatever_the_draw(index: int) -> None:
    order = [candidate.upstream[0] for candidate in candidates(route(), lambda size: index, lambda upstream: False)]
    assert order[0] == "ab"[index]
    assert order[-1] == "c"


def test_a_replica_that_refused_lately_is_tried_last() -> None:
    order = [candidate.upstream[0] for candidate in candidates(route(), lambda size: 0, lambda upstream: upstream[0] == "a")]
    assert order == ["b", "c", "a"]


head_pieces = st.lists(
    st.sampled_from(
        [b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n", b"Content-Length:\t4 \r\n",
         b"Transfer-Encoding: chunked\r\n", b"transfer-encoding : chunked\r\n", b"Connection: close, content-length\r\n",
         b"X: y\n",         b"Connection: transfer-encoding\r\n", b" folded\r\n", b"X-A:\r\n", b"X-B: \xff\r\n", b"X\0: y\r\n",
         b"Upgrade: websocket\r\n",         b"Connection: upgrade\r\n", b"Expect: 100-continue\r\n", b"\r", b"\n", b"X: \r\r\n"]
    ),
    max_size=8,
)  # fmt: skip


@given(st.sampled_from([b"GET / HTTP/1.1\r\nHost: a\r\n", b""]), head_pieces)
def test_another_parser_reads_what_is_forwarded_as_we_do(start: bytes, pieces: list[bytes]) -> None:
    """Smuggling is two parsers that disagree: h11 must see the same method, target and framing, and nothing after it."""
    raw = start + b"".join(pieces) + b"\r\n"
    try:
        head = parse_request(raw)
    except HeadError:
        return
    receiver = h11.Connection(h11.SERVER)
    receiver.receive_data(sent(head))
    event = receiver.next_event()
    assert isinstance(event, h11.Request)
    fields = dict(event.headers)
    assert (event.method, event.target) == (head.method, head.target)
    assert fields.get(b"transfer-encoding") == (b"chunked" if head.is_chunked else None)
    assert int(fields.get(b"content-length", b"0")) == head.body_bytes
    if not head.is_chunked and not head.body_bytes:
        assert isinstance(receiver.next_event(), h11.EndOfMessage)
    assert receiver.trailing_data[0] == b""


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parsers(raw: bytes) -> None:
    for parse in (parse_request, lambda data: parse_response(data, b"GET")):
        try:
            parse(raw + b"\r\n\r\n")
        except HeadError:
            continue
