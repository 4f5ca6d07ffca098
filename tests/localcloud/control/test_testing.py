"""The public way to have a local cloud in a test: several at once, and nothing left of a killed one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.cli.__main__ import run
from infra.localcloud import lifecycle
from infra.localcloud.claiming import DaemonRefused
from infra.localcloud.testing import TestCloud, local_cloud
from tests.localcloud.control.test_daemon import is_running, wait_ended

pytestmark = pytest.mark.story


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TestCloud]]:
    """Three at once, started at the same moment."""
    homes = [tmp_path_factory.mktemp("cloud") for _ in range(3)]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        yield list(pool.map(lambda home: stack.enter_context(local_cloud(home)), homes))


def gql(cloud: TestCloud, query: str, **variables: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {cloud.token}"}
    body = {"query": query, "variables": variables}
    answer = httpx.post(cloud.graphql_url, json=body, headers=headers, timeout=20, trust_env=False).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def cache(cloud: TestCloud) -> dict[str, Any]:
    """A deployed valkey, as status shows it."""
    project = gql(cloud, 'mutation { projectCreate(input: {name: "demo"}) { id baseEnvironmentId } }')["projectCreate"]
    asked = {"projectId": project["id"], "name": "cache", "source": {"image": "valkey/valkey:8"}}
    service = gql(cloud, "mutation ($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }", i=asked)["serviceCreate"]["id"]
    deploy = "mutation ($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
    gql(cloud, deploy, s=service, e=project["baseEnvironmentId"])
    return running_cache(cloud)


def running_cache(cloud: TestCloud) -> dict[str, Any]:
    for _ in range(2000):
        for found in cloud.status()["caches"]:
            if found["status"] == "RUNNING" and found["pid"]:
                view: dict[str, Any] = found
                return view
    raise AssertionError(f"no cache runs: {cloud.status()['caches']}")


def test_clouds_share_neither_address_nor_token_nor_state(clouds: list[TestCloud]) -> None:
    assert len({cloud.url.split(":")[1] for cloud in clouds}) == len({cloud.token for cloud in clouds}) == 3
    found = cache(clouds[0])
    assert [len(cloud.status()["caches"]) for cloud in clouds] == [1, 0, 0]
    assert found["name"] == "demo/production/cache/us-west2/1"
    clouds[0].empty()
    assert clouds[0].status()["caches"] == []


def test_faults_and_time_by_method(clouds: list[TestCloud]) -> None:
    cloud = clouds[1]
    cloud.link("us-west2", "us-east4-eqdc4a", partitioned=True, jitter_ms=3)
    cloud.api_faults(graphql={"error_rate": 1})
    cloud.advance(60)
    shown = [found for found in cloud.status()["links"] if found["partitioned"]]
    assert len(shown) == 2
    assert cloud.status()["time"]["offset_s"] == 60
    cloud.end_faults()
    assert gql(cloud, "{ me { id } }")
    with pytest.raises(DaemonRefused, match="Process not found"):
        cloud.process("nothing", "kill")


def test_nothing_of_a_killed_cloud_is_left_after_the_next_start(clouds: list[TestCloud]) -> None:
    cloud = clouds[2]
    before = cache(cloud)
    os.kill(cloud.record.pid, 9)
    wait_ended(cloud.record.pid)
    again = TestCloud(cloud.home, lifecycle.start(cloud.home, None))
    after = running_cache(again)
    assert (after["url"], is_running(before["pid"])) == (before["url"], False)
    assert again.url == cloud.url
    lifecycle.reset(cloud.home)
    assert not is_running(after["pid"])
    assert not _processes_below(cloud.home)


def _processes_below(home: Path) -> list[psutil.Process]:
    """Whatever still works in a directory of the home."""
    found = psutil.process_iter(["cwd"])
    return [one for one in found if one.info["cwd"] and Path(one.info["cwd"]).is_relative_to(home)]


def test_the_fixture_serves_another_teams_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["infra.localcloud.pytest_plugin"]\n')
    (tmp_path / "test_theirs.py").write_text(
        "import urllib.request\n"
        "def test_status(empty_cloud):\n"
        "    assert empty_cloud.status()['services'] == []\n"
        "    assert empty_cloud.graphql_url.startswith('http://127.')\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_commands_against_a_running_cloud(clouds: list[TestCloud], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """What a person types ends in what the daemon shows."""
    monkeypatch.setenv("CACHED_AUTH_HOME", str(clouds[1].home))
    assert run(["cloud", "fault", "link", "us-west2", "us-east4-eqdc4a", "--loss-rate", "0.2", "--one-way"]) == 0
    assert run(["cloud", "fault", "list"]) == 0
    assert "link us-west2 -> us-east4-eqdc4a: loss rate 0.2" in capsys.readouterr().out
    assert run(["cloud", "fault", "kill", "nothing"]) == 2
    assert "nothing runs" in capsys.readouterr().err
    assert run(["cloud", "status"]) == 0
    assert "nothing is deployed" in capsys.readouterr().out
    assert run(["cloud", "fault", "clear", "--json"]) == 0
