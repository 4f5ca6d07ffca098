"""Where a request comes from."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address


def address_of(headers: Iterable[tuple[bytes, bytes]], peer: str) -> str:
    """The caller's address: the edge's word in X-Real-IP where there is one, else `peer`, who connected.

    X-Real-IP is the header that Railway's documentation names for this (Public Networking, Specs & Limits). It says nothing of
    X-Forwarded-For, and a first entry that the caller wrote would choose the address that GoTrue limits log-ins by.
    """
    told = [value for name, value in headers if name == b"x-real-ip"]
    try:
        address = ip_address(told[0].decode("latin-1").strip() if len(told) == 1 else "")
        # A zone (fe80::1%eth0) may be any text, which would go on in a header that others read as a list of addresses.
        return peer if isinstance(address, IPv6Address) and address.scope_id is not None else str(address)
    except ValueError:
        return peer
