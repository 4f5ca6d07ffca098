"""`preview --import-file`: what a preview would create, as a file in which the ids of existing resources can be filled in.

In the form that `import --file` reads (pkg/cmd/pulumi/operations/preview.go buildImportFile).
"""

from typing import Any

from infra.engine.display.events import Event
from infra.engine.model.urns import STACK_TYPE, is_default_provider, is_provider_type, split_reference, urn_name, urn_type

PLACEHOLDER = "<PLACEHOLDER>"


def import_document(events: list[Event]) -> dict[str, Any]:
    """Names are the resources' own; a second resource of a name gets its type, and then a number, behind it."""
    names: dict[str, str] = {}
    created: set[str] = set()
    versions: dict[str, str] = {}
    table: dict[str, str] = {}
    resources: list[dict[str, Any]] = []
    for event in events:
        metadata = (event.get("resourcePreEvent") or {}).get("metadata")
        if metadata is None:
            continue
        urn, new = metadata["urn"], metadata.get("new") or metadata.get("old") or {}
        names.setdefault(urn, _unique(urn, set(names.values())))
        if is_provider_type(metadata["type"]):
            versions[urn] = str((new.get("inputs") or {}).get("version") or "")
            continue  # a provider has no id to be found by: it is registered by the program
        if metadata["op"] != "create" or metadata["type"] == STACK_TYPE:
            continue
        created.add(urn)
        entry: dict[str, Any] = {"type": metadata["type"], "name": names[urn]}
        if new.get("custom"):
            entry["id"] = PLACEHOLDER
        else:
            entry["component"] = True
        if names[urn] != urn_name(urn):
            entry["logicalName"] = urn_name(urn)
        provider = split_reference(new.get("provider") or "")[0]
        if versions.get(provider):
            entry["version"] = versions[provider]
        parent = new.get("parent") or ""
        if parent and urn_type(parent) != STACK_TYPE:
            entry["parent"] = names[parent]
            table |= {} if parent in created else {names[parent]: parent}
        if provider and not is_default_provider(provider):
            entry["provider"] = names[provider]
            table[names[provider]] = provider
        resources.append(entry)
    return {"nameTable": table, "resources": resources}


def _unique(urn: str, taken: set[str]) -> str:
    name = urn_name(urn)
    if name not in taken:
        return name
    kind = urn_type(urn).rsplit(":", 1)[-1]
    name = base = f"{name}{kind[:1].upper()}{kind[1:]}"
    number = 2
    while name in taken:
        name, number = f"{base}{number}", number + 1
    return name
