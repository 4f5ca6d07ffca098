"""A service's instance in one environment: as wanted, as found, and the patch from one to the other. Pure.

An input that is not given means Railway's default, so that a value set by hand is drift like any other. The restart policy
is the exception: its unset form cannot be written through the API, so without an input it is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from infra.railway.client import Data
from infra.railway.regions import patch, placed
from infra.railway.staging.patches import is_masked


class ServiceInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    environment_id: str
    name: str
    multi_region_config: dict[str, int]
    image: str | None = None
    start_command: str | None = None
    pre_deploy_command: list[str] | None = None
    healthcheck_path: str | None = None
    healthcheck_timeout_s: int | None = None
    restart_policy_type: str | None = None
    restart_policy_max_retries: int | None = None
    overlap_seconds: int | None = None
    draining_seconds: int | None = None
    repo: str | None = None
    branch: str | None = None
    registry_username: str | None = None
    registry_password: str | None = None
    builder: str | None = None
    build_command: str | None = None
    dockerfile_path: str | None = None
    root_directory: str | None = None
    watch_patterns: list[str] | None = None
    nixpacks_plan: dict[str, Any] | None = None
    railway_config_file: str | None = None
    cron_schedule: str | None = None
    sleep_application: bool | None = None
    ipv6_egress_enabled: bool | None = None
    vcpus: float | None = None
    memory_gb: float | None = None
    variables: dict[str, str] | None = None
    railway_toml: str | None = None

    @property
    def place(self) -> dict[str, str]:
        return {"projectId": self.project_id, "environmentId": self.environment_id}


FIELDS: Mapping[str, str] = {
    "startCommand": "start_command",
    "preDeployCommand": "pre_deploy_command",
    "healthcheckPath": "healthcheck_path",
    "healthcheckTimeout": "healthcheck_timeout_s",
    "restartPolicyType": "restart_policy_type",
    "restartPolicyMaxRetries": "restart_policy_max_retries",
    "overlapSeconds": "overlap_seconds",
    "drainingSeconds": "draining_seconds",
    "builder": "builder",
    "buildCommand": "build_command",
    "dockerfilePath": "dockerfile_path",
    "rootDirectory": "root_directory",
    "watchPatterns": "watch_patterns",
    "nixpacksPlan": "nixpacks_plan",
    "railwayConfigFile": "railway_config_file",
    "cronSchedule": "cron_schedule",
    "sleepApplication": "sleep_application",
    "ipv6EgressEnabled": "ipv6_egress_enabled",
}
"""ServiceInstanceUpdateInput's names -> ours."""

ELSEWHERE: Mapping[str, str] = {
    "multiRegionConfig": "sent with every change; see update_input",
    "source": "image, repo and branch",
    "registryCredentials": "registry_username and registry_password; see credentials_change",
    "numReplicas": "never sent: multiRegionConfig says it for each region",
    "region": "never sent: Railway ignores it",
}
"""The other names of ServiceInstanceUpdateInput, and where they went."""

DEFAULTS: Mapping[str, Any] = {
    "startCommand": "",
    "preDeployCommand": [],
    "healthcheckPath": "",
    "healthcheckTimeout": 300,
    "overlapSeconds": 0,
    "drainingSeconds": 0,
    "buildCommand": "",
    "dockerfilePath": "",
    "rootDirectory": "",
    "watchPatterns": [],
    "nixpacksPlan": {},
    "railwayConfigFile": "",
    "cronSchedule": "",
    "sleepApplication": False,
    "ipv6EgressEnabled": False,
}
"""What Railway reports, besides null, for a field nobody has set."""

_LEFT_ALONE = ("restartPolicyType", "restartPolicyMaxRetries", "builder")
GIGABYTE = 1_000_000_000
"""Railway's GB are decimal."""


class Instance(Struct, frozen=True):
    """What Railway reports; `settings` by Railway's names, None where unset. A placement of None: it does not say."""

    image: str | None
    placement: dict[str, int] | None
    settings: dict[str, Any]
    repo: str | None = None
    branch: str | None = None
    registry_username: str | None = None
    vcpus: float | None = None
    memory_gb: float | None = None


def parsed(answer: Data, service_id: str) -> Instance:
    """The answer to instance.graphql."""
    found = answer["serviceInstance"]
    source = found.get("source") or {}
    configured = _inner(answer, "environment", "config", "services", service_id)
    limits = _inner(answer, "serviceInstanceLimitOverride", "containers")
    memory_bytes = limits.get("memoryBytes")
    return Instance(
        source.get("image"),
        _placement(answer, service_id),
        {name: _normal(name, found.get(name)) for name in FIELDS},
        repo=source.get("repo"),
        branch=_inner(configured, "source").get("branch"),
        registry_username=_unmasked(_inner(configured, "deploy", "registryCredentials").get("username")),
        vcpus=limits.get("cpu"),
        memory_gb=None if memory_bytes is None else memory_bytes / GIGABYTE,
    )


def _placement(answer: Data, service_id: str) -> dict[str, int] | None:
    """From the environment's configuration; else from the last deployment's manifest, where Railway's own CLI reads it."""
    configured = _inner(answer, "environment", "config", "services", service_id, "deploy")
    deployed = _inner(answer, "serviceInstance", "latestDeployment", "meta", "serviceManifest", "deploy")
    for deploy in (configured, deployed):
        if deploy.get("multiRegionConfig"):
            return placed(deploy["multiRegionConfig"])
    return None


