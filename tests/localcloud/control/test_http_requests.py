"""Requests as the edges saw them: whose they are, who answered, how long they took."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.plane.interface import LogLine
from infra.localcloud.railway_api.http_requests import percentiles
from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
EUROPE = "europe-west4-drams3a"
BOTH = {"us-west2": {"numReplicas": 1}, EUROPE: {"numReplicas": 1}}
AT_MS = 1_767_225_600_000  # 2026-01-01


def line(host: str, upstream: str, at_s: float = 0, status: int = 200, duration_ms: float = 5.0, path: str = "/x") -> LogLine:
    found = {
        "time_ms": AT_MS + int(at_s * 1000), "request_id": f"r{at_s:g}", "method": "GET", "host": host, "path": path,
        "status": status, "duration_ms": duration_ms, "upstream": upstream, "upstream_region": "us-west2",
        "client": "127.0.0.1",
    }  # fmt: skip
    return LogLine("2026-01-01T00:00:00Z", "stdout", json.dumps(found))


async def served(cloud: Harness) -> tuple[tuple[str, str], str, str, str]:
    """(place, service, deployment, the domain's name) with a replica in two regions."""
    place, service_id, deployment_id = await cloud.web(multiRegionConfig=BOTH)
    made = await cloud.gql(
        "mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { domain } }",
        i={"serviceId": service_id, "environmentId": place[1]},
    )
    domain = made["serviceDomainCreate"]["domain"]
    await cloud.until(lambda: any(route.domain == domain for route in cloud.plane.routes.get(EUROPE, [])))
    return place, service_id, deployment_id, domain


FIELDS = "requestId httpStatus edgeRegion deploymentInstanceId totalDuration timestamp host"


async def logs(cloud: Harness, deployment_id: str, fields: str = FIELDS, **more: Any) -> list[dict[str, Any]]:
    """`more`: the arguments of httpLogs."""
    types = {name: "Int" if name in ("limit", "beforeLimit", "afterLimit") else "String" for name in more}
    declared = "".join(f", ${name}: {kind}" for name, kind in types.items())
    used = "".join(f", {name}: ${name}" for name in more)
    query = f"query ($i: String!{declared}) {{ httpLogs(deploymentId: $i{used}) {{ {fields} }} }}"
    found: list[dict[str, Any]] = (await cloud.gql(query, i=deployment_id, **more))["httpLogs"]
    return found


async def test_a_request_belongs_to_the_replica_that_answered_it_wherever_the_edge_is(cloud: Harness) -> None:
    _, _, deployment_id, domain = await served(cloud)
    west, europe = cloud.world.deployments[deployment_id].replicas
    near = cloud.plane.seen_from("us-west2", europe.address)
    far_edge = next(route for route in cloud.plane.routes[EUROPE] if route.domain == domain)
    cloud.plane.lines["edge-us-west2"] = [
        line(domain, f"{west.address}:8080", 1, duration_ms=1.4),
        line(domain, f"{near}:8080", 3, status=500),
        line("somebody-else:80", f"{west.address}:8080", 4),
        line(domain, "127.99.9.9:8080", 5),
        LogLine("", "stderr", "no JSON"),
    ]
    cloud.plane.lines[f"edge-{EUROPE}"] = [line(f"{far_edge.address}:{far_edge.port}", f"{europe.address}:8080", 2)]
    found = await logs(cloud, deployment_id)
    assert [(one["requestId"], one["edgeRegion"], one["deploymentInstanceId"]) for one in found] == [
        ("r1", "us-west2", west.key),
        ("r2", EUROPE, europe.key),
        ("r3", "us-west2", europe.key),
    ]
    assert (found[0]["totalDuration"], found[0]["timestamp"]) == (1, "2026-01-01T00:00:01.000Z")
    assert [one["requestId"] for one in await logs(cloud, deployment_id, filter="@httpStatus:>=500")] == ["r3"]
    assert [one["requestId"] for one in await logs(cloud, deployment_id, limit=1)] == ["r3"]


async def test_a_line_tells_all_that_the_edge_saw(cloud: Harness) -> None:
    """An edge of an earlier version wrote less: its lines are shown with what they have."""
    _, _, deployment_id, domain = await served(cloud)
    upstream = f"{cloud.world.deployments[deployment_id].replicas[0].address}:8080"
    more = {"upstream_ms": 2.6, "received_bytes": 70, "sent_bytes": 2**40, "user_agent": "curl/8", "protocol": "HTTP/1.0"}
    old = line(domain, upstream, 1)
    cloud.plane.lines["edge-us-west2"] = [
        old,
        dataclasses.replace(old, text=json.dumps({**json.loads(old.text), **more})),
        dataclasses.replace(old, text=json.dumps({**json.loads(old.text), "upstream_error": "connection failure"})),
    ]
    fields = "clientUa rxBytes txBytes downstreamProto upstreamProto upstreamRqDuration upstreamErrors responseDetails"
    before, found, failed = await logs(cloud, deployment_id, fields)
    assert (before["clientUa"], before["rxBytes"]) == ("", 0)
    assert found == {
        "clientUa": "curl/8", "rxBytes": 70, "txBytes": 2**31 - 1, "downstreamProto": "HTTP/1.0", "upstreamProto": "HTTP/1.1",
        "upstreamRqDuration": 3, "upstreamErrors": "", "responseDetails": "",
    }  # fmt: skip
    assert (failed["upstreamErrors"], failed["responseDetails"]) == ("connection failure", "no answer of the replica")


def at(second: float) -> str:
    return f"2026-01-01T00:00:0{second:g}Z"


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"beforeLimit": 2}, [4, 5]),
        ({"beforeDate": at(3)}, [3, 4, 5]),
        ({"anchorDate": at(3)}, [1, 2, 3]),
        ({"anchorDate": at(3), "beforeDate": at(2), "beforeLimit": 5}, [2, 3]),
        ({"anchorDate": at(2.5), "afterLimit": 2, "beforeLimit": 1}, [2, 3, 4]),
        ({"anchorDate": "2026-01-01T00:00:03.123456789Z", "afterDate": at(4), "beforeLimit": 1}, [3, 4]),
        ({"anchorDate": at(2), "afterLimit": 2}, [3, 4]),
        ({"anchorDate": at(2), "afterDate": at(9), "beforeDate": at(2)}, [2, 3, 4, 5]),
        ({"afterDate": at(2)}, [1, 2]),
    ],
)
async def test_lines_are_asked_for_around_a_moment(cloud: Harness, asked: dict[str, Any], seconds: list[int]) -> None:
    """Railway's own CLI asks with `beforeDate` for --since and `anchorDate` for --until."""
    _, _, deployment_id, domain = await served(cloud)
    upstream = f"{cloud.world.deployments[deployment_id].replicas[0].address}:8080"
    cloud.plane.lines["edge-us-west2"] = [line(domain, upstream, second) for second in range(1, 6)]
    assert [one["requestId"] for one in await logs(cloud, deployment_id, **asked)] == [f"r{second}" for second in seconds]
    with pytest.raises(ApiError, match="anchorDate"):
        await logs(cloud, deployment_id, anchorDate="yesterday")


