"""EnvironmentConfig, Railway's JSON for a whole environment, as a patch: read once, strictly, into our own types.

Known is what a service of ours uses. What is not known is refused with its path: a patch that is half applied without a
word would be worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from infra.localcloud.railway_api.resolvers_service import SETTINGS, multi_region_config
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.patch_content import EnvironmentChanges, ServicePatch
from infra.localcloud.world.variables import checked_variables

PATCH_BYTES_MAX = 512 * 1024
BUILDERS = ("HEROKU", "NIXPACKS", "PAKETO", "RAILPACK")
RESTART_POLICIES = ("ALWAYS", "NEVER", "ON_FAILURE")
Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


SECTIONS: dict[str, dict[str, tuple[str, Check]]] = {
    "source": {
        "image": ("a text", _is_text),
        "repo": ("a text", _is_text),
        "rootDirectory": ("a text", _is_text),
    },
    "build": {
        "builder": (f"one of {', '.join(BUILDERS)}", lambda value: value in BUILDERS),
        "buildCommand": ("a text", _is_text),
        "dockerfilePath": ("a text", _is_text),
        "watchPatterns": ("a list of texts", _is_texts),
    },
    "deploy": {
        "startCommand": ("a text", _is_text),
        "preDeployCommand": ("a list of texts", _is_texts),
        "healthcheckPath": ("a text", _is_text),
        "healthcheckTimeout": ("an integer", _is_count),
        "restartPolicyType": (f"one of {', '.join(RESTART_POLICIES)}", lambda value: value in RESTART_POLICIES),
        "restartPolicyMaxRetries": ("an integer", _is_count),
        "overlapSeconds": ("an integer", _is_count),
        "drainingSeconds": ("an integer", _is_count),
    },
}
OURS = {**SETTINGS, "image": "image", "repo": "repo"}


def changes_of(patch: object) -> EnvironmentChanges:
    """BadInput with the path of what is wrong; no message holds a variable's value."""
    config = _object("patch", patch)
    if len(msgspec.json.encode(config)) > PATCH_BYTES_MAX:
        raise BadInput(f"patch: expected at most {PATCH_BYTES_MAX} bytes")
    _only_known("patch", config, ("services", "sharedVariables"))
    services = _object("services", config.get("services") or {})
    return EnvironmentChanges(
        tuple(_service(service_id, given) for service_id, given in services.items()),
        _variables("sharedVariables", config.get("sharedVariables")),
    )


def _service(service_id: str, given: object) -> ServicePatch:
    path = f"services.{service_id[:40]}"
    service = _object(path, given)
    _only_known(path, service, (*SECTIONS, "variables", "isDeleted"))
    changes: dict[str, Any] = {}
    regions = None
    for name, known in SECTIONS.items():
        section = _object(f"{path}.{name}", service.get(name) or {})
        _only_known(f"{path}.{name}", section, (*known, "multiRegionConfig") if name == "deploy" else known)
        for key, value in section.items():
            if key == "multiRegionConfig":
                regions = multi_region_config(value) if value is not None else None
                continue
            expected, is_right = known[key]
            if value is not None and not is_right(value):
                raise BadInput(f"{path}.{name}.{key}: expected {expected} or null")
            changes[OURS[key]] = tuple(value) if isinstance(value, list) else value
    if not isinstance(service.get("isDeleted", False), bool):
        raise BadInput(f"{path}.isDeleted: expected true or false")
    variables = _variables(f"{path}.variables", service.get("variables"))
    return ServicePatch(service_id, changes, regions, variables, service.get("isDeleted", False))


def _variables(path: str, given: object) -> dict[str, str | None]:
    """{"A": {"value": "x"}} sets, {"B": null} removes; {"C": {}} is what a reader of hidden values sends back: no change."""
    values: dict[str, str | None] = {}
    for name, entry in _object(path, given or {}).items():
        if entry is None:
            values[name] = None
            continue
        found = _object(f"{path}.{name[:40]}", entry)
        _only_known(f"{path}.{name[:40]}", found, ("value",))
        if "value" in found:
            values[name] = found["value"]
    checked_variables({name: value for name, value in values.items() if value is not None})
    return values


def shown(patch: Mapping[str, Any], *, is_decrypted: bool) -> dict[str, Any]:
    """The patch as it was given; without its variables' values unless somebody asked for them."""

    def hidden(variables: Mapping[str, Any]) -> dict[str, Any]:
        return {name: None if entry is None else {} for name, entry in variables.items()}

    if is_decrypted:
        return dict(patch)
    result = dict(patch)
    if result.get("sharedVariables"):
        result["sharedVariables"] = hidden(result["sharedVariables"])
    if result.get("services"):
        result["services"] = {
            service_id: {**service, "variables": hidden(service["variables"])} if service.get("variables") else service
            for service_id, service in result["services"].items()
        }
    return result


def _object(path: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected an object")
    return value


def _only_known(path: str, given: Mapping[str, Any], known: Any) -> None:
    for name in given:
        if name not in known:
            raise BadInput(f"{path}.{name[:40]}: not known to the local cloud; expected one of {', '.join(known)}")
