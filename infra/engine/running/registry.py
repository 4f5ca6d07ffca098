"""Provider instances by reference, and default providers by package and version."""

import asyncio
import contextlib
import uuid

from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import package_of, split_reference
from infra.engine.model.values import UNKNOWN_TEXT, Properties, Secret, has_unknown
from infra.engine.plugins import location as plugins
from infra.engine.plugins.builtin import BuiltinProvider
from infra.engine.plugins.processes import Processes
from infra.engine.plugins.remote import Provider, ProviderFailed, RemoteProvider
from infra.engine.running.deployment import Deployment


class Providers:
    """The registry. A reference `URN::ID` leads to one configured process."""

    def __init__(self, deployment: Deployment, processes: Processes) -> None:
        self._deployment = deployment
        self._processes = processes
        self._instances: dict[str, asyncio.Task[Provider]] = {}
        self._clients: list[RemoteProvider] = []

    async def load(self, package: str, version: str) -> Provider:
        """A new, unconfigured provider. Raises PluginError, ProviderFailed."""
        deployment = self._deployment
        if package == "pulumi":
            return BuiltinProvider(deployment.backend, deployment.name.project, deployment.crypter_of)
        command = plugins.locate(deployment.project, package, version, deployment.home)
        client = RemoteProvider(await self._processes.take(command, package))
        self._clients.append(client)
        root = str(deployment.project.folder)
        await client.handshake(self._processes.engine_address, root, str(deployment.project.program))
        return client

    async def configure(self, provider: Provider, state: ResourceState, inputs: Properties) -> None:
        """Configures, unless an input is unknown yet: then its resources are planned as unknown."""
        if isinstance(provider, RemoteProvider) and not has_unknown(inputs):
            sent = {k: v for k, v in inputs.items() if not k.startswith("__internal")}
            await provider.configure(state.urn, state.id, state.type, sent)

    def put(self, state: ResourceState, provider: Provider) -> None:
        """Makes the provider known under its resource's reference."""
        self._instances[state.reference] = asyncio.ensure_future(_ready(provider))

    async def get(self, reference: str) -> Provider:
        """The provider of a reference: one of this run, or an old one, started with its old inputs."""
        if reference not in self._instances:
            self._instances[reference] = asyncio.ensure_future(self._revive(reference))
        return await asyncio.shield(self._instances[reference])

    async def _revive(self, reference: str) -> Provider:
        urn, _ = split_reference(reference)
        state = self._deployment.news.get(urn) or self._deployment.old_by_reference(reference)
        if state is None:
            raise ProviderFailed(f"unknown provider {reference}")
        provider = await self.load(package_of(state.type), str(state.inputs.get("version") or ""))
        await self.configure(provider, state, state.inputs)
        return provider

    async def close(self) -> None:
        for task in self._instances.values():
            if not task.done():
                task.cancel()
            with contextlib.suppress(BaseException):
                await task
        for client in self._clients:
            await client.close()

    async def cancel(self) -> None:
        """Tells every plugin to give up what it is waiting for."""
        await asyncio.gather(*(client.cancel() for client in self._clients), return_exceptions=True)


async def _ready(provider: Provider) -> Provider:
    return provider


def new_provider_id(is_preview: bool) -> str:
    return UNKNOWN_TEXT if is_preview else str(uuid.uuid4())


def default_inputs(deployment: Deployment, package: str, version: str) -> Properties:
    """A default provider's inputs: the stack's `package:*` configuration and the version asked for."""
    inputs: Properties = {}
    for key, item in deployment.config.items():
        namespace, _, name = key.partition(":")
        if namespace == package:
            inputs[name] = Secret(item.text) if item.is_secret else item.text
    if version:
        inputs["version"] = version
    return inputs
