"""A service and its instance in one environment, with everything that says how it runs.

Creation takes two steps, because the API has no one call for both: the service, then its settings, placement and variables,
which are staged and committed together with other services'. Variables are an input here, beside the resources of their own,
because a resource that needs the service's id can only be called when the service is done: settings and variables of one
service would be two commits. When the second fails the service is kept as half made, with its id, and
the next `up` finishes it. A source given at creation would deploy at once, before there are variables; it is therefore set in
the second step, which deploys nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from infra.provider.comparison import Change, Kind
from infra.provider.definition import Call, Found, Made, Recorded, Resource, snake
from infra.provider.errors import Conflict, HalfMade, ProviderError
from infra.provider.fields import Field, Output
from infra.provider.properties import UNKNOWN, Properties, Secret, has_unknown, plain
from infra.provider.rules import Anything, Choice, ListOf, MapOf, Number, Problem, Text, Truth, Whole
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient, nodes
from infra.railway.departure import is_gone
from infra.railway.edits import Edited
from infra.railway.environment import LIST as ENVIRONMENTS
from infra.railway.names import ID, SERVICE_NAME, VARIABLE_NAME
from infra.railway.operations import load
from infra.railway.regions import ReplicasByRegion
from infra.railway.removal import remove
from infra.railway.service.instance import ServiceInputs, inputs_from
from infra.railway.service.settling import instance_of, settle
from infra.railway.variables import digest, variables_of

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
READ = load(__file__, "read.graphql")
PRIVATE_DOMAIN = load(__file__, "private_domain.graphql")
RENAME = load(__file__, "rename.graphql")
DELETE = load(__file__, "delete.graphql")


class Service(Addressed, Resource[RailwayClient, ServiceInputs]):
    """A service with everything that says how it runs. It is deployed by a Deployment, never by a change here."""

    resource_type: ClassVar = "railway:index:Service"
    address: ClassVar = ("projectId", "environmentId")
    collection: ClassVar = "services"
    inputs_type: ClassVar = ServiceInputs
    deletes_before_replace: ClassVar = True  # names are unique in a project
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("environmentId", ID, is_required=True, replaces=True),
        Field("name", SERVICE_NAME, is_required=True),
        Field("multiRegionConfig", ReplicasByRegion(), is_required=True),
        Field("image", Text(1, 500, r"\S+", "an image reference without spaces")),
        Field("startCommand", Text(1, 4096)),
        Field("preDeployCommand", ListOf(Text(1, 4096), items_max=10)),
        Field("healthcheckPath", Text(1, 1024, r"/\S*", "a path that starts with /")),
        Field("healthcheckTimeoutS", Whole(1, 3600)),
        Field("restartPolicyType", Choice(("ON_FAILURE", "ALWAYS", "NEVER")), is_kept_when_absent=True),
        Field("restartPolicyMaxRetries", Whole(0, 1000), is_kept_when_absent=True),
        Field("overlapSeconds", Whole(0, 3600)),
        Field("drainingSeconds", Whole(0, 3600)),
        Field("repo", Text(3, 200, r"[\w.-]+/[\w.-]+", "a repository's full name, like owner/name")),
        Field("branch", Text(1, 255, r"\S+", "a branch"), is_kept_when_absent=True),
        Field("registryUsername", Text(1, 255)),
        Field("registryPassword", Text(1, 4096), is_secret=True),
        Field("builder", Choice(("RAILPACK", "NIXPACKS", "HEROKU", "PAKETO")), is_kept_when_absent=True),
        Field("buildCommand", Text(1, 4096)),
        Field("dockerfilePath", Text(1, 1024)),
        Field("rootDirectory", Text(1, 1024)),
        Field("watchPatterns", ListOf(Text(1, 1024))),
        Field("nixpacksPlan", MapOf(Anything(), entries_max=100)),
        Field("railwayConfigFile", Text(1, 1024), about="path of Railway's own file; it stops being read on 2026-12-01"),
        Field("cronSchedule", Text(9, 100, r"\S+( \S+){4}", "five fields, like */15 * * * *")),
        Field("sleepApplication", Truth()),
        Field("ipv6EgressEnabled", Truth()),
        Field("vcpus", Number(0.1, 1000)),
        Field("memoryGb", Number(0.1, 10_000)),
        Field(
            "variables",
            MapOf(Text(chars_min=0), key=VARIABLE_NAME),
            is_kept_when_absent=True,
            about="the complete set; without it they are left alone, for Variables resources",
        ),
        Field("railwayToml", Text(0, 100_000), about="the rendered settings, for the eye only: shown in the diff"),
    )
    outputs: ClassVar = (
        Output("privateDomain", is_stable=False, about="name on the environment's private network"),
        Output("variablesDigest", is_secret=True, is_stable=False, about="sha256 over names and values, for triggers"),
    )

    def check_together(self, inputs: Properties) -> Sequence[tuple[str, Problem]]:
        found: list[tuple[str, Problem]] = []
        if "image" in inputs and "repo" in inputs:
            found.append(("repo", Problem("", "an image or a repository", "both")))
        if "branch" in inputs and "repo" not in inputs:
            found.append(("branch", Problem("", "a repository beside it", "none")))
        for one, other in (("registryUsername", "registryPassword"), ("registryPassword", "registryUsername")):
            if one in inputs and other not in inputs:
                found.append((other, Problem("", f"a value beside {snake(one)}", "nothing")))
        return found

    def diff(self, old_inputs: Properties, old_outputs: Properties, new_inputs: Properties) -> tuple[Change, ...]:
        """As usual, but an image cannot be taken away again, only a repository put in its place: the API has no word for it."""
        has_source = "repo" in new_inputs
        return tuple(
            dataclasses.replace(each, replaces=True)
            if each.field == "image" and each.kind is Kind.DELETE and not has_source
            else each
            for each in super().diff(old_inputs, old_outputs, new_inputs)
        )

    def preview(self, inputs: Properties, old_outputs: Mapping[str, Any] | None) -> Properties:
        """The private name outlives every change but a move: the local cloud's names are addresses of a region."""
        variables = inputs.get("variables")
        known = {"variablesDigest": UNKNOWN if has_unknown(variables) else _digest(plain(variables))}
        if old_outputs is None or plain(inputs.get("multiRegionConfig")) != plain(old_outputs.get("multiRegionConfig")):
            return {"privateDomain": UNKNOWN, **known}
        return {"privateDomain": old_outputs.get("privateDomain"), **known}

    def declared(self, client: RailwayClient, identity: str, inputs: Properties) -> None:
        environment_id = inputs.get("environmentId")
        if inputs.get("variables") is not None and isinstance(environment_id, str):
            client.with_variables.add((environment_id, identity))

    async def create(self, call: Call[RailwayClient], inputs: ServiceInputs) -> Made:
        with call.client.waves.announced(inputs.environment_id, call.ticket):
            return await self._create(call, inputs)

    async def _create(self, call: Call[RailwayClient], inputs: ServiceInputs) -> Made:
        async def named() -> Data | None:
            found = await call.client.query(LIST, projectId=inputs.project_id)
            same = [each for each in nodes(found["project"]["services"]) if each["name"] == inputs.name]
            return {"serviceCreate": same[0]} if same else None

        # Looked up first: a name that is there now tells a conflict from our own creation whose answer was lost.
        existing = await named()
        if existing is not None:
            identity = existing["serviceCreate"]["id"]
            raise Conflict(
                f"services/{inputs.name}: the project has a service of this name already; choose another name, "
                f"or adopt it with `pulumi import {self.resource_type} NAME {identity}`"
            )
        wanted = {"projectId": inputs.project_id, "environmentId": inputs.environment_id, "name": inputs.name}
        made = (await call.client.mutate(CREATE, {"input": wanted}, named))["serviceCreate"]
        self.declared(call.client, made["id"], wanted | {"variables": inputs.variables})
        return await self._settle(call, made["id"], inputs)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[ServiceInputs], inputs: ServiceInputs) -> Made:
        # Without its outputs it is half made: what is recorded then is a wish and no memory of what was there.
        remembered = recorded.inputs if recorded.outputs.get("privateDomain") else None
        with call.client.waves.announced(inputs.environment_id, call.ticket):
            await _rename(call, recorded.identity, inputs.name)
            return await self._settle(call, recorded.identity, inputs, remembered)

    async def _settle(
        self, call: Call[RailwayClient], identity: str, inputs: ServiceInputs, remembered: ServiceInputs | None = None
    ) -> Made:
        """Brings the instance to what is wanted; a failure keeps the service as half made."""
        try:
            await settle(call, identity, inputs, remembered, self.fields)
            domain = await _private_domain(call, inputs, identity)
        except Edited:
            raise  # nothing was changed: the state stays what it was
        except ProviderError as error:
            reason = f"services/{inputs.name}: made, but its settings are not in effect: {error}; run `up` again to finish it"
            raise HalfMade(identity, {}, (reason,)) from error
        return Made(identity, {"privateDomain": domain, "variablesDigest": _digest(inputs.variables)})

    async def read(self, call: Call[RailwayClient], recorded: Recorded[ServiceInputs]) -> Found | None:
        identity, wanted_in = recorded.identity, recorded.inputs.environment_id if recorded.inputs else ""
        if recorded.inputs is None and identity.count("/") == 2:
            identity, wanted_in = await _named(call, *identity.split("/"))
        service = await _service(call, identity) if identity else None
        if service is None:
            return None
        environments = _environments(service)
        environment_id = wanted_in or next(iter(environments), "")
        if environment_id not in environments:
            return None
        instance = await instance_of(call, identity, environment_id)
        if instance is None:
            return None
        place = {"projectId": service["projectId"], "environmentId": environment_id}
        inputs: Properties = {**place, "name": service["name"], **inputs_from(instance, recorded.inputs)}
        variables = await self._variables(call, {**place, "serviceId": identity}, recorded.inputs)
        if variables is not None:
            # Of an import nobody has said yet which values are secret: until then all of them are.
            inputs["variables"] = variables if recorded.inputs else {name: Secret(value) for name, value in variables.items()}
        if recorded.inputs is not None and recorded.inputs.railway_toml is not None:
            inputs["railwayToml"] = recorded.inputs.railway_toml
        named = ServiceInputs(service["projectId"], environment_id, service["name"], multi_region_config={})
        outputs = {"privateDomain": await _private_domain(call, named, identity), "variablesDigest": _digest(variables)}
        return Found(identity, inputs, outputs)

    async def _variables(
        self, call: Call[RailwayClient], place: Mapping[str, str], recorded: ServiceInputs | None
    ) -> dict[str, str] | None:
        """None where they are not this resource's."""
        if recorded is not None and recorded.variables is None:
            return None
        found = await variables_of(call, place, recorded.variables if recorded and recorded.variables else ())
        return found if found or recorded else None

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[ServiceInputs]) -> None:
        service = await _service(call, recorded.identity)
        if service is None:
            return
        environment_id = recorded.inputs.environment_id if recorded.inputs else ""
        # Another stack may run the same service in its own environment: then only our instance goes.
        is_shared = bool(environment_id) and any(each != environment_id for each in _environments(service))

        async def gone() -> Data | None:
            left = await _service(call, recorded.identity)
            if left is None:
                return {}
            return {} if is_shared and environment_id not in _environments(left) else None

        variables = {"id": recorded.identity, "environmentId": environment_id if is_shared else None}
        await remove(call, DELETE, variables, gone, f"service {recorded.identity}")


