"""One TLS context for all clients of the process: each would otherwise read the list of authorities anew, and keep it."""

from __future__ import annotations

import ssl
from functools import cache
from urllib.parse import urlsplit

import httpx


@cache
def _verifying() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


@cache
def _trusting_nobody() -> ssl.SSLContext:
    """Verifies like the other and knows no authority, so nothing passes: for clients that speak http."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def context_for(*urls: str) -> ssl.SSLContext:
    """What a client of `urls` verifies servers with. The authorities are read only where one of them is https."""
    return _verifying() if any(urlsplit(url).scheme == "https" for url in urls) else _trusting_nobody()
