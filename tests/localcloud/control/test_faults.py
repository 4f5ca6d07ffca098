"""Faults and limits: off until switched on, in Railway's shapes, the same for the same seed, and off again by one call."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.localcloud.railway_api.faults import Faults, FaultSettings, GraphQLFaults, RateLimit
from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio
ME = {"query": "{ me { id } }"}
CREATE = {"query": 'mutation { projectCreate(input: {name: "x"}) { id } }'}


async def switch(cloud: Harness, **settings: Any) -> None:
    response = await cloud.client.post("/_local/faults", json=settings)
    assert response.status_code == 200, response.text


async def ask(cloud: Harness, body: dict[str, str] = ME) -> httpx.Response:
    return await cloud.client.post("/graphql/v2", json=body)


async def test_an_error_says_nothing_but_its_trace_and_does_nothing(cloud: Harness) -> None:
    await switch(cloud, graphql={"error_rate": 1})
    response = await ask(cloud, CREATE)
    body = response.json()
    assert (response.status_code, body["data"], body["errors"][0]["message"]) == (200, None, "Problem processing request")
    assert body["traceId"]
    assert cloud.world.projects == {}


async def test_a_throttle_is_429_but_for_new_projects(cloud: Harness) -> None:
    await switch(cloud, graphql={"throttle_rate": 1})
    response = await ask(cloud)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    response = await ask(cloud, CREATE)
    assert (response.status_code, "retry-after" in response.headers) == (200, False)
    assert "creating projects too quickly" in response.json()["errors"][0]["message"]


async def test_a_lost_answer_comes_after_the_change(cloud: Harness) -> None:
    """httpx's in-process transport notices the missing end by an assertion; over a socket the connection breaks."""
    await switch(cloud, graphql={"lost_answer_rate": 1})
    with pytest.raises(AssertionError):
        await ask(cloud, CREATE)
    assert len(cloud.world.projects) == 1


async def test_the_limit_of_a_token_shows_in_the_headers_and_then_refuses(cloud: Harness) -> None:
    assert "x-ratelimit-limit" not in (await ask(cloud)).headers
    await switch(cloud, rate_limit={"requests_per_hour": 2})
    responses = [await ask(cloud) for _ in range(3)]
    assert [response.headers["x-ratelimit-remaining"] for response in responses] == ["1", "0", "0"]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert 3500 < int(responses[2].headers["retry-after"]) <= 3600
    await switch(cloud, rate_limit={"projects_per_minute": 1})
    assert "errors" not in (await ask(cloud, CREATE)).json()
    assert "too quickly" in (await ask(cloud, CREATE)).json()["errors"][0]["message"]
    assert "errors" not in (await ask(cloud)).json()


def test_a_window_ends() -> None:
    faults = Faults()
    faults.set(FaultSettings(rate_limit=RateLimit(requests_per_second=2)))
    refused = [faults.limited("account", False, now) is not None for now in (0.0, 0.1, 0.2, 0.9, 1.0, 1.1, 1.2)]
    assert refused == [False, False, True, True, False, False, True]
    assert faults.limited("another", False, 1.2) is None


def test_the_same_seed_tells_the_same_story() -> None:
    def story(seed: int) -> list[str | None]:
        faults = Faults()
        faults.set(FaultSettings(GraphQLFaults(0.2, 0.2, 0.2, seed=seed)))
        return [faults.next_fault() for _ in range(200)]

    assert story(1) == story(1) != story(2)
    assert {story(1).count(kind) > 20 for kind in ("error", "throttle", "lost", None)} == {True}


async def test_a_replica_can_be_paused_and_one_call_ends_all_faults(cloud: Harness) -> None:
    await cloud.web()
    (key,) = cloud.plane.running
    for action in ("pause", "kill"):
        response = await cloud.client.post("/_local/faults/processes", json={"key": key, "action": action})
        assert response.status_code == 200, response.text
    assert cloud.plane.calls[-2:] == [f"SIGSTOP {key}", f"SIGKILL {key}"]
    await switch(cloud, graphql={"error_rate": 1})
    ended = await cloud.client.delete("/_local/faults")
    assert ended.json() == (await cloud.client.get("/_local/faults")).json()
    assert cloud.plane.calls[-1] == f"SIGCONT {key}"
    assert (await ask(cloud)).json()["data"]["me"]


async def test_a_standby_can_be_made_to_lag(cloud: Harness) -> None:
    new = {"name": "demo", "organization_id": "org", "db_pass": "password", "region": "us-west-1"}
    ref = (await cloud.client.post("/v1/projects", json=new)).json()["ref"]
    await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_HEALTHY")
    await cloud.client.post(f"/v1/projects/{ref}/read-replicas/setup", json={"read_replica_region": "eu-central-1"})
    await cloud.until(lambda: cloud.world.supabase[ref].replicas[0].is_ready)
    asked = {"identifier": cloud.world.supabase[ref].replicas[0].identifier, "replay_delay_ms": 500}
    assert (await cloud.client.post("/_local/faults/standbys", json=asked)).status_code == 200
    assert (await cloud.client.delete("/_local/faults")).status_code == 200
    assert [call for call in cloud.plane.calls if call.startswith("replay")] == ["replay_delay 500", "replay_delay 0"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"graphql": {"error_rate": 2}}, 400),
        ("", {"graphql": {"error_rate": 0.6, "throttle_rate": 0.6}}, 400),
        ("", {"graphql": {"delay_ms": -1}}, 400),
        ("", {"graphql": {"nonsense": 1}}, 400),
        ("", {"rate_limit": {"requests_per_second": 0}}, 400),
        ("/processes", {"key": "nothing", "action": "kill"}, 404),
        ("/processes", {"key": "nothing", "action": "explode"}, 400),
        ("/standbys", {"identifier": "nothing", "replay_delay_ms": 1}, 404),
        ("/standbys", {"identifier": "nothing", "replay_delay_ms": -1}, 400),
    ],
)
async def test_a_wrong_fault_is_refused(cloud: Harness, path: str, body: object, status: int) -> None:
    assert (await cloud.client.post(f"/_local/faults{path}", json=body)).status_code == status
    assert (await cloud.client.post(f"/_local/faults{path}", json=body, headers={"Authorization": ""})).status_code == 401
