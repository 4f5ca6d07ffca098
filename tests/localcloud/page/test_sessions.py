"""The page opens with a link that works once, and what it opens is less than the account's token does."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.page.serving import FILES, STATIC
from infra.localcloud.page.sessions import CODE_LIFE_S, SESSION_LIFE_S, SESSIONS_MAX, Sessions
from infra.localcloud.page.traffic import traffic_of
from infra.localcloud.railway_api.principal import Principal
from tests.localcloud.control.harness import Harness, running

anyio = pytest.mark.anyio
OWNER = Principal(api_token_id="one")


@pytest.fixture
async def cloud(tmp_path: Path):
    async with running(tmp_path) as harness:
        yield harness


def test_a_code_works_once_and_not_for_ever() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    code, late = sessions.new_code(OWNER), sessions.new_code(OWNER)
    session = sessions.exchange(code)
    assert session is not None
    assert sessions.owner(session) == OWNER
    assert sessions.exchange(code) is None
    now[0] += CODE_LIFE_S + 1
    assert sessions.exchange(late) is None
    assert sessions.owner(session) == OWNER
    now[0] += SESSION_LIFE_S
    assert sessions.owner(session) is None


@pytest.mark.parametrize("wrong", ["", "x", "é" * 100])
def test_what_was_not_given_out_opens_nothing(wrong: str) -> None:
    sessions = Sessions()
    sessions.new_code(OWNER)
    assert (sessions.exchange(wrong), sessions.owner(wrong)) == (None, None)


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    opened = [sessions.exchange(sessions.new_code(OWNER)) or "" for _ in range(SESSIONS_MAX + 1)]
    assert [sessions.owner(one) for one in (opened[0], opened[1], opened[-1])] == [None, OWNER, OWNER]


async def _session(cloud: Harness, token: dict[str, str] | None = None) -> dict[str, str]:
    link = (await cloud.client.post("/_local/page", headers=token)).json()["url"]
    address, _, code = link.partition("#")
    assert address == "http://127.0.0.1:8700/page/"
    answer = await cloud.client.post("/page/session", json={"code": code}, headers={"Authorization": ""})
    return {"Authorization": f"Bearer {answer.json()['session']}"}


@anyio
async def test_a_session_shows_and_switches_but_is_no_account(cloud: Harness) -> None:
    headers = await _session(cloud)
    assert (await cloud.client.get("/_local/state", headers=headers)).status_code == 200
    assert (await cloud.client.post("/_local/links", json={"rtt_ms": 5}, headers=headers)).status_code == 200
    for path in ("/_local/page", "/_local/shutdown", "/_local/reset", "/_local/databases/restore"):
        assert (await cloud.client.post(path, json={}, headers=headers)).status_code == 401, path
    asked = await cloud.client.post("/graphql/v2", json={"query": "{ me { id } }"}, headers=headers)
    assert asked.json()["errors"][0]["message"] == "Not Authorized"
    assert (await cloud.client.get("/v1/projects", headers=headers)).status_code == 401


@anyio
async def test_a_session_ends_with_the_token_that_let_it_in(cloud: Harness) -> None:
    """Who deletes a token that got into wrong hands must not leave its page open until the evening."""
    token = (await cloud.gql('mutation { apiTokenCreate(input: {name: "lent"}) }'))["apiTokenCreate"]
    lent, own = await _session(cloud, {"Authorization": f"Bearer {token}"}), await _session(cloud)
    assert (await cloud.client.get("/_local/state", headers=lent)).status_code == 200
    (found,) = (await cloud.gql("{ apiTokens { edges { node { id } } } }"))["apiTokens"]["edges"]
    await cloud.gql("mutation ($i: String!) { apiTokenDelete(id: $i) }", i=found["node"]["id"])
    assert (await cloud.client.get("/_local/state", headers=lent)).status_code == 401
    assert (await cloud.client.get("/_local/state", headers=own)).status_code == 200


@anyio
@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.example:8700", "localhost.example", "10.0.0.1", "", "[::2]:80"])
async def test_a_name_that_was_made_to_lead_here_gets_no_page(cloud: Harness, host: str) -> None:
    """DNS rebinding: another site's name resolves to 127.0.0.1, and the browser takes this page for a part of that site."""
    session = await _session(cloud)
    for path in ("/page/", "/page/page.js", "/_local/state", "/_local/status"):
        assert (await cloud.client.get(path, headers={**session, "Host": host})).status_code == 421, path
    assert (await cloud.client.post("/page/session", json={"code": "x"}, headers={"Host": host})).status_code == 421
    asked = await cloud.client.post("/graphql/v2", json={"query": "{ me { id } }"}, headers={"Host": host})
    assert "errors" not in asked.json(), "clients come through proxies that keep the name"


