"""The project's own word on its access tokens: a function in its database that gets the claims and gives them back.

As GoTrue's custom access token hook with a `pg-functions://` address (internal/hooks): in the transaction that makes the
session, for two seconds at most, and whatever goes wrong in it undoes the session. Over HTTP it is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from infra.localcloud.hook_address import HOOK_ADDRESS
from infra.localcloud.supabase_api.database import DatabaseErrors, Executor
from infra.localcloud.supabase_api.errors import HookFailed, HookRefused

TIMEOUT_MS = 2000
UNREADABLE = "Error unmarshaling JSON output."
STATUSES = range(400, 600)  # what an answer that refuses can have
REQUIRED = ("aud", "exp", "iat", "sub", "email", "phone", "role", "aal", "session_id", "is_anonymous")
TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("jti", "iss", "sub", "email", "phone", "role", "aal", "session_id", "client_id"), (str,)),
    **dict.fromkeys(("exp", "iat", "nbf"), (int,)),
    **dict.fromkeys(("app_metadata", "user_metadata"), (dict,)),
    "aud": (str, list),
    "amr": (list,),
}
NAMES: Mapping[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class TokenHook:
    """`function` is quoted, for SQL."""

    address: str
    function: str

    @classmethod
    def at(cls, address: str) -> TokenHook:
        """`address` was checked with the settings."""
        match = HOOK_ADDRESS.fullmatch(address)
        assert match is not None
        return cls(address, f'"{match[1]}"."{match[2]}"')

    async def customized(self, connection: Executor, claims: Mapping[str, Any], method: str, address: str) -> dict[str, Any]:
        """The claims to sign. `connection` is in a transaction. Raises HookFailed."""
        asked = {
            "metadata": {
                "uuid": uuid4(),
                "time": datetime.now(UTC),
                "name": "customize-access-token",
                "ip_address": address,
            },
            "user_id": claims["sub"],
            "claims": claims,
            "authentication_method": method,
        }
        await connection.execute(f"set local statement_timeout to {TIMEOUT_MS}")
        try:
            answer = await connection.fetchval(f"select {self.function}($1)::text", msgspec.json.encode(asked).decode())
        except DatabaseErrors as exc:
            raise HookFailed(f"Error running hook URI: {self.address}") from exc
        await connection.execute("set local statement_timeout to default")
        return _checked(answer)


def _checked(answer: str | None) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(answer) if answer is not None else {"claims": None}
    except msgspec.DecodeError:  # a function may answer any text
        raise HookFailed(UNREADABLE) from None
    if not isinstance(told, dict):
        raise HookFailed(UNREADABLE)
    error = told.get("error")
    if isinstance(error, dict) and error.get("message"):
        raise HookRefused(str(error["message"]), _status(error.get("http_code") or 500))
    if "claims" not in told:
        raise HookRefused("output claims field is missing")
    claims = told["claims"]
    if claims is not None and not isinstance(claims, dict):
        raise HookFailed(UNREADABLE)
    if mistakes := _mistakes(claims):
        lines = "".join(f"- {mistake}\n" for mistake in mistakes)
        raise HookRefused(f"output claims do not conform to the expected schema: \n{lines}")
    return claims or {}


def _status(given: Any) -> int:
    if type(given) is not int:
        raise HookFailed(UNREADABLE)
    return given if given in STATUSES else 500


def _mistakes(claims: dict[str, Any] | None) -> list[str]:
    """As gojsonschema words them."""
    if claims is None:
        return ["(root): Invalid type. Expected: object, given: null"]
    missing = [f"(root): {name} is required" for name in REQUIRED if name not in claims]
    return missing + [
        f"{name}: Invalid type. Expected: {'/'.join(NAMES[kind] for kind in kinds)}, given: {NAMES[type(claims[name])]}"
        for name, kinds in TYPES.items()
        if name in claims and type(claims[name]) not in kinds
    ]
