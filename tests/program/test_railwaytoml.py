# ruff: noqa: E501 - a table of messages reads best with one message on a line
"""railway.toml as our own desired-state file: strict to read, lossless to write, and nothing in it is silently ignored."""

import contextlib
import json
import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.desired_state.railway_iac import file_of as file_of_options
from infra.desired_state.railway_iac import railway_ts, service_options
from infra.desired_state.railwaytoml import (
    Applied,
    Build,
    Deploy,
    EnvironmentOverride,
    RailwayFile,
    RailwayFileError,
    RegionReplicas,
    applied,
    document,
    file_of,
    merged,
    parse,
    redeploy_fingerprint,
)
from infra.desired_state.railwaytoml_schema import BUILD, DEPLOY, PLACEMENT
from infra.desired_state.rendering import render_railway_toml
from infra.places import REGIONS
from infra.railway.service.instance import ServiceInputs

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
    cron_schedule="*/15 * * * *",
    overlap_seconds=2,
    draining_seconds=10,
)


def said(file: RailwayFile, environment: str) -> RailwayFile:
    """What holds in one environment; a table without a key says nothing."""
    tables = {name: table for name, table in document(merged(file, environment)).items() if table}
    return msgspec.convert(tables, RailwayFile)


@given(files, texts)
def test_what_is_applied_becomes_the_same_file_again(file: RailwayFile, environment: str) -> None:
    """toml -> fields -> toml: every documented key arrives, and none is invented."""
    there = applied(parse(render_railway_toml(file, "auth")), environment)
    assert file_of(there) == said(file, environment)
    assert parse(render_railway_toml(file_of(there), "auth")) == said(file, environment)


@given(files, texts)
def test_what_is_applied_is_the_same_after_the_file(file: RailwayFile, environment: str) -> None:
    """fields -> toml -> fields."""
    there = applied(file, environment)
    assert applied(file_of(there), environment) == there


@given(files, texts)
def test_the_successor_says_the_same(file: RailwayFile, environment: str) -> None:
    assert file_of_options(service_options(file, environment)) == said(file, environment)


@given(st.dictionaries(texts, files, min_size=1, max_size=2), texts)
def test_no_text_becomes_code_in_the_successors_file(stack: dict[str, RailwayFile], project: str) -> None:
    """Read as a scanner would: literals where they belong, and nothing else but what we write around them."""
    rest = railway_ts(project, stack).partition("const resources = [\n")[2]

    def take(expected: str) -> None:
        nonlocal rest
        assert rest.startswith(expected), rest[:80]
        rest = rest.removeprefix(expected)

    def literal() -> Any:
        nonlocal rest
        value, end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:]
        return value

    for name, file in stack.items():
        take("    service(")
        assert literal() == name
        take(", ")
        for environment in file.environments or {}:
            take("ctx.environment === ")
            assert literal() == environment
            take(" ? ")
            assert file_of_options(literal()) == said(file, environment)
            take(" : ")
        assert file_of_options(literal()) == said(RailwayFile(build=file.build, deploy=file.deploy), "any")
        take("),\n")
    take("  ];\n  return project(")
    assert literal() == project
    take(", { resources });\n});\n")
    assert not rest


DOCUMENTED = {
    "build": {"builder", "watchPatterns", "buildCommand", "dockerfilePath", "railpackVersion"},
    "deploy": {
        "startCommand",
        "preDeployCommand",
        "multiRegionConfig",
        "healthcheckPath",
        "healthcheckTimeout",
        "restartPolicyType",
        "restartPolicyMaxRetries",
        "cronSchedule",
        "overlapSeconds",
        "drainingSeconds",
    },
}
"""docs.railway.com/config-as-code/reference, August 2026; `environments` holds both once more."""


def test_every_documented_key_is_known() -> None:
    assert (set(BUILD), {*DEPLOY, PLACEMENT}) == (DOCUMENTED["build"], DOCUMENTED["deploy"])
    fields = {"build": Build, "deploy": Deploy}
    assert {name: {field.encode_name for field in msgspec.structs.fields(kind)} for name, kind in fields.items()} == DOCUMENTED


def test_every_argument_is_the_providers() -> None:
    """An argument that the service does not have would be an error at the first deploy."""
    known = {field.name for field in msgspec.structs.fields(ServiceInputs)}
    assert set(applied(RailwayFile(build=EVERY_BUILD, deploy=APPLICABLE), "dev").arguments) <= known


EVERY_BUILD = Build(
    builder="RAILPACK",
    watch_patterns=("src/**",),
    build_command="make",
    dockerfile_path="Dockerfile.other",
    railpack_version="0.7.0",
)


