"""Changes of a state by hand: delete, rename, protect, taint, move. Pure: resources as the checkpoint has them, in and out.

A resource is a dict as in the file, so that an edit keeps every field and every ciphertext it does not touch.
"""

from collections.abc import Callable
from typing import Any

from infra.engine.errors import UsageError
from infra.engine.model.urns import STACK_TYPE, is_provider_type, make_urn, split_reference, urn_name, urn_type

Resource = dict[str, Any]


def needs(resource: Resource) -> set[str]:
    """URNs the resource refers to: parent, provider, dependencies of every kind."""
    urns = {resource.get("parent", ""), resource.get("deletedWith", ""), split_reference(resource.get("provider", ""))[0]}
    urns.update(resource.get("dependencies") or (), resource.get("replaceWith") or ())
    for names in (resource.get("propertyDependencies") or {}).values():
        urns.update(names)
    return urns - {""}


def with_references(resource: Resource, change: Callable[[str], str | None]) -> Resource:
    """The resource with every URN it refers to changed; None drops a dependency."""
    result = dict(resource)
    for key in ("parent", "deletedWith"):
        if result.get(key):
            result[key] = change(result[key]) or ""
    for key in ("dependencies", "replaceWith"):
        if result.get(key):
            result[key] = [new for urn in result[key] if (new := change(urn))]
    if properties := result.get("propertyDependencies"):
        result["propertyDependencies"] = {k: [n for u in urns or () if (n := change(u))] for k, urns in properties.items()}
    if provider := result.get("provider"):
        urn, identity = split_reference(provider)
        result["provider"] = f"{change(urn) or urn}::{identity}"
    return {k: v for k, v in result.items() if v not in ("", []) or k == "urn"}


def require_known(resources: list[Resource], urns: set[str], command: str) -> None:
    """Raises UsageError for a URN that is in no state, or when none was given."""
    if not urns:
        raise UsageError(f"{command}: expected a URN; `stack --show-urns` lists them")
    if missing := sorted(urns - {r["urn"] for r in resources}):
        raise UsageError(f"{command}: no such resource '{missing[0]}'")


def delete(resources: list[Resource], urns: set[str], *, is_forced: bool, with_dependents: bool) -> list[Resource]:
    """The resources without the named ones. Raises UsageError for protected ones and where dependents would dangle."""
    doomed = set(urns)
    if with_dependents:
        for resource in resources:  # in the file, what is needed comes first
            if needs(resource) & doomed:
                doomed.add(resource["urn"])
    for resource in resources:
        if resource["urn"] in doomed:
            if resource.get("protect") and not is_forced:
                raise UsageError(
                    f"{resource['urn']} can't be safely deleted because it is protected; use `state unprotect` first, or --force"
                )
        elif needed := sorted(needs(resource) & doomed):
            raise UsageError(
                f"{needed[0]} can't be safely deleted because '{resource['urn']}' depends on it; "
                "delete that first or pass --target-dependents"
            )
    return [r for r in resources if r["urn"] not in doomed]


def rename(resources: list[Resource], urn: str, name: str) -> list[Resource]:
    """The resources with one renamed, and all that refer to it. Raises UsageError where the new URN is taken."""
    if not name or "::" in name:
        raise UsageError(f"state rename: {name!r} cannot be a resource's name")
    new = f"{urn.removesuffix(urn_name(urn))}{name}"
    if new in {r["urn"] for r in resources}:
        raise UsageError(f"state rename: the new name is taken: '{new}' exists")
    changed = {urn: new}
    result = [with_references(r, lambda u: changed.get(u, u)) for r in resources]
    for resource in result:
        resource["urn"] = changed.get(resource["urn"], resource["urn"])
    return result


def marked(resources: list[Resource], urns: set[str], key: str, is_set: bool) -> list[Resource]:
    """The resources with `protect` or `taint` set or cleared on the named ones."""
    result = []
    for resource in resources:
        if resource["urn"] in urns:
            resource = {k: v for k, v in resource.items() if k != key}
            if is_set:
                resource[key] = True
        result.append(resource)
    return result


