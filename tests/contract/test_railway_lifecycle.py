"""The laws of every resource's life, against the local cloud."""

from __future__ import annotations

import pytest

from tests.contract.cloud import Cloud
from tests.railway.lifecycle import CASES, Case, whole_life

pytestmark = [pytest.mark.story, pytest.mark.anyio]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_resource_lives_on_the_local_cloud(case: Case, cloud: Cloud) -> None:
    await whole_life(cloud.endpoint, cloud.token, case)
