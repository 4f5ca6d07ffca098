"""Requests to the issuer on the wire: whole answers however they are cut, and no connection used again after anything odd."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.upstream.exchanges import ConnectFailed, ExchangeFailed, Received, Server, _Connection

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
WHOLE = {
    "length": (OK, 200, b"{}", True),
    "chunks": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n",
        400,
        b"abcde",
        True,
    ),
    "nothing": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, b"", True),
    "an early hint first": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b"{}", True),
    "the last": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
    "an old server's": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
}
BROKEN = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a body that was encoded": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
    "an endless head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    "an endless body": b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"y" * 4_200_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    "a chunk without a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
}


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it and whether it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_ended = False

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_ended = True


async def asked() -> tuple[_Connection, Wire, asyncio.Task[Received]]:
    """A connection with a request under way."""
    connection, wire = _Connection(), Wire()
    connection.connection_made(wire)
    answer = asyncio.create_task(connection.exchange(b"GET / HTTP/1.1\r\n\r\n"))
    await asyncio.sleep(0)
    return connection, wire, answer


@pytest.mark.parametrize(("sent", "status", "body", "is_reusable"), WHOLE.values(), ids=WHOLE.keys())
async def test_answer_is_the_same_wherever_it_is_cut(sent: bytes, status: int, body: bytes, is_reusable: bool):
    for at in range(1, len(sent)):
        connection, wire, answer = await asked()
        connection.data_received(sent[:at])
        connection.data_received(sent[at:])
        received = await answer
        assert (received.status, received.body, connection.is_reusable) == (status, body, is_reusable), at
        assert not wire.is_ended


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
async def test_answer_that_cannot_be_one_fails_and_ends_the_connection(sent: bytes):
    connection, wire, answer = await asked()
    connection.data_received(sent)
    with pytest.raises(ExchangeFailed):
        await answer
    assert wire.is_ended
    assert not connection.is_reusable


async def test_body_without_a_length_ends_with_the_connection():
    connection, _, answer = await asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nab")
    connection.data_received(b"cd")
    assert not answer.done()
    connection.connection_lost(None)
    assert (await answer).body == b"abcd"


@pytest.mark.parametrize("sent", [b"", OK[:20], OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
async def test_answer_that_breaks_off_is_none(sent: bytes):
    connection, _, answer = await asked()
    if sent:
        connection.data_received(sent)
    connection.connection_lost(None)
    with pytest.raises(ExchangeFailed, match="broke off"):
        await answer


@pytest.mark.parametrize("at", [len(OK), len(OK) + 1, len(OK) + 20])
async def test_what_nobody_asked_for_is_never_the_next_answer(at: int):
    """An answer in advance would be given to another caller."""
    connection, wire, answer = await asked()
    twice = OK + OK
    connection.data_received(twice[:at])
    connection.data_received(twice[at:])
    assert (await answer).body == b"{}"
    assert wire.is_ended
    assert not connection.is_reusable


class Peer:
    """A server on loopback. `answers`: what it says to each request, in turn; then it goes on with the last."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(peer: Peer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    async with await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls) as listener:
        port = listener.sockets[0].getsockname()[1]
        server = Server(f"http{'s' if tls else ''}://localhost:{port}/auth/v1")
        try:
            yield server
        finally:
            await server.close()


async def test_connection_is_kept_and_requests_are_whole():
    async with serving(peer := Peer(OK)) as server:
        received = await server.exchange("POST", "/token?grant_type=password", {"apikey": "k"}, b'{"a":1}')
        await server.exchange("GET", "/user", {})
        await server.exchange("POST", "/logout", {})
    assert (received.status, received.headers["content-type"], received.body) == (200, "application/json", b"{}")
    assert peer.connections == 1
    first, second, third = (request.partition(b"\r\n")[::2] for request in peer.requests)
    assert first[0] == b"POST /token?grant_type=password HTTP/1.1"
    assert b"apikey: k\r\ncontent-length: 7\r\n\r\n" + b'{"a":1}' in first[1]
    assert b"host: localhost:" in first[1]
    assert second[0] == b"GET /user HTTP/1.1"
    assert b"content-length" not in second[1]
    assert b"content-length: 0\r\n" in third[1]


async def test_exchanges_at_once_have_a_connection_each_and_later_ones_share_them():
    async with serving(peer := Peer(OK)) as server:
        for _ in range(3):
            await asyncio.gather(*(server.exchange("GET", "/", {}) for _ in range(4)))
    assert peer.connections == 4


