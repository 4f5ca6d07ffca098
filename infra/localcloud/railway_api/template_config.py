"""A template's serializedConfig, as a client filled it in: read into what the world makes of it.

A service of it is a service of an environment's patch with a name, mount paths and domains beside, and with variables whose
values may call functions. Anything else is refused with its path, as in a patch.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import msgspec

from infra.localcloud.railway_api.environment_config import PATCH_BYTES_MAX, changes_of
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import Stamp
from infra.localcloud.world.patch_content import NewService, NewVolume

SERVICES_MAX = 20
SECRET_CHARACTERS_MAX = 1024
ALPHABET_DEFAULT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
FUNCTION = re.compile(
    # Never back over spaces (`*+`): between three runs of them that would take the square of their number.
    r"""\$\{\{\s*+(?: secret\(\s*+(?P<length>\d{1,5})?\s*+(?:,\s*+"(?P<alphabet>[^"]{1,256})"\s*+)?\)
                   |  randomInt\(\s*+(?P<least>-?\d{1,12})?\s*+(?:,\s*+(?P<most>-?\d{1,12})\s*+)?\) )\s*+\}\}""",
    re.VERBOSE,
)
BESIDE = ("name", "icon", "volumeMounts")


def services_of(config: object, stamp: Stamp) -> tuple[NewService, ...]:
    """Each with an id of its own, derived from the stamp. BadInput with the path of what is wrong, never with a value."""
    if not isinstance(config, dict) or not isinstance(config.get("services"), dict):
        raise BadInput("serializedConfig.services: expected an object")
    if unknown := [key for key in config if key != "services"]:
        raise BadInput(f"serializedConfig.{unknown[0][:40]}: not known to the local cloud; expected services")
    given = config["services"]
    if len(msgspec.json.encode(given)) > PATCH_BYTES_MAX:  # before functions are called, whose results are longer than they are
        raise BadInput(f"serializedConfig: expected at most {PATCH_BYTES_MAX} bytes")
    if not 1 <= len(given) <= SERVICES_MAX:
        raise BadInput(f"serializedConfig.services: expected 1 to {SERVICES_MAX}, got {len(given)}")
    path = "serializedConfig.services"
    return tuple(new_service(f"{path}.{key[:40]}", one, stamp.child(f"service:{key}")) for key, one in given.items())


def new_service(path: str, given: Any, service_id: str) -> NewService:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise BadInput(f"{path}.name: expected a text")
    networking = _part(path, given, "networking")
    patch = {
        **{key: value for key, value in given.items() if key not in BESIDE and value is not None},
        "deploy": {key: value for key, value in _part(path, given, "deploy").items() if key != "requiredMountPath"},
        "networking": {key: value for key, value in networking.items() if key != "serviceDomains"},
        "variables": _variables(f"{path}.variables", _part(path, given, "variables")),
        "isCreated": True,
    }
    mounts = _part(path, given, "volumeMounts").values()
    return NewService(
        service_id,
        given["name"],
        _text(given.get("icon")),
        patch,
        changes_of({"services": {service_id: patch}}).services[0],
        tuple(NewVolume(service_id, _mount_path(path, one), _text(one.get("name")), _text(one.get("region"))) for one in mounts),
        tuple(_port(path, one) for one in _part(f"{path}.networking", networking, "serviceDomains").values()),
    )


def _part(path: str, given: dict[str, Any], name: str) -> dict[str, Any]:
    part = given.get(name) or {}
    if not isinstance(part, dict):
        raise BadInput(f"{path}.{name}: expected an object")
    return part


def _text(given: Any) -> str | None:
    return given if isinstance(given, str) else None


def _port(path: str, given: Any) -> int | None:
    """Of a service domain. Checked here: domains are made when everything else is there already."""
    port = given.get("port") if isinstance(given, dict) else None
    if port is not None and not (type(port) is int and 1 <= port <= 65535):
        raise BadInput(f"{path}.networking.serviceDomains: expected ports from 1 to 65535")
    return port


def _mount_path(path: str, given: Any) -> str:
    if not isinstance(given, dict) or not isinstance(given.get("mountPath"), str):
        raise BadInput(f"{path}.volumeMounts: expected objects with a mountPath")
    return str(given["mountPath"])


def _variables(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the client filled in, else the default; one that is neither and not optional is missing."""
    values: dict[str, Any] = {}
    for name, entry in given.items():
        entry = entry or {}
        if not isinstance(entry, dict):
            raise BadInput(f"{path}.{name[:40]}: expected an object")
        value = entry.get("value") or entry.get("defaultValue")
        if not value and entry.get("isOptional"):
            continue
        if not isinstance(value, str) or not value:
            raise BadInput(f"{path}.{name[:40]}: expected a value, since it is not optional and has no default")
        values[name] = {"value": evaluated(value), **({"isSealed": True} if entry.get("isSealed") else {})}
    return values


def evaluated(value: str) -> str:
    """With each call of a template variable function replaced by its result: secret(32, "alphabet") and randomInt(0, 100)."""
    return FUNCTION.sub(_result, value)


def _result(call: re.Match[str]) -> str:
    if "secret" in call.group():
        return _secret(min(int(call["length"] or 32), SECRET_CHARACTERS_MAX), call["alphabet"] or ALPHABET_DEFAULT)
    least, most = int(call["least"] or 0), int(call["most"] or 100)
    return str(least + secrets.randbelow(max(1, most - least + 1)))


def _secret(length: int, alphabet: str) -> str:
    """Of bytes drawn together, 20 times faster than choice by choice; those that would favour some characters are passed over."""
    fair = 256 - 256 % len(alphabet)
    made = ""
    while len(made) < length:
        made += "".join(alphabet[one % len(alphabet)] for one in secrets.token_bytes(length) if one < fair)
    return made[:length]