def _inner(value: Any, *path: str) -> Data:
    """The object at the end of `path`, empty where the path ends early: these are JSON scalars without a schema."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _unmasked(value: Any) -> Any:
    """None for what Railway shows as asterisks."""
    return None if is_masked(value) else value


def _normal(name: str, value: Any) -> Any:
    if name == "preDeployCommand" and isinstance(value, str):
        return [value]
    return None if name in DEFAULTS and value == DEFAULTS[name] else value


def update_input(found: Instance, wanted: ServiceInputs) -> Data:
    """The settings that turn `found` into `wanted`, by the names of ServiceInstanceUpdateInput; empty when they agree.

    multiRegionConfig goes along with every change: Railway may fall back to one replica when it is left out.
    """
    settings = {name: _normal(name, getattr(wanted, ours)) for name, ours in FIELDS.items()}
    change: Data = {
        name: value
        for name, value in settings.items()
        if value != found.settings.get(name) and not (value is None and name in _LEFT_ALONE)
    }
    if source := _source(found, wanted):
        change["source"] = source
    if change or found.placement != wanted.multi_region_config:
        change["multiRegionConfig"] = patch(found.placement or {}, wanted.multi_region_config)
    return change


def change_of(found: Instance, wanted: ServiceInputs, remembered: ServiceInputs | None) -> Data:
    """Everything of the instance that is to change: settings, credentials and limits."""
    return update_input(found, wanted) | credentials_change(wanted, remembered) | limits_change(found, wanted)


def _source(found: Instance, wanted: ServiceInputs) -> Data:
    """An image or a repository, never both; what is neither wanted stays, or is disconnected (see is_disconnected)."""
    if wanted.image is not None and (wanted.image != found.image or found.repo):
        return {"image": wanted.image} | ({"repo": None, "branch": None} if found.repo else {})
    if wanted.repo is not None:
        branch = {} if wanted.branch in (None, found.branch) else {"branch": wanted.branch}
        repo = {} if wanted.repo == found.repo else {"repo": wanted.repo}
        image = {"image": None} if found.image else {}
        return repo | branch | image
    return {}


def is_disconnected(found: Instance, wanted: ServiceInputs) -> bool:
    """Whether a repository is to be taken away and nothing put in its place."""
    return found.repo is not None and wanted.repo is None and wanted.image is None


def credentials_change(wanted: ServiceInputs, remembered: ServiceInputs | None) -> Data:
    """The registry's credentials as a change; empty where they stand. Nobody can read the password back.

    remembered: what is known to be set there, None where nothing is.
    """
    before = (remembered.registry_username, remembered.registry_password) if remembered else (None, None)
    after = (wanted.registry_username, wanted.registry_password)
    if before == after:
        return {}
    return {"registryCredentials": None if after[0] is None else {"username": after[0], "password": after[1]}}


def limits_change(found: Instance, wanted: ServiceInputs) -> Data:
    """The limits as a change; empty where they stand. What is not limited any more is said: patches are merged."""
    if (found.vcpus, found.memory_gb) == (wanted.vcpus, wanted.memory_gb):
        return {}
    if wanted.vcpus is None and wanted.memory_gb is None:
        return {"limitOverride": None}
    memory_bytes = None if wanted.memory_gb is None else round(wanted.memory_gb * GIGABYTE)
    return {"limitOverride": {"containers": {"cpu": wanted.vcpus, "memoryBytes": memory_bytes}}}


_SECTIONS: Mapping[str, str] = {
    "source": "source",
    "rootDirectory": "source",
    "builder": "build",
    "buildCommand": "build",
    "dockerfilePath": "build",
    "watchPatterns": "build",
    "nixpacksPlan": "build",
}
"""Where EnvironmentConfig keeps a setting; the others are under `deploy`."""


def config_patch(change: Data) -> Data:
    """A change as a service's part of a patch of the environment's configuration; empty stays empty."""
    sections: Data = {}
    for name, value in change.items():
        if name == "railwayConfigFile":
            sections["configFile"] = value
            continue
        section = _SECTIONS.get(name, "deploy")
        sections.setdefault(section, {}).update(value if name == section else {name: value})
    return sections


def settings_of(inputs: ServiceInputs) -> Data:
    """What of the inputs is the instance's, under the inputs' wire names; to compare with `inputs_from`."""
    settings = {_wire(name): getattr(inputs, ours) for name, ours in FIELDS.items()}
    source = {"image": inputs.image, "repo": inputs.repo, "branch": inputs.branch}
    return {"multiRegionConfig": inputs.multi_region_config, **source, **settings}


def _wire(name: str) -> str:
    """Railway's name of a setting as the inputs' wire name."""
    return "healthcheckTimeoutS" if name == "healthcheckTimeout" else name


def inputs_from(found: Instance, recorded: ServiceInputs | None) -> Data:
    """What the user would have to write to get `found`. Fields at their default are left out, as the user left them out."""
    placement = found.placement
    if placement is None:
        placement = recorded.multi_region_config if recorded else {}
    inputs: Data = {"multiRegionConfig": placement}
    read: Data = {"image": found.image, "repo": found.repo, "vcpus": found.vcpus, "memoryGb": found.memory_gb}
    if recorded is None or recorded.branch is not None:
        read["branch"] = found.branch  # Railway chooses one where none is asked for
    if recorded is not None:
        # The password cannot be read back: what was set is taken to stand.
        read |= {"registryUsername": recorded.registry_username, "registryPassword": recorded.registry_password}
    else:
        read["registryUsername"] = found.registry_username
    inputs |= {name: value for name, value in read.items() if value is not None}
    for name, ours in FIELDS.items():
        given = getattr(recorded, ours) if recorded else None
        value = found.settings.get(name)
        if given is not None and value is None:
            value = DEFAULTS.get(name)  # set to the default in words: not drift
            value = given if value == given else None
        if value is not None and (given is not None or recorded is None or name not in _LEFT_ALONE):
            inputs[_wire(name)] = value
    return inputs
