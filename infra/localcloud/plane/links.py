"""Links between regions: TCP relays that take their time. Run as `python -m infra.localcloud.plane.links`.

Theory of operation. One listener per near end and port. Each direction of a relayed connection holds what it read, stamped
with the moment it is due on the other side (arrival + half the round trip), and writes it then: latency is added, order is
kept, and any number of bytes may be on the way at once, up to a bound, after which reading stops as a full window would.
A sleep per chunk would divide the throughput by the delay instead. Connecting costs a round trip as well, although the
kernel accepts at the near end at once: the far connection is opened half a round trip later, and the first byte of either
side is held back by the time that the handshake would have taken. A changed round trip applies to what is read from then
on; bytes never overtake earlier ones, also where the round trip varies. A cut link resets its connections and accepts none:
the listener is closed, so that a client sees a refusal and not a hanging connection. A partitioned one is silent instead:
what is under way is held until it heals, and a client that connects hangs, because its listener's queue of one is full
(dark_places.py).

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
from infra.localcloud.plane.dark_places import Dark, go_dark
from infra.localcloud.plane.link_quality import Dice, LinkQuality
from infra.localcloud.plane.resets import reset

BYTES_ON_THE_WAY_MAX = 4 * 1024 * 1024  # per direction: 200 MB/s at 20 ms
CONNECTIONS_MAX = 4096
CONNECT_TIMEOUT_S = 5.0


class Link(msgspec.Struct, frozen=True):
    """Listen on `address`, relay each of `ports` to the same port of `target`. `name` is the same in every home."""

    address: str
    target: str
    ports: tuple[int, ...]
    quality: LinkQuality
    name: str = ""


class Way:
    """What a listener and its connections share, so that a change reaches connections under way."""

    def __init__(self, target: str, port: int, link: Link) -> None:
        self.target, self.port = target, port
        self.ends: set[End] = set()
        self._become(link)

    def _become(self, link: Link) -> None:
        self.quality = link.quality
        self.dice = Dice(link.quality, f"{link.name}:{self.port}")

    def change(self, link: Link) -> None:
        """Dice are thrown anew only where the link is another: a table that repeats it must not repeat its story."""
        if link.quality == self.quality:
            return
        is_healing = self.quality.is_partitioned and not link.quality.is_partitioned
        self._become(link)
        if is_healing:
            for end in list(self.ends):
                end.resume()

    @property
    def one_way_s(self) -> float:
        return self.quality.rtt_ms / 2000


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
        self.answers_left: int | None = None  # of the far side, until this connection is lost

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
        if self.answers_left is not None:
            self.answers_left -= 1
            if self.answers_left < 0:
                self.lose()
                return
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

    def lose(self) -> None:
        """Both sides of the connection, as a broken path shows itself to each."""
        if self._other is not None:
            self._other.abort()
        self.abort()

    def resume(self) -> None:
        """The partition is over: what was held goes on."""
        self._arm()

    def _push(self, data: bytes | None, size: int) -> None:
        self._newest_due = max(self._newest_due, self._loop.time() + self._way.dice.one_way_s())
        self._due.append((self._newest_due, data))
        self._bytes += size
        self._arm()

    def _arm(self) -> None:
        is_held = self._other is None or self._is_other_full or self._way.quality.is_partitioned
        if self._timer is None and self._due and not is_held:
            self._timer = self._loop.call_at(self._due[0][0], self._hand_over)

    def _hand_over(self) -> None:
        self._timer = None
        if self._way.quality.is_partitioned:
            return  # `resume` goes on with it
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
        self._dark: dict[tuple[str, int], tuple[Dark, Way]] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    async def follow(self, table: list[Link]) -> list[str]:
        """Opens, changes, darkens and closes listeners as `table` says; the errors of those that could not be opened."""
        wanted = {(link.address, port): link for link in table if not link.quality.is_cut for port in link.ports}
        for where in [*self._open, *self._dark]:
            if where not in wanted or wanted[where].target != self._way(where).target:
                self._close(where)
        errors = []
        for where, link in wanted.items():
            try:
                await self._make(where, link)
            except OSError as exc:
                errors.append(f"{where[0]}:{where[1]}: {exc.strerror}")
        return errors

    def open_ends(self) -> int:
        """Sockets of relayed connections: two for each."""
        return sum(len(way.ends) for _, way in (*self._open.values(), *self._dark.values()))

    def _way(self, where: tuple[str, int]) -> Way:
        return (self._open.get(where) or self._dark[where])[1]

    async def _make(self, where: tuple[str, int], link: Link) -> None:
        """A listener, or a dark place, whichever it is not yet; connections under way live on in the same Way."""
        known = self._open.get(where) or self._dark.get(where)
        way = known[1] if known is not None else Way(link.target, where[1], link)
        if link.quality.is_partitioned:
            if where in self._open:
                self._open.pop(where)[0].close()
            if where not in self._dark:
                self._dark[where] = await go_dark(*where), way
        else:
            if where in self._dark:
                self._dark.pop(where)[0].close()
            if where not in self._open:
                server = await asyncio.get_running_loop().create_server(lambda: self._accepted(way), *where, backlog=512)
                self._open[where] = server, way
        way.change(link)

    def _accepted(self, way: Way) -> End:
        near = End(way)
        near.hold_back(3 * way.one_way_s)  # the handshake's round trip, then the way there
        task = asyncio.get_running_loop().create_task(self._connect(way, near))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return near

    async def _connect(self, way: Way, near: End) -> None:
        answers = way.dice.answers_before_loss()
        if self.open_ends() > CONNECTIONS_MAX * 2:
            near.abort()
            return
        await asyncio.sleep(way.one_way_s)
        if answers == 0:
            near.abort()
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, far = await asyncio.get_running_loop().create_connection(lambda: End(way), way.target, way.port)
        except (OSError, TimeoutError):
            near.abort()
            return
        far.answers_left = None if answers is None else answers - 1
        far.hold_back(3 * way.one_way_s)  # the way here of the handshake's last part, then the way back
        near.join(far)

    def _close(self, where: tuple[str, int]) -> None:
        listener, way = self._open.pop(where, None) or self._dark.pop(where)
        listener.close()
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
