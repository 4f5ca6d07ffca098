"""The shared contract, against the local cloud's own PostgreSQL servers."""

from __future__ import annotations

import pytest

from tests.contract.cloud import Cloud
from tests.supabase.contract import STORIES, Story

pytestmark = [pytest.mark.story, pytest.mark.anyio]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_local_cloud_keeps_the_contract(story: Story, cloud: Cloud) -> None:
    await story(cloud.supabase_url, cloud.token, "http://{database_host}:8000")
