"""A small Railway in memory: the operations our provider uses, Railway's error texts, and faults on demand.

Written from Railway's schema and from what its clients report, not from our local cloud; tests/railway/contract.py runs
against both, so that neither can drift into agreeing only with our provider.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from tests.railway.fake_backups import Backups
from tests.railway.fake_instance_network import InstanceNetwork
from tests.railway.fake_networking import Networking
from tests.railway.fake_staging import Staging
from tests.railway.fake_subscriptions import Subscriptions
from tests.railway.fake_variables import Variables

Json = dict[str, Any]
TOKEN = "fake-account-token-0123456789"


class Refused(Exception):
    """A GraphQL error; most of Railway's have this code, and then the message decides."""

    def __init__(self, message: str, code: str = "INTERNAL_SERVER_ERROR") -> None:
        super().__init__(message)
        self.code = code


def edges(items: Any) -> Json:
    return {"edges": [{"node": item} for item in items]}


class FakeRailway(Backups, Networking, InstanceNetwork, Variables, Staging, Subscriptions):
    """World and API in one. `faults` maps an operation name to what happens to its next calls, first to last."""

    def __init__(self) -> None:
        super().__init__()
        self.projects: dict[str, Json] = {}
        self.environments: dict[str, Json] = {}
        self.services: dict[str, Json] = {}
        self.instances: dict[tuple[str, str], Json] = {}
        self.variables: dict[tuple[str | None, str], Json] = {}
        self.domains: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        self.deployments: dict[str, Json] = {}
        self.faults: dict[str, list[str]] = {}
        self.late_environment = False
        self.limits: dict[tuple[str, str], Json] = {}
        self.copies_to_come: dict[str, list[str]] = {}
        self.calls: list[str] = []
        self.bodies: list[Json] = []
        self.done: Counter[str] = Counter()
        """Operations that were carried out, whether or not their answer arrived."""
        self.changed: Counter[str] = Counter()
        """The mutations among them."""
        self.lingering = 0
        """For so many looks a deleted service says nothing of its deletion."""
        self.outcomes: list[str] = []
        """Final statuses of the next deployments; SUCCESS when empty."""
        self._ids = itertools.count(1)
        self._watched: dict[str, asyncio.Event] = {}
        self.app = Starlette(
            routes=[
                Route("/graphql/v2", self._graphql, methods=["POST"]),
                WebSocketRoute("/graphql/v2", self._subscriptions),
                Route("/project/{project}/environment/{environment}/up", self._upload, methods=["POST"]),
            ]
        )

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self._ids):04d}"

    def refuse(self, message: str) -> None:
        raise Refused(message)

    async def called(self, operation: str) -> None:
        """Returns at the next call of `operation`."""
        await self._watched.setdefault(operation, asyncio.Event()).wait()

    # HTTP.

    async def _graphql(self, request: Request) -> Response:
        body = await request.json()
        name: str = body["operationName"]
        self.calls.append(name)
        if name in self._watched:
            self._watched.pop(name).set()
        self.bodies.append(body)
        if not self._is_let_in(request.headers, name):
            return self._error("Not Authorized")
        fault = self._fault(name)
        before = self._before(fault)
        if before is not None:
            return before
        handler: Callable[..., Json] | None = getattr(self, f"_{name}", None)
        if handler is None:
            return self._error("Cannot query field", "GRAPHQL_VALIDATION_FAILED", 400)
        try:
            data = handler(**body["variables"])
        except Refused as refused:
            return self._error(str(refused), refused.code)
        self.done[name] += 1
        if str(body["query"]).lstrip().startswith("mutation"):
            self.changed[name] += 1
        return self._after(fault) or JSONResponse({"data": data})

    def _is_let_in(self, headers: Headers, operation: str) -> bool:
        """A project token may do much, but nothing with projects."""
        if headers.get("project-access-token") in self.token_values:
            return not operation.startswith("project")
        return headers.get("authorization") == f"Bearer {TOKEN}"

    async def _upload(self, request: Request) -> Response:
        self.calls.append("upload")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"message": "Unauthorized"}, 401)
        fault = self._fault("upload")
        body = await request.body()
        before = self._before(fault)
        if before is not None:
            return before
        assert body[:2] == b"\x1f\x8b", "Railway takes gzip only"
        deployment = self._deployed(request.path_params["environment"], request.query_params["serviceId"])
        answer = {"deploymentId": deployment["id"], "url": "", "logsUrl": "", "deploymentDomain": ""}
        return self._after(fault) or JSONResponse(answer)

    def _fault(self, name: str) -> str:
        waiting = self.faults.get(name)
        return waiting.pop(0) if waiting else ""

    def _before(self, fault: str) -> Response | None:
        match fault:
            case "throttle":
                return self._error("You are creating projects too quickly. Please try again later.")
            case "429":
                return JSONResponse({"message": "slow down"}, 429, {"retry-after": "2"})
            case "503":
                return Response("upstream is away", 503)
            case "problem":
                return JSONResponse({"data": None, "errors": [{"message": "Problem processing request"}], "traceId": "trace-77"})
            case "refused":
                return self._error("Not Authorized")
            case "busy":
                return self._error("Another operation is already in progress")
            case _:
                return None

    def _after(self, fault: str) -> Response | None:
        """The change is made, and then its answer is lost."""
        match fault:
            case "lost":
                return Response("bad gateway", 502, {"x-railway-request-id": "request-42"})
            case "lost-problem":
                return JSONResponse({"data": None, "errors": [{"message": "Problem processing request"}], "traceId": "trace-78"})
            case _:
                return None

    def _error(self, message: str, code: str = "INTERNAL_SERVER_ERROR", status: int = 200) -> Response:
        error = {"message": message, "extensions": {"code": code}, "traceId": "trace-1"}
        return JSONResponse({"data": None, "errors": [error]}, status)

    # Reads.

    def _regions(self, projectId: str | None = None) -> Json:  # noqa: N803
        names = ("us-west2", "us-east4-eqdc4a", "europe-west4-drams3a", "asia-southeast1-eqsg3a")
        return {"regions": [{"name": name, "location": name.upper(), "country": "XX"} for name in names]}

    def _latestDeployment(self, projectId: str, environmentId: str, serviceId: str) -> Json:  # noqa: N802, N803
        newest = next(iter(self._deployments(projectId, environmentId, serviceId)["deployments"]["edges"]), None)
        extra = {"createdAt": "2026-01-01T00:00:00Z", "canRollback": False, "meta": {"image": "a:1"}}
        return {"deployments": edges([newest["node"] | extra] if newest else [])}

    def _estimatedUsage(self, measurements: list[str], projectId: str | None, workspaceId: str | None) -> Json:  # noqa: N802, N803
        asked = [each for each in self.projects if projectId in (None, each)]
        usage = [{"projectId": each, "measurement": name, "estimatedValue": 1.5} for each in asked for name in measurements]
        return {"estimatedUsage": usage}

    # Projects and environments.

    def _projects(self, workspaceId: str | None = None) -> Json:  # noqa: N803
        return {"projects": edges([each for each in self.projects.values() if not each["deletedAt"]])}

    def _project(self, id: str) -> Json:  # noqa: A002
        return {"project": self._of_project(id)}

    def _of_project(self, identity: str) -> Json:
        if identity not in self.projects:
            raise Refused("Project not found")
        here = [each for each in self.environments.values() if each["projectId"] == identity]
        return self.projects[identity] | {"environments": edges(here)}

    def _projectCreate(self, input: Json) -> Json:  # noqa: A002, N802
        project = {"id": self._id("project"), "name": input["name"], "workspaceId": input.get("workspaceId"), "deletedAt": None}
        self.projects[project["id"]] = project
        if not self.late_environment:
            self._new_environment(project["id"], "production")
        return {"projectCreate": self._of_project(project["id"])}

    def _projectUpdate(self, id: str, input: Json) -> Json:  # noqa: A002, N802
        self._of_project(id)
        self.projects[id]["name"] = input["name"]
        return {"projectUpdate": self._of_project(id)}

    def _projectDelete(self, id: str) -> Json:  # noqa: A002, N802
        self._of_project(id)
        if self.projects[id]["deletedAt"]:
            raise Refused("Project not found")
        self.projects[id]["deletedAt"] = "2026-01-01T00:00:00Z"  # Railway shows a deleted project for a while
        return {"projectDelete": True}

    def _new_environment(self, project_id: str, name: str) -> Json:
        environment = {"id": self._id("environment"), "name": name, "projectId": project_id, "deletedAt": None}
        environment |= {"isEphemeral": False, "sourceEnvironment": None}
        self.environments[environment["id"]] = environment
        return environment

    def _environments(self, projectId: str) -> Json:  # noqa: N803
        return {"environments": edges([each for each in self.environments.values() if each["projectId"] == projectId])}

    def _environment(self, id: str) -> Json:  # noqa: A002
        if id not in self.environments:
            raise Refused("Environment not found")
        return {"environment": self.environments[id]}

    def _environmentCreate(self, input: Json) -> Json:  # noqa: A002, N802
        self._of_project(input["projectId"])
        if any(each["name"] == input["name"] and each["projectId"] == input["projectId"] for each in self.environments.values()):
            raise Refused(f'An environment named "{input["name"]}" already exists in this project')
        made = self._new_environment(input["projectId"], input["name"])
        made["isEphemeral"] = bool(input.get("ephemeral"))
        source = input.get("sourceEnvironmentId")
        if source is not None:
            made["sourceEnvironment"] = {"id": source}
            self.copies_to_come[made["id"]] = [service for service, environment in self.instances if environment == source]
        return {"environmentCreate": made}

    def _environmentInstances(self, id: str) -> Json:  # noqa: A002, N802
        """Of a copy one more instance is there at each look, as they appear one after the other at Railway."""
        self._environment(id)
        if self.copies_to_come.get(id):
            service_id = self.copies_to_come[id].pop(0)
            source = self.environments[id]["sourceEnvironment"]["id"]
            self.instances[service_id, id] = dict(self.instances[service_id, source])
        here = [{"serviceId": service} for service, environment in self.instances if environment == id]
        return {"environment": {"serviceInstances": edges(here)}}

    def _environmentRename(self, id: str, input: Json) -> Json:  # noqa: A002, N802
        self.environments[id]["name"] = input["name"]
        return {"environmentRename": self.environments[id]}

    def _environmentDelete(self, id: str) -> Json:  # noqa: A002, N802
        self._environment(id)
        del self.environments[id]
        return {"environmentDelete": True}

    # Services.

    def _services(self, projectId: str) -> Json:  # noqa: N803
        self._of_project(projectId)
        here = [each for each in self.services.values() if each["projectId"] == projectId]
        return {"project": {"services": edges(here)}}

    def _service(self, id: str) -> Json:  # noqa: A002
        if id not in self.services:
            raise Refused("Service not found")
        service = dict(self.services[id])
        if self.lingering > 0 and service["deletedAt"]:
            self.lingering -= 1
            service["deletedAt"] = None
        environments = [
            {"id": each["id"], "serviceInstances": edges([{"serviceId": s} for s, e in self.instances if e == each["id"]])}
            for each in self.environments.values()
            if each["projectId"] == service["projectId"]
        ]
        return {"service": service | {"project": {"environments": edges(environments)}}}

    def _serviceCreate(self, input: Json) -> Json:  # noqa: A002, N802
        here = [each for each in self.services.values() if each["projectId"] == input["projectId"] and not each["deletedAt"]]
        if any(each["name"] == input["name"] for each in here):
            raise Refused(f'A service named "{input["name"]}" already exists in this project')
        service = {"id": self._id("service"), "name": input["name"], "projectId": input["projectId"], "deletedAt": None}
        self.services[service["id"]] = service
        instance = {"restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 10, "source": None}
        # A new instance is placed in the workspace's own region, whatever the user will ask for next.
        instance["multiRegionConfig"] = {"us-east4-eqdc4a": {"numReplicas": 1}}
        self.instances[service["id"], input["environmentId"]] = instance
        return {"serviceCreate": service}

    def _serviceUpdate(self, id: str, input: Json) -> Json:  # noqa: A002, N802
        self._service(id)
        self.services[id]["name"] = input["name"]
        return {"serviceUpdate": self.services[id]}

    def _serviceInstance(self, serviceId: str, environmentId: str) -> Json:  # noqa: N802, N803
        instance = self.instances.get((serviceId, environmentId))
        if instance is None:
            raise Refused("ServiceInstance not found")
        names = "source startCommand preDeployCommand healthcheckPath healthcheckTimeout restartPolicyType"
        names += " restartPolicyMaxRetries overlapSeconds drainingSeconds builder buildCommand dockerfilePath rootDirectory"
        names += " watchPatterns nixpacksPlan railwayConfigFile cronSchedule sleepApplication ipv6EgressEnabled"
        deploy = {"multiRegionConfig": instance["multiRegionConfig"]}
        return {
            "serviceInstance": {name: instance.get(name) for name in names.split()},
            "serviceInstanceLimitOverride": self.limits.get((serviceId, environmentId)),
            "environment": {"config": {"services": {serviceId: {"deploy": deploy, "source": instance.get("source") or {}}}}},
        }

    def commit_limits(self, environment_id: str, service_id: str, given: Json) -> None:
        containers = {name: value for name, value in (given.get("containers") or {}).items() if value is not None}
        self.limits[service_id, environment_id] = {"containers": containers} if containers else {}

    def _serviceDisconnect(self, id: str) -> Json:  # noqa: A002, N802
        for (service_id, _), instance in self.instances.items():
            if service_id == id:
                instance["source"] = None
        return {"serviceDisconnect": self.services[id]}

    def _serviceInstanceUpdate(self, serviceId: str, environmentId: str, input: Json) -> Json:  # noqa: A002, N802, N803
        instance = self.instances.get((serviceId, environmentId))
        if instance is None:
            raise Refused("ServiceInstance not found")
        placed = input.pop("multiRegionConfig", None)
        if placed is None:
            # The real API does this too: one replica each when the placement is left out.
            instance["multiRegionConfig"] = {name: {"numReplicas": 1} for name in instance["multiRegionConfig"]}
        else:
            merged = instance["multiRegionConfig"] | placed
            instance["multiRegionConfig"] = {name: entry for name, entry in merged.items() if entry is not None}
        instance.update(input)
        return {"serviceInstanceUpdate": True}

    def _serviceDelete(self, id: str, environmentId: str | None) -> Json:  # noqa: A002, N802, N803
        self._service(id)
        if self.services[id]["deletedAt"]:
            raise Refused("Service not found")
        if environmentId is None:
            self.services[id]["deletedAt"] = "2026-01-01T00:00:00Z"
            for key in [key for key in self.instances if key[0] == id]:
                del self.instances[key]
        else:
            del self.instances[id, environmentId]
        return {"serviceDelete": True}

    # Variables, domains, volumes.

    def _variables(self, projectId: str, environmentId: str, serviceId: str) -> Json:  # noqa: N803
        if serviceId not in self.services:
            raise Refused("Service not found")
        provided = {"RAILWAY_SERVICE_ID": serviceId, "RAILWAY_PRIVATE_DOMAIN": f"{serviceId}.railway.internal"}
        return {"variables": provided | self.variables.get((serviceId, environmentId), {})}

    _privateDomain = _variables  # noqa: N815  operations find their handlers by name

    def _variableCollectionUpsert(self, input: Json) -> Json:  # noqa: A002, N802
        if input.get("serviceId") is not None and input["serviceId"] not in self.services:
            raise Refused("Service not found")
        key = (input.get("serviceId"), input["environmentId"])
        kept = {} if input["replace"] else self.variables.get(key, {})
        self.variables[key] = kept | input["variables"]
        return {"variableCollectionUpsert": True}

    def _domains(self, projectId: str, environmentId: str, serviceId: str) -> Json:  # noqa: N803
        here = [each for each in self.domains.values() if each["serviceId"] == serviceId]
        return {"domains": {"serviceDomains": here}}

    def _serviceDomainCreate(self, input: Json) -> Json:  # noqa: A002, N802
        domain = input | {"id": self._id("domain"), "domain": f"{input['serviceId']}.up.railway.app"}
        self.domains[domain["id"]] = domain
        return {"serviceDomainCreate": domain}

    def _serviceDomainUpdate(self, input: Json) -> Json:  # noqa: A002, N802
        self.domains[input["serviceDomainId"]]["targetPort"] = input["targetPort"]
        return {"serviceDomainUpdate": True}

    def _serviceDomainDelete(self, id: str) -> Json:  # noqa: A002, N802
        if self.domains.pop(id, None) is None:
            raise Refused("ServiceDomain not found")
        return {"serviceDomainDelete": True}

    def _volumeInstances(self, environmentId: str) -> Json:  # noqa: N802, N803
        here = [each for each in self.volumes.values() if each["environmentId"] == environmentId]
        return {"environment": {"volumeInstances": edges(here)}}

    def _volumeCreate(self, input: Json) -> Json:  # noqa: A002, N802
        identity = self._id("volume")
        own = {"volumeId": identity, "id": f"instance-of-{identity}", "isPendingDeletion": False}
        own["volume"] = {"name": f"{identity}-name"}
        self.volumes[identity] = {"region": "us-west2", **input, **own}
        return {"volumeCreate": {"id": identity}}

    def _volumeInstanceUpdate(self, volumeId: str, environmentId: str, input: Json) -> Json:  # noqa: A002, N802, N803
        self.volumes[volumeId].update(input)
        return {"volumeInstanceUpdate": True}

    def _volumeDelete(self, volumeId: str) -> Json:  # noqa: N802, N803
        if volumeId not in self.volumes:
            raise Refused("Volume not found")
        self.volumes[volumeId]["isPendingDeletion"] = True
        return {"volumeDelete": True}

    # Deployments: each look moves one on by a step.

    def _deployed(self, environment_id: str, service_id: str) -> Json:
        if (service_id, environment_id) not in self.instances:
            raise Refused("ServiceInstance not found")
        image = (self.instances[service_id, environment_id].get("source") or {}).get("image") or ""
        last = self.outcomes.pop(0) if self.outcomes else "FAILED" if ".invalid/" in image else "SUCCESS"
        deployment = {
            "id": self._id("deployment"),
            "serviceId": service_id,
            "environmentId": environment_id,
            "status": "QUEUED",
            "to_come": ["BUILDING", "DEPLOYING", last] if last != "STUCK" else ["BUILDING"],
            "url": None,
            "staticUrl": f"{service_id}.up.railway.app",
        }
        self.deployments[deployment["id"]] = deployment
        return deployment

    def _deployments(self, projectId: str, environmentId: str, serviceId: str) -> Json:  # noqa: N803
        here = [
            each
            for each in self.deployments.values()
            if each["serviceId"] == serviceId and each["environmentId"] == environmentId
        ]
        return {"deployments": edges(reversed(here))}

    def _deployment(self, id: str) -> Json:  # noqa: A002
        if id not in self.deployments:
            raise Refused("Deployment not found")
        deployment = self.deployments[id]
        if deployment["to_come"]:
            deployment["status"] = deployment["to_come"].pop(0)
            if deployment["status"] == "SUCCESS":
                for each in self.deployments.values():
                    if each["serviceId"] == deployment["serviceId"] and each["status"] == "SUCCESS" and each is not deployment:
                        each["status"] = "REMOVED"
        return {"deployment": deployment}

    def _serviceInstanceDeployV2(self, serviceId: str, environmentId: str) -> Json:  # noqa: N802, N803
        return {"serviceInstanceDeployV2": self._deployed(environmentId, serviceId)["id"]}

    def _rollbackTarget(self, id: str) -> Json:  # noqa: A002, N802
        if id not in self.deployments:
            raise Refused("Deployment not found")
        found = self.deployments[id]
        return {"deployment": {**found, "canRollback": found["status"] in ("SUCCESS", "REMOVED")}}

    def _deploymentRollback(self, id: str) -> Json:  # noqa: A002, N802
        old = self.deployments[id]
        self._deployed(old["environmentId"], old["serviceId"])["rolledBackTo"] = id
        return {"deploymentRollback": True}

    def _deploymentRemove(self, id: str) -> Json:  # noqa: A002, N802
        self.deployments[id]["status"] = "REMOVED"
        return {"deploymentRemove": True}

    def _buildLogs(self, deploymentId: str, limit: int) -> Json:  # noqa: N802, N803
        return {"buildLogs": [{"message": f"build step {number}"} for number in range(1, 4)]}

    def _deploymentLogs(self, deploymentId: str, limit: int) -> Json:  # noqa: N802, N803
        lines = [f"line {number}" for number in range(1, 31)] + ["ModuleNotFoundError: No module named 'service'"]
        return {"deploymentLogs": [{"message": line} for line in lines]}

    def secrets_seen(self) -> str:
        """Everything that was sent, as text; for tests that look for what must not be sent."""
        return json.dumps(self.bodies)
