"""What a transition may refuse.

WorldError                 carries the GraphQL code that Railway uses for it
  +-- NotFound             "ServiceInstance not found"
  +-- NotAuthorized        "Not Authorized"
  +-- Refused              the rules of the platform say no; the message decides, as with Railway
  +-- BadInput             the caller's value is wrong (BAD_USER_INPUT)
"""

from __future__ import annotations


class WorldError(Exception):
    """A command was refused and nothing changed. The message is shown to the caller as it is."""

    code = "INTERNAL_SERVER_ERROR"  # Railway answers nearly everything with this code; the message tells the cases apart


class NotFound(WorldError):
    """`kind` is the GraphQL type name, as in Railway's own messages."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} not found")


class NotAuthorized(WorldError):
    def __init__(self) -> None:
        super().__init__("Not Authorized")


class Refused(WorldError):
    pass


class BadInput(WorldError):
    code = "BAD_USER_INPUT"
