"""What a provider declares about itself: name, settings, resources, functions, and how to connect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from infra.provider.definition import Call, ClientT, Resource
from infra.provider.fields import Field
from infra.provider.stopping import Stopper

Function = Callable[[Call[Any], dict[str, Any]], Awaitable[dict[str, Any]]]


class NativeProvider(ABC, Generic[ClientT]):
    """Subclass once per provider."""

    name: ClassVar[str]
    version: ClassVar[str]
    settings: ClassVar[Sequence[Field]]
    resources: Mapping[str, Resource[ClientT, Any]]
    functions: ClassVar[Mapping[str, Function]]

    @abstractmethod
    def connect(self, settings: Mapping[str, str], environment: Mapping[str, str], stopper: Stopper) -> ClientT:
        """Makes the client; sends nothing. Raises ConfigurationError."""

    @abstractmethod
    async def disconnect(self, client: ClientT) -> None: ...


def by_type(*resources: Resource[ClientT, Any]) -> Mapping[str, Resource[ClientT, Any]]:
    return {each.resource_type: each for each in resources}
