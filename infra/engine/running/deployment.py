"""One deployment: what every part of an update shares."""

import asyncio
import functools
import linecache
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from infra.engine.display.events import Events, step_metadata
from infra.engine.errors import ResourceError, UsageError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.stack_name import StackName, stack_urn
from infra.engine.model.urns import is_provider_type, urn_type
from infra.engine.planning.options import Options
from infra.engine.planning.plan import Difference, Op
from infra.engine.planning.update_plan import Watch
from infra.engine.state.backend import FileBackend
from infra.engine.state.crypter import Crypter
from infra.engine.state.snapshot import Snapshot
from infra.engine.workspace.config import ConfigItem
from infra.engine.workspace.project import Project


@functools.lru_cache(maxsize=4096)
def target_pattern(target: str) -> "re.Pattern[str]":
    """A target URN; `*` matches within one part, `**` anything."""
    parts = re.split(r"(\*\*|\*)", target)
    return re.compile("".join(".*" if p == "**" else "[^:]*" if p == "*" else re.escape(p) for p in parts))


@dataclass(slots=True)
class Deployment:
    """State of one update, preview, refresh or destroy."""

    name: StackName
    project: Project
    options: Options
    config: dict[str, ConfigItem]
    crypter: Crypter
    crypter_of: Callable[[dict[str, Any]], Crypter]  # of another stack's checkpoint
    backend: FileBackend
    snapshot: Snapshot
    events: Events
    home: Path
    has_failed: bool = False
    has_logged_error: bool = False
    is_cancelled: bool = False
    olds: dict[str, ResourceState] = field(default_factory=dict)
    news: dict[str, ResourceState] = field(default_factory=dict)
    # URNs of old states that this run has found again, under their own or an aliased name.
    seen: set[str] = field(default_factory=set)
    # Old URN -> new URN of resources found by an alias.
    renamed: dict[str, str] = field(default_factory=dict)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    replaced_urns: set[str] = field(default_factory=set)
    # Resources a targeted update left uncreated; depending on one is an error.
    skipped_creates: set[str] = field(default_factory=set)
    failed_urns: set[str] = field(default_factory=set)
    # URN -> `project:///FILE#LINE` of the program that registers it.
    positions: dict[str, str] = field(default_factory=dict)
    # Records or restrains the steps, for update plans.
    watch: Watch | None = None
    # Resources named, for or against, because something they need is.
    followed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.olds = {s.urn: s for s in self.snapshot.olds if not s.delete}
        # Pulumi's default is four per processor; providers mostly wait for a network, so never below 16.
        self.slots = asyncio.Semaphore(self.options.parallel or max(16, 4 * (os.cpu_count() or 1)))

    @property
    def is_preview(self) -> bool:
        return self.options.is_preview

    @property
    def stack_urn(self) -> str:
        return stack_urn(self.name)

    def is_targeted(self, urn: str) -> bool:
        """Whether an update may touch the resource; providers and the stack are always implied."""
        if not self.options.is_targeted or urn == self.stack_urn or is_provider_type(urn_type(urn)):
            return True
        return self.is_named(urn)

    def follow(self, state: ResourceState) -> None:
        """With --target-dependents or --exclude-dependents: what needs a named resource is named with it.

        To be called for each resource after those it needs; pkg/resource/deploy/step_generator.go isTargetedForUpdate.
        """
        if not self.options.with_dependents:
            return
        is_named = self.is_named(state.urn)
        if is_named is bool(self.options.targets) or ({*state.needs(), state.provider.rpartition("::")[0]}) & self.followed:
            self.followed.add(state.urn)

    def is_named(self, urn: str) -> bool:
        """Whether the user's targets name this resource (or its excludes do not)."""
        if self.options.targets:
            return urn in self.followed or any(target_pattern(t).fullmatch(urn) for t in self.options.targets)
        return urn not in self.followed and not any(target_pattern(t).fullmatch(urn) for t in self.options.excludes)

    def check_targets(self, known: set[str]) -> None:
        """A target that matches nothing is a typing mistake. Raises UsageError."""
        for target in (*self.options.targets, *self.options.replaces):
            if not any(target_pattern(target).fullmatch(urn) for urn in known):
                raise UsageError(f"no resource named '{target}' found")

    def is_replace_asked(self, urn: str) -> bool:
        return any(target_pattern(t).fullmatch(urn) for t in self.options.replaces)

    def source_line(self, urn: str) -> str:
        """Where the program asks for the resource, as `at FILE:LINE: TEXT`; "" where that is not known."""
        path, _, line = self.positions.get(urn, "").removeprefix("project:///").partition("#")
        number = line.split(",")[0]
        if not path or not number.isdigit():
            return ""
        path = unquote(path)
        text = linecache.getline(str(self.project.folder / path), int(number)).strip()
        return self.events.redact(f"at {path}:{number}: {text}" if text else f"at {path}:{number}")

    def require_planned(self, op: Op, old: ResourceState | None, new: ResourceState | None) -> None:
        """To be asked before each step. Reports and raises ResourceError where an update plan forbids it."""
        if self.watch is not None and (violation := self.watch.step(op, old, new)):
            state = new or old
            assert state is not None
            self.fail(state.urn, violation)
            raise ResourceError(violation)

    def fail(self, urn: str, message: str) -> None:
        """Reports an error of one resource; the deployment has failed."""
        self.has_failed = True
        if urn:
            self.failed_urns.add(urn)
        self.events.diagnostic("error", message, urn)

    def metadata(
        self,
        op: Op,
        old: ResourceState | None,
        new: ResourceState | None,
        difference: Difference | None = None,
        *,
        is_logical: bool = True,
    ) -> dict[str, Any]:
        return step_metadata(op, old, new, difference, is_logical)

    def old_by_reference(self, reference: str) -> ResourceState | None:
        return next((s for s in self.snapshot.olds if s.reference == reference), None)
