"""Our results and errors as the engine's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2, status_pb2

from infra.provider.comparison import Change, Kind
from infra.provider.definition import Failure
from infra.provider.fields import Output
from infra.provider.properties import Properties, as_secret, to_struct

_KINDS = {
    (Kind.ADD, False): provider_pb2.PropertyDiff.ADD,
    (Kind.ADD, True): provider_pb2.PropertyDiff.ADD_REPLACE,
    (Kind.DELETE, False): provider_pb2.PropertyDiff.DELETE,
    (Kind.DELETE, True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    (Kind.UPDATE, False): provider_pb2.PropertyDiff.UPDATE,
    (Kind.UPDATE, True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def diff_response(changes: Sequence[Change], stable: Iterable[str], *, deletes_first: bool) -> provider_pb2.DiffResponse:
    replaces = sorted({each.field for each in changes if each.replaces})
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=replaces,
        stables=[] if replaces else list(stable),
        deleteBeforeReplace=bool(replaces) and deletes_first,
        diffs=sorted({each.field for each in changes}),
        detailedDiff={
            each.path: provider_pb2.PropertyDiff(kind=_KINDS[each.kind, each.replaces], inputDiff=each.is_input)
            for each in changes
        },
        hasDetailedDiff=True,
    )


def check_failures(failures: Iterable[Failure]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=each.property, reason=each.reason) for each in failures]


def state(inputs: Properties, outputs: Mapping[str, Any], declared: Sequence[Output]) -> Properties:
    """What the engine stores as outputs: the inputs as they came, marks and all, and the declared outputs, marked."""
    secret = {each.name for each in declared if each.is_secret}
    marked = {key: as_secret(value) if key in secret and value is not None else value for key, value in outputs.items()}
    return {**inputs, **marked}


async def fail_half_made(
    context: grpc.aio.ServicerContext[Any, Any], identity: str, outputs: Properties, inputs: Properties, reasons: Sequence[str]
) -> NoReturn:
    """Ends the call with ErrorResourceInitFailed, the one error that lets the engine keep an id and a partial state."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=identity, properties=to_struct(outputs), inputs=to_struct(inputs), reasons=list(reasons)
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message="; ".join(reasons))
    status.details.add().Pack(detail)
    await context.abort(
        grpc.StatusCode.UNKNOWN,
        "resource init failed",
        trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),),
    )
    raise AssertionError("abort always raises")
