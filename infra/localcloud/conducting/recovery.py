"""Promotions, backups and restores of Supabase projects, each in its turn with whatever else happens to the project.

A primary that is killed comes back by itself within about a second and loses nothing, so no standby is ever promoted without
being asked for: a standby is asynchronous, and a promotion gives up what it had not received. Whoever wants to see a failover
takes the primary down (it stays down) and promotes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from infra.localcloud.conducting.databases import Databases
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.workers import Job, Workers
from infra.localcloud.plane.interface import Backup, Plane
from infra.localcloud.world import lookup
from infra.localcloud.world.supabase import primary_key, standby_key

TIMEOUT_S = 240.0
Result = TypeVar("Result")


class Recovery:
    def __init__(self, keeper: Keeper, plane: Plane, workers: Workers, databases: Databases) -> None:
        self._keeper, self._plane, self._workers, self._databases = keeper, plane, workers, databases

    async def promote(self, ref: str, identifier: str) -> None:
        """PlaneError: not done, everything is brought back as it was."""

        async def act() -> None:
            project = lookup.supabase_project(self._keeper.world, ref)
            key = next(standby_key(found) for found in project.replicas if found.identifier == identifier)
            await self._databases.set_status(ref, "RESTARTING")
            try:
                await self._plane.promote_database(key)
                self._databases.held.difference_update((primary_key(ref), key))  # both places have a server again
            finally:
                await self._bring_up(ref)

        await self._in_turn(ref, act)

    async def back_up(self, ref: str) -> Backup:
        """PlaneError."""
        return await self._in_turn(ref, lambda: self._plane.back_up_database(primary_key(ref)))

    def backups(self, ref: str) -> list[Backup]:
        """Oldest first."""
        return self._plane.backups(primary_key(ref))

    async def restore(self, ref: str, at_s: float | None) -> None:
        """PlaneError: not done, everything is brought back as it was."""

        async def act() -> None:
            await self._databases.set_status(ref, "RESTORING")
            try:
                await self._plane.restore_database(primary_key(ref), at_s)
            finally:
                await self._bring_up(ref)

        await self._in_turn(ref, act)

    async def _bring_up(self, ref: str) -> None:
        await self._databases.bring_up(ref)
        for replica in lookup.supabase_project(self._keeper.world, ref).replicas:
            await self._databases.bring_up_replica(ref, replica.identifier)
        if primary_key(ref) in self._databases.held:
            await self._databases.set_status(ref, "ACTIVE_UNHEALTHY")

    async def _in_turn(self, ref: str, act: Callable[[], Awaitable[Result]]) -> Result:
        """As a job of the project's worker; its outcome, or its error, comes out here. TimeoutError."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        async def job() -> None:
            try:
                result = await act()
            except Exception as exc:
                if done.done():  # nobody waits any more: the worker logs it
                    raise
                done.set_exception(exc)
            except BaseException:
                done.cancel()
                raise
            else:
                if not done.done():
                    done.set_result(result)

        self._workers.submit(f"supabase:{ref}", Job(f"recovery:{ref}", job))
        return await asyncio.wait_for(done, TIMEOUT_S)
