"""The definition of one resource: its fields, its outputs and its five verbs.

`check` and `diff` are pure and may be called with unknowns; the verbs get typed inputs without marks and a `Call` that
carries everything they may touch: the client, a sleep that ends when the engine cancels, and a line to the user's screen.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from infra.provider.arrivals import Arrivals
from infra.provider.comparison import Change, compare
from infra.provider.fields import Field, Output
from infra.provider.properties import UNKNOWN, Properties, Secret, as_secret, has_unknown, plain
from infra.provider.rules import Problem


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that cannot be accepted; `reason` starts with the path a person would look for."""

    property: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    inputs: Properties
    failures: tuple[Failure, ...]


_LOOKED_AT_CHARS_MAX = 100_000
"""More than any secret has (rules.Text), so that none is cut before it is looked for."""

InputsT = TypeVar("InputsT", bound=msgspec.Struct)
ClientT = TypeVar("ClientT")


@dataclass(frozen=True, slots=True)
class Call(Generic[ClientT]):
    """What a verb may touch. `tell` shows a line until the next one, `show` one that stays among the diagnostics.

    `timeout_s` is the user's customTimeouts, None when not set. `arrivals` tells when the engine asks for more; `ticket` is this
    call's own mark. `blotted` takes known secrets out of a text; whoever shortens what others wrote asks it first, because the
    beginning of a secret would not be found any more.
    """

    client: ClientT
    sleep: Callable[[float], Awaitable[None]]
    tell: Callable[[str], Awaitable[None]]
    show: Callable[[str], Awaitable[None]]
    clock: Callable[[], float]
    timeout_s: float | None = None
    arrivals: Arrivals = field(default_factory=Arrivals)
    blotted: Callable[[str], str] = str
    ticket: object = field(default_factory=object)

    def shortened(self, text: str, chars_max: int) -> str:
        return self.blotted(text[:_LOOKED_AT_CHARS_MAX])[:chars_max]


@dataclass(frozen=True, slots=True)
class Recorded(Generic[InputsT]):
    """What the engine remembers. `inputs` is None for an import: then only the id is known."""

    identity: str
    inputs: InputsT | None
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A resource as created or updated; `outputs` by wire name, without marks."""

    identity: str
    outputs: Properties


@dataclass(frozen=True, slots=True)
class Found:
    """A resource as read back. `inputs` is what the user would write to get it; `unwell` says why it needs another try."""

    identity: str
    inputs: Properties
    outputs: Properties
    unwell: tuple[str, ...] = field(default=())


class Resource(ABC, Generic[ClientT, InputsT]):
    """Subclass once per resource. Class attributes are the declaration, methods the behaviour."""

    resource_type: ClassVar[str]
    collection: ClassVar[str]
    """The first part of the path in messages: services/auth/..."""
    fields: ClassVar[Sequence[Field]]
    outputs: ClassVar[Sequence[Output]] = ()
    deletes_before_replace: ClassVar[bool] = False
    inputs_type: ClassVar[type[msgspec.Struct]]

    # Pure part.

    def check(self, name: str, given: Mapping[str, Any]) -> Checked:
        """Validates and completes inputs. `name` is the resource's logical name, for messages."""
        known = {each.name: each for each in self.fields}
        inputs: Properties = {}
        problems: list[tuple[str, Problem]] = []
        for each in self.fields:
            value = given.get(each.name)
            if value is None:
                if each.is_required:
                    problems.append((each.name, Problem("", "a value", "nothing")))
                elif each.default is not None:
                    inputs[each.name] = each.default
                continue
            found = list(each.rule.problems(Secret(value) if each.is_secret and not isinstance(value, dict | Secret) else value))
            problems.extend((each.name, problem) for problem in found)
            normal = value if found else each.rule.normal(value)
            inputs[each.name] = as_secret(normal) if each.is_secret else normal
        problems.extend(
            (key, Problem("", "one of " + ", ".join(sorted(known)), f'"{key}"'))
            for key in given
            if key not in known and not key.startswith("__") and given[key] is not None
        )
        if not problems:
            problems.extend(self.check_together(inputs))
        return Checked(inputs, tuple(self._failure(name, property_name, problem) for property_name, problem in problems))

    def check_together(self, inputs: Properties) -> Sequence[tuple[str, Problem]]:
        """Rules over several fields; called when each field is fine by itself."""
        return ()

    def _failure(self, name: str, property_name: str, problem: Problem) -> Failure:
        where = "/".join(filter(None, (self.collection, name, snake(property_name), problem.path)))
        return Failure(property_name, f"{where}: expected {problem.expected}, got {problem.got}")

    def diff(self, old_inputs: Properties, old_outputs: Properties, new_inputs: Properties) -> tuple[Change, ...]:
        """What an update would change; empty when nothing needs doing."""
        return compare(self.fields, old_inputs, new_inputs)

    def preview(self, inputs: Properties, old_outputs: Mapping[str, Any] | None) -> Properties:
        """Outputs as far as they are known before the change. `old_outputs` is None for a creation."""
        if old_outputs is None:
            return {each.name: UNKNOWN for each in self.outputs}
        return {each.name: old_outputs.get(each.name) if each.is_stable else UNKNOWN for each in self.outputs}

    def typed(self, inputs: Properties) -> InputsT:
        """Checked inputs without marks, as this resource's own type."""
        return msgspec.convert(plain(inputs), self.inputs_type)  # type: ignore[return-value]

    def typed_or_none(self, inputs: Properties) -> InputsT | None:
        """As `typed`, but None for the empty or older shape that an import or an upgrade brings."""
        if not inputs or has_unknown(inputs):
            return None
        try:
            return self.typed({each.name: inputs[each.name] for each in self.fields if each.name in inputs})
        except msgspec.ValidationError:
            return None

    # Effects.

    def declared(self, client: ClientT, identity: str, inputs: Properties) -> None:
        """The program has this resource: told whenever it is compared, and so before anything is deleted."""

    @abstractmethod
    async def create(self, call: Call[ClientT], inputs: InputsT) -> Made: ...

    async def located(self, call: Call[ClientT], identity: str) -> str:
        """What an import gave as id -> what `read` finds the resource by."""
        return identity

    @abstractmethod
    async def read(self, call: Call[ClientT], recorded: Recorded[InputsT]) -> Found | None:
        """None: it is gone."""

    @abstractmethod
    async def update(self, call: Call[ClientT], recorded: Recorded[InputsT], inputs: InputsT) -> Made: ...

    @abstractmethod
    async def delete(self, call: Call[ClientT], recorded: Recorded[InputsT]) -> None:
        """Deleting what is already gone succeeds."""


def snake(name: str) -> str:
    """healthcheckPath -> healthcheck_path: messages speak the language of the program, not of the wire."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
