"""Link settings: for all pairs or one, what is left out stays, kept over a restart, healed by one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.localcloud.link_settings import Links
from infra.localcloud.plane.link_quality import Dice, LinkQuality
from tests.localcloud.control.harness import Harness
from tests.localcloud.control.recording_plane import RecordingPlane

pytestmark = pytest.mark.anyio
WEST, EAST = "us-west2", "us-east4-eqdc4a"


async def ask(cloud: Harness, **settings: Any) -> list[dict[str, Any]]:
    response = await cloud.client.post("/_local/links", json=settings)
    assert response.status_code == 200, response.text
    links: list[dict[str, Any]] = response.json()["links"]
    return links


async def test_links_are_set_for_all_for_a_pair_and_for_one_direction(cloud: Harness) -> None:
    assert len(await ask(cloud, rtt_ms=50)) == 12
    await ask(cloud, **{"from": WEST, "to": EAST}, cut=True)
    assert cloud.plane.links[WEST, EAST] == LinkQuality(rtt_ms=50, is_cut=True), "the distance was not named and stays"
    assert cloud.plane.links[EAST, WEST] == LinkQuality(rtt_ms=50)
    links = await ask(cloud, **{"from": WEST, "to": EAST}, both=True, partitioned=True, jitter_ms=5, loss_rate=0.1, seed=7)
    expected = LinkQuality(rtt_ms=50, jitter_ms=5, loss_rate=0.1, seed=7, is_partitioned=True)
    assert cloud.plane.links[WEST, EAST] == cloud.plane.links[EAST, WEST] == expected, "a partition takes the place of a cut"
    shown = next(found for found in links if (found["from"], found["to"]) == (EAST, WEST))
    assert (shown["partitioned"], shown["cut"], shown["jitter_ms"], shown["loss_rate"], shown["seed"]) == (True, False, 5, 0.1, 7)
    assert (await cloud.client.get("/_local/status")).json()["links"] == links


@pytest.mark.parametrize(
    "wrong",
    [
        {"rtt_ms": -1},
        {"rtt_ms": 1e9},
        {"rtt_ms": 1, "from": "mars"},
        {},
        {"rtt_ms": 1, "x": 1},
        {"loss_rate": 1.5},
        {"jitter_ms": -1},
        {"from": WEST, "to": WEST, "cut": True},
    ],
)
async def test_a_wrong_link_is_refused_and_changes_nothing(cloud: Harness, wrong: dict[str, Any]) -> None:
    assert (await cloud.client.post("/_local/links", json=wrong)).status_code == 400
    assert cloud.plane.links == {}


async def test_ending_all_faults_heals_links_and_keeps_their_distance(cloud: Harness) -> None:
    await ask(cloud, **{"from": WEST}, rtt_ms=80, loss_rate=0.5, cut=True)
    assert (await cloud.client.delete("/_local/faults")).status_code == 200
    assert cloud.plane.links[WEST, EAST] == LinkQuality(rtt_ms=80)


def test_links_are_kept_until_a_round_trip_is_given_for_all(tmp_path: Path) -> None:
    """Who cut a link to see what happens restarts the daemon too; the cut must still be there."""
    path = tmp_path / "links.json"
    first = Links(path, None)
    first.table[WEST, EAST] = LinkQuality(80.0, 3.0, 0.5, 9, is_cut=False, is_partitioned=True)
    first.write()
    assert Links(path, None).table == first.table
    assert set(Links(path, 5.0).table.values()) == {LinkQuality(rtt_ms=5.0)}
    assert set(Links(path, None).table.values()) == {LinkQuality(rtt_ms=5.0)}


async def test_kept_links_reach_the_plane(tmp_path: Path) -> None:
    links, plane = Links(tmp_path / "links.json", None), RecordingPlane()
    links.table[WEST, EAST] = LinkQuality(rtt_ms=80.0, is_cut=True)
    await links.apply(plane)
    assert plane.links == {(WEST, EAST): LinkQuality(rtt_ms=80.0, is_cut=True)}


def test_the_same_seed_breaks_the_same_connections() -> None:
    def story(seed: int, rate: float = 0.3) -> list[int | None]:
        dice = Dice(LinkQuality(loss_rate=rate, seed=seed), "a>b:5432")
        return [dice.answers_before_loss() for _ in range(300)]

    assert story(1) == story(1) != story(2)
    lost = [answers for answers in story(1) if answers is not None]
    assert 60 < len(lost) < 120, "about the share that was asked for"
    assert min(lost) == 0 < max(lost), "some while opening, some later"
    assert set(story(1, 0.0)) == {None}
    assert None not in story(1, 1.0)


def test_jitter_only_adds() -> None:
    dice = Dice(LinkQuality(rtt_ms=20, jitter_ms=10, seed=1), "a>b:1")
    delays = [dice.one_way_s() * 2000 for _ in range(300)]
    assert 20 <= min(delays) < 22
    assert 28 < max(delays) <= 30
