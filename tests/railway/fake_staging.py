"""The fake's staged changes: one patch for each environment, merged or replaced, and committed as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def merge(below: Json, above: Json) -> Json:
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        result[name] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


class Staging:
    """Part of FakeRailway: what it needs of the whole is declared here.

    meddle: called with an operation's name just before it is carried out; the hand of somebody else.
    commit_refusals: reasons why the next commits do not take effect; the patch stays staged and says so.
    """

    instances: dict[tuple[str, str], Json]
    environments: dict[str, Json]
    services: dict[str, Json]
    variables: dict[tuple[str | None, str], Json]
    sealed: set[tuple[tuple[str | None, str], str]]

    def __init__(self) -> None:
        super().__init__()
        self.staged: dict[str, Json] = {}
        self.patches: dict[str, Json] = {}
        self.meddle: Callable[[str], None] = lambda operation: None
        self.commit_refusals: list[str] = []

    def _id(self, kind: str) -> str:
        raise NotImplementedError

    def refuse(self, message: str) -> None:
        raise NotImplementedError

    def _deployed(self, environment_id: str, service_id: str) -> Json:
        raise NotImplementedError

    def commit_variables(self, environment_id: str, service_id: str | None, given: Json) -> None:
        raise NotImplementedError

    def commit_networking(self, environment_id: str, service_id: str, given: Json) -> None:
        raise NotImplementedError

    def commit_limits(self, environment_id: str, service_id: str, given: Json) -> None:
        raise NotImplementedError

    def _shown(self, service_id: str | None, environment_id: str) -> Json:
        place = service_id, environment_id
        every = self.variables.get(place, {}).items()
        return {name: {"isSealed": True} if (place, name) in self.sealed else {"value": value} for name, value in every}

    def config(self, environment_id: str) -> Json:
        services: Json = {}
        for (service_id, place), instance in self.instances.items():
            if place == environment_id:
                deploy = {name: value for name, value in instance.items() if name != "source" and value is not None}
                services[service_id] = {
                    "source": instance.get("source") or {},
                    "deploy": deploy,
                    "variables": self._shown(service_id, environment_id),
                }
        return {"services": services, "sharedVariables": self._shown(None, environment_id)}

    def _environmentState(self, id: str) -> Json:  # noqa: A002, N802
        if id not in self.environments:
            self.refuse("Environment not found")
        config = self.config(id)
        here = [service_id for service_id, place in self.instances if place == id]
        named = [{"node": {"serviceId": each, "serviceName": self.services[each]["name"]}} for each in here]
        return {
            "environment": {
                "config": config,
                "configEtag": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
                "serviceInstances": {"edges": named},
            },
            "environmentStagedChanges": self.staged.get(id)
            or {"id": f"{id}-nothing", "status": "STAGED", "lastAppliedError": None, "patch": {}},
        }

    def _environmentStageChanges(self, environmentId: str, input: Json, merge: bool = False) -> Json:  # noqa: A002, N802, N803
        for service_id in input.get("services", {}):
            if (service_id, environmentId) not in self.instances:
                self.refuse("ServiceInstance not found")
        self.meddle("environmentStageChanges")
        before = self.staged.get(environmentId)
        patch = _merged(before["patch"], input) if merge and before else input
        if not patch:
            self.staged.pop(environmentId, None)
            return {"environmentStageChanges": {"id": f"{environmentId}-nothing"}}
        identity = before["id"] if before else self._id("patch")
        staged = {"id": identity, "status": "STAGED", "lastAppliedError": None, "patch": patch}
        self.staged[environmentId] = self.patches[identity] = staged
        return {"environmentStageChanges": staged}

    def _environmentPatch(self, id: str) -> Json:  # noqa: A002, N802
        if id not in self.patches:
            self.refuse("EnvironmentPatch not found")
        found = dict(self.patches[id])
        if found["status"] == "APPLYING":
            self.patches[id]["status"] = "COMMITTED"  # each look moves it on
        return {"environmentPatch": found}

    def _environmentPatchCommitStaged(  # noqa: N802
        self,
        environmentId: str,  # noqa: N803
        commitMessage: str | None = None,  # noqa: N803
        skipDeploys: bool = False,  # noqa: N803
    ) -> Json:
        self.meddle("environmentPatchCommitStaged")
        staged = self.staged.get(environmentId)
        if staged is None:
            self.refuse("No staged changes to commit")
        assert staged is not None
        if self.commit_refusals:
            staged["lastAppliedError"] = self.commit_refusals.pop(0)
            return {"environmentPatchCommitStaged": staged["id"]}
        del self.staged[environmentId]
        staged["status"], staged["message"] = "APPLYING", commitMessage
        self.commit_variables(environmentId, None, staged["patch"].get("sharedVariables", {}))
        for service_id, given in staged["patch"].get("services", {}).items():
            self.write(environmentId, service_id, given)
            if not skipDeploys:
                self._deployed(environmentId, service_id)
        return {"environmentPatchCommitStaged": staged["id"]}

    def write(self, environment_id: str, service_id: str, given: Json) -> None:
        """One service's part of a patch: null removes."""
        instance = self.instances[service_id, environment_id]
        deploy = dict(given.get("deploy", {}))
        if "multiRegionConfig" in deploy:
            placed = instance["multiRegionConfig"] | deploy.pop("multiRegionConfig")
            instance["multiRegionConfig"] = {name: entry for name, entry in placed.items() if entry is not None}
        if "limitOverride" in deploy:
            self.commit_limits(environment_id, service_id, deploy.pop("limitOverride") or {})
        instance.update(deploy)
        instance.update(given.get("build", {}))
        if "configFile" in given:
            instance["railwayConfigFile"] = given["configFile"]
        if "source" in given:
            source = dict(given["source"])
            if "rootDirectory" in source:
                instance["rootDirectory"] = source.pop("rootDirectory")
            merged = (instance.get("source") or {}) | source
            instance["source"] = {name: value for name, value in merged.items() if value is not None} or None
        self.commit_variables(environment_id, service_id, given.get("variables", {}))
        self.commit_networking(environment_id, service_id, given.get("networking") or {})


_merged = merge  # the operation's own argument is called merge, too
