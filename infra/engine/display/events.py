"""Engine events: what happened, as JSON in Pulumi's own form (sdk/go/common/apitype/events.go).

Every secret is masked here, before anything leaves the engine: display and event log get the same events.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from infra.engine.model import property_paths
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import is_default_provider
from infra.engine.model.values import mask
from infra.engine.planning.plan import Difference, Op

Event = dict[str, Any]
SECRET_LENGTH_MIN = 4


def state_metadata(state: ResourceState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    document: dict[str, Any] = {
        "type": state.type,
        "urn": state.urn,
        "custom": state.custom,
        "delete": state.delete,
        "id": state.id,
        "parent": state.parent,
        "protect": state.protect,
        "retainOnDelete": state.retain_on_delete,
        "inputs": mask(state.inputs),
        "outputs": mask(state.outputs),
        "provider": state.provider,
    }
    # Written where they say something, as apitype.StepEventStateMetadata has it; paths as lists of their steps.
    said = {
        "taint": state.taint,
        "external": state.external,
        "initErrors": state.init_errors,
        "hideDiffs": [list(property_paths.parse(text)) for text in state.hide_diffs],
    }
    document |= {key: value for key, value in said.items() if value}
    return document


def step_metadata(
    op: Op, old: ResourceState | None, new: ResourceState | None, difference: Difference | None, is_logical: bool
) -> dict[str, Any]:
    state = new or old
    assert state is not None
    document: dict[str, Any] = {
        "op": op.value,
        "urn": state.urn,
        "type": state.type,
        "old": state_metadata(old),
        "new": state_metadata(new),
        "provider": state.provider,
        "logical": is_logical,
    }
    if difference is not None and (difference.detailed or difference.changed_keys or difference.replace_keys):
        document["keys"] = list(difference.replace_keys)
        document["diffs"] = list(difference.changed_keys)
        document["detailedDiff"] = {
            path: {"diffKind": kind.value, "inputDiff": path in difference.input_paths}
            for path, kind in difference.detailed.items()
        }
    return document


class Events:
    """Numbers events and hands each to the subscribers."""

    def __init__(self, is_preview: bool) -> None:
        self._is_preview = is_preview
        self._subscribers: list[Callable[[Event], None]] = []
        self._sequence = 0
        self.changes: dict[str, int] = {}
        self._secrets: set[str] = set()

    def never_show(self, texts: Iterable[str]) -> None:
        """Secrets that no message may contain. Very short ones are left out: masking every `1` would hide the message."""
        self._secrets.update(text for text in texts if len(text) >= SECRET_LENGTH_MIN)

    def redact(self, message: str) -> str:
        """The message without the secrets we know of: programs print, and providers quote, what they were given."""
        for secret in self._secrets:
            if secret in message:
                message = message.replace(secret, "[secret]")
        return message

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        self._subscribers.append(subscriber)

    def emit(self, kind: str, body: dict[str, Any]) -> None:
        event: Event = {"sequence": self._sequence, "timestamp": int(time.time()), kind: body}
        self._sequence += 1
        for subscriber in self._subscribers:
            subscriber(event)

    def step_started(self, metadata: dict[str, Any]) -> None:
        self._step("resourcePreEvent", metadata)

    def step_done(self, metadata: dict[str, Any]) -> None:
        """The step succeeded: counted in the summary, unless it is only a part of a replacement or the engine's own."""
        if metadata["logical"] and not is_default_provider(metadata["urn"]):
            self.changes[metadata["op"]] = self.changes.get(metadata["op"], 0) + 1
        self._step("resOutputsEvent", metadata)

    def outputs_registered(self, metadata: dict[str, Any]) -> None:
        """A component's outputs arrived after its step: told, not counted again."""
        self._step("resOutputsEvent", metadata)

    def step_failed(self, metadata: dict[str, Any]) -> None:
        self.emit("resOpFailedEvent", {"metadata": metadata, "status": 2, "steps": 0})

    def _step(self, kind: str, metadata: dict[str, Any]) -> None:
        self.emit(kind, {"metadata": metadata, **({"planning": True} if self._is_preview else {})})

    def diagnostic(self, severity: str, message: str, urn: str = "", stream_id: int = 0, is_ephemeral: bool = False) -> None:
        """`severity`: info, info#err, warning, error or debug."""
        body: dict[str, Any] = {"urn": urn} if urn else {}
        body |= {
            "prefix": "" if severity.startswith("info") else f"{severity}: ",
            "message": self.redact(message) + "\n",
            "color": "raw",
        }
        body |= {"severity": severity, "streamId": stream_id, "ephemeral": is_ephemeral}
        self.emit("diagnosticEvent", body)

    def prelude(self, config: dict[str, str]) -> None:
        self.emit("preludeEvent", {"config": config})

    def summary(self, duration_s: float, is_corrupt: bool) -> None:
        body = {"maybeCorrupt": is_corrupt, "durationSeconds": int(duration_s), "resourceChanges": dict(self.changes)}
        self.emit("summaryEvent", {**body, "PolicyPacks": {}, "isPreview": self._is_preview})


class EventFile:
    """`--event-log FILE`: a JSON line per event."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def write(self, event: Event) -> None:
        self._file.write(json.dumps(event) + "\n")

    async def close(self) -> None:
        self._file.close()


class EventStream:
    """`--event-log tcp://HOST:PORT`: a gRPC stream to the Automation API's event server."""

    def __init__(self, address: str) -> None:
        import grpc.aio  # type: ignore[import-untyped]
        from pulumi.runtime.proto import events_pb2, events_pb2_grpc

        self._request = events_pb2.EventRequest
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()  # bounded by what one deployment emits
        self._channel = grpc.aio.insecure_channel(address)
        call = events_pb2_grpc.EventsStub(self._channel).StreamEvents(self._requests())
        self._call = asyncio.ensure_future(_finished(call))

    def write(self, event: Event) -> None:
        self._queue.put_nowait(event)

    async def _requests(self) -> AsyncIterator[Any]:
        while (event := await self._queue.get()) is not None:
            yield self._request(event=json.dumps(event))

    async def close(self) -> None:
        """Waits until the server has taken every event, 10 s at most: a listener that hangs must not hold us."""
        self._queue.put_nowait(None)
        await asyncio.wait([self._call], timeout=10)
        await self._channel.close(None)


async def _finished(call: Any) -> None:
    import grpc

    try:
        await call
    except grpc.RpcError:
        return  # the listener went away; the deployment goes on without it
