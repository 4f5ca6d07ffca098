"""What the shortcut's reader accepts, held against a parser that notes everything; and that nothing odd stays in it."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.web.plain_head import HEAD_BYTES_MAX, PlainHeads

LINE = b"GET /api/v1/auth/verify HTTP/1.1\r\n"
TOLD = frozenset({b"authorization", b"origin"})
PLAIN = LINE + b"Host: x\r\nAuthorization: Bearer token\r\n\r\n"

FIELDS = st.sampled_from(
    [
        b"Host: x\r\n",
        b"Authorization: Bearer a\r\n",
        b"AUTHORIZATION:Bearer b\r\n",
        b"Authorization : Bearer c\r\n",
        b"Origin: https://a.example\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b" folded\r\n",
        b"X-Bad\x00: y\r\n",
        b"X: \n\r\n",
        b"no colon\r\n",
    ]
)
CHUNKS = st.lists(st.one_of(FIELDS, st.sampled_from([b"\r\n", b"\n", b"\r", LINE, PLAIN, b"0\r\n\r\n", b"abc"])), max_size=8)


class Whole:
    """A parser's whole account of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.begun = self.ended = 0
        self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.keeps_alive = False
        self._parser: Any = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
            self.is_valid = True
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.is_valid = False

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.keeps_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


@given(pieces=CHUNKS)
@example(pieces=[b"Content-Length: 4\r\n", b"\r\n", b"\r\n", b"\r\n"])
@example(pieces=[b"Transfer-Encoding: chunked\r\n", b"\r\n", b"0\r\n", b"Authorization: Bearer a\r\n", b"\r\n"])
def test_law_what_is_accepted_is_one_whole_request_without_a_body(pieces: list[bytes]):
    """Were anything left over, or missing, the next request on the connection could be made up by somebody else."""
    heads = PlainHeads(TOLD)
    for data in (LINE + b"".join(pieces), LINE + b"".join(pieces) + b"\r\n"):
        found = heads.read(data)
        if found is not None:
            whole = Whole(data)
            assert (whole.is_valid, whole.begun, whole.ended, whole.body, whole.keeps_alive) == (True, 1, 1, b"", True)
            assert found == {name: value for name, value in whole.headers if name in TOLD}
            assert len(whole.headers) == len({name for name, _ in whole.headers if name in TOLD}) + sum(
                name not in TOLD for name, _ in whole.headers
            )
        assert heads.read(PLAIN) == {b"authorization": b"Bearer token"}, "whatever came before leaves no trace"


@pytest.mark.parametrize(
    "field",
    [
        b"Authorization: Bearer other",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Connection: close",
        b"Connection: Upgrade\r\nUpgrade: websocket",
        b"Content-Length : 5",
        b"X: " + b"y" * HEAD_BYTES_MAX,
    ],
)
def test_odd_request_is_left_to_the_connections_own_parser(field: bytes):
    assert PlainHeads(TOLD).read(PLAIN[:-2] + field + b"\r\n\r\n") is None


def test_cut_anywhere_it_is_not_taken():
    heads = PlainHeads(TOLD)
    assert all(heads.read(PLAIN[:cut]) is None for cut in range(len(LINE), len(PLAIN)))
    assert heads.read(PLAIN + PLAIN) is None
    assert heads.read(PLAIN) == {b"authorization": b"Bearer token"}
