"""The shared contract, against the fake. tests/contract runs it against the local cloud."""

from __future__ import annotations

import pytest

from tests.provider.serving import served
from tests.railway.contract import STORIES, Story
from tests.railway.fake import TOKEN, FakeRailway
from tests.railway.reads import reads_answer_what_is_there


@pytest.mark.anyio
@pytest.mark.parametrize("story", [*STORIES, reads_answer_what_is_there], ids=lambda story: story.__name__)
async def test_fake_keeps_the_contract(story: Story) -> None:
    async with served(FakeRailway().app) as address:
        await story(f"{address}/graphql/v2", TOKEN)
