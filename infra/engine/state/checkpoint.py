"""Pulumi's checkpoint file: JSON text <-> resource states. No I/O here.

Version 3 is what we write; version 4 adds `features` and is used, as by Pulumi's engine, when resource hooks are stored.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from infra.engine.errors import StateError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.values import SECRET_SIGNATURE, SIGNATURE_KEY, UNKNOWN, UNKNOWN_TEXT, Output, Secret, Value
from infra.engine.state.crypter import Crypter

VERSION_MAX: Final = 4
KNOWN_FEATURES: Final = frozenset(("refreshBeforeUpdate", "views", "hooks", "taint", "replaceWith"))

# (attribute, key in the file) in the order in which Pulumi writes them; sdk/go/common/apitype/core.go ResourceV3.
_FIELDS: Final = (
    ("urn", "urn"),
    ("custom", "custom"),
    ("delete", "delete"),
    ("id", "id"),
    ("type", "type"),
    ("inputs", "inputs"),
    ("outputs", "outputs"),
    ("parent", "parent"),
    ("protect", "protect"),
    ("taint", "taint"),
    ("external", "external"),
    ("dependencies", "dependencies"),
    ("init_errors", "initErrors"),
    ("provider", "provider"),
    ("property_dependencies", "propertyDependencies"),
    ("pending_replacement", "pendingReplacement"),
    ("additional_secret_outputs", "additionalSecretOutputs"),
    ("custom_timeouts", "customTimeouts"),
    ("import_id", "importID"),
    ("retain_on_delete", "retainOnDelete"),
    ("deleted_with", "deletedWith"),
    ("created", "created"),
    ("modified", "modified"),
    ("source_position", "sourcePosition"),
    ("stack_trace", "stackTrace"),
    ("ignore_changes", "ignoreChanges"),
    ("replace_on_changes", "replaceOnChanges"),
    ("hide_diffs", "hideDiff"),
    ("replacement_trigger", "replacementTrigger"),
    ("refresh_before_update", "refreshBeforeUpdate"),
    ("resource_hooks", "resourceHooks"),
    ("replace_with", "replaceWith"),
)
_ALWAYS: Final = frozenset(("urn", "custom", "type"))
_SEALED: Final = frozenset(("inputs", "outputs", "replacement_trigger"))
_BY_KEY: Final = {key: attribute for attribute, key in _FIELDS}


def encode_value(value: Value, encrypt: Callable[[str], str]) -> Value:
    """A property value as the checkpoint holds it; each secret becomes the ciphertext of its JSON text."""
    if isinstance(value, Secret):
        if value.ciphertext is None:
            value.ciphertext = encrypt(json.dumps(encode_value(value.value, encrypt), separators=(",", ":")))
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": value.ciphertext}
    if isinstance(value, Output):
        return encode_value(value.value, encrypt)
    if isinstance(value, dict):
        return {k: encode_value(v, encrypt) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [encode_value(v, encrypt) for v in value]
    return UNKNOWN_TEXT if value is UNKNOWN else value


def decode_value(value: Value, decrypt: Callable[[str], str]) -> Value:
    """The inverse of encode_value. Integral floats become ints so that they compare and print as written."""
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return _decode_secret(value, decrypt)
        return {k: decode_value(v, decrypt) for k, v in value.items()}
    if isinstance(value, list):
        return [decode_value(v, decrypt) for v in value]
    if value == UNKNOWN_TEXT:
        return UNKNOWN
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decode_secret(value: dict[str, Any], decrypt: Callable[[str], str]) -> Secret:
    if "plaintext" in value:  # what `stack export --show-secrets` writes
        return Secret(decode_value(json.loads(value["plaintext"]), decrypt))
    ciphertext = value["ciphertext"]
    return Secret(decode_value(json.loads(decrypt(ciphertext)), decrypt), ciphertext)


def encode_resource(state: ResourceState, crypter: Crypter) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for attribute, key in _FIELDS:
        value = getattr(state, attribute)
        if attribute in _SEALED:
            value = encode_value(value, crypter.encrypt)
        if value or attribute in _ALWAYS:
            document[key] = value
    return {**document, **state.unknown_fields}


def decode_resource(document: dict[str, Any], crypter: Crypter) -> ResourceState:
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, value in document.items():
        attribute = _BY_KEY.get(key)
        if attribute is None:
            unknown[key] = value
        else:
            known[attribute] = decode_value(value, crypter.decrypt) if attribute in _SEALED else value
    if hooks := known.get("resource_hooks"):
        # States written before the kinds had Pulumi's names have `before_create` for `BeforeCreate`.
        known["resource_hooks"] = {"".join(w[0].upper() + w[1:] for w in kind.split("_")): names for kind, names in hooks.items()}
    return ResourceState(**known, unknown_fields=unknown)


def parse_document(text: str, where: str) -> dict[str, Any]:
    """The checkpoint's JSON object, checked as far as we rely on it. Raises StateError with what to do."""
    try:
        document = json.loads(text)
        version = document["version"]
        latest = document["checkpoint"].get("latest") or {}
        resources = latest.get("resources") or []
        if not all(isinstance(r["urn"], str) and isinstance(r["type"], str) for r in resources):
            raise TypeError("a resource lacks urn or type")
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise StateError(f"{where}: the state is damaged ({type(exc).__name__}); restore it from {where}.bak") from exc
    if not isinstance(version, int) or version > VERSION_MAX:
        raise StateError(f"{where}: expected state version up to {VERSION_MAX}, got {version}; use a newer engine")
    if missing := sorted(set(document.get("features") or []) - KNOWN_FEATURES):
        raise StateError(f"{where}: the state uses features this engine does not know: {', '.join(missing)}")
    assert isinstance(document, dict)
    return document
