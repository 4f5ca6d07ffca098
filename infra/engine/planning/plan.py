"""What to do with one registered resource. Pure: the provider's answers come in as data."""

from dataclasses import dataclass, field
from enum import StrEnum

from infra.engine.model.resource_state import ResourceState
from infra.engine.model.values import Properties
from infra.engine.planning import diff
from infra.engine.planning.diff import Kind


class Op(StrEnum):
    """Operations by the names of Pulumi's engine events."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    CREATE_REPLACEMENT = "create-replacement"
    DELETE_REPLACED = "delete-replaced"
    READ = "read"
    READ_REPLACEMENT = "read-replacement"
    READ_DISCARD = "discard"
    DISCARD_REPLACED = "discard-replaced"
    REFRESH = "refresh"
    IMPORT = "import"
    IMPORT_REPLACEMENT = "import-replacement"
    REMOVE_PENDING_REPLACE = "remove-pending-replace"


class Changes(StrEnum):
    """A provider's verdict on a diff."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    """A provider's answer to Diff, or our own comparison in its place."""

    changes: Changes = Changes.UNKNOWN
    replace_keys: tuple[str, ...] = ()
    changed_keys: tuple[str, ...] = ()
    detailed: dict[str, Kind] = field(default_factory=dict)
    # Paths whose old value is an input rather than state; the display needs to know where to look.
    input_paths: frozenset[str] = frozenset()
    delete_before_replace: bool = False

    @property
    def is_replace(self) -> bool:
        return self.changes is Changes.SOME and bool(self.replace_keys)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What, besides the properties, speaks on update or replacement."""

    replace_on_changes: list[str] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    delete_before_replace: bool | None = None
    is_replace_asked: bool = False  # --replace, taint, a changed trigger, a provider that must be another
    replace_reason: str = "id"


@dataclass(frozen=True, slots=True)
class Decision:
    """The step for a resource that exists: same, update or replace."""

    op: Op
    difference: Difference
    delete_first: bool = False


def complete(difference: Difference, old_inputs: Properties, new_inputs: Properties, wishes: Wishes) -> Difference:
    """Fills in what the provider left open, and applies ignoreChanges and replaceOnChanges.

    DIFF_UNKNOWN means that the engine compares inputs; sdk/proto/provider.proto DiffResponse.
    """
    own = diff.without_ignored(diff.difference(old_inputs, new_inputs), wishes.ignore_changes)
    changes, detailed, inputs = difference.changes, dict(difference.detailed), difference.input_paths
    if changes is Changes.UNKNOWN:
        changes = Changes.SOME if own else Changes.NONE
        detailed, inputs = detailed or own, inputs or frozenset(own)
    elif changes is Changes.SOME and not detailed:
        named = {
            k: v
            for k, v in own.items()
            if not difference.changed_keys or k.split(".")[0].split("[")[0] in difference.changed_keys
        }
        detailed, inputs = named, frozenset(named)
    replace_keys = list(difference.replace_keys)
    if wishes.replace_on_changes and changes is Changes.SOME:
        detailed = diff.with_replacements(detailed, wishes.replace_on_changes)
        replace_keys += [path for path, kind in detailed.items() if kind.is_replace and path not in replace_keys]
    for path, kind in detailed.items():
        if path in replace_keys:
            detailed[path] = kind.replacing()
    return Difference(
        changes,
        tuple(replace_keys),
        difference.changed_keys or tuple(sorted({path.split(".")[0].split("[")[0] for path in detailed})),
        detailed,
        inputs,
        difference.delete_before_replace,
    )


def decide(old: ResourceState, difference: Difference, wishes: Wishes) -> Decision:
    """Same, update or replace, and whether the old one goes first."""
    if wishes.is_replace_asked and not difference.is_replace:
        difference = Difference(
            Changes.SOME,
            (*difference.replace_keys, wishes.replace_reason),
            difference.changed_keys,
            difference.detailed,
            difference.input_paths,
            difference.delete_before_replace,
        )
    if difference.is_replace:
        asked = wishes.delete_before_replace
        return Decision(Op.REPLACE, difference, difference.delete_before_replace if asked is None else asked)
    # A resource whose initialisation failed is tried again although its inputs are unchanged.
    if difference.changes is Changes.SOME or old.init_errors:
        return Decision(Op.UPDATE, difference)
    return Decision(Op.SAME, difference)