class Move:
    """Moving resources with their children from one stack's state to another's."""

    def __init__(self, source: list[Resource], target: list[Resource], urns: set[str], with_parents: bool) -> None:
        self._source = source
        self._target = target
        self._moving = self._chosen(urns, with_parents)
        self.broken: list[str] = []

    def _chosen(self, urns: set[str], with_parents: bool) -> set[str]:
        by_urn = {r["urn"]: r for r in self._source}
        chosen = set(urns)
        if with_parents:
            for urn in urns:
                while (parent := by_urn[urn].get("parent")) and urn_type(parent) != STACK_TYPE:
                    chosen.add(parent)
                    urn = parent
        for resource in self._source:  # parents come first
            if resource.get("parent") in chosen:
                chosen.add(resource["urn"])
        for urn in chosen:
            if urn_type(urn) == STACK_TYPE:
                raise UsageError("state move: the stack itself cannot be moved; name the resources")
        return chosen

    def run(self, stack: str, project: str) -> tuple[list[Resource], list[Resource]]:
        """(what stays, what the other stack then holds). Raises UsageError where a URN is taken there."""
        root = self._root(stack, project)
        renamed = {r["urn"]: root["urn"] for r in self._source if r["type"] == STACK_TYPE}
        moving = [r for r in self._source if r["urn"] in self._moving or self._is_needed_provider(r)]
        for resource in moving:
            parent = renamed.get(resource.get("parent", ""), "")
            if is_provider_type(resource["type"]) and not resource.get("parent"):
                renamed[resource["urn"]] = make_urn(stack, project, "", resource["type"], urn_name(resource["urn"]))
            else:
                parent = parent or root["urn"]
                renamed[resource["urn"]] = make_urn(stack, project, parent, resource["type"], urn_name(resource["urn"]))
        arrived = [root] if root not in self._target else []
        arrived += [moved for resource in moving if (moved := self._moved(resource, renamed, root)) is not None]
        return self._staying(), [*self._target, *arrived]

    def _root(self, stack: str, project: str) -> Resource:
        for resource in self._target:
            if resource["type"] == STACK_TYPE:
                return resource
        return {"urn": make_urn(stack, project, "", STACK_TYPE, f"{project}-{stack}"), "custom": False, "type": STACK_TYPE}

    def _is_needed_provider(self, resource: Resource) -> bool:
        if not is_provider_type(resource["type"]):
            return False
        reference = f"{resource['urn']}::{resource.get('id', '')}"
        return any(r.get("provider") == reference for r in self._source if r["urn"] in self._moving)

    def _moved(self, resource: Resource, renamed: dict[str, str], root: Resource) -> Resource | None:
        new = renamed[resource["urn"]]
        known = {r["urn"]: r for r in self._target}
        if new in known:
            if is_provider_type(resource["type"]) and known[new].get("id") == resource.get("id"):
                return None  # moved there before, with other resources of the provider
            raise UsageError(f"state move: '{new}' exists in the target stack already")
        moved = with_references(resource, renamed.get)
        moved["urn"] = new
        if resource.get("parent") and not moved.get("parent"):
            moved["parent"] = root["urn"]
        self.broken += [f"{resource['urn']} -> {urn}" for urn in sorted(needs(resource) - set(renamed))]
        return moved

    def _staying(self) -> list[Resource]:
        gone = self._moving
        for resource in self._source:
            if resource["urn"] not in gone:
                self.broken += [f"{resource['urn']} -> {urn}" for urn in sorted(needs(resource) & gone)]
        return [with_references(r, lambda u: None if u in gone else u) for r in self._source if r["urn"] not in gone]


def resealed(value: Any, change: Callable[[str], str], signature: tuple[str, str]) -> Any:
    """The value with every ciphertext changed; `signature` is the key and value that mark a secret."""
    if isinstance(value, dict):
        if value.get(signature[0]) == signature[1] and isinstance(value.get("ciphertext"), str):
            return {**value, "ciphertext": change(value["ciphertext"])}
        return {k: resealed(v, change, signature) for k, v in value.items()}
    return [resealed(v, change, signature) for v in value] if isinstance(value, list) else value
