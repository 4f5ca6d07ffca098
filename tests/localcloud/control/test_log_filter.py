"""Railway's log filter: what passes, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.railway_api.log_filter import log_filter
from infra.localcloud.world.errors import BadInput
from tests.localcloud.control.harness import ApiError, Harness

LINE = {
    "message": "Connection refused by (cache) at 10:00",
    "attributes": [
        {"key": "level", "value": "error"},
        {"key": "region", "value": "us-west2"},
        {"key": "httpStatus", "value": 404},
    ],
    "tags": {"deploymentInstanceId": "web-1", "serviceId": "s", "deploymentId": "d"},
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (None, True),
        ("  ", True),
        ("refused", True),
        ("REFUSED", True),
        ("accepted", False),
        ('"connection refused"', True),
        ('"refused connection"', False),
        ("connection refused", True),
        ("connection accepted", False),
        ("accepted OR refused", True),
        ("accepted AND refused", False),
        ("refused AND (accepted OR cache)", True),
        ("accepted OR refused AND nothing", False),
        ("(accepted OR refused) AND nothing", False),
        ("@level:error", True),
        ("@level:info", False),
        ('@level:"error"', True),
        ("-@level:info", True),
        ("-refused", False),
        ("NOT accepted", True),
        ("NOT (accepted OR refused)", False),
        ("@replica:web-1 @region:us-west2", True),
        ("@replica:web-2", False),
        ("@service:s AND @deployment:d", True),
        ("@nothing:x", False),
        ("@httpStatus:404", True),
        ("@httpStatus:>=404", True),
        ("@httpStatus:>404", False),
        ("@httpStatus:<=403.5", False),
        ("@httpStatus:<500", True),
        ("@httpStatus:400..499", True),
        ("@httpStatus:500..599", False),
        ("@level:>=1", False),
        ("-@httpStatus:>=500 @level:error", True),
        ('"(cache)"', True),
        ("10:00", True),
    ],
)
def test_what_passes(text: str | None, passes: bool) -> None:
    assert log_filter(text)(LINE) is passes


@pytest.mark.parametrize(
    "text", ["(", ")", "(a", "a)", "AND", "a OR", "a AND", '"open', "NOT", "-(", "x" * 1001, "(" * 50 + "a" + ")" * 50]
)
def test_what_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(BadInput, match="filter: "):
        log_filter(text)


@given(st.text(alphabet='ab()"-@: ANDORT\\', max_size=40))
def test_any_text_is_a_filter_or_a_mistake(text: str) -> None:
    try:
        passes: Any = log_filter(text)(LINE)
    except BadInput:
        return
    assert passes in (True, False)


@given(st.text(alphabet='abc ()-"@:\\ANDOR', min_size=1, max_size=20))
def test_a_quoted_text_finds_itself(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert log_filter(f'"{quoted}"')({**LINE, "message": f"before {text} after"})


@pytest.mark.anyio
async def test_logs_are_filtered_before_they_are_cut(cloud: Harness) -> None:
    _, _, deployment_id = await cloud.web()
    (key,) = cloud.plane.running
    query = """query ($i: String!, $f: String) {
        deploymentLogs(deploymentId: $i, filter: $f, limit: 1) { message }
        buildLogs(deploymentId: $i, filter: $f, limit: 1) { message } }"""
    found = await cloud.gql(query, i=deployment_id, f="@level:info AND (hello OR building)")
    assert [line["message"] for line in found["deploymentLogs"]] == [f"hello from {key}"]
    assert [line["message"].split()[0] for line in found["buildLogs"]] == ["building"]
    assert await cloud.gql(query, i=deployment_id, f="-@level:info") == {"deploymentLogs": [], "buildLogs": []}
    with pytest.raises(ApiError, match="filter: expected"):
        await cloud.gql(query, i=deployment_id, f="(")
