"""The reads, as stories of the shared contract: against the fake and against the local cloud."""

from __future__ import annotations

import uuid
from typing import Any

import grpc.aio
import pytest
from pulumi.runtime.proto import resource_pb2

from infra.provider.properties import from_struct, to_struct
from tests.provider.driving import DEADLINE_S, Driver
from tests.railway.contract import ground_at


async def invoked(driver: Driver, name: str, /, **arguments: Any) -> dict[str, Any]:
    request = resource_pb2.ResourceInvokeRequest(tok=f"railway:index:{name}", args=to_struct(arguments))
    answer = await driver.stub.Invoke(request, timeout=DEADLINE_S)
    return from_struct(getattr(answer, "return"))


async def reads_answer_what_is_there(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        driver = ground.driver
        regions = (await invoked(driver, "getRegions"))["regions"]
        assert "us-west2" in [each["name"] for each in regions]
        name = f"named-{uuid.uuid4().hex[:8]}"
        one = await driver.create("Project", "one", name=name)
        found = await invoked(driver, "getProject", name=name)
        assert (found["id"], found["environments"]) == (one.identity, {"production": one.outputs["defaultEnvironmentId"]})
        two = await driver.create("Project", "two", name=name)
        with pytest.raises(grpc.aio.AioRpcError, match="2 projects are named"):
            await invoked(driver, "getProject", name=name)
        await driver.delete(one)
        await driver.delete(two)
        with pytest.raises(grpc.aio.AioRpcError, match="there is no project named"):
            await invoked(driver, "getProject", name=name)
        _, at = await ground.service(startCommand="valkey-server")
        assert (await invoked(driver, "getLatestDeployment", **at))["id"] == ""
        deployed = await driver.create("Deployment", "d", **at, timeoutS=60)
        latest = await invoked(driver, "getLatestDeployment", **at)
        assert (latest["id"], latest["status"]) == (deployed.outputs["deploymentId"], "SUCCESS")
        usage = (await invoked(driver, "getEstimatedUsage", projectId=at["projectId"]))["usage"]
        assert all(each["projectId"] == at["projectId"] and each["value"] >= 0 for each in usage)
