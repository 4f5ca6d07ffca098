"""What runs has names that a person can type, and a name never means two things."""

from __future__ import annotations

import pytest

from infra.localcloud.process_names import key_of, process_names
from infra.localcloud.world.errors import BadInput, NotFound
from tests.localcloud.control.harness import Harness

NAMES = {
    "auth-1": "demo/production/auth/us-west2/1",
    "auth-2": "demo/production/auth/us-west2/2",
    "auth-3": "demo/production/auth/europe-west4-drams3a/1",
    "db-abc": "users/primary",
    "db-def": "users/standby/eu-central-1/def",
    "api-abc": "users/api",
}


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("auth-2", "auth-2"),
        ("demo/production/auth/us-west2/2", "auth-2"),
        ("auth/us-west2/1", "auth-1"),
        ("AUTH/EUROPE-WEST4-DRAMS3A", "auth-3"),
        ("primary", "db-abc"),
        ("users/eu-central-1", "db-def"),
        ("/standby/", "db-def"),
    ],
)
def test_enough_words_in_their_order_name_one_thing(asked: str, key: str) -> None:
    assert key_of(NAMES, asked) == key


STACK = {
    "auth-w1": "cached-auth-dev/dev/auth-us-west2/us-west2/1",
    "auth-w2": "cached-auth-dev/dev/auth-us-west2/us-west2/2",
    "cache-w": "cached-auth-dev/dev/cache-us-west2/us-west2/1",
    "cache-e": "cached-auth-dev/dev/cache-europe-west4-drams3a/europe-west4-drams3a/1",
    "db": "cached-auth-dev/primary",
}


@pytest.mark.parametrize(
    ("asked", "key"),
    [("auth/us-west2/1", "auth-w1"), ("cache/us-west2", "cache-w"), ("cache/europe", "cache-e"), ("primary", "db")],
)
def test_beginnings_of_words_name_a_stacks_services(asked: str, key: str) -> None:
    """Help texts and documents speak of `auth/us-west2/1`; the program calls the service auth-us-west2."""
    assert key_of(STACK, asked) == key


def test_a_whole_word_goes_before_a_beginning() -> None:
    assert key_of({"a": "demo/production/auth/us-west2/1", "b": "demo/production/auth-two/us-west2/1"}, "auth") == "a"


def test_a_part_that_begins_within_a_word_names_nothing() -> None:
    with pytest.raises(NotFound):
        key_of(STACK, "aut/us-west2/1")


def test_what_could_be_several_things_lists_them() -> None:
    with pytest.raises(BadInput, match=r"auth/us-west2/1 \(auth-1\), .*auth/us-west2/2 \(auth-2\)"):
        key_of(NAMES, "auth/us-west2")


@pytest.mark.parametrize("asked", ["primry", "us-west2/auth/1", "", "/", "x" * 1000])
def test_what_is_not_there_says_what_is(asked: str) -> None:
    with pytest.raises(NotFound, match=r"Process not found.*there is ") as refused:
        key_of(NAMES, asked)
    assert len(str(refused.value)) < 500
    assert asked != "primry" or "users/primary" in str(refused.value)


def test_with_nothing_running_it_says_so() -> None:
    with pytest.raises(NotFound, match="nothing runs"):
        key_of({}, "auth")


@pytest.mark.anyio
async def test_a_name_reaches_the_process(cloud: Harness) -> None:
    await cloud.web()
    (key,) = cloud.plane.running
    assert process_names(cloud.world) == {key: "demo/production/web/us-west2/1"}
    response = await cloud.client.post("/_local/faults/processes", json={"key": "web/us-west2", "action": "kill"})
    assert response.json() == {"key": key, "name": "demo/production/web/us-west2/1", "action": "kill"}
    assert cloud.plane.calls[-1] == f"SIGKILL {key}"
    shown = (await cloud.client.get("/_local/status")).json()["replicas"]
    assert [found["name"] for found in shown] == ["demo/production/web/us-west2/1"]
    refused = await cloud.client.post("/_local/faults/processes", json={"key": "web", "action": "down"})
    assert refused.status_code == 400, "a replica comes back by its own policy"
