"""POST /graphql/v2: JSON in, Apollo-like JSON out.

Status 400 for what is no valid request (syntax, validation, variables of a wrong type), 413 for a body that is too large,
otherwise 200 with `errors`, also without a known token, as Railway answers.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from functools import lru_cache
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    execute,
    parse,
    validate,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.store import StoreError
from infra.localcloud.plane.interface import PlaneError
from infra.localcloud.railway_api.call import Call, Cloud
from infra.localcloud.railway_api.executable import executable_schema
from infra.localcloud.railway_api.faults import PROBLEM, Fault, Faults, LostAnswer, problem, throttled
from infra.localcloud.railway_api.limits import BODY_BYTES_MAX, TOKENS_MAX, check_size
from infra.localcloud.railway_api.principal import NOBODY, Principal
from infra.localcloud.railway_api.resolvers_template import PUBLIC
from infra.localcloud.world.errors import WorldError

EXECUTION_TIMEOUT_S = 30.0
ERRORS_MAX = 20
DOCUMENTS_KEPT_MAX, KEPT_CHARACTERS_MAX = 128, 20_000
PROJECT_CREATE = re.compile(r"\bprojectCreate\b")
_logger = logging.getLogger("localcloud")


class GraphQLRequest(msgspec.Struct):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815  (the wire's name)


class BodyTooLarge(Exception):
    pass


async def read_body(request: Request, bytes_max: int) -> bytes:
    """BodyTooLarge as soon as the bound is passed, whatever Content-Length claimed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLarge
    return bytes(body)


def failure(message: str, code: str, status: int) -> Response:
    body: dict[str, Any] = {"errors": [{"message": message, "extensions": {"code": code}}]}
    return JSONResponse(body if status != 200 else {**body, "data": None}, status)


async def answer(request: Request, cloud: Cloud, principal: Principal | None, faults: Faults) -> Response:
    try:
        body = await read_body(request, BODY_BYTES_MAX)
    except BodyTooLarge:
        return failure(f"Request body is larger than {BODY_BYTES_MAX} bytes", "BAD_REQUEST", 413)
    try:
        asked = msgspec.json.decode(body, type=GraphQLRequest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        asked = None
    if principal is None and not (asked and is_public(asked.query)):
        return failure("Not Authorized", "INTERNAL_SERVER_ERROR", 200)
    if asked is None:
        return failure("Expected a JSON object with a string `query`", "BAD_REQUEST", 400)
    return await with_faults(asked, Call(cloud, principal or NOBODY), faults)


def is_public(query: str) -> bool:
    """Whether it asks for nothing but what anybody may know. A fragment at the root is not looked into: then it does not."""
    try:
        document, problems = prepared(query)
    except (GraphQLSyntaxError, RecursionError):
        return False
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    roots = [root for one in operations for root in one.selection_set.selections]
    return not problems and all(isinstance(root, FieldNode) and root.name.value in PUBLIC for root in roots)


async def with_faults(asked: GraphQLRequest, call: Call, faults: Faults) -> Response:
    """`run`, with what is switched on. A limit refuses before the dice are thrown, as a gateway in front would."""
    clock = call.cloud.keeper.clock
    who = call.principal.token_id
    is_creating_project = PROJECT_CREATE.search(asked.query) is not None
    response = faults.limited(who, is_creating_project, clock.monotonic())
    if response is None:
        fault = faults.next_fault()
        await asyncio.sleep(faults.settings.graphql.delay_ms / 1000)
        if fault is Fault.ERROR:
            response = problem()
        elif fault is Fault.THROTTLE:
            response = throttled(is_creating_project=is_creating_project)
        else:
            response = await run(asked, call)
        if fault is Fault.LOST_ANSWER:
            return LostAnswer()
    response.headers.update(faults.headers(who, clock.monotonic(), clock.seconds()))
    return response


async def run(asked: GraphQLRequest, call: Call) -> Response:
    schema = executable_schema()
    try:
        document, problems = prepared(asked.query)
    except GraphQLSyntaxError as exc:
        return _answer(ExecutionResult(None, [exc]), "GRAPHQL_PARSE_FAILED", 400)
    except RecursionError:
        return failure("Query is too deep", "GRAPHQL_VALIDATION_FAILED", 400)
    if problems:
        return _answer(ExecutionResult(None, list(problems)), "GRAPHQL_VALIDATION_FAILED", 400)
    try:
        async with asyncio.timeout(EXECUTION_TIMEOUT_S):
            result = execute(
                schema, document, context_value=call, variable_values=asked.variables, operation_name=asked.operationName
            )
            if not isinstance(result, ExecutionResult):
                result = await result
    except TimeoutError:
        return failure(PROBLEM, "INTERNAL_SERVER_ERROR", 200)
    # Without a path an error comes from before the first resolver: the variables do not fit, or no such operation.
    is_refused = result.data is None and any(error.path is None for error in result.errors or ())
    return _answer(result, "BAD_USER_INPUT", 400 if is_refused else 200)


Prepared = tuple[DocumentNode, tuple[GraphQLError, ...]]


def prepared(query: str) -> Prepared:
    """Parsed and validated. A client sends the same few documents over and over, and checking one costs more than carrying it
    out, so the newest small ones are kept. GraphQLSyntaxError, RecursionError."""
    return _kept(query) if len(query) <= KEPT_CHARACTERS_MAX else _prepare(query)


@lru_cache(maxsize=DOCUMENTS_KEPT_MAX)
def _kept(query: str) -> Prepared:
    return _prepare(query)


def _prepare(query: str) -> Prepared:
    document = parse(query, max_tokens=TOKENS_MAX)
    return document, tuple(problems_of(executable_schema(), document))


def problems_of(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    try:
        problems = validate(schema, document, max_errors=ERRORS_MAX)
        if not problems:
            check_size(document)
    except GraphQLError as exc:
        return [exc]
    except RecursionError:
        return [GraphQLError("Query is too deep")]
    return problems


def _answer(result: ExecutionResult, code: str, status: int) -> Response:
    body: dict[str, Any] = {}
    if result.errors:
        trace_id = secrets.token_hex(8)
        body["errors"] = [formatted(error, code, trace_id) for error in result.errors[:ERRORS_MAX]]
        if any(error["message"] == PROBLEM for error in body["errors"]):
            body["traceId"] = trace_id
    if status == 200:
        body["data"] = result.data
    return JSONResponse(body, status)


def formatted(error: GraphQLError, code: str, trace_id: str) -> dict[str, Any]:
    """Apollo's shape. What we did not expect shows nothing but a trace id; the daemon's log has the rest under it."""
    cause = error.original_error
    message = error.message
    if isinstance(cause, WorldError):
        code = cause.code
    elif isinstance(cause, StoreError | PlaneError):
        code = "INTERNAL_SERVER_ERROR"
    elif cause is not None and not isinstance(cause, GraphQLError):
        _logger.error("request %s failed", trace_id, exc_info=cause)
        message, code = PROBLEM, "INTERNAL_SERVER_ERROR"
    shown: dict[str, Any] = {"message": message}
    if error.locations:
        shown["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path:
        shown["path"] = error.path
    shown["extensions"] = {"code": code}
    return shown
