"""The provider of package `pulumi`: stack references and stashes, kept inside the engine."""

import uuid
from collections.abc import Callable
from typing import Any

from infra.engine.model.resource_state import ResourceState
from infra.engine.model.stack_name import StackName
from infra.engine.model.urns import STACK_TYPE
from infra.engine.model.values import Properties, Secret, has_secret, reveal, walk
from infra.engine.planning.plan import Difference
from infra.engine.plugins.remote import Checked, ProviderFailed, ReadBack
from infra.engine.state.backend import FileBackend
from infra.engine.state.checkpoint import decode_resource, parse_document
from infra.engine.state.crypter import Crypter

REFERENCE = "pulumi:pulumi:StackReference"
STASH = "pulumi:index:Stash"


class BuiltinProvider:
    """See remote.Provider."""

    def __init__(self, backend: FileBackend, project: str, crypter_of: Callable[[dict[str, Any]], Crypter]) -> None:
        self.is_configured = True
        self.supports_preview = True
        self._backend = backend
        self._project = project
        self._crypter_of = crypter_of

    async def check(self, state: ResourceState, olds: Properties, news: Properties, seed: bytes) -> Checked:
        if state.type not in (REFERENCE, STASH):
            raise ProviderFailed(f"the builtin provider has no resource type {state.type!r}")
        wanted = "name" if state.type == REFERENCE else "input"
        failures = [(key, f'unknown property "{key}"') for key in sorted(news) if key != wanted]
        if wanted not in news:
            failures.append((wanted, f'missing required property "{wanted}"'))
        return Checked(news, failures)

    async def diff(self, old: ResourceState, new: ResourceState, news: Properties, ignored: list[str]) -> Difference:
        return Difference()  # the engine compares inputs

    async def create(
        self, state: ResourceState, inputs: Properties, timeout_s: float, is_preview: bool
    ) -> tuple[str, Properties]:
        if state.type == REFERENCE:
            return str(reveal(inputs["name"])), self._reference(inputs)
        value = inputs.get("input")
        return ("" if is_preview else str(uuid.uuid4())), {"input": value, "output": value}

    async def update(self, old: ResourceState, new: ResourceState, timeout_s: float, is_preview: bool) -> Properties:
        if new.type == REFERENCE:
            return self._reference(new.inputs)
        # A stash keeps its first value; only the last input offered changes.
        return {"input": new.inputs.get("input"), "output": old.outputs.get("output")}

    async def read(self, state: ResourceState, identity: str, timeout_s: float) -> ReadBack:
        if state.type == REFERENCE:
            return ReadBack(identity, self._reference(state.inputs or {"name": identity}), state.inputs)
        return ReadBack(identity, state.outputs, state.inputs)

    async def delete(self, state: ResourceState, timeout_s: float) -> None:
        return

    async def invoke(self, token: str, arguments: Properties, is_preview: bool) -> tuple[Properties, list[tuple[str, str]]]:
        if token == "pulumi:pulumi:readStackReference":  # noqa: S105 - a function's name
            return self._reference(arguments), []
        raise ProviderFailed(f"the builtin provider has no function {token!r}")

    def _reference(self, inputs: Properties) -> Properties:
        text = str(reveal(inputs["name"]))
        name = StackName.parse(text, self._project)
        if not self._backend.exists(name):
            raise ProviderFailed(f'unknown stack "{text}"')
        document = parse_document(self._backend.read(name), str(self._backend.stack_file(name)))
        latest = document["checkpoint"].get("latest") or {}
        outputs: Properties = {}
        for resource in latest.get("resources") or []:
            if resource["type"] == STACK_TYPE:
                outputs = decode_resource(resource, self._crypter_of(latest)).outputs
        for node in walk(outputs):
            if isinstance(node, Secret):
                node.ciphertext = None  # made with the other stack's key
        return {"name": text, "outputs": outputs, "secretOutputNames": sorted(k for k, v in outputs.items() if has_secret(v))}