async def test_durations_are_percentiles_per_step(cloud: Harness) -> None:
    place, service_id, _, domain = await served(cloud)
    lines = [line(domain, "u:1", 0.1 * number, duration_ms=number) for number in range(1, 101)]
    cloud.plane.lines["edge-us-west2"] = [*lines, line(domain, "u:1", 70, duration_ms=7, path="/y")]
    query = """query ($e: String!, $s: String!, $p: String, $step: Int) {
        httpDurationMetrics(environmentId: $e, serviceId: $s, path: $p, stepSeconds: $step,
            startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-01T01:00:00Z") { samples { ts p50 p90 p95 p99 } } }"""

    async def samples(**more: Any) -> list[dict[str, float]]:
        found = await cloud.gql(query, e=place[1], s=service_id, **more)
        result: list[dict[str, float]] = found["httpDurationMetrics"]["samples"]
        return result

    at = AT_MS // 1000
    assert await samples() == [
        {"ts": at, "p50": 50, "p90": 90, "p95": 95, "p99": 99},
        {"ts": at + 60, "p50": 7, "p90": 7, "p95": 7, "p99": 7},
    ]
    assert [one["ts"] for one in await samples(p="/y", step=10)] == [at + 70]
    with pytest.raises(ApiError, match="stepSeconds"):
        await samples(step=0)


async def test_requests_are_counted_by_their_status(cloud: Harness) -> None:
    place, service_id, _, domain = await served(cloud)
    found = [line(domain, "u:1", 1), line(domain, "u:1", 2), line(domain, "u:1", 70), line(domain, "u:1", 3, status=502)]
    cloud.plane.lines["edge-us-west2"] = [*found, line("somebody-else:80", "u:1", 4)]
    query = """query ($e: String!, $s: String!, $m: String) {
        httpMetricsGroupedByStatus(environmentId: $e, serviceId: $s, method: $m,
            startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-01T01:00:00Z") { statusCode samples { ts value } } }"""
    at = AT_MS // 1000
    assert (await cloud.gql(query, e=place[1], s=service_id))["httpMetricsGroupedByStatus"] == [
        {"statusCode": 200, "samples": [{"ts": at, "value": 2.0}, {"ts": at + 60, "value": 1.0}]},
        {"statusCode": 502, "samples": [{"ts": at, "value": 1.0}]},
    ]
    assert (await cloud.gql(query, e=place[1], s=service_id, m="POST"))["httpMetricsGroupedByStatus"] == []


async def test_an_environments_logs_hold_all_its_services(cloud: Harness) -> None:
    place, _, _ = await cloud.web()
    query = "query ($e: String!, $f: String) { environmentLogs(environmentId: $e, filter: $f) { message } }"
    (key,) = cloud.plane.running
    assert [one["message"] for one in (await cloud.gql(query, e=place[1]))["environmentLogs"]] == [f"hello from {key}"]
    assert (await cloud.gql(query, e=place[1], f="nothing"))["environmentLogs"] == []
    with pytest.raises(ApiError, match="Environment not found"):
        await cloud.gql(query, e="00000000-0000-4000-8000-000000000000")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_durations_that_occurred_in_their_order(durations: list[float]) -> None:
    found = percentiles(durations)
    assert set(found.values()) <= set(durations)
    assert found["p50"] <= found["p90"] <= found["p95"] <= found["p99"] <= max(durations)
    assert sum(one <= found["p90"] for one in durations) >= 0.9 * len(durations)
