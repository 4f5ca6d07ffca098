# ruff: noqa: E501 - a table of messages reads best with one message on a line
"""railway.toml as our own desired-state file: strict to read, lossless to write, and nothing in it is silently ignored."""

import contextlib
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.places import REGIONS
from infra.railwaytoml import (
    ARGUMENTS,
    Build,
    Deploy,
    EnvironmentOverride,
    RailwayFile,
    RailwayFileError,
    RegionReplicas,
    ServiceArguments,
    build_variables,
    parse,
    redeploy_fingerprint,
    service_arguments,
)
from infra.rendering import render_railway_toml

# Any text that UTF-8 can hold; TOML holds no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
lists = st.lists(texts, max_size=3).map(tuple)
replicas = st.dictionaries(st.sampled_from(REGIONS), st.builds(RegionReplicas, num_replicas=st.integers(1, 50)), max_size=4)


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


builds = st.builds(
    Build,
    builder=maybe(st.sampled_from(["RAILPACK", "DOCKERFILE", "NIXPACKS"])),
    watch_patterns=maybe(lists),
    build_command=maybe(texts),
    dockerfile_path=maybe(texts),
    railpack_version=maybe(texts),
)
deploys = st.builds(
    Deploy,
    start_command=maybe(texts),
    pre_deploy_command=maybe(lists),
    multi_region_config=maybe(replicas),
    healthcheck_path=maybe(texts),
    healthcheck_timeout=maybe(st.integers(1, 3600)),
    restart_policy_type=maybe(st.sampled_from(["ON_FAILURE", "ALWAYS", "NEVER"])),
    restart_policy_max_retries=maybe(st.integers(0, 100)),
    cron_schedule=maybe(texts),
    overlap_seconds=maybe(st.integers(0, 3600)),
    draining_seconds=maybe(st.integers(0, 3600)),
)
overrides = st.builds(EnvironmentOverride, build=maybe(builds), deploy=maybe(deploys))
files = st.builds(
    RailwayFile, build=maybe(builds), deploy=maybe(deploys), environments=maybe(st.dictionaries(texts, overrides, max_size=2))
)


@given(files, texts)
def test_a_file_reads_back_as_it_was_written(file: RailwayFile, service: str) -> None:
    """No text in a value, a key or the service's name can change the meaning of what stands around it."""
    assert parse(render_railway_toml(file, service)) == file


APPLICABLE = Deploy(
    start_command="python -m service",
    pre_deploy_command=("python -m service migrate",),
    multi_region_config={"us-west2": RegionReplicas(num_replicas=2)},
    healthcheck_path="/health/ready",
    healthcheck_timeout=60,
    restart_policy_type="ON_FAILURE",
    restart_policy_max_retries=10,
    overlap_seconds=2,
    draining_seconds=10,
)


@given(deploys)
def test_arguments_become_the_same_file_again(deploy: Deploy) -> None:
    file = RailwayFile(deploy=deploy)
    if deploy.cron_schedule is not None:
        with pytest.raises(RailwayFileError, match=r"deploy\.cronSchedule"):
            service_arguments(file, "dev")
    else:
        assert file_of(service_arguments(file, "dev")) == file


def file_of(arguments: ServiceArguments) -> RailwayFile:
    """The way back: the file that says what these arguments do."""
    names = {argument: key for key, argument in ARGUMENTS.items()}
    deploy: dict[str, object] = {names[argument]: value for argument, value in arguments.items()}
    if regions := arguments.get("multi_region_config"):
        deploy["multiRegionConfig"] = {name: {"numReplicas": count} for name, count in regions.items()}
    return RailwayFile(deploy=msgspec.convert(deploy, Deploy))


def test_every_field_reaches_the_provider() -> None:
    assert service_arguments(RailwayFile(deploy=APPLICABLE), "dev") == {
        "start_command": "python -m service",
        "pre_deploy_command": ["python -m service migrate"],
        "multi_region_config": {"us-west2": 2},
        "healthcheck_path": "/health/ready",
        "healthcheck_timeout_s": 60,
        "restart_policy_type": "ON_FAILURE",
        "restart_policy_max_retries": 10,
        "overlap_seconds": 2,
        "draining_seconds": 10,
    }


