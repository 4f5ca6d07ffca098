"""What is one of several in its place and found in a list: TCP proxies, domains, tokens, backups.

A resource of this kind says which list, how an entry reads as inputs and outputs, and what to send; everything else is the
same for all of them and stands here: what was made is found again after a lost answer, an import names an entry by its id or
by its name, and a deletion is waited for.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import InvalidInput
from infra.provider.waiting import until
from infra.railway.addresses import Addressed, located
from infra.railway.client import Data, RailwayClient, only
from infra.railway.operations import Operation
from infra.railway.removal import remove

APPEAR_DEADLINE_S = 60.0

InputsT = TypeVar("InputsT", bound=Struct)


class Listed(Addressed, Resource[RailwayClient, InputsT], Generic[InputsT]):
    """`place` are the wire names of the inputs that say where, in the order in which an import's id gives them."""

    place: ClassVar[tuple[str, ...]] = ("projectId", "environmentId", "serviceId")
    called: ClassVar[str]
    """The thing in words, for messages."""
    deletion: ClassVar[Operation]

    # What each resource says of itself.

    @abstractmethod
    async def entries(self, call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
        """All of the place, each with an `id`; None where the place itself is gone."""

    @abstractmethod
    def name_of(self, entry: Data) -> str:
        """By which an import may name it."""

    @abstractmethod
    def inputs_of(self, entry: Data, place: dict[str, str], recorded: InputsT | None) -> Data: ...

    @abstractmethod
    def outputs_of(self, entry: Data) -> Data: ...

    @abstractmethod
    def is_made_from(self, entry: Data, inputs: InputsT) -> bool:
        """Whether an entry that appeared can be the one that was asked for."""

    def creation(self, inputs: InputsT) -> tuple[Operation, Data]:
        raise AssertionError(f"{self.called} is made otherwise")

    def change(self, identity: str, recorded: Recorded[InputsT], inputs: InputsT) -> tuple[Operation, Data]:
        raise AssertionError(f"every input of {self.called} replaces it")

    # The same for all.

    async def located(self, call: Call[RailwayClient], identity: str) -> str:
        return await located(call, identity, self.place)

    def where(self, inputs: InputsT) -> dict[str, str]:
        wire = {field.encode_name: str(getattr(inputs, field.name)) for field in fields(inputs)}
        return {name: wire[name] for name in self.place}

    async def create(self, call: Call[RailwayClient], inputs: InputsT) -> Made:
        place = self.where(inputs)
        before = {each["id"] for each in await self.entries(call, place) or []}

        async def appeared() -> Data | None:
            entries = await self.entries(call, place) or []
            return only([each for each in entries if each["id"] not in before and self.is_made_from(each, inputs)])

        made = await self.make(call, inputs, appeared)
        if not isinstance(made, dict) or "id" not in made:
            made = await until(call, appeared, deadline_s=APPEAR_DEADLINE_S, what=f"appearance of {self.called}")
        return Made(str(made["id"]), self.outputs_of(made))

    async def make(self, call: Call[RailwayClient], inputs: InputsT, appeared: Callable[[], Awaitable[Data | None]]) -> Any:
        """Asks for it; the answer is the entry where the API tells it."""
        operation, variables = self.creation(inputs)
        answer = await call.client.mutate(operation, variables, appeared)
        return answer if "id" in answer else next(iter(answer.values()))

    async def after(self, call: Call[RailwayClient], appeared: Callable[[], Awaitable[Data | None]], what: str) -> Data:
        """What was made, once the list shows it; reads may lag behind."""
        return await until(call, appeared, deadline_s=APPEAR_DEADLINE_S, what=f"appearance of {what}")

    async def read(self, call: Call[RailwayClient], recorded: Recorded[InputsT]) -> Found | None:
        if recorded.inputs is not None:
            place, wanted = self.where(recorded.inputs), recorded.identity
        else:
            parts = recorded.identity.split("/", len(self.place))
            if len(parts) != len(self.place) + 1:
                expected = "/".join(_spoken(name) for name in self.place)
                raise InvalidInput(f"{self.collection}: expected {expected}/id or {expected}/name, got {recorded.identity!r}")
            place, wanted = dict(zip(self.place, parts[:-1], strict=True)), parts[-1]
        entries = await self.entries(call, place) or []
        entry = next((each for each in entries if each["id"] == wanted), None)
        if entry is None and recorded.inputs is None:
            entry = only([each for each in entries if self.name_of(each) == wanted])
        if entry is None:
            return None
        outputs = {**self.outputs_of(entry), **self.kept(recorded)}
        return Found(str(entry["id"]), self.inputs_of(entry, place, recorded.inputs), outputs)

    def kept(self, recorded: Recorded[InputsT]) -> Data:
        """Outputs that cannot be read back: what was learnt at creation."""
        return {}

    async def update(self, call: Call[RailwayClient], recorded: Recorded[InputsT], inputs: InputsT) -> Made:
        async def settled() -> Data | None:
            found = await self.read(call, Recorded(recorded.identity, inputs, recorded.outputs))
            if found is None:
                return None
            checked = self.check("", found.inputs).inputs
            return {"found": found} if self.typed(checked) == inputs else None

        operation, variables = self.change(recorded.identity, recorded, inputs)
        await call.client.mutate(operation, variables, settled)
        found = await self.read(call, Recorded(recorded.identity, inputs, recorded.outputs))
        outputs: Any = found.outputs if found else {each.name: recorded.outputs.get(each.name) for each in self.outputs}
        return Made(recorded.identity, outputs)

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[InputsT]) -> None:
        async def gone() -> Data | None:
            if recorded.inputs is None:
                return {}
            entries = await self.entries(call, self.where(recorded.inputs)) or []
            return None if any(each["id"] == recorded.identity for each in entries) else {}

        await remove(call, self.deletion, self.deletion_variables(recorded), gone, f"{self.called} {recorded.identity}")

    def deletion_variables(self, recorded: Recorded[InputsT]) -> Data:
        return {"id": recorded.identity}


def _spoken(name: str) -> str:
    return name.removesuffix("Id")
