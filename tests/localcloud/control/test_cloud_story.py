"""One whole cloud with real processes: deployed, queried, broken, restarted, deleted.

One test on purpose: bringing the cloud up is what costs, and each step needs the one before.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx
import psutil
import pytest
import simple_websocket  # type: ignore[import-untyped]

from infra.localcloud.__main__ import main

DEADLINE_S = 40
TWO_BY_TWO = {"us-west2": {"numReplicas": 2}, "europe-west4-drams3a": {"numReplicas": 2}}
SERVER = """
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(os.environ["HEALTH"]) if self.path == "/health" else 200
        names = ("ANSWER", "RAILWAY_REPLICA_REGION", "REDIS_URL", "DATABASE_URL")
        body = "\\n".join(os.environ[name] for name in names).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments): pass

if sys.argv[1:] == ["migrate"]:
    print("migrated")
    sys.exit(0)
if os.environ.get("CRASH"):
    sys.exit("this release cannot run")
signal.signal(signal.SIGTERM, lambda *arguments: sys.exit(0))
print("listening on", os.environ["HOST"], flush=True)
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


def bundle() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("__init__.py", ""), ("__main__.py", SERVER), ("requirements.lock", "")):
            member = tarfile.TarInfo(f"service/{name}")
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


class Cloud:
    """A client of a running local cloud."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.client = httpx.Client(timeout=30)
        self.start()

    def start(self) -> None:
        begun = time.monotonic()
        assert main(["start", "--home", str(self.home)]) == 0
        self.start_s = time.monotonic() - begun
        record = json.loads((self.home / "cloud" / "daemon.json").read_text())
        self.pid = record["pid"]
        token = Path(record["token_file"]).read_text()
        self.client.base_url = httpx.URL(record["url"])
        self.client.headers["Authorization"] = f"Bearer {token}"

    def gql(self, query: str, **variables: Any) -> Any:
        body = self.client.post("/graphql/v2", json={"query": query, "variables": variables}).json()
        assert "errors" not in body, body["errors"]
        (value,) = body["data"].values()
        return value

    def streamed(self, selection: str, identity: str) -> list[Any]:
        """The first results of a subscription, over a real WebSocket."""
        address = str(self.client.base_url.copy_with(scheme="ws", path="/graphql/v2"))
        headers = {"Authorization": self.client.headers["Authorization"]}
        socket = simple_websocket.Client.connect(address, subprotocols=["graphql-transport-ws"], headers=headers)
        try:
            payload = {"query": f"subscription ($i: String!) {{ {selection} }}", "variables": {"i": identity}}
            socket.send(json.dumps({"type": "connection_init"}))
            socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            assert json.loads(socket.receive(DEADLINE_S)) == {"type": "connection_ack"}
            (value,) = json.loads(socket.receive(DEADLINE_S))["payload"]["data"].values()
            return [value]
        finally:
            socket.close()

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def status(self) -> Any:
        return self.get("/_local/status")

    def deployed(self, deployment_id: str, wanted: str) -> None:
        def status() -> str:
            return str(self.gql("query ($i: String!) { deployment(id: $i) { status } }", i=deployment_id)["status"])

        until(lambda: status() in ("SUCCESS", "FAILED", "CRASHED"))
        assert status() == wanted, self.build_log(deployment_id)

    def build_log(self, deployment_id: str) -> str:
        lines = self.gql("query ($i: String!) { buildLogs(deploymentId: $i) { message } }", i=deployment_id)
        return "\n".join(line["message"] for line in lines)


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def can_connect(host: str, password: str) -> bool:
    try:
        connection = await asyncpg.connect(host=host, user="postgres", password=password, database="postgres", timeout=DEADLINE_S)
    except asyncpg.InvalidPasswordError:
        return False
    await connection.close()
    return True


def is_running(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path / "home")
    yield cloud
    cloud.client.close()
    assert main(["reset", "--home", str(cloud.home)]) == 0


@pytest.mark.story
def test_a_cloud_of_two_regions_lives_through_failures_restarts_and_its_own_end(cloud: Cloud):
    project = cloud.gql('mutation { projectCreate(input: {name: "story"}) { id baseEnvironmentId } }')
    place = {"projectId": project["id"], "environmentId": project["baseEnvironmentId"]}

    def service(name: str, settings: dict[str, Any], variables: dict[str, str]) -> str:
        new = {**place, "name": name, "variables": variables}
        made = cloud.gql("mutation ($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }", i=new)["id"]
        update(made, settings)
        return str(made)

    def update(service_id: str, settings: dict[str, Any]) -> None:
        cloud.gql(
            "mutation ($s: String!, $e: String!, $i: ServiceInstanceUpdateInput!) "
            "{ serviceInstanceUpdate(serviceId: $s, environmentId: $e, input: $i) }",
            s=service_id,
            e=place["environmentId"],
            i=settings,
        )

    def deploy(service_id: str) -> str:
        mutation = "mutation ($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
        return str(cloud.gql(mutation, s=service_id, e=place["environmentId"]))

    def set_variables(service_id: str, **values: str) -> None:
        mutation = "mutation ($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }"
        cloud.gql(mutation, i={**place, "serviceId": service_id, "variables": values, "skipDeploys": True})

    # a Supabase project and its standby in the other region
    new = {"name": "story", "organization_id": "o", "db_pass": "story-password", "region": "us-west-1"}
    path = f"/v1/projects/{cloud.client.post('/v1/projects', json=new).json()['ref']}"
    until(lambda: cloud.get(path)["status"] == "ACTIVE_HEALTHY")
    setup = cloud.client.post(f"{path}/read-replicas/setup", json={"read_replica_region": "eu-central-1"})
    assert setup.status_code == 201
    until(lambda: len(cloud.get(f"{path}/config/database/pooler")) == 2)
    database = cloud.get(path)["database"]["host"]

    # a new password: when the project is healthy again, role, standby and gateway have it
    assert cloud.client.patch(f"{path}/database/password", json={"password": "new-password"}).status_code == 200
    until(lambda: cloud.get(path)["status"] == "ACTIVE_HEALTHY")
    hosts = [one["db_host"] for one in cloud.get(f"{path}/config/database/pooler")]
    until(lambda: [asyncio.run(can_connect(host, "new-password")) for host in hosts] == [True, True])
    assert not asyncio.run(can_connect(database, "story-password"))
    key = next(one["api_key"] for one in cloud.get(f"{path}/api-keys?reveal=true") if one["name"] == "anon")
    user = {"email": "a@example.com", "password": "correct horse"}
    signed_up = httpx.post(f"http://{database}:8000/auth/v1/signup", json=user, headers={"apikey": key})
    assert signed_up.status_code == 200, signed_up.text

    # a cache, and a service in two regions that refers to both
    command = 'valkey-server --requirepass $PASSWORD --save "" --maxmemory 64mb --maxmemory-policy allkeys-lru'
    image = {"source": {"image": "valkey/valkey:8"}, "startCommand": command}
    cache = service("cache", image, {"PASSWORD": "story", "PORT": "6379"})
    cloud.deployed(deploy(cache), "SUCCESS")
    web = service(
        "web",
        {
            "startCommand": "python -m service",
            "preDeployCommand": ["python -m service migrate"],
            "healthcheckPath": "/health",
            "healthcheckTimeout": 20,
            "multiRegionConfig": TWO_BY_TWO,
            "drainingSeconds": 2,
        },
        {
            "ANSWER": "first",
            "HEALTH": "200",
            "REDIS_URL": "redis://:${{cache.PASSWORD}}@${{cache.RAILWAY_PRIVATE_DOMAIN}}:${{cache.PORT}}",
            "DATABASE_URL": f"postgresql://postgres:new-password@{database}:5432/postgres",
        },
    )
    domain = cloud.gql(
        "mutation ($s: String!, $e: String!) { serviceDomainCreate(input: {serviceId: $s, environmentId: $e}) { domain } }",
        s=web,
        e=place["environmentId"],
    )["domain"]
    upload = f"/project/{place['projectId']}/environment/{place['environmentId']}/up"
    first = cloud.client.post(upload, params={"serviceId": web}, content=bundle()).json()["deploymentId"]
    cloud.deployed(first, "SUCCESS")
    assert "migrated" in cloud.build_log(first)

    def answer() -> list[str]:
        return httpx.get(f"http://{domain}/").raise_for_status().text.split("\n")

    assert [one["step"] for one in cloud.streamed("deploymentEvents(id: $i) { step completedAt }", first)][:1] == ["BUILD_IMAGE"]
    (lines,) = cloud.streamed("buildLogs(deploymentId: $i) { message }", first)
    assert lines[-1]["message"] == "deployment is live"

    assert answer()[:2] == ["first", "us-west2"]
    far = next(one["url"] for one in cloud.status()["replicas"] if one["region"] == "europe-west4-drams3a")
    near_end = httpx.get(far).text.split("\n")[3].rpartition("@")[2]
    assert near_end.split(".")[2] == "3", "a replica in Europe sees the primary at the near end of its link"

    # a release that never gets healthy fails, and the one before keeps serving
    set_variables(web, HEALTH="503", ANSWER="second")
    update(web, {"healthcheckTimeout": 1})
    bad = deploy(web)
    cloud.deployed(bad, "FAILED")
    assert "answered 503" in cloud.build_log(bad)
    assert answer()[0] == "first"

    # everything comes back after a stop, and after a kill
    assert main(["stop", "--home", str(cloud.home)]) == 0
    cloud.start()
    assert answer()[0] == "first"
    before = [one["pid"] for one in (*cloud.status()["replicas"], *cloud.status()["caches"], *cloud.status()["databases"])]
    os.kill(cloud.pid, 9)
    until(lambda: not is_running(cloud.pid))
    cloud.start()
    assert not any(is_running(pid) for pid in before)
    assert answer()[0] == "first"
    shown = cloud.status()
    assert sorted(one["region"] for one in shown["replicas"]) == ["europe-west4-drams3a"] * 2 + ["us-west2"] * 2
    assert {one["status"] for one in (*shown["replicas"], *shown["caches"])} == {"RUNNING"}

    # a replica that is killed comes back; a release that ends at once crashes for good
    victim = shown["replicas"][0]
    os.kill(victim["pid"], 9)
    until(lambda: any(one["restarts"] == 1 and one["status"] == "RUNNING" for one in cloud.status()["replicas"]))
    set_variables(web, CRASH="1", HEALTH="200")
    update(web, {"healthcheckPath": None, "restartPolicyMaxRetries": 1, "preDeployCommand": None})
    crashing = deploy(web)
    until(lambda: cloud.gql("query ($i: String!) { deployment(id: $i) { status } }", i=crashing)["status"] == "CRASHED")
    assert httpx.get(f"http://{domain}/").status_code == 502
    logs = cloud.gql("query ($i: String!) { deploymentLogs(deploymentId: $i) { message } }", i=crashing)
    assert any("cannot run" in line["message"] for line in logs)

    # deleted is deleted
    shown = cloud.status()
    pids = [one["pid"] for one in (*shown["caches"], *shown["databases"])]
    cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place["projectId"])
    assert cloud.client.delete(path).status_code == 200
    until(lambda: not json.loads((cloud.home / "cloud" / "world.json").read_text())["endings"])
    assert not any(is_running(pid) for pid in pids)
    assert list(json.loads((cloud.home / "cloud" / "plane.json").read_text())["owners"]) == ["mail"]
