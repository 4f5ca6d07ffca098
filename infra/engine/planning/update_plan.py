"""Update plans: `preview --save-plan FILE` writes what will happen, `up --plan FILE` does that or nothing.

The file has Pulumi's form (sdk/go/common/apitype/plan.go: steps and input differences per URN) and one field more, the
digest of the state it was made for: the same steps on another state are not what somebody read and agreed to. A step may
do less than planned (same for update, update for replace), never more. What was unknown when the plan was made may become
anything.
"""

import hashlib
import json
from typing import Any, Final, Protocol

from infra.engine.errors import StateError
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.urns import urn_name
from infra.engine.model.values import UNKNOWN, Output, Properties, Secret, Value
from infra.engine.planning.plan import Op
from infra.engine.state.checkpoint import decode_value, encode_value
from infra.engine.state.crypter import Crypter

VERSION: Final = 1
# What may happen in the place of what was planned.
_ALLOWS: Final[dict[Op, frozenset[Op]]] = {
    Op.UPDATE: frozenset((Op.UPDATE, Op.SAME)),
    Op.REPLACE: frozenset((Op.REPLACE, Op.UPDATE, Op.SAME)),
    Op.CREATE_REPLACEMENT: frozenset((Op.CREATE_REPLACEMENT, Op.UPDATE, Op.SAME)),
    Op.IMPORT: frozenset((Op.IMPORT, Op.SAME)),
}
_DELETES: Final = frozenset((Op.DELETE, Op.DELETE_REPLACED, Op.READ_DISCARD, Op.DISCARD_REPLACED, Op.REMOVE_PENDING_REPLACE))


class Watch(Protocol):
    """Told of each step before it is taken, and of the final deletes before the first of them."""

    def step(self, op: Op, old: ResourceState | None, new: ResourceState | None) -> str:
        """Why the step must not be taken, "" where it may."""

    def deletes(self, doomed: list[ResourceState]) -> str:
        """The same for all deletes together."""


def state_digest(document: dict[str, Any]) -> str:
    """Of the resources in the checkpoint; time and version of the last write do not count."""
    latest = document["checkpoint"].get("latest") or {}
    parts = [latest.get("resources") or [], latest.get("pending_operations") or []]
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Recorder:
    """Collects the steps of a preview."""

    def __init__(self) -> None:
        self._steps: dict[str, list[Op]] = {}
        self._goals: dict[str, tuple[Properties, ResourceState]] = {}

    def step(self, op: Op, old: ResourceState | None, new: ResourceState | None) -> str:
        state = new or old
        assert state is not None
        self._steps.setdefault(state.urn, []).append(op)
        if new is not None:
            self._goals.setdefault(state.urn, (old.inputs if old is not None else {}, new))
        return ""

    def deletes(self, doomed: list[ResourceState]) -> str:
        return ""

    def document(self, digest: str, config: dict[str, Any], version: str, crypter: Crypter) -> dict[str, Any]:
        """The plan's file; secrets are sealed with the stack's key."""
        plans: dict[str, Any] = {}
        for urn, steps in self._steps.items():
            plans[urn] = {"steps": [op.value for op in steps], "state": {}}
            if urn in self._goals:
                plans[urn]["goal"] = _goal(*self._goals[urn], crypter)
        manifest = {"time": now_text(), "magic": "", "version": f"v{version}"}
        return {
            "version": VERSION,
            "plan": {"manifest": manifest, "config": config, "stateDigest": digest, "resourcePlans": plans},
        }


def _goal(old: Properties, new: ResourceState, crypter: Crypter) -> dict[str, Any]:
    def sealed(keys: list[str]) -> dict[str, Any]:
        return {k: encode_value(new.inputs[k], crypter.encrypt) for k in keys}

    changes = {
        "adds": sealed([k for k in sorted(new.inputs) if k not in old]),
        "updates": sealed([k for k in sorted(new.inputs) if k in old and not _fits(old[k], new.inputs[k])]),
        "deletes": sorted(set(old) - set(new.inputs)),
    }
    goal: dict[str, Any] = {"type": new.type, "name": urn_name(new.urn), "custom": new.custom, "protect": new.protect}
    goal |= {"inputDiff": {k: v for k, v in changes.items() if v}, "outputDiff": {}}
    for key, value in (("parent", new.parent), ("dependencies", new.dependencies), ("provider", new.provider)):
        if value:
            goal[key] = value
    return goal