async def test_connection_that_the_server_closes_while_it_is_idle_is_not_used_again():
    async with serving(peer := Peer(OK)) as server:
        await server.exchange("GET", "/", {})
        peer.writers[0].close()
        async with asyncio.timeout(5):
            while server._idle:  # noqa: ASYNC110 - what is awaited is the other side's doing
                await asyncio.sleep(0)
        await server.exchange("GET", "/", {})
    assert peer.connections == 2


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[Server, list[socket.socket]]]:
    """A server that says OK once on each connection, and its ends of them, to be used without the loop's taking notice."""
    ends: list[socket.socket] = []
    loop = asyncio.get_running_loop()

    async def answer(listener: socket.socket) -> None:
        while True:
            end, _ = await loop.sock_accept(listener)
            ends.append(end)
            await loop.sock_recv(end, 4096)
            await loop.sock_sendall(end, OK)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serves = asyncio.create_task(answer(listener))
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            yield server, ends
        finally:
            serves.cancel()
            await asyncio.gather(serves, return_exceptions=True)
            await server.close()
            for end in ends:
                end.close()


@pytest.mark.parametrize("sent", [OK.replace(b"{}", b"[]"), b""], ids=["an answer in advance", "the end"])
async def test_connection_on_which_something_waits_unread_is_not_used_again(sent: bytes):
    """A busy loop has not seen it yet. In advance, it would be another caller's answer; the end, this caller's failure."""
    async with answering() as (server, ends):
        await server.exchange("GET", "/", {})
        if sent:
            ends[0].send(sent)
        else:
            ends[0].shutdown(socket.SHUT_RDWR)
        assert (await server.exchange("GET", "/", {})).body == b"{}"
        assert len(ends) == 2


async def test_connection_that_is_being_ended_is_not_used_again():
    async with answering() as (server, ends):
        await server.exchange("GET", "/", {})
        server._idle[0].data_received(b"x")  # which ends it, and the loop tells so in its next round
        assert (await server.exchange("GET", "/", {})).body == b"{}"
        assert len(ends) == 2


async def test_connection_that_was_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch):
    """A server may be about to close it: the request would be lost, and is not sent again."""
    async with serving(peer := Peer(OK)) as server:
        await asyncio.gather(*(server.exchange("GET", "/", {}) for _ in range(2)))
        monkeypatch.setattr("service.upstream.exchanges.IDLE_S_MAX", -1.0)
        await server.exchange("GET", "/", {})
        assert server._idle == []
    assert peer.connections == 3


async def test_caller_who_gives_up_ends_the_connection():
    async with serving(peer := Peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await server.exchange("GET", "/", {})
        async with asyncio.timeout(5):
            await peer.ended.wait()
        assert server._idle == []


@pytest.mark.parametrize("value", ["a\r\nx-forwarded-for: 1.2.3.4", "a\nb", "a\0", "\u20ac"])
async def test_value_that_would_end_its_line_is_not_sent(value: str):
    async with serving(peer := Peer(OK)) as server:
        for target, headers in ((f"/{value}", {}), ("/", {"authorization": value}), ("/a b", {})):
            with pytest.raises(ExchangeFailed, match="cannot be sent"):
                await server.exchange("GET", target, headers)
    assert peer.requests == []


async def test_nobody_there_is_told_apart_from_no_answer():
    with pytest.raises(ConnectFailed, match="ConnectionRefusedError"):
        await Server("http://127.0.0.1:9").exchange("GET", "/", {})


async def test_address_that_leads_nowhere_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("service.upstream.exchanges.CONNECT_TIMEOUT_S", 0.1)
    tried: list[str] = []
    async with serving(Peer(OK)) as server:
        opened = server._opened

        async def partly(address: str) -> _Connection:
            tried.append(address)
            if address == "::1":
                await asyncio.Event().wait()
            return await opened(address)

        async def both(*_: object, **__: object) -> list[tuple[Any, ...]]:
            return [(0, 0, 0, "", (address, 0)) for address in ("::1", "127.0.0.1")]

        monkeypatch.setattr(server, "_opened", partly)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both, raising=False)
        assert (await server.exchange("GET", "/", {})).status == 200
    assert tried == ["::1", "127.0.0.1"]


def certified(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `name`, and a client's that trusts its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    both = directory / "both.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both.write_bytes(private + certificate.public_bytes(pem))
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(both)
    return serves, ssl.create_default_context(cadata=certificate.public_bytes(pem).decode())


async def test_tls_asks_for_the_servers_own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good, trusting = certified(tmp_path, "localhost")
    monkeypatch.setattr("service.upstream.exchanges.context_for", lambda _: trusting)
    async with serving(Peer(OK), good) as server:
        assert (await server.exchange("GET", "/", {})).status == 200
    stranger, _ = certified(tmp_path, "localhost")
    other_name, trusted = certified(tmp_path, "elsewhere.example")
    for presented, trusts in ((stranger, trusting), (other_name, trusted)):
        monkeypatch.setattr("service.upstream.exchanges.context_for", lambda _, trusts=trusts: trusts)
        async with serving(peer := Peer(OK), presented) as server:
            with pytest.raises(ConnectFailed, match="SSLCertVerificationError"):
                await server.exchange("GET", "/", {})
        assert peer.requests == []
