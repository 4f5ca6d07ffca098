"""What the edge writes down of its requests: all of them within a bound, and never at the expense of a request."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from infra.localcloud.edge.access_log import ACCESSES_MAX, Access, AccessLog
from infra.localcloud.edge.heads import parse_request
from infra.localcloud.edge.routes import Candidate
from infra.localcloud.edge.server import EdgeServer

from .edge_under_test import GET, OK, Edge, Listen, answering
from .waiting import eventually

pytestmark = pytest.mark.anyio


@dataclass
class Pipe:
    """A log that writes into it, and a daemon that reads when it is told to."""

    log: AccessLog
    reading: int
    kept: bytes = b""

    def lines(self) -> list[dict[str, Any]]:
        """All that was written so far; a line that is not whole yet waits."""
        try:
            while piece := os.read(self.reading, 1 << 20):
                self.kept += piece
        except BlockingIOError:
            pass
        *lines, self.kept = self.kept.split(b"\n")
        return [json.loads(line) for line in lines]


def _pipe() -> tuple[int, int]:
    """Neither end blocks, as the edge has it (os.pipe2 is not everywhere)."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = _pipe()
    yield Pipe(AccessLog(writing), reading)
    os.close(reading)
    os.close(writing)


def access(number: int = 0, status: int = 200, head: bytes = GET) -> Access:
    tried = Candidate(("127.70.1.2", 8080), "us-west2")
    return Access(b"%d" % number, parse_request(head), b"127.0.0.1", 1000.0, status, tried, 0.0025, 0.002, 70, 300)


async def test_a_line_says_who_asked_for_what_and_what_it_took(pipe: Pipe) -> None:
    head = b"POST /sign?token=secret HTTP/1.0\r\nHost: a.test:8080\r\nuser-AGENT:  curl/8 \r\nCookie: a=secret\r\n\r\n"
    pipe.log.add(access(7, head=head))
    pipe.log.close()
    (line,) = pipe.lines()
    assert "secret" not in json.dumps(line)
    assert line == {
        "time_ms": 1000002, "request_id": "7", "method": "POST", "host": "a.test:8080", "path": "/sign", "status": 200,
        "duration_ms": 2.5, "upstream": "127.70.1.2:8080", "upstream_region": "us-west2", "client": "127.0.0.1",
        "upstream_ms": 2.0, "received_bytes": 70, "sent_bytes": 300, "user_agent": "curl/8", "protocol": "HTTP/1.0",
        "upstream_error": "", "skipped": 0,
    }  # fmt: skip


async def test_what_is_too_much_is_counted_and_failures_stay(pipe: Pipe) -> None:
    """The newest requests are all there, and so is every failure; of the rest it is said how many are missing."""
    for number in range(ACCESSES_MAX + 10):
        pipe.log.add(access(number, status=502 if number == 3 else 200))
    found: list[dict[str, Any]] = []
    while not pipe.log.close():
        found += pipe.lines()
    found += pipe.lines()
    assert [line["request_id"] for line in found] == ["3", *map(str, range(10, ACCESSES_MAX + 10))]
    assert [line["skipped"] for line in found[:2]] == [9, 0]


async def test_long_heads_do_not_fill_the_memory(pipe: Pipe) -> None:
    long = access(head=b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 30_000 + b"\r\n\r\n")
    for _ in range(1000):
        pipe.log.add(long)
    pipe.log.close()
    assert pipe.lines()[0]["skipped"] > 400


async def test_a_daemon_that_does_not_read_makes_lines_wait_and_nothing_else(pipe: Pipe) -> None:
    for number in range(2000):
        pipe.log.add(access(number))
    assert not pipe.log.close(), "returns, although the pipe is full"
    first = pipe.lines()
    assert 0 < len(first) < 2000
    rest: list[dict[str, Any]] = []
    while len(first) + len(rest) < 2000:
        pipe.log.close()
        rest += pipe.lines()
    assert [int(line["request_id"]) for line in first + rest] == list(range(2000))


async def test_an_edge_that_ends_has_its_last_lines_taken(pipe: Pipe) -> None:
    """A burst just before the cloud is stopped is more than the pipe holds."""
    server = EdgeServer("us-west2")
    server._shared.access_log = pipe.log
    for number in range(2000):
        pipe.log.add(access(number))
    ending = asyncio.create_task(server.drain())
    found: list[dict[str, Any]] = []
    while not ending.done():
        found += pipe.lines()
        await asyncio.sleep(0)
    assert len(found + pipe.lines()) == 2000


async def test_lines_come_by_themselves_and_a_closed_pipe_is_no_failure() -> None:
    reading, writing = _pipe()
    pipe = Pipe(AccessLog(writing), reading)
    pipe.log.add(access())
    await eventually(pipe.lines)
    os.close(reading)
    pipe.log.add(access())
    pipe.log.close()
    os.close(writing)


async def test_the_edge_writes_what_passed_through_it(
    edge: Edge, listen: Listen, pipe: Pipe, unused_tcp_ports: list[int]
) -> None:
    """Sizes are those of the wire, heads included; a replica that refused is told of although another one answered."""
    edge.shared.access_log = pipe.log
    edge.to(await listen(answering(OK)))
    client = await edge.connect()
    client.send(GET)
    _, head, body = await client.answer()
    edge.to(*unused_tcp_ports)
    client.send(GET)
    await client.answer()
    pipe.log.close()
    good, bad = pipe.lines()
    assert (good["received_bytes"], good["sent_bytes"], good["status"]) == (len(GET), len(head) + len(body), 200)
    assert 0 < good["upstream_ms"] <= good["duration_ms"]
    assert (bad["status"], bad["upstream_error"], bad["upstream_ms"]) == (502, "connection failure", None)
