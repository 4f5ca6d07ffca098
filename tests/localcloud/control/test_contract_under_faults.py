"""The railway provider's contract holds while the API throttles, fails and loses answers: the same seed every time."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.cloud import Cloud, running_cloud
from tests.railway.contract import STORIES, Story

pytestmark = [pytest.mark.story, pytest.mark.anyio]
FAULTS = {"error_rate": 0.06, "throttle_rate": 0.03, "lost_answer_rate": 0.06, "delay_ms": 2, "seed": 7}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_cloud(tmp_path_factory.mktemp("home")) as cloud:
        yield cloud


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_contract_is_kept_under_faults(story: Story, cloud: Cloud) -> None:
    """A change that was carried out and whose answer was lost must be found, not made a second time."""
    headers = {"Authorization": f"Bearer {cloud.token}"}
    async with httpx.AsyncClient(base_url=cloud.supabase_url, headers=headers) as client:
        (await client.post("/_local/faults", json={"graphql": FAULTS})).raise_for_status()
        await story(cloud.endpoint, cloud.token)
        (await client.delete("/_local/faults")).raise_for_status()
        left = (await client.get("/_local/status")).json()["services"]
    assert left == [], "something was made twice, and only one of the two was taken away"
