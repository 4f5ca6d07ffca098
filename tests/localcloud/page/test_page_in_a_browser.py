"""The page in a real browser, over a real cloud: what it shows is so, its switches switch, and it complains of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.localcloud.testing import TestCloud, local_cloud
from tests.localcloud.control.test_testing import cache, gql
from tests.localcloud.page.browser import CHROMIUM, DRIVER, Browser, browser, eventually

pytestmark = [
    pytest.mark.story,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on PATH"),
]
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCloud]:
    with local_cloud(tmp_path_factory.mktemp("cloud")) as started:
        gql(started, "mutation ($n: String!) { projectCreate(input: {name: $n}) { id } }", n="other")
        cache(started)
        yield started


@pytest.fixture(scope="module")
def page(cloud: TestCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Opened by its link, and showing."""
    with browser(Path(tmp_path_factory.mktemp("browser"))) as opened:
        opened.open(cloud.ask("POST", "/_local/page")["url"])
        eventually(lambda: opened.text("#connection") == "live")
        yield opened
        assert opened.complaints() == [], "no violation of the policy, no script error, no missing file"


def test_the_link_leaves_no_trace_and_works_once(page: Browser, cloud: TestCloud) -> None:
    assert page.run("return location.hash + document.cookie") == ""
    link = cloud.ask("POST", "/_local/page")["url"]
    page.run("window.open(arguments[0])", link)
    again = "return fetch('session', {method: 'POST', body: JSON.stringify({code: arguments[0]})}).then((found) => found.status)"
    eventually(lambda: page.run(again, link.partition("#")[2]) == 401)
    page.complaints()  # the browser's own line about that 401


def test_it_shows_what_runs_and_says_it_also_to_who_cannot_see(page: Browser) -> None:
    assert "demo/production/cache/us-west2/1" in page.text("#regions")
    assert "SUCCESS" in page.text("#deployments")
    assert "us-west2" in page.run("return document.querySelector('svg').getAttribute('aria-label')")
    is_named = "one.labels?.length || one.innerText.trim() || one.getAttribute('aria-label')"
    controls = "[...document.querySelectorAll('button, input, select')]"
    assert page.run(f"return {controls}.filter((one) => !({is_named})).length") == 0
    assert page.run("return document.querySelectorAll('svg path.link').length") == 6


def test_a_link_is_cut_and_healed_by_its_switches(page: Browser, cloud: TestCloud) -> None:
    def is_cut() -> bool:
        found = next(one for one in cloud.status()["links"] if (one["from"], one["to"]) == ("us-west2", "us-east4-eqdc4a"))
        return bool(found["cut"])

    page.run("document.getElementById('us-west2-us-east4-eqdc4a-state').value = 'cut'")
    page.click("#us-west2-us-east4-eqdc4a-set")
    eventually(is_cut)
    eventually(lambda: page.run("return document.querySelectorAll('svg path.link.cut').length") == 1)
    page.click("#clear")
    eventually(lambda: not is_cut())
    eventually(lambda: page.run("return document.querySelectorAll('svg path.link.cut').length") == 0)


def test_a_killed_replica_comes_back_before_ones_eyes(page: Browser, cloud: TestCloud) -> None:
    before = cloud.status()["caches"][0]
    page.click(f"#kill-{before['key']}")
    eventually(lambda: cloud.status()["caches"][0]["pid"] not in (None, before["pid"]))
    eventually(lambda: str(cloud.status()["caches"][0]["pid"]) in page.text("#regions"))
    page.click(f"#log-{before['key']}")
    eventually(lambda: "demo/production/cache/us-west2/1" in page.text("#logs-title"))
    eventually(lambda: page.run("return document.getElementById('lines').textContent.length") > 0)


def test_api_faults_and_time_are_set_by_their_forms(page: Browser, cloud: TestCloud) -> None:
    page.type("[name=error_rate]", "0.25")
    page.click("#api-faults button")
    eventually(lambda: cloud.ask("GET", "/_local/faults")["graphql"]["error_rate"] == 0.25)
    eventually(lambda: "error_rate 0.25" in page.text("#api-now"))
    page.click("#clear")
    eventually(lambda: cloud.ask("GET", "/_local/faults")["graphql"]["error_rate"] == 0)
    page.type("[name=minutes]", "90")
    page.click("#advance button")
    eventually(lambda: cloud.status()["time"]["offset_s"] == 5400)
    eventually(lambda: "1h30m ahead" in page.text("#time"))


def test_names_are_text_and_never_markup(page: Browser, cloud: TestCloud) -> None:
    asked = {"projectId": gql(cloud, "{ projects { edges { node { id name } } } }")["projects"]["edges"][0]["node"]["id"]}
    source = {"source": {"image": "valkey/valkey:8"}}
    made = gql(
        cloud, "mutation ($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }", i={**asked, **source, "name": MARKUP}
    )
    environment = gql(cloud, "query ($i: String!) { project(id: $i) { baseEnvironmentId } }", i=asked["projectId"])["project"]
    deploy = "mutation ($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
    gql(cloud, deploy, s=made["serviceCreate"]["id"], e=environment["baseEnvironmentId"])
    eventually(lambda: MARKUP in page.text("#deployments"))
    assert page.run("return document.querySelectorAll('img').length") == 0


def test_dark_and_light_are_kept(page: Browser) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = page.run(ground)
    page.click("#theme")
    assert page.run(ground) != before
    page.run("location.reload()")
    eventually(lambda: page.text("#connection") == "live")
    assert page.run(ground) != before, "and the session lives on in its tab"
