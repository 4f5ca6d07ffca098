"""Railway's error texts, as its clients have met them, and what we take them for."""

import pytest

from infra.provider.errors import Busy, Conflict, InvalidInput, NotAuthorized, NotFound, RemoteError, RemoteFault, Throttled
from infra.railway.faults import kind_of


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("UNAUTHENTICATED", "anything", NotAuthorized),
        ("FORBIDDEN", "anything", NotAuthorized),
        ("BAD_USER_INPUT", "numReplicas must be positive", InvalidInput),
        ("GRAPHQL_VALIDATION_FAILED", "Cannot query field", InvalidInput),
        ("INTERNAL_SERVER_ERROR", "Not Authorized", NotAuthorized),
        ("INTERNAL_SERVER_ERROR", "Project Token not found", NotAuthorized),
        ("INTERNAL_SERVER_ERROR", "ServiceInstance not found", NotFound),
        ("INTERNAL_SERVER_ERROR", "ProjectToken not found", NotFound),
        ("INTERNAL_SERVER_ERROR", 'A service named "x" already exists in this project', Conflict),
        ("INTERNAL_SERVER_ERROR", "operation is already in progress", Busy),
        ("INTERNAL_SERVER_ERROR", "You are creating projects too quickly", Throttled),
        ("INTERNAL_SERVER_ERROR", "Problem processing request", RemoteFault),
        ("", "something new", RemoteFault),
        ("BAD_USER_INPUT", "Project not found", NotFound),
    ],
)
def test_kind_of_error(code: str, message: str, expected: type[RemoteError]) -> None:
    assert kind_of(code, message) is expected