def test_every_field_reaches_the_provider() -> None:
    assert applied(RailwayFile(build=EVERY_BUILD, deploy=APPLICABLE), "dev") == Applied(
        {
            "builder": "RAILPACK",
            "watch_patterns": ["src/**"],
            "build_command": "make",
            "dockerfile_path": "Dockerfile.other",
            "start_command": "python -m service",
            "pre_deploy_command": ["python -m service migrate"],
            "multi_region_config": {"us-west2": 2},
            "healthcheck_path": "/health/ready",
            "healthcheck_timeout_s": 60,
            "restart_policy_type": "ON_FAILURE",
            "restart_policy_max_retries": 10,
            "cron_schedule": "*/15 * * * *",
            "overlap_seconds": 2,
            "draining_seconds": 10,
        },
        {"RAILPACK_VERSION": "0.7.0"},
    )


def test_an_environment_replaces_single_keys() -> None:
    override = EnvironmentOverride(deploy=Deploy(healthcheck_timeout=5))
    file = RailwayFile(deploy=APPLICABLE, environments={"dev": override})
    assert applied(file, "dev").arguments["healthcheck_timeout_s"] == 5
    assert applied(file, "dev").arguments["start_command"] == "python -m service"
    assert applied(file, "prod").arguments["healthcheck_timeout_s"] == 60


@pytest.mark.parametrize(("path", "expected"), [(None, "Dockerfile"), ("service/Dockerfile", "service/Dockerfile")])
def test_the_dockerfile_is_chosen_by_a_variable(path: str | None, expected: str) -> None:
    """The API's Builder has no DOCKERFILE."""
    there = applied(RailwayFile(build=Build(builder="DOCKERFILE", dockerfile_path=path)), "dev")
    assert there.variables == {"RAILWAY_DOCKERFILE_PATH": expected}
    assert "builder" not in there.arguments


WRONG = [
    ("=", "railway.toml: not TOML: Invalid statement (at line 1, column 1)"),
    ("a = 1", "railway.toml: a: expected one of build, deploy, environments, got this key"),
    ("deploy = 1", "railway.toml: deploy: expected a table, got 1"),
    ("[deploy]\nstartComand = 'x'", "railway.toml: deploy.startComand: expected one of startCommand, preDeployCommand, "),
    ("[deploy]\nhealthcheckTimeout = '60'", "railway.toml: deploy.healthcheckTimeout: expected a whole number from 1 to 3600, got '60'"),
    ("[deploy]\nhealthcheckTimeout = 0", "railway.toml: deploy.healthcheckTimeout: expected a whole number from 1 to 3600, got 0"),
    ("[deploy]\nhealthcheckTimeout = true", "railway.toml: deploy.healthcheckTimeout: expected a whole number from 1 to 3600, got true"),
    ("[deploy]\nhealthcheckTimeout = 2026-12-01", "railway.toml: deploy.healthcheckTimeout: expected a whole number from 1 to 3600, got date"),
    ("[deploy]\nrestartPolicyType = 'on_failure'", "railway.toml: deploy.restartPolicyType: expected one of ON_FAILURE, ALWAYS, NEVER, got 'on_failure'"),
    ("[deploy]\npreDeployCommand = 'a'", "railway.toml: deploy.preDeployCommand: expected a list of texts, got 'a'"),
    ("[deploy]\npreDeployCommand = ['a', 1]", "railway.toml: deploy.preDeployCommand: expected a list of texts, got a list of 2"),
    ("[deploy.multiRegionConfig.us-west2]\nnumReplicas = 0", "railway.toml: deploy.multiRegionConfig.us-west2.numReplicas: expected a whole number from 1 to 50, got 0"),
    ("[deploy.multiRegionConfig.us-west2]", "railway.toml: deploy.multiRegionConfig.us-west2.numReplicas: expected a whole number from 1 to 50, got nothing"),
    ("[deploy.multiRegionConfig.us-west1]\nnumReplicas = 1", "railway.toml: deploy.multiRegionConfig.us-west1: expected one of us-west2, "),
    ("[environments.dev.deploy.multiRegionConfig.x]\nnumReplicas = 1", "railway.toml: environments.dev.deploy.multiRegionConfig.x: expected"),
    ("[environments]\ndev = 1", "railway.toml: environments.dev: expected a table, got 1"),
    ("[environments.dev.networking]", "railway.toml: environments.dev.networking: expected one of build, deploy, got this key"),
    ("[build]\nbuilder = 'HEROKU'", "railway.toml: build.builder: expected one of RAILPACK, DOCKERFILE, NIXPACKS, got 'HEROKU'"),
    ("[build]\nbuilder = []\nx = 1", "railway.toml: build.builder: expected one of RAILPACK, DOCKERFILE, NIXPACKS, got a list of 0\nrailway.toml: build.x: expected"),
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
