"""From what Railway reports to what is to be changed; and back to what the user would have written."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLInputObjectType
from hypothesis import given
from hypothesis import strategies as st

from infra.railway.regions import REGIONS
from infra.railway.service.instance import (
    ELSEWHERE,
    FIELDS,
    Instance,
    ServiceInputs,
    change_of,
    config_patch,
    inputs_from,
    limits_change,
    parsed,
    update_input,
)
from tests.railway.test_operations import SCHEMA, real_schema
from tests.shared import needs_shared

PLACED = {"us-west2": {"numReplicas": 2}}
MANIFEST = {"meta": {"serviceManifest": {"deploy": {"multiRegionConfig": PLACED}}}}


def answer(config: Any = None, deployment: Any = None, **instance: Any) -> dict[str, Any]:
    return {"serviceInstance": {"latestDeployment": deployment, **instance}, "environment": {"config": config}}


def configured(**deploy: Any) -> dict[str, Any]:
    return {"services": {"s": {"deploy": deploy}}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (answer(configured(multiRegionConfig=PLACED)), {"us-west2": 2}),
        (answer(configured(multiRegionConfig={**PLACED, "us-east4-eqdc4a": None})), {"us-west2": 2}),
        (answer(configured(multiRegionConfig={"us-west1": {}})), {"us-west2": 1}),
        (answer({}, MANIFEST), {"us-west2": 2}),
        (answer(configured(multiRegionConfig={"us-east4-eqdc4a": {"numReplicas": 1}}), MANIFEST), {"us-east4-eqdc4a": 1}),
        (answer(), None),
        (answer("not an object", {"meta": "nor this"}), None),
        (answer({"services": None}, {"meta": {"serviceManifest": []}}), None),
    ],
)
def test_placement_is_read_where_railway_tells_it(found: dict[str, Any], expected: dict[str, int] | None) -> None:
    assert parsed(found, "s").placement == expected


TEXTS = st.text(min_size=1, max_size=5)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "start_command": st.none() | TEXTS,
    "pre_deploy_command": st.none() | st.lists(TEXTS, max_size=2),
    "healthcheck_path": st.none() | TEXTS,
    "healthcheck_timeout_s": st.none() | st.sampled_from([10, 300]),
    "restart_policy_type": st.none() | st.sampled_from(["ON_FAILURE", "ALWAYS", "NEVER"]),
    "restart_policy_max_retries": st.none() | st.integers(0, 10),
    "overlap_seconds": st.none() | st.integers(0, 3),
    "draining_seconds": st.none() | st.integers(0, 3),
    "builder": st.none() | st.sampled_from(["RAILPACK", "NIXPACKS"]),
    "build_command": st.none() | TEXTS,
    "dockerfile_path": st.none() | TEXTS,
    "root_directory": st.none() | TEXTS,
    "watch_patterns": st.none() | st.lists(TEXTS, max_size=2),
    "nixpacks_plan": st.none() | st.just({}) | st.just({"phases": {}}),
    "railway_config_file": st.none() | TEXTS,
    "cron_schedule": st.none() | st.just("* * * * *"),
    "sleep_application": st.none() | st.booleans(),
    "ipv6_egress_enabled": st.none() | st.booleans(),
    "multi_region_config": st.dictionaries(st.sampled_from(REGIONS), st.integers(1, 3), min_size=1),
}
WISHES = st.builds(ServiceInputs, project_id=st.just("p"), environment_id=st.just("e"), name=st.just("n"), **SETTINGS)


def applied(before: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Railway's own rule: what is named is set, and a null in the placement takes a region away."""
    placement = {**before.get("multiRegionConfig", {}), **change.get("multiRegionConfig", {})}
    return {**before, **change, "multiRegionConfig": {name: each for name, each in placement.items() if each is not None}}


def reported(state: dict[str, Any]) -> Instance:
    return parsed(answer(configured(multiRegionConfig=state["multiRegionConfig"]), **state), "s")


