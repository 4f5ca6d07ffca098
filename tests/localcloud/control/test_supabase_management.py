"""The Management API: from POST to two databases and back to nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from infra.localcloud.supabase_management import keys
from infra.localcloud.world.supabase import SetSupabaseStatus
from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio
NEW = {"name": "demo", "organization_id": "org", "db_pass": "p@ss/word", "region": "us-west-1"}


async def make(cloud: Harness, **more: Any) -> dict[str, Any]:
    response = await cloud.client.post("/v1/projects", json={**NEW, **more})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    await cloud.until(lambda: cloud.world.supabase[made["ref"]].status == "ACTIVE_HEALTHY")
    return made


async def get(cloud: Harness, path: str) -> Any:
    response = await cloud.client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_project_comes_up_with_a_database_and_a_gateway_on_one_address(cloud: Harness):
    made = await make(cloud)
    assert made["status"] == "COMING_UP"
    found = await get(cloud, f"/v1/projects/{made['ref']}")
    assert found["status"] == "ACTIVE_HEALTHY"
    assert [one["ref"] for one in await get(cloud, "/v1/projects")] == [made["ref"]]
    (database,) = cloud.plane.databases.values()
    assert (database.region, database.address, database.password) == ("us-west2", found["database"]["host"], "p@ss/word")
    (gateway,) = cloud.plane.gateways.values()
    assert gateway["HOST"] == database.address
    assert gateway["DATABASE_URL"] == f"postgresql://postgres:p%40ss%2Fword@{database.address}:5432/postgres"
    assert gateway["EXTERNAL_URL"] == f"http://{database.address}:8000"
    health = await get(cloud, f"/v1/projects/{made['ref']}/health?services=auth,db")
    assert [(one["name"], one["healthy"]) for one in health] == [("auth", True), ("db", True)]


async def test_keys_are_signed_with_the_projects_own_secret(cloud: Harness):
    made, other = await make(cloud), await make(cloud)
    keys = {one["name"]: one["api_key"] for one in await get(cloud, f"/v1/projects/{made['ref']}/api-keys?reveal=true")}
    secret = OctKey.import_key(cloud.world.supabase[made["ref"]].jwt_secret)
    for name in ("anon", "service_role"):
        claims = jwt.decode(keys[name], secret, algorithms=["HS256"]).claims
        assert (claims["role"], claims["ref"], claims["iss"]) == (name, made["ref"], "supabase")
    assert cloud.world.supabase[other["ref"]].jwt_secret != cloud.world.supabase[made["ref"]].jwt_secret
    hidden = await get(cloud, f"/v1/projects/{made['ref']}/api-keys")
    assert all(one["api_key"] is None for one in hidden)


async def test_read_replica_appears_and_goes(cloud: Harness):
    ref = (await make(cloud))["ref"]
    path = f"/v1/projects/{ref}"
    response = await cloud.client.post(f"{path}/read-replicas/setup", json={"read_replica_region": "eu-central-1"})
    assert response.status_code == 201
    await cloud.until(lambda: cloud.world.supabase[ref].replicas[0].is_ready)
    primary, standby = await get(cloud, f"{path}/config/database/pooler")
    assert (primary["database_type"], standby["database_type"]) == ("PRIMARY", "READ_REPLICA")
    spec = cloud.plane.databases[f"db-{standby['identifier']}"]
    assert (spec.region, spec.address, spec.primary_key) == ("europe-west4-drams3a", standby["db_host"], f"db-{ref}")
    gone = await cloud.client.post(f"{path}/read-replicas/remove", json={"database_identifier": standby["identifier"]})
    assert gone.status_code == 201
    await cloud.until(lambda: not cloud.world.endings)
    assert len(cloud.plane.databases) == 1


async def test_new_password_reaches_role_and_gateway_once(cloud: Harness):
    """A gateway that kept the old password could not connect again; setting the same password twice restarts nothing."""
    ref = (await make(cloud))["ref"]
    path = f"/v1/projects/{ref}"
    restarts = []
    stop = cloud.plane.stop

    async def recorded(key: str) -> None:
        restarts.append(key)
        await stop(key)

    cloud.plane.stop = recorded  # type: ignore[method-assign]
    for _ in range(2):
        response = await cloud.client.patch(f"{path}/database/password", json={"password": "n&/word"})
        assert response.status_code == 200, response.text
        await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_HEALTHY")
    assert cloud.plane.databases[f"db-{ref}"].password == "n&/word"
    assert cloud.plane.gateways[f"api-{ref}"]["DATABASE_URL"].startswith("postgresql://postgres:n%26%2Fword@")
    assert restarts == [f"api-{ref}"]
    assert (await cloud.client.patch(f"{path}/database/password", json={"password": "abc"})).status_code == 400
    assert (await cloud.client.patch("/v1/projects/none/database/password", json={"password": "abcd"})).status_code == 404


async def test_a_password_that_could_not_be_set_can_be_set_again(cloud: Harness):
    """The same one too: the provider repeats what failed, and a second try must not be taken for done."""
    ref = (await make(cloud))["ref"]
    await cloud.keeper.apply(SetSupabaseStatus(ref, "ACTIVE_UNHEALTHY"))
    response = await cloud.client.patch(f"/v1/projects/{ref}/database/password", json={"password": NEW["db_pass"]})
    assert response.status_code == 200
    await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_HEALTHY")


async def test_project_can_be_renamed(cloud: Harness):
    ref = (await make(cloud))["ref"]
    assert (await cloud.client.patch(f"/v1/projects/{ref}", json={"name": "other"})).status_code == 200
    assert (await get(cloud, f"/v1/projects/{ref}"))["name"] == "other"
    assert (await cloud.client.patch(f"/v1/projects/{ref}", json={"name": ""})).status_code == 400


async def test_deleted_project_leaves_no_process_address_or_file(cloud: Harness):
    ref = (await make(cloud))["ref"]
    assert (cloud.directory / "supabase" / ref).is_dir()
    assert (await cloud.client.delete(f"/v1/projects/{ref}")).status_code == 200
    assert (await cloud.client.get(f"/v1/projects/{ref}")).status_code == 404
    await cloud.until(lambda: not cloud.world.endings)
    assert (cloud.plane.databases, cloud.plane.gateways) == ({}, {})
    assert set(cloud.plane.owners) == {"mail"}, "the sink of mails is the cloud's own and outlives projects"
    assert not (cloud.directory / "supabase" / ref).exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**NEW, "region": "mars-1"}, "no counterpart"),
        ({**NEW, "db_pass": "x"}, "db_pass: expected 4 to 1024"),
        ({**NEW, "name": ""}, "name: expected 1 to"),
        ({"name": "x"}, "Invalid request body"),
        ([], "Invalid request body"),
    ],
)
async def test_wrong_project_is_refused_without_its_password(cloud: Harness, body: object, message: str):
    response = await cloud.client.post("/v1/projects", json=body)
    assert response.status_code == 400
    assert message in response.json()["message"]
    assert "p@ss" not in response.text
    assert cloud.plane.owners == {}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_without_the_token_nothing_is_said(cloud: Harness, method: str):
    for path in ("/v1/projects", "/v1/projects/abc", "/_local/status", "/_local/shutdown", "/_local/reset", "/_local/links"):
        response: httpx.Response = await cloud.client.request(method, path, headers={"Authorization": "Bearer wrong"})
        assert response.status_code in (401, 405)
    assert cloud.stopped == []


async def test_reset_ends_everything(cloud: Harness):
    await cloud.web()
    await make(cloud)
    assert (await cloud.client.post("/_local/reset")).status_code == 200
    await cloud.until(lambda: not cloud.world.endings)
    assert (cloud.plane.running, cloud.plane.databases) == ({}, {})
    assert set(cloud.plane.owners) == {"mail"}
    status = await get(cloud, "/_local/status")
    assert (status["services"], status["replicas"], status["databases"]) == ([], [], [])


async def test_status_shows_replicas_with_their_place_and_release(cloud: Harness):
    _, service_id, deployment_id = await cloud.web()
    (replica,) = (await get(cloud, "/_local/status"))["replicas"]
    expected = {
        "service": "web",
        "service_id": service_id,
        "region": "us-west2",
        "status": "RUNNING",
        "deployment_id": deployment_id,
    }
    assert expected.items() <= replica.items()
    assert replica["release"].startswith("sha256:")
    assert replica["url"].startswith("http://127.99.1.")


async def test_shutdown_is_handed_on(cloud: Harness):
    assert (await cloud.client.post("/_local/shutdown")).status_code == 200
    assert cloud.stopped == [True]


def test_an_api_key_is_a_token_that_a_jose_library_accepts():
    key = keys.api_key("anon", "abc", "a-secret-that-is-long-enough-for-hs256", 1_700_000_000)
    token = jwt.decode(key, OctKey.import_key("a-secret-that-is-long-enough-for-hs256"), ["HS256"])
    assert token.header == {"alg": "HS256", "typ": "JWT"}
    expires = 1_700_000_000 + keys.KEY_LIFE_S
    assert token.claims == {"iss": "supabase", "ref": "abc", "role": "anon", "iat": 1_700_000_000, "exp": expires}
