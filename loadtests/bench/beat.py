"""A client in open loop: requests fall due on a fixed beat, and latency counts from the moment at which one was due.

Plain sockets and `select`, because it is the only wait in Python that is exact to microseconds, and because a client that sleeps
between two requests can be given a processor ahead of all others (`ahead_of_others`); one that turns round and round could not.

What others do to the machine is told apart from what the server does: `lateness_s` is by how much the client itself sent later
than it should and could have, and `waited_s` (processes.py) how long the server was ready to run and did not get a processor.
"""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter

GRACE_S = 10.0  # for answers after the last request was due
IDLE_S = 0.01


@dataclass(slots=True)
class Beat:
    """Seconds. One latency for each request that was answered, one lateness for each that was sent."""

    latencies_s: list[float] = field(default_factory=list)
    lateness_s: list[float] = field(default_factory=list)
    failures: int = 0

    def latency_ms(self, share: float) -> float:
        return percentile_ms(self.latencies_s, share)

    def late_ms(self, share: float) -> float:
        return percentile_ms(self.lateness_s, share)


def percentile_ms(latencies_s: list[float], share: float) -> float:
    ordered = sorted(latencies_s)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def ask_on_a_beat(host: str, port: int, request: bytes, connections: int, duration_s: float, rate: float) -> Beat:
    """`rate` requests per second for `duration_s`, each on a free connection; where none is, it waits and its latency grows.

    Answers have no body, so a blank line ends each. What is not answered GRACE_S after the end, or not with 200, is a failure.
    OSError where the server takes no connection, or does not keep one.
    """
    with ExitStack() as stack:
        free = [stack.enter_context(_connected(host, port)) for _ in range(connections)]
        return _beaten(free, request, duration_s, rate)


def _beaten(free: list[socket.socket], request: bytes, duration_s: float, rate: float) -> Beat:
    beat = Beat()
    asked: dict[socket.socket, float] = {}  # and when that was due
    received: dict[socket.socket, bytes] = {}
    began = freed_at = perf_counter()
    due_times = (began + number / rate for number in range(int(rate * duration_s)))
    due_at = next(due_times, None)
    deadline = began + duration_s + GRACE_S
    while (asked or due_at is not None) and (now := perf_counter()) < deadline:
        while due_at is not None and due_at <= now and free:
            connection = free.pop()
            beat.lateness_s.append(now - max(due_at, freed_at))
            asked[connection] = due_at
            connection.sendall(request)
            due_at, now = next(due_times, None), perf_counter()
        pause_s = due_at - now if due_at is not None and free else IDLE_S
        for connection in select.select(list(asked), (), (), max(0.0, pause_s))[0]:
            _read(connection, asked, received, beat)
            if connection not in asked:
                freed_at = freed_at if free else perf_counter()
                free.append(connection)
    beat.failures += len(asked) + sum(1 for _ in due_times) + (due_at is not None)
    return beat


def _connected(host: str, port: int) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=GRACE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read(connection: socket.socket, asked: dict[socket.socket, float], received: dict[socket.socket, bytes], beat: Beat) -> None:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError("the server closed a connection that it was to keep")
    answer = received.pop(connection, b"") + data
    if not answer.endswith(b"\r\n\r\n"):
        received[connection] = answer
        return
    beat.latencies_s.append(perf_counter() - asked.pop(connection))
    beat.failures += not answer.startswith(b"HTTP/1.1 200 ")
