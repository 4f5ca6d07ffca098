"""Where a provider may send its token."""

from __future__ import annotations

from ipaddress import ip_address

import httpx

from infra.provider.errors import ConfigurationError


def require_private_way(setting: str, endpoint: str) -> None:
    """A token goes over TLS, or stays on this machine. Raises ConfigurationError."""
    try:
        address = httpx.URL(endpoint)
    except httpx.InvalidURL:
        raise ConfigurationError(f"{setting}: expected a URL, got {len(endpoint)} characters that are none") from None
    if address.scheme == "https" and address.host:
        return
    if address.scheme == "http" and is_loopback(address.host):
        return
    raise ConfigurationError(f'{setting}: expected https, or http on a loopback address, got "{address.scheme}://{address.host}"')


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_address_literal(host: str) -> bool:
    """Whether `host` is an IP address rather than a name; a port after it is allowed."""
    try:
        ip_address(httpx.URL(f"http://{host}").host)
    except (ValueError, httpx.InvalidURL):
        return False
    return True
