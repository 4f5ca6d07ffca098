"""The shared contract, against the local cloud's own processes: the fake and the cloud must agree where it counts."""

from __future__ import annotations

import pytest

from tests.contract.cloud import Cloud
from tests.railway.contract import STORIES, Story
from tests.railway.reads import reads_answer_what_is_there

pytestmark = [pytest.mark.story, pytest.mark.anyio]


@pytest.mark.parametrize("story", [*STORIES, reads_answer_what_is_there], ids=lambda story: story.__name__)
async def test_local_cloud_keeps_the_contract(story: Story, cloud: Cloud) -> None:
    await story(cloud.endpoint, cloud.token)