async def _named(call: Call[RailwayClient], project_id: str, environment: str, service: str) -> tuple[str, str]:
    """Ids of a service and an environment by id or name; empty texts where there is none."""

    def chosen(found: list[Data], wanted: str) -> str:
        return next((str(each["id"]) for each in found if wanted in (each["id"], each["name"])), "")

    environments = await call.client.query_or_none(ENVIRONMENTS, projectId=project_id)
    services = await call.client.query_or_none(LIST, projectId=project_id)
    if environments is None or services is None:
        return "", ""
    environment_id = chosen(nodes(environments["environments"]), environment)
    return (chosen(nodes(services["project"]["services"]), service) if environment_id else ""), environment_id


async def _service(call: Call[RailwayClient], identity: str) -> Data | None:
    answer = await call.client.query_or_none(READ, id=identity)
    service: Data | None = (answer or {}).get("service")
    return None if service is None or is_gone(service) else service


def _environments(service: Data) -> list[str]:
    """Ids of the environments that have an instance of this service."""
    return [
        environment["id"]
        for environment in nodes(service["project"]["environments"])
        if any(each["serviceId"] == service["id"] for each in nodes(environment["serviceInstances"]))
    ]


def _digest(variables: Mapping[str, str] | None) -> str | None:
    return None if variables is None else digest(variables)


async def _rename(call: Call[RailwayClient], identity: str, name: str) -> None:
    async def settled() -> Data | None:
        service = await _service(call, identity)
        return {} if service and service["name"] == name else None

    if await settled() is None:
        await call.client.mutate(RENAME, {"id": identity, "input": {"name": name}}, settled)


async def _private_domain(call: Call[RailwayClient], inputs: ServiceInputs, identity: str) -> str:
    """Railway tells it as a variable of the service; the documented form stands in until that appears."""
    answer = await call.client.query_or_none(
        PRIVATE_DOMAIN, projectId=inputs.project_id, environmentId=inputs.environment_id, serviceId=identity
    )
    provided = ((answer or {}).get("variables") or {}).get("RAILWAY_PRIVATE_DOMAIN")
    return str(provided or f"{inputs.name.lower().replace(' ', '-')}.railway.internal")
