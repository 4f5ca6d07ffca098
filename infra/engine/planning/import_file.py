"""What to import: one resource from the command line, or many from a file as Pulumi's CLI and Automation API write it.

    {"nameTable": {NAME: URN}, "resources": [{"type", "name", "id", "parent", "provider", "version", "properties",
                                              "logicalName", "component"}]}

`parent` and `provider` are names from the table, or of resources in the same file.
"""

from dataclasses import dataclass
from typing import Any

from infra.engine.errors import UsageError
from infra.engine.model.urns import is_provider_type, make_urn

_KNOWN = frozenset(
    (
        "type",
        "name",
        "id",
        "parent",
        "provider",
        "version",
        "pluginDownloadUrl",
        "properties",
        "component",
        "logicalName",
        "remote",
    )
)


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """One resource to import. `parent` and `provider` are URNs, "" for the stack and the default provider."""

    type: str
    name: str
    id: str
    urn: str
    parent: str = ""
    provider: str = ""
    version: str = ""
    properties: tuple[str, ...] = ()
    is_component: bool = False


def parse_import_file(document: Any, stack: str, project: str, stack_urn: str) -> list[ImportSpec]:
    """Parents first. Raises UsageError naming the resource that is wrong."""
    if not isinstance(document, dict) or not isinstance(document.get("resources") or [], list):
        raise UsageError('import: expected {"resources": [...]}')
    table: dict[str, str] = dict(document.get("nameTable") or {})
    entries = [_checked(entry, index) for index, entry in enumerate(document.get("resources") or [])]
    if not entries:
        raise UsageError("import: there is nothing to import")
    specs: list[ImportSpec] = []
    names = [entry["name"] for entry in entries]
    waiting = entries
    while waiting:
        ready = [e for e in waiting if not e.get("parent") or e["parent"] in table]
        if not ready:
            raise UsageError(
                f"import: resource '{waiting[0]['name']}': parent '{waiting[0]['parent']}' has no entry in the name table"
            )
        for entry in ready:
            spec = _spec(entry, table, stack, project, stack_urn)
            specs.append(spec)
            if names.count(entry["name"]) == 1:
                table.setdefault(entry["name"], spec.urn)
        waiting = [e for e in waiting if e not in ready]
    urns = [spec.urn for spec in specs]
    if twice := next((urn for urn in urns if urns.count(urn) > 1), ""):
        raise UsageError(f"import: '{twice}' is named twice")
    return specs


def _checked(given: Any, index: int) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"import: resource {index}: expected an object")
    entry: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    entry["name"] = entry.get("name") or entry.get("logicalName") or ""
    what = f"import: resource '{entry['name']}'" if entry["name"] else f"import: resource {index}"
    if not entry.get("type") or not entry["name"]:
        raise UsageError(f"{what} has no {'name' if entry.get('type') else 'type'}")
    if unknown := sorted(set(entry) - _KNOWN):
        raise UsageError(f"{what}: {unknown[0]} is not supported")
    if is_provider_type(entry["type"]) or entry.get("remote"):
        raise UsageError(f"{what}: providers and remote components cannot be imported; register them in the program")
    if bool(entry.get("component")) is bool(entry.get("id")):
        raise UsageError(f"{what} has {'an ID, but is marked as a component' if entry.get('id') else 'no ID'}")
    return entry


def _spec(entry: dict[str, Any], table: dict[str, str], stack: str, project: str, stack_urn: str) -> ImportSpec:
    parent = table[entry["parent"]] if entry.get("parent") else stack_urn
    provider = entry.get("provider") or ""
    if provider and provider not in table:
        raise UsageError(f"import: resource '{entry['name']}': provider '{provider}' has no entry in the name table")
    name = entry.get("logicalName") or entry["name"]
    return ImportSpec(
        entry["type"],
        name,
        entry.get("id") or "",
        make_urn(stack, project, parent, entry["type"], name),
        parent,
        table.get(provider, ""),
        entry.get("version") or "",
        tuple(entry.get("properties") or ()),
        bool(entry.get("component")),
    )


def single_import(type_token: str, name: str, identity: str, parent: str, provider: str, properties: tuple[str, ...]) -> Any:
    """`import TYPE NAME ID` as the document of a file. `parent` and `provider` are NAME=URN or a URN."""
    table = {}
    entry: dict[str, Any] = {"type": type_token, "name": name, "id": identity, "properties": list(properties)}
    for kind, given in (("parent", parent), ("provider", provider)):
        if given:
            label, equals, urn = given.partition("=")
            label, urn = (label, urn) if equals else (kind, given)
            if not urn.startswith("urn:pulumi:"):
                raise UsageError(f"import: --{kind}: expected a URN or NAME=URN, got {given!r}")
            table[label] = urn
            entry[kind] = label
    return {"nameTable": table, "resources": [entry]}
