"""Our own desired-state file for one Railway service: railway.toml's keys as frozen types, and what becomes of each.

Railway stops reading railway.toml on 2026-12-01. Here the file is what people review; the railway provider applies it
through the API. A key that no argument of the provider's Service stands for is an error rather than silence: config tools
that drop fields are what users of Railway complain about most.

    text -> parse -> RailwayFile -> service_arguments -> Service(...)
    RailwayFile -> infra.rendering -> text

    RailwayFileError     not TOML, an unknown key, a wrong type or value; the message starts with the key's path
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from typing import Annotated, Literal, TypedDict

import msgspec

from infra.places import REGIONS, REPLICAS_MAX

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

    start_command: str
    pre_deploy_command: list[str]
    healthcheck_path: str
    healthcheck_timeout_s: int
    restart_policy_type: str
    restart_policy_max_retries: int
    multi_region_config: dict[str, int]
    overlap_seconds: int
    draining_seconds: int


def parse(text: str) -> RailwayFile:
    """The file's text as types. RailwayFileError names the key."""
    try:
        file = msgspec.convert(tomllib.loads(text), RailwayFile)
    except tomllib.TOMLDecodeError as error:
        raise RailwayFileError(f"railway.toml: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise RailwayFileError(translated(str(error))) from error
    check_regions(file)
    return file


def translated(message: str) -> str:
    """msgspec ends its messages in the path; ours begin with it."""
    reason, _, path = message.partition(" - at `")
    place = path.rstrip("`").removeprefix("$").lstrip(".")
    return f"railway.toml{': ' + place if place else ''}: {reason[0].lower()}{reason[1:]}"


def check_regions(file: RailwayFile) -> None:
    deploys = {"deploy": file.deploy, **{f"environments.{k}.deploy": v.deploy for k, v in (file.environments or {}).items()}}
    for path, deploy in deploys.items():
        for region in (deploy and deploy.multi_region_config) or {}:
            if region not in REGIONS:
                raise RailwayFileError(
                    f"railway.toml: {path}.multiRegionConfig.{region}: expected one of {', '.join(REGIONS)}, got {region!r}"
                )


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


# The one table of what is applied: key of [deploy] -> argument of Service. A key of the file that is not here is refused.
ARGUMENTS: Mapping[str, str] = {
    "startCommand": "start_command",
    "preDeployCommand": "pre_deploy_command",
    "multiRegionConfig": "multi_region_config",
    "healthcheckPath": "healthcheck_path",
    "healthcheckTimeout": "healthcheck_timeout_s",
    "restartPolicyType": "restart_policy_type",
    "restartPolicyMaxRetries": "restart_policy_max_retries",
    "overlapSeconds": "overlap_seconds",
    "drainingSeconds": "draining_seconds",
}
# [build] is applied by variables of the service (see infra.components.cell), which Railway's builder reads.
BUILD_VARIABLES: Mapping[str, str] = {"dockerfilePath": "RAILWAY_DOCKERFILE_PATH"}


def service_arguments(file: RailwayFile, environment: str) -> ServiceArguments:
    """Field by field what the provider is to apply. RailwayFileError for a key that it could not."""
    effective = document(merged(file, environment))
    deploy = joined(effective.get("deploy"), None)
    refuse("deploy", set(deploy) - set(ARGUMENTS))
    refuse("build", set(joined(effective.get("build"), None)) - {"builder", *BUILD_VARIABLES})
    arguments = {ARGUMENTS[key]: value for key, value in deploy.items()}
    if regions := arguments.get("multi_region_config"):
        arguments["multi_region_config"] = {name: entry["numReplicas"] for name, entry in joined(regions, None).items()}  # type: ignore[index]
    return msgspec.convert(arguments, ServiceArguments)


def refuse(table: str, keys: set[str]) -> None:
    for key in sorted(keys):
        raise RailwayFileError(f"railway.toml: {table}.{key}: the railway provider has no argument for it yet; next: take it out")


def build_variables(file: RailwayFile, environment: str) -> dict[str, str]:
    """The variables by which [build] is applied."""
    build = joined(document(merged(file, environment)).get("build"), None)
    return {BUILD_VARIABLES[key]: str(value) for key, value in build.items() if key in BUILD_VARIABLES}


def redeploy_fingerprint(file: RailwayFile, environment: str) -> str:
    """Of what the file says, only what needs a new deployment: Railway changes the number of replicas in place."""
    effective = merged(file, environment)
    deploy = effective.deploy or Deploy()
    regions = {name: RegionReplicas(num_replicas=1) for name in sorted(deploy.multi_region_config or {})}
    without = msgspec.structs.replace(effective, deploy=msgspec.structs.replace(deploy, multi_region_config=regions))
    return hashlib.sha256(msgspec.json.encode(without)).hexdigest()
