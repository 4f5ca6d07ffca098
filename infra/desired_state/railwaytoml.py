"""Our own desired-state file for one Railway service: railway.toml's keys as frozen types, and what becomes of each.

Railway stops reading railway.toml on 2026-12-01. Here the file is what people review; the railway provider applies it
through the API. A key that no argument of the provider's Service stands for is an error rather than silence: config tools
that drop fields are what users of Railway complain about most.

    text -> parse -> RailwayFile -> applied -> Service(...) and its variables
    RailwayFile -> infra.desired_state.rendering -> text;  RailwayFile -> infra.desired_state.railway_iac -> .railway/railway.ts
    Applied -> file_of -> RailwayFile: nothing is lost on the way, in either direction

    RailwayFileError     not TOML, an unknown key, a wrong type or value; the message starts with the key's path
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from typing import Annotated, Literal, TypedDict

import msgspec

from infra.desired_state.railwaytoml_schema import PLACEMENT, problems
from infra.places import REPLICAS_MAX

Builder = Literal["RAILPACK", "DOCKERFILE", "NIXPACKS"]
RestartPolicyType = Literal["ON_FAILURE", "ALWAYS", "NEVER"]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=3_600)]


class RailwayFileError(Exception):
    """See the module docstring."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True, kw_only=True):
    """A table of the file; its keys are camelCase there, and an absent key is None here."""


class RegionReplicas(Table, frozen=True):
    num_replicas: Annotated[int, msgspec.Meta(ge=1, le=REPLICAS_MAX)]


class Build(Table, frozen=True):
    builder: Builder | None = None
    watch_patterns: tuple[str, ...] | None = None
    build_command: str | None = None
    dockerfile_path: str | None = None
    railpack_version: str | None = None


class Deploy(Table, frozen=True):
    start_command: str | None = None
    pre_deploy_command: tuple[str, ...] | None = None
    multi_region_config: dict[str, RegionReplicas] | None = None
    healthcheck_path: str | None = None
    healthcheck_timeout: Annotated[int, msgspec.Meta(ge=1, le=3_600)] | None = None
    restart_policy_type: RestartPolicyType | None = None
    restart_policy_max_retries: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    cron_schedule: str | None = None
    overlap_seconds: Seconds | None = None
    draining_seconds: Seconds | None = None


class EnvironmentOverride(Table, frozen=True):
    build: Build | None = None
    deploy: Deploy | None = None


class RailwayFile(Table, frozen=True):
    build: Build | None = None
    deploy: Deploy | None = None
    environments: dict[str, EnvironmentOverride] | None = None


class ServiceArguments(TypedDict, total=False):
    """The arguments of the provider's Service that the file decides."""

    builder: str
    build_command: str
    dockerfile_path: str
    watch_patterns: list[str]
    start_command: str
    pre_deploy_command: list[str]
    healthcheck_path: str
    healthcheck_timeout_s: int
    restart_policy_type: str
    restart_policy_max_retries: int
    multi_region_config: dict[str, int]
    cron_schedule: str
    overlap_seconds: int
    draining_seconds: int


class Applied(msgspec.Struct, frozen=True):
    """What the provider is told: arguments of the service, and variables for what Railway's API has no field for."""

    arguments: ServiceArguments
    variables: dict[str, str]


