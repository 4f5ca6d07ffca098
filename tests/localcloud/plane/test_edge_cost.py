"""What a request costs at the edge, counted in calls: the same on every machine, however busy it is."""

from __future__ import annotations

import asyncio
import sys
import time
from types import FrameType
from typing import Any

import pytest

from infra.localcloud.edge.access_log import AccessLog
from infra.localcloud.edge.client import ClientConnection
from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup
from infra.localcloud.edge.shared import Listening, Shared
from infra.localcloud.edge.upstreams import UpstreamConnection

from .edge_under_test import OK

pytestmark = pytest.mark.anyio
REPLICA = ("127.70.1.2", 8080)
ASKED = b"GET /verify HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept: */*\r\nAuthorization: Bearer %d\r\n\r\n"
CALLS_MAX, CALLS_OF_A_NEW_HEAD_MAX = 36, 42  # 35 and 40 when this was written


class Transport(asyncio.Transport):
    """Takes what is written and does nothing else."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False


class Passage:
    """A client's connection and a replica's, both kept."""

    def __init__(self) -> None:
        shared = Shared("us-west2")
        self.log = shared.access_log = AccessLog(-1)  # nobody reads it
        shared.known = frozenset({REPLICA})
        route = EdgeRoute("a", "127.0.0.1", 8080, (UpstreamGroup("us-west2", (REPLICA,)),), True)
        self.client, self.to_client = ClientConnection(shared, Listening(route)), Transport()
        self.client.connection_made(self.to_client)
        self.replica, self.to_replica = UpstreamConnection(shared.pool, REPLICA), Transport()
        self.replica.connection_made(self.to_replica)
        shared.pool.give_back(self.replica)

    def calls(self, request: bytes) -> int:
        """How many Python functions a request and its answer ran through."""
        count = 0

        def profile(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal count
            count += event == "call" and not isinstance(frame.f_locals.get("self"), Transport)

        sys.setprofile(profile)
        try:
            self.client.data_received(request)
            self.replica.data_received(OK)
        finally:
            sys.setprofile(None)
        return count


async def test_empty_lines_before_a_request_cost_their_bytes() -> None:
    """All at once: line by line each would copy those after it, and one read of them stop the edge for most of a second."""
    passage = Passage()
    began_s = time.process_time()
    passage.client.data_received(b"\r\n" * 200_000 + ASKED % 0)
    assert time.process_time() - began_s < 0.2
    assert passage.to_replica.written.startswith(b"GET /verify ")
    passage.log.close()


async def test_any_number_of_interim_answers_is_passed_over() -> None:
    """One within the other, a thousand in one read were deeper than Python goes."""
    passage = Passage()
    passage.client.data_received(ASKED % 0)
    passage.replica.data_received(b"HTTP/1.1 102 Processing\r\n\r\n" * 2000 + OK)
    assert passage.to_client.written.startswith(b"HTTP/1.1 200 ")
    assert b"102" not in passage.to_client.written
    passage.log.close()


async def test_a_request_runs_through_few_functions() -> None:
    """The edge is one process in Python and has to pass ten thousand requests a second: what is added here is paid by each."""
    passage = Passage()
    passage.calls(ASKED % 0)  # the first one ever sets the log's timer
    new, known = passage.calls(ASKED % 1), passage.calls(ASKED % 0)
    passage.log.close()
    assert passage.to_client.written.count(b"HTTP/1.1 200 OK") == passage.to_replica.written.count(b"GET /verify") == 3
    assert known <= CALLS_MAX
    assert new <= CALLS_OF_A_NEW_HEAD_MAX
