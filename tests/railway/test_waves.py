"""Whoever leads a wave may be cancelled or stumble; the others must neither wait for ever nor be told what is not true."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from infra.railway.waves import Change, Waves

ENVIRONMENT = "e"


async def nothing() -> dict[str, Any]:
    return {}


class Ground:
    """Leads by hand: a group is done once `gate` is open."""

    def __init__(self) -> None:
        self.waves = Waves()
        self.gate, self.led = asyncio.Event(), asyncio.Event()
        self.groups: list[list[str]] = []

    async def gathered(self, all_here: asyncio.Event) -> None:
        await asyncio.sleep(0)
        await all_here.wait()

    async def lead(self, group: Sequence[Change]) -> None:
        self.groups.append([each.what for each in group])
        self.led.set()
        await self.gate.wait()
        for each in group:
            each.end()

    def join(self, what: str, ticket: object = None) -> asyncio.Task[None]:
        return asyncio.create_task(self.waves.join(ENVIRONMENT, ticket, Change(what, nothing), self.gathered, self.lead))


async def given_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.anyio
async def test_a_cancelled_leader_leaves_the_rest_to_the_next() -> None:
    ground = Ground()
    leader, follower = ground.join("leader"), ground.join("follower")
    async with asyncio.timeout(5):
        await ground.led.wait()
        await given_up(leader)
        ground.gate.set()
        await follower
    assert ground.groups == [["leader", "follower"], ["follower"]]


@pytest.mark.anyio
async def test_a_change_that_nobody_waits_for_is_not_made_by_the_next_leader() -> None:
    ground = Ground()
    leader, gone, follower = ground.join("leader"), ground.join("gone"), ground.join("follower")
    async with asyncio.timeout(5):
        await ground.led.wait()
        await given_up(gone)
        await given_up(leader)
        ground.gate.set()
        await follower
    assert ground.groups[1:] == [["follower"]]


@pytest.mark.anyio
async def test_a_mistake_of_the_leader_does_not_become_the_others() -> None:
    ground = Ground()
    lead = ground.lead

    async def stumble(group: Sequence[Change]) -> None:
        ground.lead = lead  # type: ignore[method-assign]
        raise KeyError("ours")

    ground.lead = stumble  # type: ignore[method-assign]
    leader = ground.join("leader")
    ground.lead = lead  # type: ignore[method-assign]
    follower = ground.join("follower")
    ground.gate.set()
    async with asyncio.timeout(5):
        with pytest.raises(KeyError):
            await leader
        await follower


@pytest.mark.anyio
async def test_a_change_by_itself_waits_for_the_wave_and_other_environments_do_not() -> None:
    ground = Ground()
    leader = ground.join("leader")
    async with asyncio.timeout(5):
        await ground.led.wait()
        async with ground.waves.alone("another"):
            pass
        alone = asyncio.create_task(ground.waves.alone(ENVIRONMENT).__aenter__())
        await asyncio.sleep(0)
        assert not alone.done()
        ground.gate.set()
        await leader
        await alone


@pytest.mark.anyio
async def test_who_is_on_the_way_is_waited_for_and_finds_the_environment_free() -> None:
    """A service that is being made has to change the environment before it can hand its settings over."""
    ground = Ground()
    ground.gate.set()
    late, never = object(), object()
    async with asyncio.timeout(5):
        with ground.waves.announced(ENVIRONMENT, late):
            with ground.waves.announced(ENVIRONMENT, never):
                first = ground.join("first")
                async with ground.waves.alone(ENVIRONMENT):
                    await asyncio.sleep(0)
                assert not ground.groups
            second = ground.join("second", late)
            await first
            await second
    assert ground.groups == [["first", "second"]]
