"""A copied environment runs what the original runs, when that was asked for."""

from __future__ import annotations

import pytest

from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio
CREATE = "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id isEphemeral sourceEnvironment { id } } }"


@pytest.mark.parametrize("is_skipping", [True, False])
async def test_copy_is_deployed_unless_somebody_says_otherwise(cloud: Harness, is_skipping: bool) -> None:
    place, service_id, first = await cloud.web()
    await cloud.service(place, "nothing-to-run")
    wanted = {"projectId": place[0], "name": "copy", "sourceEnvironmentId": place[1], "ephemeral": True}
    made = (await cloud.gql(CREATE, i={**wanted, "skipInitialDeploys": is_skipping}))["environmentCreate"]
    assert (made["isEphemeral"], made["sourceEnvironment"]["id"]) == (True, place[1])
    copies = [found for found in cloud.world.deployments.values() if found.environment_id == made["id"]]
    assert [found.service_id for found in copies] == ([] if is_skipping else [service_id])
    for found in copies:
        await cloud.reached(found.id, "SUCCESS")
    assert cloud.status(first) == "SUCCESS", "the original is not touched"
