"""The state during a deployment, and how it reaches the disk.

The snapshot is: new states, then old ones nothing has superseded yet, in a stable topological order (a resource after
its provider, parent and dependencies). Before an operation its intent is on disk as a pending operation; after it, its
result. Saves are grouped: while one write is under way, all further requests share the next one, so 200 parallel creates
cost a handful of fsyncs rather than 400.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from infra.engine.model.order import topological
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.state.checkpoint import encode_resource
from infra.engine.state.crypter import Crypter

PAUSE_MAX_S: Final = 0.05


class Snapshot:
    """All states of the stack, and the one writer of its file."""

    def __init__(
        self,
        document: dict[str, Any],
        olds: list[ResourceState],
        crypter: Crypter,
        write: Callable[[str], None] | None,
    ) -> None:
        """`write` stores the text, None in a preview."""
        self.olds = olds
        self.news: list[ResourceState] = []
        self._document = document
        self._crypter = crypter
        self._write = write
        self._gone: set[int] = set()
        latest = document["checkpoint"].get("latest") or {}
        # Creations that an interrupted update left behind may exist in the cloud: kept until someone looks.
        self.kept_pending: list[dict[str, Any]] = [
            op for op in latest.get("pending_operations") or [] if op.get("type") == "creating"
        ]
        self._pending: dict[int, tuple[ResourceState, str]] = {}
        self._cache: dict[int, _Kept] = {}
        self._last_cost_s = 0.0
        self._last_save: asyncio.Task[None] | None = None
        self._next_save: asyncio.Task[None] | None = None

    def states(self) -> list[ResourceState]:
        """What the checkpoint would hold now."""
        states = [state for state in (*self.news, *self.olds) if id(state) not in self._gone]
        # Nearly always they are in order as they come. Looking takes a tenth of sorting, which each of the many saves of a
        # long update would pay for all resources.
        return states if self._is_ordered(states) else topological(states)

    def _is_ordered(self, states: list[ResourceState]) -> bool:
        """Whether each state comes after all states of every URN it needs."""
        to_come: dict[str, int] = {}
        for state in states:
            to_come[state.urn] = to_come.get(state.urn, 0) + 1
        for state in states:
            for urn in self._kept(state).needs:
                if to_come.get(urn):
                    return False
            to_come[state.urn] -= 1
        return True

    def _kept(self, state: ResourceState) -> "_Kept":
        kept = self._cache.get(id(state))
        if kept is None:
            needs = (state.provider.rpartition("::")[0], *state.needs())
            kept = self._cache[id(state)] = _Kept(state, needs, tuple(name for name, uses in _FEATURES if uses(state)))
        return kept

    def is_gone(self, old: ResourceState) -> bool:
        return id(old) in self._gone

    def drop(self, state: ResourceState) -> None:
        """The state is superseded by a new one or deleted."""
        self._gone.add(id(state))

    def add_new(self, new: ResourceState, supersedes: ResourceState | None = None) -> None:
        if supersedes is not None:
            self._gone.add(id(supersedes))
        self.news.append(new)

    def replace_old(self, old: ResourceState, changed: ResourceState) -> None:
        """Refresh: puts `changed` in the place of `old`."""
        self.olds[self.olds.index(old)] = changed

    def touched(self, state: ResourceState) -> None:
        """Forgets what is cached of a state that was changed in place."""
        self._cache.pop(id(state), None)

    async def begin(self, state: ResourceState, operation: str) -> None:
        """Records the intent (`creating`, `updating`, `deleting`, `reading`, `importing`) on disk before the deed."""
        if self._write is None:
            return
        self._pending[id(state)] = (state, operation)
        await self.save()

    def end(self, state: ResourceState) -> None:
        self._pending.pop(id(state), None)

    async def save(self) -> None:
        """Returns when a write that began after this call has reached the disk."""
        if self._write is None:
            return
        if self._next_save is None:
            self._next_save = asyncio.create_task(self._run_save(self._last_save))
        await asyncio.shield(self._next_save)

    async def _run_save(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        # Lets more requests join: as long as a save takes, so that saving large stacks never fills more than half of the time.
        await asyncio.sleep(min(self._last_cost_s, PAUSE_MAX_S))
        self._last_save, self._next_save = self._next_save, None
        assert self._write is not None
        began_s = asyncio.get_running_loop().time()
        text = self.render()
        self._last_cost_s = asyncio.get_running_loop().time() - began_s
        await asyncio.to_thread(self._write, text)

    def render(self) -> str:
        """The checkpoint's text."""
        states = self.states()
        latest = dict(self._document["checkpoint"].get("latest") or {})
        latest.pop("resources", None)
        latest.pop("pending_operations", None)
        kept_states = [self._kept(state) for state in states]
        resources = ",\n".join([kept.text or self._encoded(kept) for kept in kept_states])
        pending = [*self.kept_pending]
        for state, operation in self._pending.values():
            pending.append({"resource": encode_resource(state, self._crypter), "type": operation})
        latest["manifest"] = {"time": now_text(), "magic": "", "version": ""}
        latest.setdefault("metadata", {})
        used = {name for kept in kept_states for name in kept.features}
        features = [name for name, _ in _FEATURES if name in used]
        head = {"version": 4, "features": features} if features else {"version": 3}
        if pending:
            latest["pending_operations"] = pending
        stack = json.dumps(self._document["checkpoint"]["stack"])
        body = json.dumps(latest)
        array = f'"resources": [\n{resources}\n]' if states else '"resources": []'
        return f'{json.dumps(head)[:-1]}, "checkpoint": {{"stack": {stack}, "latest": {{{array}, {body[1:]}}}}}\n'

    def _encoded(self, kept: "_Kept") -> str:
        kept.text = json.dumps(encode_resource(kept.state, self._crypter))
        return kept.text


# As pkg/resource/stack/deployment.go: a state with any of these must not be read by an engine that ignores them.
_FEATURES: Final[tuple[tuple[str, Callable[[ResourceState], Any]], ...]] = (
    ("hooks", lambda state: state.resource_hooks),
    ("refreshBeforeUpdate", lambda state: state.refresh_before_update),
    ("taint", lambda state: state.taint),
    ("replaceWith", lambda state: state.replace_with),
)


@dataclass(slots=True)
class _Kept:
    """What a save needs of a state, kept until the state is touched: each of many saves of a large stack asks for it."""

    state: ResourceState  # keeps the identity from being given to another
    needs: tuple[str, ...]
    features: tuple[str, ...]
    text: str = ""
