"""What the engine knows of one resource: the unit of the checkpoint."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from infra.engine.model.values import Properties


def now_text() -> str:
    """The present, as the checkpoint writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True, eq=False)
class ResourceState:
    """A resource as last written. Identity, not equality, tells two states of one URN apart (old and its replacement)."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] | None = None
    protect: bool = False
    external: bool = False
    delete: bool = False
    pending_replacement: bool = False
    taint: bool = False
    retain_on_delete: bool = False
    deleted_with: str = ""
    replace_with: list[str] = field(default_factory=list)
    init_errors: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] | None = None
    import_id: str = ""
    created: str = ""
    modified: str = ""
    source_position: str = ""
    stack_trace: list[dict[str, Any]] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    replacement_trigger: Any = None
    refresh_before_update: bool = False
    resource_hooks: dict[str, list[str]] = field(default_factory=dict)
    hide_diffs: list[str] = field(default_factory=list)
    # Fields of a newer or other engine that we do not interpret; written back untouched.
    unknown_fields: dict[str, Any] = field(default_factory=dict)

    def copy(self, **changes: Any) -> "ResourceState":
        return replace(self, **changes)

    @property
    def reference(self) -> str:
        """As a provider: how resources refer to it."""
        return f"{self.urn}::{self.id}"

    def needs(self) -> set[str]:
        """URNs this resource must come after, without its provider."""
        urns = {self.parent, self.deleted_with, *self.dependencies, *self.replace_with}
        for names in (self.property_dependencies or {}).values():
            urns.update(names)
        return urns - {"", self.urn}
