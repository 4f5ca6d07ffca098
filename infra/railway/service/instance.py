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
    railway_toml: str | None = None


FIELDS: Mapping[str, str] = {
    "startCommand": "start_command",
    "preDeployCommand": "pre_deploy_command",
    "healthcheckPath": "healthcheck_path",
    "healthcheckTimeout": "healthcheck_timeout_s",
    "restartPolicyType": "restart_policy_type",
    "restartPolicyMaxRetries": "restart_policy_max_retries",
    "overlapSeconds": "overlap_seconds",
    "drainingSeconds": "draining_seconds",
}
"""ServiceInstanceUpdateInput's names -> ours."""

DEFAULTS: Mapping[str, Any] = {
    "startCommand": "",
    "preDeployCommand": [],
    "healthcheckPath": "",
    "healthcheckTimeout": 300,
    "overlapSeconds": 0,
    "drainingSeconds": 0,
}
"""What Railway reports, besides null, for a field nobody has set."""

_LEFT_ALONE = ("restartPolicyType", "restartPolicyMaxRetries")


class Instance(Struct, frozen=True):
    """What Railway reports; `settings` by Railway's names, None where unset. A placement of None: it does not say."""

    image: str | None
    placement: dict[str, int] | None
    settings: dict[str, Any]


def parsed(answer: Data, service_id: str) -> Instance:
    """The answer to instance.graphql."""
    found = answer["serviceInstance"]
    return Instance(
        (found.get("source") or {}).get("image"),
        _placement(answer, service_id),
        {name: _normal(name, found.get(name)) for name in FIELDS},
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


def _normal(name: str, value: Any) -> Any:
    if name == "preDeployCommand" and isinstance(value, str):
        return [value]
    return None if name in DEFAULTS and value == DEFAULTS[name] else value


def update_input(found: Instance, wanted: ServiceInputs) -> Data:
    """ServiceInstanceUpdateInput that turns `found` into `wanted`; empty when they agree.

    multiRegionConfig goes along with every change: serviceInstanceUpdate falls back to one replica when it is left out.
    """
    settings = {name: _normal(name, getattr(wanted, ours)) for name, ours in FIELDS.items()}
    change: Data = {
        name: value
        for name, value in settings.items()
        if value != found.settings.get(name) and not (value is None and name in _LEFT_ALONE)
    }
    if wanted.image is not None and wanted.image != found.image:
        change["source"] = {"image": wanted.image}
    if change or found.placement != wanted.multi_region_config:
        change["multiRegionConfig"] = patch(found.placement or {}, wanted.multi_region_config)
    return change


_SECTIONS: Mapping[str, str] = {
    "source": "source",
    "rootDirectory": "source",
    "builder": "build",
    "buildCommand": "build",
    "dockerfilePath": "build",
    "watchPatterns": "build",
}
"""Where EnvironmentConfig keeps a field of ServiceInstanceUpdateInput; the others are under `deploy`."""


def config_patch(service_id: str, change: Data) -> Data:
    """ServiceInstanceUpdateInput as a patch of the environment's configuration; empty stays empty."""
    sections: Data = {}
    for name, value in change.items():
        section = _SECTIONS.get(name, "deploy")
        sections.setdefault(section, {}).update(value if name == section else {name: value})
    return {"services": {service_id: sections}} if sections else {}


def settings_of(inputs: ServiceInputs) -> Data:
    """What of the inputs is the instance's, under the inputs' wire names; to compare with `inputs_from`."""
    settings = {_wire(name): getattr(inputs, ours) for name, ours in FIELDS.items()}
    return {"multiRegionConfig": inputs.multi_region_config, "image": inputs.image, **settings}


def _wire(name: str) -> str:
    """Railway's name of a setting as the inputs' wire name."""
    return "healthcheckTimeoutS" if name == "healthcheckTimeout" else name


def inputs_from(found: Instance, recorded: ServiceInputs | None) -> Data:
    """What the user would have to write to get `found`. Fields at their default are left out, as the user left them out."""
    placement = found.placement
    if placement is None:
        placement = recorded.multi_region_config if recorded else {}
    inputs: Data = {"multiRegionConfig": placement}
    if found.image is not None:
        inputs["image"] = found.image
    for name, ours in FIELDS.items():
        given = getattr(recorded, ours) if recorded else None
        value = found.settings.get(name)
        if given is not None and value is None:
            value = DEFAULTS.get(name)  # set to the default in words: not drift
            value = given if value == given else None
        if value is not None and (given is not None or recorded is None or name not in _LEFT_ALONE):
            inputs[_wire(name)] = value
    return inputs
