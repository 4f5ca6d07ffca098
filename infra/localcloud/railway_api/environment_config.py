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
from infra.localcloud.world.patch_content import CustomDomainPatch, EnvironmentChanges, ServicePatch
from infra.localcloud.world.service_settings import checked_limits
from infra.localcloud.world.variables import checked_variables

PATCH_BYTES_MAX = 512 * 1024
BUILDERS = (
    "DOCKERFILE",
    "HEROKU",
    "NIXPACKS",
    "PAKETO",
    "RAILPACK",
)  # the first is of configurations only, not of the API's enum
RESTART_POLICIES = ("ALWAYS", "NEVER", "ON_FAILURE")
Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


SECTIONS: dict[str, dict[str, tuple[str, Check]]] = {
    "source": {
        "image": ("a text", _is_text),
        "repo": ("a text", _is_text),
        "rootDirectory": ("a text", _is_text),
        "branch": ("a text", _is_text),
    },
    "build": {
        "builder": (f"one of {', '.join(BUILDERS)}", lambda value: value in BUILDERS),
        "buildCommand": ("a text", _is_text),
        "dockerfilePath": ("a text", _is_text),
        "watchPatterns": ("a list of texts", _is_texts),
        "nixpacksPlan": ("an object", lambda value: isinstance(value, dict)),
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
        "cronSchedule": ("a text", _is_text),
        "sleepApplication": ("true or false", _is_truth),
        "ipv6EgressEnabled": ("true or false", _is_truth),
    },
}
OURS = {**SETTINGS, "image": "image", "repo": "repo", "branch": "branch"}
SPECIAL = ("multiRegionConfig", "registryCredentials", "limitOverride")


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
        _sealed(config.get("sharedVariables")),
    )


def _service(service_id: str, given: object) -> ServicePatch:
    path = f"services.{service_id[:40]}"
    service = _object(path, given)
    _only_known(path, service, (*SECTIONS, "configFile", "variables", "networking", "isCreated", "isDeleted"))
    changes: dict[str, Any] = {}
    regions = None
    for name, known in SECTIONS.items():
        section = _object(f"{path}.{name}", service.get(name) or {})
        _only_known(f"{path}.{name}", section, (*known, *SPECIAL) if name == "deploy" else known)
        for key, value in section.items():
            if key == "multiRegionConfig":
                regions = multi_region_config(value) if value is not None else None
                continue
            if key in SPECIAL:
                changes |= _special(f"{path}.{name}.{key}", key, value)
                continue
            expected, is_right = known[key]
            if value is not None and not is_right(value):
                raise BadInput(f"{path}.{name}.{key}: expected {expected} or null")
            changes[OURS[key]] = tuple(value) if isinstance(value, list) else value
    if "configFile" in service:
        if not isinstance(service["configFile"], str | None):
            raise BadInput(f"{path}.configFile: expected a text or null")
        changes["railway_config_file"] = service["configFile"]
    for name in ("isCreated", "isDeleted"):
        if not isinstance(service.get(name), bool | None):
            raise BadInput(f"{path}.{name}: expected true or false")
    variables = _variables(f"{path}.variables", service.get("variables"))
    return ServicePatch(
        service_id,
        changes,
        regions,
        variables,
        sealed=_sealed(service.get("variables")),
        is_deleted=bool(service.get("isDeleted")),
        is_created=bool(service.get("isCreated")),
        **_networking(f"{path}.networking", service.get("networking") or {}),
    )


def _special(path: str, key: str, value: Any) -> dict[str, Any]:
    """{"username", "password"} and {"containers": {"cpu", "memoryBytes"}}, or null."""
    given = {} if value is None else _object(path, value)
    if key == "registryCredentials":
        _only_known(path, given, ("username", "password"))
        if not all(isinstance(one, str) for one in given.values()):
            raise BadInput(f"{path}: expected texts")
        return {"registry_username": given.get("username")}
    _only_known(path, given, ("containers",))
    containers = _object(f"{path}.containers", given.get("containers") or {})
    _only_known(f"{path}.containers", containers, ("cpu", "memoryBytes"))
    if not all(isinstance(one, int | float | None) and not isinstance(one, bool) for one in containers.values()):
        raise BadInput(f"{path}.containers: expected numbers or null")
    memory = containers.get("memoryBytes")
    return checked_limits(containers.get("cpu"), None if memory is None else int(memory))


def _networking(path: str, given: object) -> dict[str, Any]:
    """{"tcpProxies": {"6379": {}}, "customDomains": {"api.example.com": {"port": 8080}}}; null instead of an object removes."""
    section = _object(path, given)
    _only_known(path, section, ("tcpProxies", "customDomains", "serviceDomains"))  # the last are made at once, not by patches
    proxies: dict[int, bool] = {}
    for text, entry in _object(f"{path}.tcpProxies", section.get("tcpProxies") or {}).items():
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
            raise BadInput(f"{path}.tcpProxies.{text[:40]}: expected a port from 1 to 65535")
        proxies[int(text)] = entry is not None
    domains: dict[str, CustomDomainPatch | None] = {}
    for name, entry in _object(f"{path}.customDomains", section.get("customDomains") or {}).items():
        port = None if entry is None else _object(f"{path}.customDomains.{name[:80]}", entry).get("port")
        if port is not None and not _is_count(port):
            raise BadInput(f"{path}.customDomains.{name[:80]}.port: expected an integer or null")
        domains[name] = None if entry is None else CustomDomainPatch(port)
    return {"tcp_proxies": proxies, "custom_domains": domains}


def _variables(path: str, given: object) -> dict[str, str | None]:
    """{"A": {"value": "x"}} sets, {"B": null} removes; {"C": {}} is what a reader of hidden values sends back: no change."""
    values: dict[str, str | None] = {}
    for name, entry in _object(path, given or {}).items():
        if entry is None:
            values[name] = None
            continue
        found = _object(f"{path}.{name[:40]}", entry)
        _only_known(f"{path}.{name[:40]}", found, ("value", "isSealed"))
        if not isinstance(found.get("isSealed", False), bool):
            raise BadInput(f"{path}.{name[:40]}.isSealed: expected true or false")
        if "value" in found:
            values[name] = found["value"]
    checked_variables({name: value for name, value in values.items() if value is not None})
    return values


def _sealed(given: Any) -> tuple[str, ...]:
    """Names to seal. There is no way back: `"isSealed": false` unseals nothing."""
    return tuple(name for name, entry in (given or {}).items() if entry is not None and entry.get("isSealed"))


def shown(patch: Mapping[str, Any], *, is_decrypted: bool) -> dict[str, Any]:
    """The patch as it was given; without its variables' values unless somebody asked for them, and they are not sealed."""

    def hidden(variables: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _hidden(entry, is_decrypted=is_decrypted) for name, entry in variables.items()}

    result = dict(patch)
    if result.get("sharedVariables"):
        result["sharedVariables"] = hidden(result["sharedVariables"])
    if result.get("services"):
        result["services"] = {
            service_id: {**service, "variables": hidden(service["variables"])} if service.get("variables") else service
            for service_id, service in result["services"].items()
        }
    return result


def _hidden(entry: Any, *, is_decrypted: bool) -> Any:
    if entry is None:
        return None
    if entry.get("isSealed"):
        return {"isSealed": True}
    return entry if is_decrypted else {}


def _object(path: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected an object")
    return value


def _only_known(path: str, given: Mapping[str, Any], known: Any) -> None:
    for name in given:
        if name not in known:
            raise BadInput(f"{path}.{name[:40]}: not known to the local cloud; expected one of {', '.join(known)}")
