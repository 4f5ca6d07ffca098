"""What the issuer gets to see of a request: which key, and whose address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.metrics.counters import Counters
from service.tokens.jwks import FetchFailed
from service.upstream.auth_api import AuthApi

pytestmark = pytest.mark.anyio

SECRET = "sb_secret_for-tests"


class Issuer:
    """Answers everything with an empty object and keeps the heads of the requests."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(fields.get("content-length", "0")))
        self.heads.append({"path": head.split(" ")[1], **fields})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()


@asynccontextmanager
async def asked(grant_key: str) -> AsyncIterator[tuple[AuthApi, Issuer]]:
    issuer = Issuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/auth/v1"
    api = AuthApi(url, f"{url}/jwks", "anon", Counters(), grant_key)
    async with server:
        yield api, issuer
        await api.close()


@pytest.mark.parametrize(("grant_key", "expected"), [(SECRET, SECRET), ("", "anon")])
async def test_secret_key_goes_with_what_opens_or_renews_a_session(grant_key: str, expected: str):
    """Hosted Supabase believes Sb-Forwarded-For only beside a secret key."""
    async with asked(grant_key) as (api, issuer):
        await api.grant("password", {}, "203.0.113.7")
        await api.grant("refresh_token", {}, "203.0.113.7")
        await api.sign_up({}, "203.0.113.7")
    assert [head["apikey"] for head in issuer.heads] == [expected] * 3
    assert {head["sb-forwarded-for"] for head in issuer.heads} == {"203.0.113.7"}
    assert {head["x-forwarded-for"] for head in issuer.heads} == {"203.0.113.7"}


async def test_secret_key_goes_nowhere_else():
    """A token, a log-out and the public keys need no key that can do anything."""
    async with asked(SECRET) as (api, issuer):
        await api.log_out(b"token", "local")
        await api.key_document()
        await asyncio.gather(api.user(b"token"), return_exceptions=True)
    assert [head["apikey"] for head in issuer.heads] == ["anon"] * 3


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://127.0.0.1:9/jwks.json"])
async def test_key_document_is_fetched_from_nowhere_else(location: str):
    """GHSA-993g-76c3-p5m4: a redirect must not make us read a file, or another host's keys."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    api = AuthApi(url, f"{url}/jwks.json", "anon", Counters())
    async with server:
        with pytest.raises(FetchFailed, match="302"):
            await api.key_document()
        await api.close()
