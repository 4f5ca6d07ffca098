"""The process: settings, start-up, and a SIGTERM that finishes what was begun."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from infra.localcloud.supabase_api.project import DatabaseUnreachable, opened
from infra.localcloud.supabase_api.settings import Settings, SettingsInvalid, read
from infra.localcloud.supabase_api.signing import SigningKeyInvalid, load_or_create

asynchronous = pytest.mark.anyio
GOOD = {
    "HOST": "127.0.0.1",
    "DATABASE_URL": "postgresql://postgres:hunter2@127.0.0.1/postgres",
    "JWT_SECRET": "s" * 32,
    "ANON_KEY": "anon",
    "SERVICE_ROLE_KEY": "service",
    "SIGNING_KEY_FILE": "/tmp/key.json",
    "EXTERNAL_URL": "http://127.0.0.1:8000/",
    "STORAGE_DIR": "/tmp/storage",
}


def test_settings_are_read_whole() -> None:
    settings = read({**GOOD, "PORT": "9000", "BCRYPT_COST": "12"})
    assert (settings.port, settings.bcrypt_cost, settings.auth.jwt_exp) == (9000, 12, 3600)
    assert settings.issuer == "http://127.0.0.1:8000/auth/v1"
    assert "hunter2" not in repr(settings)


def test_all_mistakes_are_told_at_once_and_no_value() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read({**GOOD, "HOST": "", "PORT": "70000", "BCRYPT_COST": "x", "JWT_SECRET": "hunter2", "EXTERNAL_URL": "ftp://x"})
    for name in ("HOST", "PORT", "BCRYPT_COST", "JWT_SECRET", "EXTERNAL_URL"):
        assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kty":"oct","k":"AAAA"}', '{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}'])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """Making a new key in its place would end every session silently."""
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(SigningKeyInvalid):
        load_or_create(path)
    assert path.read_text() == text


@asynchronous
async def test_a_database_that_never_answers_ends_the_start(tmp_path: Path) -> None:
    settings = read({**GOOD, "SIGNING_KEY_FILE": str(tmp_path / "key"), "STORAGE_DIR": str(tmp_path / "storage")})
    unreachable = replace(settings, database_url=f"postgresql:///x?host={tmp_path}", database_wait_s=0.2)
    with pytest.raises(DatabaseUnreachable):
        async with opened(unreachable):
            pass


@asynccontextmanager
async def process(settings: Settings, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOST": settings.host,
        "PORT": str(port),
        "DATABASE_URL": settings.database_url,
        "JWT_SECRET": settings.jwt_secret,
        "ANON_KEY": settings.anon_key,
        "SERVICE_ROLE_KEY": settings.service_role_key,
        "SIGNING_KEY_FILE": str(settings.signing_key_file),
        "EXTERNAL_URL": settings.external_url,
        "STORAGE_DIR": str(settings.storage_dir),
        "BCRYPT_COST": "12",
    }
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", "infra.localcloud.supabase_api", env=environment)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynchronous
async def test_sigterm_finishes_the_requests_in_flight(settings: Settings) -> None:
    """A sign-up hashes at cost 12 (some 200 ms): the signal arrives while it runs, and the client still gets its answer."""
    port = free_port()
    base_url, headers = f"http://127.0.0.1:{port}", {"apikey": settings.anon_key}
    async with (
        process(settings, port) as server,
        httpx.AsyncClient(base_url=base_url, headers=headers) as http,
        asyncio.timeout(30),
    ):
        while True:
            try:
                await http.get("/auth/v1/health")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
        body = {"email": "a@example.com", "password": "a long password"}
        sent = asyncio.Event()

        async def trace(event: str, _: object) -> None:
            if event == "http11.send_request_body.complete":
                sent.set()

        in_flight = asyncio.create_task(http.post("/auth/v1/signup", json=body, extensions={"trace": trace}))
        await sent.wait()
        assert (await http.get("/auth/v1/health")).is_success  # whoever answers what came later has read the sign-up
        server.send_signal(signal.SIGTERM)
        assert (await in_flight).status_code == 200
        assert await server.wait() == 0
