"""What a provider answers without making anything: a read, declared by its inputs as a resource is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.provider.definition import Call, snake
from infra.provider.errors import InvalidInput
from infra.provider.fields import Field

Run = Callable[[Call[Any], Mapping[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Read:
    """`run` gets checked arguments by their wire names, absent ones left out. Called like any provider function."""

    token: str
    fields: Sequence[Field]
    run: Run

    async def __call__(self, call: Call[Any], arguments: dict[str, Any]) -> dict[str, Any]:
        return await self.run(call, self.checked(arguments))

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """InvalidInput with the path of the first argument that is wrong."""
        name = self.token.rpartition(":")[2]
        known = {each.name: each for each in self.fields}
        given = {key: value for key, value in arguments.items() if value is not None}
        for key in given.keys() - known.keys():
            raise InvalidInput(f"{name}/{snake(key)}: expected one of {', '.join(sorted(known)) or 'no arguments'}")
        result: dict[str, Any] = {}
        for each in self.fields:
            if each.name not in given:
                if each.is_required:
                    raise InvalidInput(f"{name}/{snake(each.name)}: expected a value, got nothing")
                if each.default is not None:
                    result[each.name] = each.default
                continue
            for problem in each.rule.problems(given[each.name]):
                path = "/".join(filter(None, (name, snake(each.name), problem.path)))
                raise InvalidInput(f"{path}: expected {problem.expected}, got {problem.got}")
            result[each.name] = each.rule.normal(given[each.name])
        return result


def by_token(*reads: Read) -> dict[str, Read]:
    return {each.token: each for each in reads}
