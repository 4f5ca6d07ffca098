"""What can go wrong in a provider, by whose fault it is.

ProviderError
 +-- ConfigurationError       the user's mistake in the provider's own settings
 +-- HalfMade                 the resource exists (it has an id) but is not what was asked for; the engine keeps it
 +-- Stopped                  the engine asked us to stop; nothing more was started
 +-- TimedOut                 (waiting.py) what was waited for did not happen in time
 +-- NotReady                 (railway/deployment/progress.py) a deployment ended, or was left, without serving
 +-- RemoteError              the API answered, or failed to answer
      +-- NotFound            the thing is not there (any more)
      +-- NotAuthorized       the token is missing, wrong or too weak
      +-- Conflict            a name is taken
           +-- Busy           another operation on the same thing is under way; worth another try
      +-- Throttled           refused before it was carried out; carries `retry_after_s`
           +-- WaitTooLong    longer than the settings allow; not waited for
      +-- InvalidInput        the API does not accept what we sent
      +-- RemoteFault         the API broke; a change may have happened all the same
           +-- Unreachable    no connection was made: nothing happened
           +-- OutcomeUnknown we gave up on a change without learning whether it took effect
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ProviderError(Exception):
    """The message is one line for the user: what, expected, got, next step."""


class ConfigurationError(ProviderError):
    """A provider setting is missing or wrong."""


class Stopped(ProviderError):
    """The engine cancelled the operation."""


class HalfMade(ProviderError):
    """The resource exists but is not ready.

    `outputs` are what is known of it so far (wire names); `reasons` are shown to the user, first line first. The next `up`
    tries to finish it, so that nothing is orphaned and nothing is made twice.
    """

    def __init__(self, identity: str, outputs: Mapping[str, Any], reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.identity = identity
        self.outputs = dict(outputs)
        self.reasons = reasons


class RemoteError(ProviderError):
    """An answer other than the one we wanted.

    may_have_happened: a change that was asked for may be in effect although we got this error.
    is_transient: the same request may succeed a little later.
    retry_after_s: how long the API asked us to wait, if it did.
    """

    may_have_happened = False
    is_transient = False

    def __init__(self, message: str, *, operation: str = "", request_id: str = "", retry_after_s: float | None = None) -> None:
        told = f"{operation}: {message}" if operation else message
        super().__init__(f"{told} (request {request_id})" if request_id else told)
        self.operation = operation
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class NotFound(RemoteError):
    """The thing is not there."""


class NotAuthorized(RemoteError):
    """The token does not allow this."""


class Conflict(RemoteError):
    """A name is taken or another operation is in progress."""


class Busy(Conflict):
    """Another operation on the same thing is in progress; it was refused before it was carried out."""

    is_transient = True


class Throttled(RemoteError):
    """Too many requests; this one was not carried out."""

    is_transient = True


class WaitTooLong(Throttled):
    """The API wants us to wait for longer than the settings allow."""

    is_transient = False


class InvalidInput(RemoteError):
    """The API refuses the values we sent."""


class RemoteFault(RemoteError):
    """The API broke while it worked on our request, or its answer was lost."""

    may_have_happened = True
    is_transient = True


class Unreachable(RemoteFault):
    """No connection could be made, so nothing was carried out."""

    may_have_happened = False


class OutcomeUnknown(RemoteFault):
    """We looked, asked again, and gave up: nobody knows whether the change took effect."""

    is_transient = False

    def __init__(self, cause: RemoteError) -> None:
        super().__init__(f"{cause}; it may have been carried out all the same, so look before the next `up`")
        self.operation, self.request_id = cause.operation, cause.request_id
