"""The shared contract, against the fake. tests/contract runs it against the local cloud."""

from __future__ import annotations

import pytest

from tests.provider.serving import served
from tests.supabase.contract import STORIES, Story
from tests.supabase.fake import TOKEN, FakeSupabase


@pytest.mark.anyio
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_fake_keeps_the_contract(story: Story) -> None:
    async with served(FakeSupabase().app) as address:
        await story(address, TOKEN, "https://{ref}.supabase.co")
