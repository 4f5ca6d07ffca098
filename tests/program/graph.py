"""Runs the program under Pulumi's mocks and keeps what it declared, as it would go to an engine."""

import asyncio
import contextvars
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_pulumi_func

from infra.settings import Settings
from infra.stack import declare

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"


def secret(value: object) -> dict[str, object]:
    """A secret as it goes over the wire."""
    return {SIGNATURE: SECRET, "value": value}


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def plain(value: Any) -> Any:
    """The value without its marks."""
    return value["value"] if is_secret(value) else value


@dataclass(frozen=True, slots=True)
class Declared:
    """One registration. `parent` is the parent's name, `after` the names of what it waits for by depends_on or by inputs."""

    type: str
    name: str
    parent: str
    after: frozenset[str]
    inputs: Mapping[str, Any]
    is_protected: bool


@dataclass(frozen=True, slots=True)
class Graph:
    resources: Mapping[tuple[str, str], Declared]
    exports: Mapping[str, Any]

    def one(self, kind: str, name: str) -> Declared:
        return self.resources[kind, name]

    def variables(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.one("railway:index:Service", name).inputs["variables"]
        return found


def outputs_of(kind: str, name: str) -> dict[str, Any]:
    """What the providers would answer, as far as other resources read it."""
    match kind:
        case "supabase:index:Project":
            url = "http://127.64.1.1:8000"
            return {
                "ref": "abcdefghij",
                "url": url,
                "databaseHost": "127.64.1.1",
                "sessionHost": "pooler.example",
                "sessionUser": "postgres.abcdefghij",
                "anonKey": secret("anon"),
                "serviceRoleKey": secret("service-role"),
                "jwksUrl": f"{url}/auth/v1/.well-known/jwks.json",
                "issuer": f"{url}/auth/v1",
            }
        case "supabase:index:ReadReplica":
            return {"identifier": name, "host": f"{name}.pooler.example", "user": f"postgres.{name}"}
        case "railway:index:ServiceDomain":
            return {"domain": f"{name}.example", "url": f"https://{name}.example"}
        case "railway:index:Deployment":
            return {"deploymentId": f"deployment of {name}", "status": "SUCCESS", "url": f"https://{name}.example"}
        case "railway:index:Service":
            return {"privateDomain": f"{name}.railway.internal", "variablesDigest": secret(f"digest of {name}")}
        case "railway:index:Project":
            return {"defaultEnvironmentId": "production"}
        case "docker:index/image:Image":
            return {"repoDigest": "ghcr.io/acme/cached-auth@sha256:built"}
    return {}


class Recorder(MockMonitor):
    """Keeps each registration and answers it. Not MockMonitor's own answer: that leaves an open event loop in each thread."""

    def __init__(self) -> None:
        super().__init__(Nothing())
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        self.requests.append(request)
        state = ParseDict({**MessageToDict(request.object), **outputs_of(request.type, request.name)}, Struct())
        identity = f"id-of-{request.type.split(':')[-1]}-{request.name}" if request.custom else ""
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=state)


class Nothing(Mocks):
    """The program calls no functions, and the Recorder answers registrations itself."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        raise NotImplementedError


def name_of(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def label(urn: str) -> str:
    """`Deployment auth-us-west2`: which of the resources of that name."""
    kind = urn.split("::")[2].split("$")[-1].split(":")[-1]
    return f"{kind} {name_of(urn)}"


def graph(settings: Settings, root: Path) -> Graph:
    """What the program declares for these settings."""
    return contextvars.copy_context().run(lambda: asyncio.run(_graph(settings, root)))


async def _graph(settings: Settings, root: Path) -> Graph:
    recorder = Recorder()
    set_mocks(recorder.mocks, project="cached-auth", stack="test", monitor=recorder)
    exports: dict[str, Any] = {}

    async def program() -> None:
        for name, value in declare(settings, root).items():
            output = pulumi.Output.from_input(value)
            resolved = await output.future()
            exports[name] = secret(resolved) if await output.is_secret() else resolved

    await run_pulumi_func(program)
    declared = [
        Declared(
            type=request.type,
            name=request.name,
            parent=label(request.parent) if request.parent else "",
            after=frozenset(label(urn) for urn in request.dependencies),
            inputs=MessageToDict(request.object),
            is_protected=request.protect,
        )
        for request in recorder.requests
    ]
    return Graph({(each.type, each.name): each for each in declared}, exports)
