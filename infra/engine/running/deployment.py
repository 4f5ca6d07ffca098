"""One deployment: what every part of an update shares."""

import asyncio
import linecache
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from infra.engine.display.events import Events, step_metadata
from infra.engine.errors import ResourceError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.stack_name import StackName, stack_urn
from infra.engine.planning.options import Options
from infra.engine.planning.plan import Difference, Op
from infra.engine.planning.targets import Targets
from infra.engine.planning.update_plan import Watch
from infra.engine.state.backend import FileBackend
from infra.engine.state.crypter import Crypter
from infra.engine.state.snapshot import Snapshot
from infra.engine.workspace.config import ConfigItem
from infra.engine.workspace.project import Project


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
    targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        self.targets = Targets(self.options, self.stack_urn)
        self.olds = {s.urn: s for s in self.snapshot.olds if not s.delete}
        # Pulumi's default is four per processor; providers mostly wait for a network, so never below 16.
        self.slots = asyncio.Semaphore(self.options.parallel or max(16, 4 * (os.cpu_count() or 1)))

    @property
    def is_preview(self) -> bool:
        return self.options.is_preview

    @property
    def stack_urn(self) -> str:
        return stack_urn(self.name)

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
