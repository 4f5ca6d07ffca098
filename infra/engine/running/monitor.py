# ruff: noqa: N802 - methods are named by the protocol
"""The resource monitor: the gRPC service through which a program, and remote components, make resources."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import resource_pb2, resource_pb2_grpc

from infra.engine.errors import EngineError, ResourceError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import STACK_TYPE
from infra.engine.model.values import Properties, flatten_outputs, without_nulls
from infra.engine.planning.goals import Goal, alias_urns
from infra.engine.plugins.remote import ProviderFailed, RemoteProvider
from infra.engine.plugins.wire import from_struct, to_struct
from infra.engine.running.callbacks import Callbacks, Hooks
from infra.engine.running.component_requests import call_request, construct_request
from infra.engine.running.deployment import Deployment
from infra.engine.running.registration import Registered, Registrar
from infra.engine.running.registry import Providers
from infra.engine.running.requests import parse_goal
from infra.engine.running.transforms import transform, transform_invoke

Answer = TypeVar("Answer")

_FEATURES = (
    "SECRETS",
    "RESOURCE_REFERENCES",
    "OUTPUT_VALUES",
    "ALIAS_SPECS",
    "REPLACEMENT_TRIGGER",
    "DELETED_WITH",
    "REPLACE_WITH",
    "TRANSFORMS",
    "INVOKE_TRANSFORMS",
    "RESOURCE_HOOKS",
    "ERROR_HOOKS",
    "PARAMETERIZATION",  # so that our own refusal is read, not the SDK's advice to update the CLI
    "INVOKE_DEPENDS_ON",
)
# What is built, and no more: for the rest the SDK then fails with a clear error of its own.
FEATURES = [resource_pb2.ResourceMonitorFeature.Value(f"RESOURCE_MONITOR_FEATURE_{name}") for name in _FEATURES]
_FEATURE_NAMES = {
    "secrets",
    "resourceReferences",
    "outputValues",
    "aliasSpecs",
    "deletedWith",
    "replaceWith",
    "transforms",
    "invokeTransforms",
    "resourceHooks",
    "errorHooks",
    "parameterization",
}


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Answers the program. `finish` is called once, when the program says that it has registered everything."""

    def __init__(
        self,
        deployment: Deployment,
        providers: Providers,
        registrar: Registrar,
        hooks: Hooks,
        callbacks: Callbacks,
        finish: Callable[[], Awaitable[None]],
    ) -> None:
        self._deployment = deployment
        self._providers = providers
        self._registrar = registrar
        self._hooks = hooks
        self._callbacks = callbacks
        self._finish = finish
        self.address = ""
        self.work: set[asyncio.Task[Any]] = set()
        self.stack_outputs: Properties | None = None
        self._stack_transforms: list[Any] = []
        self._invoke_transforms: list[Any] = []
        self._transforms: dict[str, list[Any]] = {}
        self._parents: dict[str, str] = {}
        self._packages: dict[str, Any] = {}

    async def idle(self) -> None:
        """Waits until no registration is under way."""
        while self.work:
            await asyncio.wait(self.work)

    async def _run(self, context: Any, work: Awaitable[Answer]) -> Answer:
        """The work's result. It goes on to its end though the program dies: a provider's call cannot be taken back."""
        if self._deployment.is_cancelled or (self._deployment.has_failed and not self._deployment.options.continue_on_error):
            if asyncio.iscoroutine(work):
                work.close()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the deployment has failed or was cancelled")
        task: asyncio.Task[Answer] = asyncio.ensure_future(work)
        self.work.add(task)
        task.add_done_callback(self.work.discard)
        try:
            return await asyncio.shield(task)
        except ResourceError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the deployment has failed")
        except (ProviderFailed, EngineError) as exc:
            await context.abort(grpc.StatusCode.UNKNOWN, str(exc))
        raise AssertionError("abort never returns")

    async def GetDeploymentInfo(self, request: Any, context: Any) -> Any:
        deployment = self._deployment
        return resource_pb2.DeploymentInfo(
            project=deployment.name.project,
            stack=deployment.name.stack,
            organization="organization",
            dryRun=deployment.is_preview,
            parallel=deployment.options.parallel,
            config={k: item.text for k, item in deployment.config.items()},
            configSecretKeys=[k for k, item in deployment.config.items() if item.is_secret],
            supportedFeatures=FEATURES,
        )

    async def SupportsFeature(self, request: Any, context: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURE_NAMES)

    async def RegisterResource(self, request: Any, context: Any) -> Any:
        return await self._run(context, self._register(request))

    async def _register(self, request: Any) -> Any:
        self._name_package(request)
        try:
            request = await self._transformed(request)
            goal = parse_goal(request, str(self._deployment.project.folder))
        except (ProviderFailed, EngineError) as exc:
            self._deployment.fail("", f"{request.type} {request.name}: {exc}")
            raise ResourceError(str(exc)) from exc
        try:
            if goal.is_remote:
                return await self._construct(goal)
            registered = await self._registrar.register(goal)
        except ResourceError:
            if self._deployment.options.continue_on_error and request.supportsResultReporting:
                return resource_pb2.RegisterResourceResponse(urn=self._registrar.urn_of(goal), result=resource_pb2.FAIL)
            raise
        return self._answer(request, registered)

    def _answer(self, request: Any, registered: Registered) -> Any:
        state = registered.state
        response = resource_pb2.RegisterResourceResponse(urn=state.urn, id=state.id, stable=registered.is_stable)
        if registered.is_unknown:
            response.unknown, response.id = True, ""
        elif state.custom:
            response.object.CopyFrom(to_struct(state.outputs, secrets=request.acceptSecrets, resources=request.acceptResources))
        return response

    async def _transformed(self, request: Any) -> Any:
        urn = ""
        if request.parent or request.transforms or self._stack_transforms:
            urn = self._registrar.urn_of(Goal(type=request.type, name=request.name, custom=request.custom, parent=request.parent))
        if request.transforms:
            self._transforms[urn] = list(request.transforms)
        self._parents[urn] = request.parent
        transforms = list(request.transforms)
        parent = request.parent
        while parent:
            transforms += self._transforms.get(parent, [])
            parent = self._parents.get(parent, "")
        transforms += self._stack_transforms
        if not transforms or request.type == STACK_TYPE:
            return request
        return await transform(self._callbacks, transforms, request)

    async def _construct(self, goal: Goal) -> Any:
        """A remote component: its provider registers it, and all within, by calling us back."""
        deployment = self._deployment
        reference = await self._registrar.provider_reference(goal, "")
        provider = await self._providers.get(reference)
        if not isinstance(provider, RemoteProvider):
            raise ProviderFailed(f"{goal.type}: its provider has no components")
        name = deployment.name
        aliases = alias_urns(goal, name.stack, name.project, self._registrar.aliases.get(goal.parent, []))
        request = construct_request(deployment, goal, aliases, self.address)
        try:
            constructed = await provider.call("Construct", request)
        except ProviderFailed as exc:
            deployment.fail("", f"constructing {goal.name} ({goal.type}) failed: {exc}")
            raise ResourceError(str(exc)) from exc
        response = resource_pb2.RegisterResourceResponse(urn=constructed.urn, object=constructed.state)
        for name, dependencies in constructed.stateDependencies.items():
            response.propertyDependencies[name].urns.extend(dependencies.urns)
        return response

    async def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        outputs = without_nulls(flatten_outputs(from_struct(request.outputs)))
        if request.urn == self._deployment.stack_urn:
            self.stack_outputs = outputs  # kept for the end: a failed update keeps the outputs of the one before
        else:
            self._registrar.apply_outputs(request.urn, outputs)
        return empty_pb2.Empty()

    async def ReadResource(self, request: Any, context: Any) -> Any:
        return await self._run(context, self._read(request))

    async def _read(self, request: Any) -> Any:
        self._name_package(request)
        goal = Goal(
            type=request.type,
            name=request.name,
            custom=True,
            parent=request.parent,
            properties=without_nulls(flatten_outputs(from_struct(request.properties))),
            provider=request.provider,
            version=request.version,
            plugin_url=request.pluginDownloadURL,
            dependencies=sorted(set(request.dependencies)),
            additional_secret_outputs=list(request.additionalSecretOutputs),
        )
        state = (await self._registrar.read(goal, request.id)).state
        properties = to_struct(state.outputs, secrets=request.acceptSecrets, resources=request.acceptResources)
        return resource_pb2.ReadResourceResponse(urn=state.urn, id=state.id, properties=properties)

    async def Invoke(self, request: Any, context: Any) -> Any:
        return await self._run(context, self._invoke(request))

    async def _invoke(self, request: Any) -> Any:
        self._name_package(request)
        request = await transform_invoke(self._callbacks, self._invoke_transforms, request)
        arguments: Properties = flatten_outputs(from_struct(request.args))
        response = resource_pb2.ResourceInvokeResponse()
        if request.tok == "pulumi:pulumi:getResource":
            getattr(response, "return").CopyFrom(to_struct(self._get_resource(str(arguments.get("urn")))))
            return response
        reference = request.provider or await self._registrar.provider_resources.default(
            request.tok.split(":", 1)[0], request.version
        )
        provider = await self._providers.get(reference)
        if self._deployment.is_preview and (not provider.is_configured or self._is_any_pending(request.dependsOn)):
            response.unknown = True
            return response
        result, failures = await provider.invoke(request.tok, arguments, self._deployment.is_preview)
        getattr(response, "return").CopyFrom(to_struct(result, resources=request.acceptResources))
        for name, reason in failures:
            response.failures.add(property=name, reason=reason)
        return response

    def _is_any_pending(self, urns: Any) -> bool:
        """Whether one of the resources is yet to be created, so that a function must not be asked about it."""
        states = (self._deployment.news.get(urn) for urn in urns)
        return any(state is not None and state.custom and not state.id for state in states)

    def _get_resource(self, urn: str) -> Properties:
        state: ResourceState | None = self._deployment.news.get(urn)
        if state is None:
            raise ProviderFailed(f"resource '{urn}' is not registered")
        return {"urn": state.urn, "id": state.id, "state": state.outputs}

    async def Call(self, request: Any, context: Any) -> Any:
        return await self._run(context, self._call(request))

    async def _call(self, request: Any) -> Any:
        self._name_package(request)
        reference = request.provider or await self._registrar.provider_resources.default(
            request.tok.split(":", 1)[0], request.version
        )
        provider = await self._providers.get(reference)
        if not isinstance(provider, RemoteProvider):
            raise ProviderFailed(f"{request.tok}: its provider has no methods")
        message = call_request(self._deployment, request, self.address)
        return await provider.call("Call", message)

    async def RegisterStackTransform(self, request: Any, context: Any) -> Any:
        self._stack_transforms.append(request)
        return empty_pb2.Empty()

    async def RegisterStackInvokeTransform(self, request: Any, context: Any) -> Any:
        self._invoke_transforms.append(request)
        return empty_pb2.Empty()

    async def RegisterResourceHook(self, request: Any, context: Any) -> Any:
        try:
            self._hooks.add(request.name, request.callback, request.on_dry_run, request.ignore_errors)
        except ProviderFailed as exc:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, str(exc))
        return empty_pb2.Empty()

    async def RegisterErrorHook(self, request: Any, context: Any) -> Any:
        try:
            self._hooks.add_for_errors(request.name, request.callback)
        except ProviderFailed as exc:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, str(exc))
        return empty_pb2.Empty()

    async def RegisterPackage(self, request: Any, context: Any) -> Any:
        """Parameterized packages need a schema service and plugins that are made at run time; both are the CLI's."""
        for kind in ("parameterization", "extension"):
            if request.HasField(kind):
                name = getattr(request, kind).name
                self._deployment.fail(
                    "",
                    f"package '{name}' is '{request.name}' with parameters, which the embedded engine cannot load; "
                    "use a package with a plugin of its own, or the pulumi CLI",
                )
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the deployment has failed")
        reference = str(uuid.uuid4())
        self._packages[reference] = request
        return resource_pb2.RegisterPackageResponse(ref=reference)

    def _name_package(self, request: Any) -> None:
        """A registered package stands for the version and address of its plugin."""
        if package := self._packages.get(request.packageRef):
            request.version, request.pluginDownloadURL = package.version, package.download_url

    async def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        """The program is done. Deletes run inside this call, so that delete hooks can still call back."""
        await self._run(context, self._finish_when_idle())
        return empty_pb2.Empty()

    async def _finish_when_idle(self) -> None:
        current = asyncio.current_task()
        while others := self.work - ({current} if current else set()):
            await asyncio.wait(others)
        await self._finish()
