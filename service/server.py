"""uvicorn, one worker, uvloop and httptools (web/protocol.py), with an orderly end.

SIGTERM: readiness answers 503 at once, no new connection is accepted, requests under way (and those that were just being sent
over a kept connection) are finished within DRAIN_S and answered with `Connection: close`, then the process ends with 0.
(Railway's edge has stopped sending before it signals; the local cloud's edge does the same.)
"""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from uvicorn.config import Config
from uvicorn.server import Server

from service.lean import settle
from service.replica import running
from service.settings import Settings
from service.web.protocol import Protocol, sweep

# Longer than the edge keeps an idle connection, so that it is the edge that closes and no request meets a closing socket.
KEEP_ALIVE_S = 75

log = structlog.get_logger("service.server")


class DrainingServer(Server):
    """uvicorn would raise the signal again after serving, which ends the process before our own parts are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def drain(self) -> None:
        log.info("draining")
        self.should_exit = True


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    server: DrainingServer | None = None
    async with running(settings, lambda: server is not None and server.should_exit) as application:
        server = DrainingServer(
            Config(
                application,
                host=settings.host,
                port=settings.port,
                http=Protocol,
                ws="none",
                lifespan="off",
                loop="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, math.ceil(settings.drain_s)),
                backlog=2048,
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.drain)
        settle()
        log.info("serving", host=settings.host, port=settings.port, environment=settings.environment)
        async with asyncio.TaskGroup() as group:
            sweeping = group.create_task(sweep(server.server_state.connections))
            await server.serve()
            sweeping.cancel()
    log.info("ended")
