"""Inputs are judged before anything is sent, with the path of the field that is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.definition import Resource
from infra.provider.properties import UNKNOWN, Secret
from infra.railway.provider import RailwayProvider
from infra.railway.regions import ALIASES, REGIONS, patch, placed

RESOURCES: dict[str, Resource[Any, Any]] = {token.rpartition(":")[2]: each for token, each in RailwayProvider.resources.items()}
AT = {"projectId": "p", "environmentId": "e", "serviceId": "s"}
SERVICE = {"projectId": "p", "environmentId": "e", "name": "auth", "multiRegionConfig": {"us-west2": 1}}


def reasons(kind: str, **inputs: Any) -> list[str]:
    return [each.reason for each in RESOURCES[kind].check("auth", inputs).failures]


def service(**changed: Any) -> list[str]:
    return reasons("Service", **{**SERVICE, **changed})


ONE_OF = "one of " + ", ".join(REGIONS)
REPLICAS = "services/auth/multi_region_config"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"multiRegionConfig": {"us-west2": 0}}, f"{REPLICAS}/us-west2/replicas: expected 1 to 50, got 0"),
        ({"multiRegionConfig": {"us-west2": 51}}, f"{REPLICAS}/us-west2/replicas: expected 1 to 50, got 51"),
        ({"multiRegionConfig": {"us-west2": 1.5}}, f"{REPLICAS}/us-west2/replicas: expected 1 to 50, got 1.5"),
        ({"multiRegionConfig": {"us-west2": True}}, f"{REPLICAS}/us-west2/replicas: expected 1 to 50, got true"),
        ({"multiRegionConfig": {"us-west2": "2"}}, f'{REPLICAS}/us-west2/replicas: expected 1 to 50, got "2"'),
        ({"multiRegionConfig": {"mars": 1}}, f'{REPLICAS}/mars: expected {ONE_OF}, got "mars"'),
        ({"multiRegionConfig": {}}, f"{REPLICAS}: expected a map of region to number of replicas, got a map of 0"),
        ({"multiRegionConfig": "us-west2"}, f'{REPLICAS}: expected a map of region to number of replicas, got "us-west2"'),
        (
            {"multiRegionConfig": dict.fromkeys(REGIONS, 13)},
            f"{REPLICAS}: expected at most 50 replicas in all regions together, got 52",
        ),
        (
            {"multiRegionConfig": {"us-west1": 1, "us-west2": 1}},
            f"{REPLICAS}/us-west1: expected each region once (us-west1 is the old name of us-west2), got both names",
        ),
        ({"name": ""}, "services/auth/name: expected 1 to 32 characters, got 0"),
        ({"name": "x" * 33}, "services/auth/name: expected 1 to 32 characters, got 33"),
        ({"name": None}, "services/auth/name: expected a value, got nothing"),
        ({"healthcheckTimeoutS": 0}, "services/auth/healthcheck_timeout_s: expected 1 to 3600, got 0"),
        ({"healthcheckPath": "ready"}, 'services/auth/healthcheck_path: expected a path that starts with /, got "ready"'),
        ({"preDeployCommand": "true"}, 'services/auth/pre_deploy_command: expected a list, got "true"'),
        ({"preDeployCommand": ["true", 7]}, "services/auth/pre_deploy_command/1: expected text, got 7"),
        (
            {"restartPolicyType": "SOMETIMES"},
            'services/auth/restart_policy_type: expected one of ON_FAILURE, ALWAYS, NEVER, got "SOMETIMES"',
        ),
        ({"overlapSeconds": -1}, "services/auth/overlap_seconds: expected 0 to 3600, got -1"),
    ],
)
def test_service_input_that_is_wrong(changed: dict[str, Any], expected: str) -> None:
    assert service(**changed) == [expected]


def test_unknown_input_is_named_with_what_there_is() -> None:
    assert service(region="us-west2")[0].startswith("services/auth/region: expected one of branch, buildCommand")


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        (
            "Variables",
            {**AT, "variables": {"A": Secret(7)}},
            "variables/auth/variables/A: expected text, got [secret]",
        ),
        (
            "Variables",
            {**AT, "variables": Secret({"A": 7})},
            "variables/auth/variables/A: expected text, got [secret]",
        ),
        (
            "Variables",
            {**AT, "variables": {"1A": "x"}},
            'variables/auth/variables/1A: expected a name of letters, digits and underscores, got "1A"',
        ),
        ("ServiceDomain", {**AT, "targetPort": 70_000}, "domains/auth/target_port: expected 1 to 65535, got 70000"),
        ("Volume", {**AT, "mountPath": "data"}, 'volumes/auth/mount_path: expected an absolute path, got "data"'),
        ("Deployment", {**AT, "bundle": "x"}, "deployments/auth/release: expected the bundle's digest (sha256:...), got nothing"),
        ("Deployment", {**AT, "release": "v1"}, "deployments/auth/release: expected 71 to 71 characters, got 2"),
        ("Project", {"name": UNKNOWN, "workspaceId": ""}, "projects/auth/workspace_id: expected 1 to 64 characters, got 0"),
    ],
)
def test_other_input_that_is_wrong(kind: str, inputs: dict[str, Any], expected: str) -> None:
    assert reasons(kind, **inputs) == [expected]


def test_unknowns_pass() -> None:
    """What is not known before the change cannot be wrong before the change."""
    assert service(**dict.fromkeys(SERVICE, UNKNOWN)) == []
    assert service(multiRegionConfig={"us-west2": UNKNOWN}) == []
    assert reasons("Variables", **AT, variables={"A": Secret(UNKNOWN)}) == []


PLACEMENTS = st.dictionaries(st.sampled_from(REGIONS), st.integers(1, 12), min_size=1)
OLD_NAMES = {today: old for old, today in ALIASES.items()}


@given(PLACEMENTS, st.booleans())
def test_old_region_names_mean_todays(placement: dict[str, int], use_old: bool) -> None:
    given_names = {OLD_NAMES[name] if use_old else name: replicas for name, replicas in placement.items()}
    checked = RESOURCES["Service"].check("auth", {**SERVICE, "multiRegionConfig": given_names})
    assert not checked.failures
    assert checked.inputs["multiRegionConfig"] == placement
    again = RESOURCES["Service"].check("auth", checked.inputs)
    assert again.inputs == checked.inputs
    assert RESOURCES["Service"].diff(checked.inputs, {}, again.inputs) == ()


@given(PLACEMENTS, PLACEMENTS)
def test_placement_patch_leads_to_the_wish(before: dict[str, int], wanted: dict[str, int]) -> None:
    """Applied as Railway applies it (null removes, absent stays), the patch ends in what was wanted and nothing else."""
    now: dict[str, Any] = {name: {"numReplicas": replicas} for name, replicas in before.items()}
    now.update(patch(before, wanted))
    assert placed(now) == wanted


def test_image_cannot_be_taken_away_in_place() -> None:
    with_image = {**SERVICE, "image": "valkey/valkey:8"}
    (change,) = RESOURCES["Service"].diff(with_image, {}, SERVICE)
    assert (change.path, change.replaces) == ("image", True)


def test_bundle_path_is_no_change() -> None:
    old = {**AT, "bundle": "/a", "release": "sha256:" + "0" * 64, "timeoutS": 1}
    assert RESOURCES["Deployment"].diff(old, {"status": "SUCCESS"}, old | {"bundle": "/b", "timeoutS": 2}) == ()
    assert [each.path for each in RESOURCES["Deployment"].diff(old, {"status": "REMOVED"}, old)] == ["status"]


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: type(resource).__name__)
def test_declared_fields_are_the_typed_ones(resource: Resource[Any, Any]) -> None:
    """The rules and the typed inputs name the same things: a field in one alone would be lost on the way."""
    names = {each.encode_name for each in msgspec.structs.fields(resource.inputs_type)}
    assert names == {each.name for each in resource.fields}
    required = {each.encode_name for each in msgspec.structs.fields(resource.inputs_type) if each.required}
    assert required == {each.name for each in resource.fields if each.is_required}