@anyio
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8700", "127.0.0.1:8700", "127.99.0.1", "[::1]:8700"])
async def test_the_names_of_this_machine_get_it(cloud: Harness, host: str) -> None:
    assert (await cloud.client.get("/page/", headers={"Host": host})).status_code == 200


@anyio
@pytest.mark.parametrize(
    "headers", [{"Authorization": ""}, {"Authorization": "Bearer x"}, {"Cookie": "session=x", "Authorization": ""}]
)
async def test_without_a_session_the_page_knows_nothing(cloud: Harness, headers: dict[str, str]) -> None:
    for path in ("/_local/state", "/_local/logs?name=x", "/_local/databases/backups"):
        assert (await cloud.client.get(path, headers=headers)).status_code == 401
    assert (await cloud.client.post("/page/session", json={"code": "x"}, headers=headers)).status_code == 401
    assert (await cloud.client.post("/page/session", content=b"{", headers=headers)).status_code == 400


@anyio
async def test_every_file_is_served_and_may_load_nothing_from_elsewhere(cloud: Harness) -> None:
    for name, (file, kind) in FILES.items():
        answer = await cloud.client.get(f"/page/{name}", headers={"Authorization": ""})
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "set-cookie" not in answer.headers
        text = (STATIC / file).read_text(encoding="utf-8")
        assert "https://" not in text
        assert text.count("http://") == text.count("http://www.w3.org/2000/svg"), "a namespace is no address"
        assert not any(word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"))
    assert {path.name for path in STATIC.iterdir()} == {file for file, _ in FILES.values()}
    for missing in ("/page/nothing", "/page/..%2fserving.py", "/page/%2e%2e/app.py"):
        assert (await cloud.client.get(missing)).status_code == 404


@anyio
async def test_state_and_logs_show_what_runs(cloud: Harness) -> None:
    _, _, deployment_id = await cloud.web()
    state = (await cloud.client.get("/_local/state")).json()
    assert [(found["id"], found["status"], found["service"]) for found in state["deployments"]] == [
        (deployment_id, "SUCCESS", "web")
    ]
    (key,) = cloud.plane.running
    logs = (await cloud.client.get("/_local/logs", params={"name": "web"})).json()
    assert (logs["name"], logs["lines"][0][2]) == ("demo/production/web/us-west2/1", f"hello from {key}")
    build = (await cloud.client.get("/_local/logs", params={"name": deployment_id})).json()
    assert build["lines"][0][2].startswith("building sha256:")
    assert (await cloud.client.get("/_local/logs", params={"name": "nothing"})).status_code == 404


def test_traffic_counts_what_was_left_out_and_forgets_what_is_old() -> None:
    def line(time_ms: int, status: int, duration_ms: float, skipped: int = 0) -> AccessLine:
        return AccessLine(time_ms, "r", "GET", "h", "/p", status, duration_ms, "u", "us-west2", "c", skipped)

    lines = [line(1, 500, 9.0), line(100_000, 200, 1.0, 40), line(100_001, 502, 3.0)]
    found = traffic_of(lines, 100_500)
    assert (found["requests"], found["failures"], found["p50_ms"], found["p95_ms"]) == (42, 1, 3.0, 3.0)
    assert [one["status"] for one in found["recent"]] == [502, 200]
    assert traffic_of([], 0)["p50_ms"] is None


def test_traffic_says_how_far_its_lines_reach_back() -> None:
    """A busy edge writes more lines in a minute than the page reads: the rest must not look like silence."""
    lines = [AccessLine(at, "r", "GET", "h", "/p", 200, 1.0, "u", "us-west2", "c") for at in (98_000, 99_000, 100_000)]
    assert traffic_of(lines, 100_000, is_all=False)["window_s"] == 2.0
    assert traffic_of(lines, 100_000)["window_s"] == traffic_of(lines, 158_500, is_all=False)["window_s"] == 60
