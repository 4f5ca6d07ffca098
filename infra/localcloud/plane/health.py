"""Waiting for a process to be ready: by HTTP as Railway checks at deploy time, or by any other question.

Railway asks only while deploying, with Host healthcheck.railway.app, and wants exactly 200 (its docs, "Healthchecks").
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from infra.localcloud.plane.interface import HealthCheck
from infra.localcloud.plane.processes import Child, start_failed

Question = Callable[[], Awaitable[str | None]]  # None: ready; else what is missing

INTERVAL_S = 0.1
ATTEMPT_S_MAX = 5.0
STATUS_LINE_BYTES_MAX = 8 * 1024


async def until_ready(child: Child, question: Question, timeout_s: float, interval_s: float = INTERVAL_S) -> None:
    """Asks until the answer is None; any other answer says what is missing.

    StartFailed as soon as the process ends, or when `timeout_s` seconds went by, with the last answer.
    """
    answer: str | None = "it was never asked"
    try:
        async with asyncio.timeout(timeout_s):
            while answer is not None:
                if child.exit_code.done():
                    raise start_failed(child, f"ended with exit code {child.exit_code.result()} before it was ready")
                answer = await _asked(question)
                if answer is not None:
                    await asyncio.wait([child.exit_code], timeout=interval_s)
    except TimeoutError:
        raise start_failed(child, f"not ready within {timeout_s:g} s: {answer}") from None


async def _asked(question: Question) -> str | None:
    try:
        async with asyncio.timeout(ATTEMPT_S_MAX):
            return await question()
    except TimeoutError:
        return f"no answer within {ATTEMPT_S_MAX:g} s"
    except OSError as exc:
        return exc.strerror or type(exc).__name__


def http_question(address: str, port: int, check: HealthCheck) -> Question:
    async def ask() -> str | None:
        status = await http_status(address, port, check.path)
        return None if status == 200 else f"GET {check.path} answered {status}, expected 200"

    return ask


async def http_status(address: str, port: int, path: str) -> int | None:
    """The status of one GET, None for an answer that is no HTTP. OSError when nobody listens."""
    reader, writer = await asyncio.open_connection(address, port, limit=STATUS_LINE_BYTES_MAX)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: healthcheck.railway.app\r\nUser-Agent: RailwayHealthCheck/1.0\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        with contextlib.suppress(ValueError):
            parts = (await reader.readline()).split(b" ", 2)
            return int(parts[1]) if len(parts) > 1 and parts[0].startswith(b"HTTP/1.") else None
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
