"""What a service in an environment has one of, or none: a setting with a life of its own rather than a thing with an id.

A resource of this kind says how its state reads, which calls lead from one state to a wanted one, and which call takes it
away. It is sent whatever differs, looked at again after a lost answer, and imported by its place.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import InvalidInput, NotFound
from infra.provider.waiting import until
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import Operation
from infra.railway.placed import PlacedInputs, place_of
from infra.railway.removal import DEADLINE_S, until_gone

InputsT = TypeVar("InputsT", bound=PlacedInputs)
Step = tuple[Operation, Data]


class PlacedSetting(Addressed, Resource[RailwayClient, InputsT], Generic[InputsT]):
    called: ClassVar[str]
    """The setting in words, for messages."""

    @abstractmethod
    async def state(self, call: Call[RailwayClient], place: dict[str, str]) -> Data | None:
        """None: there is none, or the service itself is gone."""

    @abstractmethod
    def inputs_of(self, state: Data, recorded: InputsT | None) -> Data:
        """Without the place."""

    def outputs_of(self, state: Data) -> Data:
        return {}

    @abstractmethod
    def steps(self, state: Data | None, inputs: InputsT) -> Sequence[Step]:
        """Calls that lead to what is wanted, in order; none when it is there."""

    @abstractmethod
    def removal(self, state: Data, place: dict[str, str]) -> Step: ...

    async def create(self, call: Call[RailwayClient], inputs: InputsT) -> Made:
        return await self._settle(call, inputs)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[InputsT], inputs: InputsT) -> Made:
        return await self._settle(call, inputs)

    async def _settle(self, call: Call[RailwayClient], inputs: InputsT) -> Made:
        async def steps() -> Sequence[Step]:
            return self.steps(await self.state(call, inputs.place), inputs)

        for operation, variables in await steps():

            async def settled(operation: Operation = operation) -> Data | None:
                return None if any(each is operation for each, _ in await steps()) else {}

            await call.client.mutate(operation, variables, settled)
        what = f"{self.collection}: {self.called} of service {inputs.service_id}"

        async def there() -> Data | None:
            return await self.state(call, inputs.place)

        state = await until(call, there, deadline_s=call.timeout_s or DEADLINE_S, what=f"appearance of {what}")
        return Made(inputs.identity, self.outputs_of(state))

    async def read(self, call: Call[RailwayClient], recorded: Recorded[InputsT]) -> Found | None:
        place = self._place(recorded)
        state = await self.state(call, place)
        if state is None:
            return None
        return Found(recorded.identity, {**place, **self.inputs_of(state, recorded.inputs)}, self.outputs_of(state))

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[InputsT]) -> None:
        place = self._place(recorded)

        async def gone() -> Data | None:
            return {} if await self.state(call, place) is None else None

        state = await self.state(call, place)
        if state is None:
            return
        operation, variables = self.removal(state, place)
        try:
            await call.client.mutate(operation, variables, gone)
        except NotFound:
            return
        await until_gone(call, gone, f"{self.called} of service {place['serviceId']}")

    def _place(self, recorded: Recorded[InputsT]) -> dict[str, str]:
        if recorded.inputs is not None:
            return recorded.inputs.place
        if recorded.identity.count("/") != 2:
            raise InvalidInput(f"{self.collection}: expected project/environment/service, got {recorded.identity!r}")
        return place_of(recorded.identity)
