"""A provider in this process, wired to the fake Railway in this process, both over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from infra.railway.provider import RailwayProvider
from tests.provider.driving import Driver, driven
from tests.provider.serving import served
from tests.railway.fake import TOKEN, FakeRailway


@pytest.fixture
async def fake() -> FakeRailway:
    return FakeRailway()


@pytest.fixture
async def driver(fake: FakeRailway) -> AsyncIterator[Driver]:
    async with served(fake.app) as address, driven(RailwayProvider()) as driver:
        await driver.configure(endpoint=f"{address}/graphql/v2", token=TOKEN)
        yield driver
