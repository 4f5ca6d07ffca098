"""What a provider declares about itself: name, settings, resources, functions, and how to connect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from infra.provider.definition import Call, ClientT, Resource
from infra.provider.errors import ConfigurationError
from infra.provider.fields import Field
from infra.provider.rules import Text, shown
from infra.provider.stopping import Stopper
from infra.provider.transport import PATIENCE_S

WAIT_SECONDS = Field(
    "waitSeconds",
    Text(1, 5, r"[1-9][0-9]*", "whole seconds, 1 to 99999"),
    about="how long a request is tried again and waits for the API's budget of requests; default 120",
)
"""A setting that all providers have."""

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


def patience(name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """The Transport's options for WAIT_SECONDS. ConfigurationError."""
    setting = f"{name}:{WAIT_SECONDS.name}"
    text = settings.get(WAIT_SECONDS.name) or str(int(PATIENCE_S))
    if any(WAIT_SECONDS.rule.problems(text)):
        raise ConfigurationError(f"{setting}: expected whole seconds, 1 to 99999, got {shown(text)}")
    return {"patience_s": float(text), "patience_setting": setting}


def by_type(*resources: Resource[ClientT, Any]) -> Mapping[str, Resource[ClientT, Any]]:
    return {each.resource_type: each for each in resources}