FRESH = {"multiRegionConfig": {"us-west2": {"numReplicas": 1}}, "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 10}


@given(WISHES, WISHES)
def test_every_change_arrives_and_settles(first: ServiceInputs, second: ServiceInputs) -> None:
    """From fresh to one wish to another: afterwards nothing is left to do, and what is read back is what was wished."""
    state: dict[str, Any] = dict(FRESH)
    for wish in (first, second):
        state = applied(state, update_input(reported(state), wish))
        assert update_input(reported(state), wish) == {}
        read = inputs_from(reported(state), wish)
        for name, ours in FIELDS.items():
            wire = "healthcheckTimeoutS" if name == "healthcheckTimeout" else name
            assert read.get(wire) == getattr(wish, ours)
        assert read["multiRegionConfig"] == wish.multi_region_config


def test_placement_that_nobody_tells_is_sent_and_believed() -> None:
    """Silence is no drift, or plans would never converge; and no proof either, so each change states the placement."""
    wish = ServiceInputs("p", "e", "n", {"us-west2": 2})
    silent = Instance(None, None, dict.fromkeys(FIELDS))
    assert update_input(silent, wish) == {"multiRegionConfig": {"us-west2": {"numReplicas": 2}}}
    assert inputs_from(silent, wish)["multiRegionConfig"] == {"us-west2": 2}


@needs_shared(SCHEMA)
def test_no_field_of_railways_input_is_missing() -> None:
    """A setting that the provider does not know can only be made by hand, and is lost with the service."""
    theirs = real_schema().type_map["ServiceInstanceUpdateInput"]
    assert isinstance(theirs, GraphQLInputObjectType)
    current = {name for name, each in theirs.fields.items() if each.deprecation_reason is None}
    assert current == FIELDS.keys() | ELSEWHERE.keys()


REPO = {"repo": "owner/name"}


@pytest.mark.parametrize(
    ("found", "wanted", "source"),
    [
        ({}, {"image": "a:1"}, {"image": "a:1"}),
        ({"image": "a:1"}, {"image": "a:1"}, None),
        ({"image": "a:1"}, {}, None),
        ({}, REPO, REPO),
        ({}, {**REPO, "branch": "main"}, {**REPO, "branch": "main"}),
        ({**REPO, "branch": "main"}, REPO, None),
        ({**REPO, "branch": "main"}, {**REPO, "branch": "release"}, {"branch": "release"}),
        ({"image": "a:1"}, REPO, {**REPO, "image": None}),
        (REPO, {"image": "a:1"}, {"image": "a:1", "repo": None, "branch": None}),
    ],
)
def test_source_is_an_image_or_a_repository(found: dict[str, Any], wanted: dict[str, Any], source: Any) -> None:
    instance = Instance(found.get("image"), {"us-west2": 1}, dict.fromkeys(FIELDS), found.get("repo"), found.get("branch"))
    assert update_input(instance, ServiceInputs("p", "e", "n", {"us-west2": 1}, **wanted)).get("source") == source


def test_patch_puts_each_setting_where_railways_configuration_has_it() -> None:
    wish = ServiceInputs("p", "e", "n", {"us-west2": 1}, repo="owner/name", root_directory="/web", nixpacks_plan={"a": 1},
                         railway_config_file="/railway.json", cron_schedule="0 * * * *", watch_patterns=["/web/**"],
                         registry_username="u", registry_password="p", vcpus=0.5, memory_gb=1.5)  # fmt: skip
    assert config_patch(change_of(Instance(None, {"us-west2": 1}, dict.fromkeys(FIELDS)), wish, None)) == {
        "source": {"repo": "owner/name", "rootDirectory": "/web"},
        "build": {"nixpacksPlan": {"a": 1}, "watchPatterns": ["/web/**"]},
        "deploy": {
            "cronSchedule": "0 * * * *",
            "multiRegionConfig": {"us-west2": {"numReplicas": 1}},
            "registryCredentials": {"username": "u", "password": "p"},
            "limitOverride": {"containers": {"cpu": 0.5, "memoryBytes": 1_500_000_000}},
        },
        "configFile": "/railway.json",
    }


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ((2, 1.5), (2, 1.5), {}),
        ((2, 1.5), (2, None), {"limitOverride": {"containers": {"cpu": 2, "memoryBytes": None}}}),
        ((2, 1.5), (None, None), {"limitOverride": None}),
    ],
)
def test_a_limit_that_is_taken_away_is_said(found: Any, wanted: Any, expected: Any) -> None:
    """Patches are merged: what they leave out stays."""
    there = Instance(None, {"us-west2": 1}, dict.fromkeys(FIELDS), vcpus=found[0], memory_gb=found[1])
    assert limits_change(there, ServiceInputs("p", "e", "n", {"us-west2": 1}, vcpus=wanted[0], memory_gb=wanted[1])) == expected
