"""Doors of replicas that sleep: whoever comes is let in and waits there until the replica is up, then goes on to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from infra.localcloud.plane.interface import AddressInUse

WAITING_MAX = 1000
CONNECT_FOR_S = 15.0  # a replica without a health check counts as up before it listens
RETRY_S = 0.05
CHUNK_BYTES = 64 * 1024


class Door:
    """Listens at `address`, on as many ports as it is told. `on_knock` is called for everybody who comes while it is closed."""

    def __init__(self, address: str, on_knock: Callable[[], None]) -> None:
        self._address, self._on_knock = address, on_knock
        self._servers: dict[int, asyncio.Server] = {}
        self._visits: set[asyncio.Task[None]] = set()
        self._target: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def listen(self, ports: Sequence[int]) -> None:
        """Also again, for more of them. AddressInUse."""
        for port in ports:
            if port not in self._servers:
                try:
                    self._servers[port] = await asyncio.start_server(self._serving(port), self._address, port)
                except OSError as exc:
                    raise AddressInUse(f"{self._address}:{port}: {exc.strerror}") from exc

    def _serving(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._visits) >= WAITING_MAX:
                writer.transport.abort()
                return
            task = asyncio.get_running_loop().create_task(self._visit(port, reader, writer), name=f"door-{self._address}")
            self._visits.add(task)
            task.add_done_callback(self._visits.discard)

        return begin

    async def _visit(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self._target.done():
                self._on_knock()
            address = await asyncio.shield(self._target)
            if address is not None:
                far_reader, far_writer = await _connected(address, port)
                try:
                    async with asyncio.TaskGroup() as both:
                        both.create_task(_pass_on(reader, far_writer))
                        both.create_task(_pass_on(far_reader, writer))
                finally:
                    far_writer.transport.abort()
        except* (OSError, TimeoutError):
            pass  # whoever came sees that the connection ends
        finally:
            writer.transport.abort()

    @property
    def has_visitors(self) -> bool:
        return bool(self._visits)

    def open(self, address: str | None) -> None:
        """Who waits and who still comes goes on to `address`, the same port; None sends them away. The first word counts."""
        if not self._target.done():
            self._target.set_result(address)

    def shut(self) -> None:
        """Nobody is let in any more; who went on stays."""
        self.open(None)
        for server in self._servers.values():
            server.close()

    async def close(self) -> None:
        self.shut()
        for task in list(self._visits):
            task.cancel()
        if self._visits:
            await asyncio.wait(self._visits)


async def _connected(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(CONNECT_FOR_S):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return await asyncio.open_connection(address, port)
            await asyncio.sleep(RETRY_S)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
