"""The fake's single, shared and sealed variables."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
Place = tuple[str | None, str]


class Variables:
    """Part of FakeRailway: what it needs of the whole is declared here."""

    environments: dict[str, Json]
    services: dict[str, Json]
    variables: dict[Place, Json]

    def __init__(self) -> None:
        super().__init__()
        self.sealed: set[tuple[Place, str]] = set()

    def refuse(self, message: str) -> None:
        raise NotImplementedError

    def _checked(self, environment_id: str, service_id: str | None) -> Place:
        if environment_id not in self.environments:
            self.refuse("Environment not found")
        if service_id is not None and service_id not in self.services:
            self.refuse("Service not found")
        return service_id, environment_id

    def _readable(self, place: Place) -> Json:
        return {name: value for name, value in self.variables.get(place, {}).items() if (place, name) not in self.sealed}

    def commit_variables(self, environment_id: str, service_id: str | None, given: Json) -> None:
        """The part of a patch that speaks of variables."""
        place = self._checked(environment_id, service_id)
        for name, entry in given.items():
            if entry is None:
                self._removed(place, name)
            else:
                self.variables.setdefault(place, {})[name] = entry["value"]
                if entry.get("isSealed"):
                    self.sealed.add((place, name))

    def _removed(self, place: Place, name: str) -> None:
        self.variables.get(place, {}).pop(name, None)
        self.sealed.discard((place, name))

    def _variable(self, projectId: str, environmentId: str, serviceId: str | None, after: str | None) -> Json:  # noqa: N803
        place = self._checked(environmentId, serviceId)
        every = [
            {"name": name, "serviceId": where[0], "isSealed": (where, name) in self.sealed}
            for where, values in self.variables.items()
            if where[1] == environmentId
            for name in values
        ]
        start = int(after or 0)  # one on a page, so that a reader who forgets the next one is caught
        info = {"hasNextPage": start + 1 < len(every), "endCursor": str(start + 1)}
        edges = [{"node": each} for each in every[start : start + 1]]
        return {"variables": self._readable(place), "environment": {"variables": {"edges": edges, "pageInfo": info}}}

    def _sharedVariables(self, projectId: str, environmentId: str) -> Json:  # noqa: N802, N803
        return {"variables": self._readable(self._checked(environmentId, None))}

    def _variableDelete(self, input: Json) -> Json:  # noqa: A002, N802
        self._removed(self._checked(input["environmentId"], input.get("serviceId")), input["name"])
        return {"variableDelete": True}
