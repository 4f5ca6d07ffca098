"""The token out of the request's headers. Nothing else in a request says who the caller is: X-Auth-* and the like are ignored."""

from __future__ import annotations

from collections.abc import Iterable

from service.errors import TokenRejected


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The token of the one Authorization header. TokenRejected (no_authorization) where there is none, or more than one."""
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                raise TokenRejected("no_authorization", "more than one Authorization header")
            found = value
    if found is None:
        raise TokenRejected("no_authorization", "this endpoint needs an Authorization header with a bearer token")
    found = found.rstrip(b" \t")  # RFC 9110 section 5.5: white space around a field's value is no part of it
    if found[:7].lower() != b"bearer " or len(found) == 7:
        raise TokenRejected("no_authorization", "the Authorization header holds no bearer token")
    return found[7:]