def test_an_environment_replaces_single_keys() -> None:
    override = EnvironmentOverride(deploy=Deploy(healthcheck_timeout=5))
    file = RailwayFile(deploy=APPLICABLE, environments={"dev": override})
    assert service_arguments(file, "dev")["healthcheck_timeout_s"] == 5
    assert service_arguments(file, "dev")["start_command"] == "python -m service"
    assert service_arguments(file, "prod")["healthcheck_timeout_s"] == 60


def test_the_dockerfile_is_chosen_by_a_variable_and_other_build_keys_are_refused() -> None:
    file = RailwayFile(build=Build(builder="DOCKERFILE", dockerfile_path="service/Dockerfile"))
    assert build_variables(file, "dev") == {"RAILWAY_DOCKERFILE_PATH": "service/Dockerfile"}
    with pytest.raises(RailwayFileError, match=r"build\.watchPatterns: the railway provider has no argument"):
        service_arguments(RailwayFile(build=Build(watch_patterns=("a",))), "dev")


WRONG = [
    ("=", "railway.toml: not TOML: Invalid statement (at line 1, column 1)"),
    ("a = 1", "railway.toml: object contains unknown field `a`"),
    ("[deploy]\nstartComand = 'x'", "railway.toml: deploy: object contains unknown field `startComand`"),
    ("[deploy]\nhealthcheckTimeout = '60'", "railway.toml: deploy.healthcheckTimeout: expected `int | null`, got `str`"),
    ("[deploy]\nhealthcheckTimeout = 0", "railway.toml: deploy.healthcheckTimeout: expected `int` >= 1"),
    ("[deploy]\nrestartPolicyType = 'on_failure'", "railway.toml: deploy.restartPolicyType: invalid enum value 'on_failure'"),
    ("[deploy]\npreDeployCommand = 'a'", "railway.toml: deploy.preDeployCommand: expected `array | null`, got `str`"),
    ("[deploy.multiRegionConfig.us-west2]\nnumReplicas = 0", "railway.toml: deploy.multiRegionConfig[...].numReplicas: expected `int` >= 1"),
    ("[deploy.multiRegionConfig.us-west1]\nnumReplicas = 1", "railway.toml: deploy.multiRegionConfig.us-west1: expected one of"),
    ("[environments.dev.deploy.multiRegionConfig.x]\nnumReplicas = 1", "railway.toml: environments.dev.deploy.multiRegionConfig.x: expected"),
    ("[build]\nbuilder = 'HEROKU'", "railway.toml: build.builder: invalid enum value 'HEROKU'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_wrong_file_is_refused_with_the_path(text: str, expected: str) -> None:
    with pytest.raises(RailwayFileError) as raised:
        parse(text)
    assert str(raised.value).startswith(expected)


@given(st.text(max_size=60))
def test_any_text_is_a_file_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(RailwayFileError):
        parse(text)


def test_only_what_needs_a_deployment_changes_the_fingerprint() -> None:
    """Railway changes the number of replicas in place; a new deployment for it would restart every replica."""

    def changed(**changes: object) -> str:
        base = {name: getattr(APPLICABLE, name) for name in APPLICABLE.__struct_fields__}
        return redeploy_fingerprint(RailwayFile(deploy=Deploy(**{**base, **changes})), "dev")

    same = changed()
    assert changed(multi_region_config={"us-west2": RegionReplicas(num_replicas=9)}) == same
    assert changed(multi_region_config={"us-east4-eqdc4a": RegionReplicas(num_replicas=2)}) != same
    assert changed(start_command="python -m other") != same
    assert changed(draining_seconds=11) != same


def test_the_rendered_text_says_who_reads_it() -> None:
    text = render_railway_toml(RailwayFile(deploy=APPLICABLE), "auth-us-west2")
    assert "2026-12-01" in text.partition("[deploy]")[0]
    assert tomllib.loads(text)["deploy"]["multiRegionConfig"] == {"us-west2": {"numReplicas": 2}}
