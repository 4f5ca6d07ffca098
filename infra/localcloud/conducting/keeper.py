"""The one holder of the current world. A change is on disk before anybody sees it or acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct, structs

from infra.localcloud.conducting.store import Store
from infra.localcloud.world.effects import Effect
from infra.localcloud.world.model import World
from infra.localcloud.world.transitions import apply
from infra.localcloud.world_clock import WorldClock


class Keeper:
    """`on_effects` is called on the loop, after the write, with the effects of one change in order. Stamps are taken from the
    machine's clock and get the cloud's own time here: it is the world's only way in."""

    def __init__(self, store: Store, world: World, clock: WorldClock | None = None) -> None:
        self.clock = clock or WorldClock()
        self.world = world
        self.on_effects: Callable[[tuple[Effect, ...]], None] = lambda effects: None
        self._store = store
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[World]] = set()

    async def apply(self, command: Struct) -> World:
        """The world after `command`. WorldError (refused), StoreError (not written): nothing has changed then.

        A task of its own: a caller that is cancelled while the file is being written must not leave memory and disk apart.
        """
        task = asyncio.create_task(self._apply(command))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        await asyncio.wait([task])
        return task.result()

    def _done(self, task: asyncio.Task[World]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also when whoever asked was cancelled: nobody else waits for the refusal

    async def _apply(self, command: Struct) -> World:
        async with self._lock:
            change = apply(self.world, self._in_time(command))
            if change.world is not self.world:
                await asyncio.to_thread(self._store.write, change.world)
                self.world = change.world
            if change.effects:
                self.on_effects(change.effects)
            return self.world

    def _in_time(self, command: Struct) -> Struct:
        stamp = getattr(command, "stamp", None)
        if stamp is None or not self.clock.offset_s:
            return command
        return structs.replace(command, stamp=structs.replace(stamp, at=self.clock.shifted(stamp.at)))