class Guard:
    """Holds an update to a plan."""

    def __init__(self, document: Any, where: str, crypter: Crypter) -> None:
        """Raises StateError for a file that is no plan."""
        try:
            plan = document["plan"]
            if document["version"] != VERSION:
                raise ValueError(f"version {document['version']}")
            self.digest = str(plan.get("stateDigest") or "")
            self._steps = {urn: [Op(s) for s in entry.get("steps") or []] for urn, entry in plan["resourcePlans"].items()}
            self._changes = {
                urn: entry["goal"].get("inputDiff") or {} for urn, entry in plan["resourcePlans"].items() if entry.get("goal")
            }
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise StateError(f"{where}: this is no update plan of version {VERSION} ({exc})") from exc
        self._where = where
        self._crypter = crypter
        self._seen: set[str] = set()

    def require_state(self, digest: str) -> None:
        """Raises StateError where the plan is for another state."""
        if not self.digest:
            raise StateError(f"{self._where}: the plan does not name the state it is for; make it with this engine's `preview`")
        if self.digest != digest:
            raise StateError(
                f"{self._where}: the stack's state has changed since this plan was made; look at a new one: "
                f"`preview --save-plan {self._where}`"
            )

    def step(self, op: Op, old: ResourceState | None, new: ResourceState | None) -> str:
        state = new or old
        assert state is not None
        planned = self._steps.get(state.urn)
        self._seen.add(state.urn)
        if planned is None:
            return f"{op.value} is not allowed by the plan: this resource is not in it"
        if not any(op is p or op in _ALLOWS.get(p, ()) for p in planned):
            return f"{op.value} is not allowed by the plan: it has {', '.join(planned) or 'no steps'}"
        if new is None or state.urn not in self._changes:
            return ""
        return self._input_violation(old.inputs if old is not None else {}, new)

    def _input_violation(self, old: Properties, new: ResourceState) -> str:
        changes = self._changes[new.urn]
        expected = {k: v for k, v in old.items() if k not in (changes.get("deletes") or ())}
        for kind in ("adds", "updates"):
            expected |= {k: decode_value(v, self._crypter.decrypt) for k, v in (changes.get(kind) or {}).items()}
        for key in sorted({*expected, *new.inputs}):
            if not _fits(expected.get(key), new.inputs.get(key)):
                return f"property {key} is not as planned; make a new plan"  # without the values: they may be secret
        return ""

    def deletes(self, doomed: list[ResourceState]) -> str:
        for state in doomed:
            if not _DELETES & set(self._steps.get(state.urn, ())):
                return f"deleting '{state.urn}' is not in the plan"
        gone = {state.urn for state in doomed}
        for urn, steps in self._steps.items():
            if urn not in self._seen | gone and set(steps) - {Op.SAME, Op.READ, Op.REFRESH} - _DELETES:
                return f"the plan has {', '.join(steps)} of '{urn}', which the program no longer registers"
        return ""


def _fits(expected: Value, actual: Value) -> bool:
    """Equality of meaning, in which an expected unknown stands for any value."""
    if isinstance(expected, Secret | Output):
        return _fits(expected.value, actual)
    if expected is UNKNOWN:
        return True
    if isinstance(actual, Secret | Output):
        return _fits(expected, actual.value)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(_fits(expected.get(k), actual.get(k)) for k in {*expected, *actual})
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(_fits(e, a) for e, a in zip(expected, actual, strict=True))
    return bool(expected == actual) and isinstance(expected, bool) is isinstance(actual, bool)