def parse(text: str) -> RailwayFile:
    """The file's text as types. RailwayFileError names every wrong key, with what was expected and what is there."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RailwayFileError(f"railway.toml: not TOML: {error}") from error
    except RecursionError as error:
        raise RailwayFileError("railway.toml: not TOML: nested too deep") from error
    found = [str(problem) for problem in problems(tables)]
    if found:
        raise RailwayFileError("\n".join(f"railway.toml: {problem}" for problem in found))
    try:
        return msgspec.convert(tables, RailwayFile)
    except msgspec.ValidationError as error:
        raise RailwayFileError(f"railway.toml: {error}") from error


def document(file: RailwayFile) -> dict[str, object]:
    """The file as plain tables, keys as in the file, absent ones left out."""
    tables: dict[str, object] = msgspec.json.decode(msgspec.json.encode(file))
    return tables


def merged(file: RailwayFile, environment: str) -> RailwayFile:
    """What holds in one environment: [environments.<name>] replaces single keys of [build] and [deploy]."""
    own = (file.environments or {}).get(environment)
    if own is None:
        return RailwayFile(build=file.build, deploy=file.deploy)
    base, over = document(file), document(RailwayFile(build=own.build, deploy=own.deploy))
    return msgspec.convert({name: joined(base.get(name), over.get(name)) for name in ("build", "deploy")}, RailwayFile)


def joined(base: object, over: object) -> dict[str, object]:
    return {**(base if isinstance(base, dict) else {}), **(over if isinstance(over, dict) else {})}


# What is applied as it is: key -> argument of Service. Every key of the file is here or in `applied` by name.
BUILD_ARGUMENTS: Mapping[str, str] = {
    "buildCommand": "build_command",
    "dockerfilePath": "dockerfile_path",
    "watchPatterns": "watch_patterns",
}
DEPLOY_ARGUMENTS: Mapping[str, str] = {
    "startCommand": "start_command",
    "preDeployCommand": "pre_deploy_command",
    "healthcheckPath": "healthcheck_path",
    "healthcheckTimeout": "healthcheck_timeout_s",
    "restartPolicyType": "restart_policy_type",
    "restartPolicyMaxRetries": "restart_policy_max_retries",
    "cronSchedule": "cron_schedule",
    "overlapSeconds": "overlap_seconds",
    "drainingSeconds": "draining_seconds",
}
DOCKERFILE_VARIABLE = "RAILWAY_DOCKERFILE_PATH"
RAILPACK_VARIABLE = "RAILPACK_VERSION"
"""Railway's builders read both. The API's Builder has no DOCKERFILE: whoever names a Dockerfile chooses it."""


def applied(file: RailwayFile, environment: str) -> Applied:
    """Field by field what the provider is to do in one environment."""
    effective = document(merged(file, environment))
    build, deploy = joined(effective.get("build"), None), joined(effective.get("deploy"), None)
    arguments: dict[str, object] = {ours: build[key] for key, ours in BUILD_ARGUMENTS.items() if key in build}
    arguments |= {ours: deploy[key] for key, ours in DEPLOY_ARGUMENTS.items() if key in deploy}
    if PLACEMENT in deploy:
        regions = joined(deploy[PLACEMENT], None)
        arguments["multi_region_config"] = {name: entry["numReplicas"] for name, entry in regions.items()}  # type: ignore[index]
    variables: dict[str, str] = {}
    if build.get("builder") == "DOCKERFILE":
        variables[DOCKERFILE_VARIABLE] = str(build.get("dockerfilePath", "Dockerfile"))
    elif "builder" in build:
        arguments["builder"] = build["builder"]
    if "railpackVersion" in build:
        variables[RAILPACK_VARIABLE] = str(build["railpackVersion"])
    return Applied(msgspec.convert(arguments, ServiceArguments), variables)


def file_of(done: Applied) -> RailwayFile:
    """The way back from `applied`: the file that says just that."""
    arguments: dict[str, object] = dict(done.arguments)
    build = {key: arguments[ours] for key, ours in BUILD_ARGUMENTS.items() if ours in arguments}
    deploy = {key: arguments[ours] for key, ours in DEPLOY_ARGUMENTS.items() if ours in arguments}
    if DOCKERFILE_VARIABLE in done.variables:
        build["builder"] = "DOCKERFILE"
    elif "builder" in arguments:
        build["builder"] = arguments["builder"]
    if RAILPACK_VARIABLE in done.variables:
        build["railpackVersion"] = done.variables[RAILPACK_VARIABLE]
    if "multi_region_config" in done.arguments:
        regions = done.arguments["multi_region_config"].items()
        deploy[PLACEMENT] = {name: {"numReplicas": count} for name, count in regions}
    tables = {"build": build, "deploy": deploy}
    return msgspec.convert({name: table for name, table in tables.items() if table}, RailwayFile)


def redeploy_fingerprint(file: RailwayFile, environment: str) -> str:
    """Of what the file says, only what needs a new deployment: Railway changes the number of replicas in place."""
    effective = merged(file, environment)
    deploy = effective.deploy or Deploy()
    regions = {name: RegionReplicas(num_replicas=1) for name in sorted(deploy.multi_region_config or {})}
    without = msgspec.structs.replace(effective, deploy=msgspec.structs.replace(deploy, multi_region_config=regions))
    return hashlib.sha256(msgspec.json.encode(without)).hexdigest()
