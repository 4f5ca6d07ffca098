"""One whole plain request in one chunk, read by llhttp with next to no Python around it; whatever is unusual is None.

Theory of operation
-------------------
What a hit costs is mostly what a server does around a parser: a scope, an event, a task, timers, a call from C into Python for
every part. Most requests arrive whole and alone, and of the hot ones only a few headers matter. So a chunk that begins with a hot
request line and ends with a blank one is first given to a parser that belongs to no connection and is at the start of a message
whenever it is asked. Where that finds exactly one request, without a body, that keeps the connection as it is, `read` tells its
headers. Everything else (a body, a second request, an upgrade, half a head, an error) is None, and the same bytes go to the
connection's own parser as if nothing had been. Both are the same llhttp, so there are no two opinions of where a request ends.
"""

from __future__ import annotations

import httptools

HEAD_BYTES_MAX = 16_384

Found = dict[bytes, bytes]

# Framing of a body, what asks for something to happen before the answer, and what shall become of the connection after it (llhttp
# forgets that at the message's end).
_ODD = frozenset({b"content-length", b"transfer-encoding", b"expect", b"connection", b"proxy-connection", b"upgrade"})


class _Noted:
    """What the parser said of the chunk at hand."""

    __slots__ = ("begun", "ended", "found", "is_odd", "told")

    def __init__(self, told: frozenset[bytes]) -> None:
        self.told = told | _ODD
        self.begun = self.ended = 0
        self.found: Found = {}
        self.is_odd = False

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name not in self.told:
            return
        if name in _ODD:
            self.is_odd = self.is_odd or name != b"connection" or value.lower() != b"keep-alive"
            return
        self.is_odd = self.is_odd or name in self.found
        self.found[name] = value

    def on_message_complete(self) -> None:
        self.ended += 1


class PlainHeads:
    """`told`: names of headers, in lower case, whose values `read` answers."""

    def __init__(self, told: frozenset[bytes]) -> None:
        self._noted = _Noted(told)
        self._parser = httptools.HttpRequestParser(self._noted)

    def read(self, data: bytes) -> Found | None:
        """The told headers of the one plain request that `data` is; None where it is anything else, or says one of them twice.

        The caller has looked at the request line: it names the method, a target and HTTP/1.1.
        """
        if len(data) > HEAD_BYTES_MAX or not data.endswith(b"\r\n\r\n"):
            return None
        noted, parser = self._noted, self._parser
        noted.begun = noted.ended = 0
        noted.found = {}
        noted.is_odd = False
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            is_one = False
        else:
            is_one = noted.begun == noted.ended == 1
        if is_one and not noted.is_odd:
            return noted.found
        self._parser = httptools.HttpRequestParser(noted)  # the old one is in the middle of something, or takes no more
        return None
