"""Links between regions: TCP relays that take their time. Run as `python -m infra.localcloud.plane.links`.

Theory of operation. One listener per near end and port. Each direction of a relayed connection holds what it read, stamped
with the moment it is due on the other side (arrival + half the round trip), and writes it then: latency is added, order is
kept, and any number of bytes may be on the way at once, up to a bound, after which reading stops as a full window would.
A sleep per chunk would divide the throughput by the delay instead. Connecting costs a round trip as well, although the
kernel accepts at the near end at once: the far connection is opened half a round trip later, and the first byte of either
side is held back by the time that the handshake would have taken. A changed round trip applies to what is read from then
on; bytes never overtake earlier ones. A cut link resets its connections and accepts none: the listener is closed, so that
a client sees a refusal and not a hanging connection.

It is a process of its own so that the daemon's work never shows up as network jitter.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from typing import cast

import msgspec
import uvloop

from infra.localcloud.plane.control_channel import raise_descriptor_limit, serve_orders
from infra.localcloud.plane.resets import reset

BYTES_ON_THE_WAY_MAX = 4 * 1024 * 1024  # per direction: 200 MB/s at 20 ms
CONNECTIONS_MAX = 4096
CONNECT_TIMEOUT_S = 5.0


class Link(msgspec.Struct, frozen=True):
    """Listen on `address`, relay each of `ports` to the same port of `target`."""

    address: str
    target: str
    ports: tuple[int, ...]
    rtt_ms: float
    is_cut: bool = False


class Way:
    """What a listener and its connections share, so that a change reaches connections under way."""

    def __init__(self, target: str, port: int, one_way_s: float) -> None:
        self.target, self.port, self.one_way_s = target, port, one_way_s
        self.ends: set[End] = set()


class End(asyncio.Protocol):
    """One side of a relayed connection: reads here, hands over to the other end when it is due."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._other: End | None = None
        self._transport: asyncio.Transport | None = None
        self._due: deque[tuple[float, bytes | None]] = deque()  # None: the other side said it is done writing
        self._bytes = 0
        self._newest_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_other_full = False
        self._is_paused = False
        self._is_lost = False
        self._is_done = False  # the end of what it had to say was handed over

    def join(self, other: End) -> None:
        self._other, other._other = other, self
        self._arm()
        other._arm()

    def hold_back(self, duration_s: float) -> None:
        """Nothing from this side is due sooner."""
        self._newest_due = self._loop.time() + duration_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._way.ends.add(self)

    def data_received(self, data: bytes) -> None:
        self._push(bytes(data), len(data))
        self._govern()

    def eof_received(self) -> bool:
        self._push(None, 0)
        return True  # half closed: the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._way.ends.discard(self)
        if exc is not None and self._other is not None:
            self._other.abort()
        else:
            self._push(None, 0)
        self._finish()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other._is_other_full = True
            self._other._govern()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other._is_other_full = False
            self._other._arm()
            self._other._govern()

    def abort(self) -> None:
        """A reset, as a broken path shows itself."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        if self._transport is not None:
            reset(self._transport)

    def _push(self, data: bytes | None, size: int) -> None:
        self._newest_due = max(self._newest_due, self._loop.time() + self._way.one_way_s)
        self._due.append((self._newest_due, data))
        self._bytes += size
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._due and self._other is not None and not self._is_other_full:
            self._timer = self._loop.call_at(self._due[0][0], self._hand_over)

    def _hand_over(self) -> None:
        self._timer = None
        now = self._loop.time() + 0.0005  # the timer's own granularity is a millisecond
        while self._due and self._due[0][0] <= now and not self._is_other_full:
            _, data = self._due.popleft()
            self._give(data)
        self._arm()
        self._govern()
        self._finish()

    def _give(self, data: bytes | None) -> None:
        assert self._other is not None
        target = self._other._transport
        if data is not None:
            self._bytes -= len(data)
        if target is None or target.is_closing():
            return
        if data is not None:
            target.write(data)
            return
        self._is_done = True
        if self._is_lost or self._other._is_done or not target.can_write_eof():
            target.close()
            if self._transport is not None:
                self._transport.close()
        else:
            with contextlib.suppress(OSError):
                target.write_eof()

    def _govern(self) -> None:
        """Stops reading while too much is on the way, as a full window would."""
        if self._transport is None or self._is_lost:
            return
        should_pause = self._bytes > BYTES_ON_THE_WAY_MAX
        if should_pause != self._is_paused:
            self._is_paused = should_pause
            (self._transport.pause_reading if should_pause else self._transport.resume_reading)()

    def _finish(self) -> None:
        if self._is_lost and self._other is not None and self._other._is_lost:
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None


class Links:
    """The relays of one home, made to follow a table."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], tuple[asyncio.Server, Way]] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    async def follow(self, table: list[Link]) -> list[str]:
        """Opens, changes and closes listeners as `table` says; the errors of those that could not be opened."""
        wanted = {(link.address, port): link for link in table if not link.is_cut for port in link.ports}
        for where in list(self._open):
            if where not in wanted or wanted[where].target != self._open[where][1].target:
                self._close(where)
        errors = []
        for where, link in wanted.items():
            if where in self._open:
                self._open[where][1].one_way_s = link.rtt_ms / 2000
                continue
            try:
                await self._listen(where, link)
            except OSError as exc:
                errors.append(f"{where[0]}:{where[1]}: {exc.strerror}")
        return errors

    def open_ends(self) -> int:
        """Sockets of relayed connections: two for each."""
        return sum(len(way.ends) for _, way in self._open.values())

    async def _listen(self, where: tuple[str, int], link: Link) -> None:
        way = Way(link.target, where[1], link.rtt_ms / 2000)
        server = await asyncio.get_running_loop().create_server(lambda: self._accepted(way), *where, backlog=512)
        self._open[where] = server, way

    def _accepted(self, way: Way) -> End:
        near = End(way)
        near.hold_back(3 * way.one_way_s)  # the handshake's round trip, then the way there
        task = asyncio.get_running_loop().create_task(self._connect(way, near))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return near

    async def _connect(self, way: Way, near: End) -> None:
        if self.open_ends() > CONNECTIONS_MAX * 2:
            near.abort()
            return
        await asyncio.sleep(way.one_way_s)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, far = await asyncio.get_running_loop().create_connection(lambda: End(way), way.target, way.port)
        except (OSError, TimeoutError):
            near.abort()
            return
        far.hold_back(3 * way.one_way_s)  # the way here of the handshake's last part, then the way back
        near.join(far)

    def _close(self, where: tuple[str, int]) -> None:
        server, way = self._open.pop(where)
        server.close()
        for end in list(way.ends):
            end.abort()


async def main() -> None:
    raise_descriptor_limit()
    loop = asyncio.get_running_loop()
    links = Links()
    serving = asyncio.ensure_future(serve_orders(list[Link], links.follow))
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    uvloop.run(main())
