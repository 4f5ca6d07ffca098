"""Engine events -> what a person, or a program, reads about a change (pure).

An event here is the JSON object that Pulumi's engine writes to its event log, so either engine can be its source
(pkg/apitype/events.go names the fields).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"  # noqa: S105 - Pulumi's marker of special values, not a secret
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
HIDDEN_TYPES = ("pulumi:pulumi:Stack",)
HIDDEN_PREFIX = "pulumi:providers:"

# What each operation is called before and after it is done, its sign and tone; order is the order of the counts.
WORDS = {
    "create": ("to create", "created", "+", "good"),
    "import": ("to import", "imported", "=", "good"),
    "update": ("to update", "updated", "~", "warn"),
    "replace": ("to replace", "replaced", "+-", "warn"),
    "delete": ("to delete", "deleted", "-", "bad"),
    "read": ("to read", "read", ">", "dim"),
    "refresh": ("to refresh", "refreshed", "~", "dim"),
    "discard": ("to forget", "forgotten", "<", "dim"),
    "same": ("unchanged", "unchanged", " ", "dim"),
}
QUIET_OPERATIONS = ("same", "read")  # they change nothing
FOLDED = {
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "import-replacement": "replace",
    "read-replacement": "replace",
    "discard-replaced": "discard",
    "remove-pending-replace": "discard",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one resource: dotted path, old and new value as text; None where there is none."""

    path: str
    old: str | None
    new: str | None
    is_text: bool = False

    def lines(self) -> list[str]:
        """A text of many lines as a unified diff, any other value on one line."""
        if self.is_text:
            old, new = (self.old or "").splitlines(), (self.new or "").splitlines()
            body = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
            return [f"{self.path}:", *(f"  {line}" for line in body)]
        if self.old is None:
            return [f"{self.path}: {self.new}"]
        if self.new is None:
            return [f"{self.path}: {self.old} -> (removed)"]
        return [f"{self.path}: {self.old} -> {self.new}"]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens, or happened, to one resource. `operation` is a key of WORDS."""

    operation: str
    urn: str
    type: str
    name: str
    changes: tuple[Change, ...] = ()

    @property
    def is_shown(self) -> bool:
        return self.type not in HIDDEN_TYPES and not self.type.startswith(HIDDEN_PREFIX)

    def document(self) -> dict[str, Any]:
        rows = [{"path": change.path, "old": change.old, "new": change.new} for change in self.changes]
        return {"operation": self.operation, "type": self.type, "name": self.name, "urn": self.urn, "changes": rows}


@dataclass(slots=True)
class Tally:
    """Steps and messages as they arrive; `counts` is the engine's own summary once it has come."""

    steps: list[Step] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    looked_at: set[str] = field(default_factory=set)  # URNs whose refresh has begun: what it found is told when it ends

    @property
    def has_changes(self) -> bool:
        return any(count for operation, count in self.counts.items() if operation not in QUIET_OPERATIONS)


def step_of(metadata: Mapping[str, Any]) -> Step:
    """The step that an event's `metadata` describes."""
    operation = FOLDED.get(metadata["op"], metadata["op"])
    urn = str(metadata["urn"])
    return Step(operation, urn, str(metadata["type"]), urn.rsplit("::", 1)[-1], tuple(changes_of(metadata, operation)))


def found_step_of(metadata: Mapping[str, Any]) -> Step:
    """What a refresh found: `refresh` with the outputs that differ, `discard` of what is gone, or `same`."""
    operation = {"update": "refresh", "delete": "discard"}.get(metadata["op"], metadata["op"])
    urn = str(metadata["urn"])
    return Step(operation, urn, str(metadata["type"]), urn.rsplit("::", 1)[-1], tuple(changes_of(metadata, operation, "outputs")))


def changes_of(metadata: Mapping[str, Any], operation: str, side: str = "inputs") -> Iterable[Change]:
    """Fields that differ: the provider's detailed diff where it gave one, else the values of that side that differ."""
    old = ((metadata.get("old") or {}).get(side)) or {}
    new = ((metadata.get("new") or {}).get(side)) or {}
    if operation == "create":
        return [change_at(path, None, value) for path, value in sorted(new.items()) if path != "__defaults"]
    if operation not in ("update", "replace", "refresh"):
        return []
    paths = list(metadata.get("detailedDiff") or {}) or list(metadata.get("diffs") or [])
    if not paths:
        paths = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [change_at(path, value_at(old, path), value_at(new, path)) for path in paths]


