"""The open-loop client of the benchmarks: everything that is due is sent and accounted for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from loadtests.bench import beat
from loadtests.bench.beat import ask_on_a_beat

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that lets `answer` answer each request; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                while connection.recv(len(REQUEST), socket.MSG_WAITALL):
                    answer(connection)

        def accept() -> None:
            while True:
                try:
                    connection = listening.accept()[0]
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def in_two_pieces(connection: socket.socket) -> None:
    connection.sendall(GOOD[:30])
    connection.sendall(GOOD[30:])


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        (lambda connection: connection.sendall(GOOD), 0),
        (in_two_pieces, 0),
        (lambda c: c.sendall(GOOD.replace(b"200", b"503")), 20),
    ],
)
def test_all_that_is_due_is_sent_and_every_answer_counts_once(answer: Callable[[socket.socket], None], failures: int):
    with serving(answer) as port:
        found = ask_on_a_beat("127.0.0.1", port, REQUEST, connections=3, duration_s=0.02, rate=1000)
    assert (len(found.latencies_s), len(found.lateness_s), found.failures) == (20, 20, failures)
    assert min(found.latencies_s) > 0 <= min(found.lateness_s)


def test_what_waits_for_a_connection_has_waited_and_is_no_lateness_of_the_client():
    """Else a server that stalls would look fast: only what it was asked would count."""
    may_answer = threading.Event()
    stall = threading.Timer(0.1, may_answer.set)

    def answer(connection: socket.socket) -> None:
        may_answer.wait(10)
        connection.sendall(GOOD)

    with serving(answer) as port:
        stall.start()
        found = ask_on_a_beat("127.0.0.1", port, REQUEST, connections=1, duration_s=0.02, rate=1000)
    assert found.failures == 0
    assert min(found.latencies_s) > 0.05, "the last was due 0.02 s after the start, and sent after 0.1"
    assert max(found.lateness_s[1:]) < 0.05


def test_what_is_never_answered_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(beat, "GRACE_S", 0.05)
    with serving(lambda _: None) as port:
        found = ask_on_a_beat("127.0.0.1", port, REQUEST, connections=2, duration_s=0.02, rate=1000)
    assert (len(found.latencies_s), found.failures) == (0, 20)


def test_server_that_closes_is_told_of():
    with serving(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as port, pytest.raises(OSError, match="closed"):
        ask_on_a_beat("127.0.0.1", port, REQUEST, connections=1, duration_s=0.02, rate=1000)