def value_at(document: Any, path: str) -> Any:
    """The value at a Pulumi property path (`a.b[0].c`, `a["b.c"]`); None where there is none."""
    value = document
    for part in split_path(path):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def split_path(path: str) -> list[str]:
    """The keys of a property path; quoted keys may hold dots and brackets."""
    parts, rest = [], path
    while rest:
        if rest.startswith('["') and '"]' in rest:
            key, rest = rest[2:].split('"]', 1)
            parts.append(key)
        elif rest.startswith("[") and "]" in rest:
            key, rest = rest[1:].split("]", 1)
            parts.append(key)
        else:
            rest = rest.removeprefix(".")
            end = min((i for i in (rest.find("."), rest.find("[")) if i >= 0), default=len(rest))
            parts.append(rest[:end])
            rest = rest[end:] if end else rest[1:]
    return [part for part in parts if part]


def change_at(path: str, old: Any, new: Any) -> Change:
    is_text = any(isinstance(value, str) and "\n" in value for value in (old, new))
    return Change(path, text_of(old, is_text), text_of(new, is_text), is_text)


def text_of(value: Any, is_text: bool = False) -> str | None:
    """A value as a person reads it; secrets as [secret], values that only the deploy will tell as (known after up)."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        if SECRET_SIGNATURE in value:
            return "[secret]"
        return "{" + ", ".join(f"{key}: {text_of(item)}" for key, item in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(str(text_of(item)) for item in value) + "]"
    if isinstance(value, str):
        if value == UNKNOWN:
            return "(known after up)"
        return value if is_text or value == "[secret]" else f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def fold_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """The engine's counts with the parts of a replacement told once."""
    folded: dict[str, int] = {}
    for operation, count in counts.items():
        if operation in ("delete-replaced", "create-replacement") and counts.get("replace"):
            continue
        key = FOLDED.get(operation, operation)
        folded[key] = folded.get(key, 0) + count
    return {operation: folded[operation] for operation in WORDS if folded.get(operation)}


def counts_text(counts: Mapping[str, int], is_done: bool) -> str:
    """`4 to create, 12 unchanged`; `nothing` for an empty stack."""
    words = [f"{count} {WORDS[operation][1 if is_done else 0]}" for operation, count in counts.items()]
    return ", ".join(words) or "nothing to do"


def read_event(tally: Tally, event: Mapping[str, Any]) -> Step | None:
    """Takes one engine event into the tally; the step, where the event tells of one that begins or is planned."""
    if (pre := event.get("resourcePreEvent")) is not None:
        step = step_of(pre["metadata"])
        if step.operation == "replace" and any(known.urn == step.urn and known.operation == "replace" for known in tally.steps):
            return None  # a replacement arrives as three events: create, replace, delete
        if step.operation == "refresh":
            tally.looked_at.add(step.urn)
        else:
            tally.steps.append(step)
        return step
    if (outputs := event.get("resOutputsEvent")) is not None:
        metadata = outputs["metadata"]
        if metadata["urn"] in tally.looked_at:
            tally.looked_at.discard(metadata["urn"])
            found = found_step_of(metadata)
            tally.steps += [found] if found.operation != "same" else []
    if (summary := event.get("summaryEvent")) is not None:
        tally.counts = fold_counts(summary.get("resourceChanges") or {})
    elif (diagnostic := event.get("diagnosticEvent")) is not None:
        message = strip_colour(str(diagnostic.get("message", ""))).strip()
        target = {"error": tally.errors, "warning": tally.warnings}.get(str(diagnostic.get("severity")))
        if target is not None and message and message not in target:
            target.append(message)
    return None


def strip_colour(text: str) -> str:
    """Pulumi's colour directives `<{%fg 1%}>` removed."""
    while (start := text.find("<{%")) >= 0 and (end := text.find("%}>", start)) >= 0:
        text = text[:start] + text[end + 3 :]
    return text
