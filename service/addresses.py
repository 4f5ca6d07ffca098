"""What the URLs in our settings say: whether a network lies in between, and a database URL's options. Pure.

A database URL is read by three programs (asyncpg, dbmate, we), each of which takes what it does not know in its own way: as a
setting of the server, as an error an hour later, not at all. So whatever not all three understand is refused at start.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote, urlsplit

SSL_MODES = ("disable", "require", "verify-ca", "verify-full")  # of libpq's six, those that dbmate's driver has too
DATABASE_OPTIONS = ("application_name", "host", "options", "port", "sslcert", "sslkey", "sslmode", "sslrootcert")
MAIL_OPTIONS = ("from",)

# Only a name that looks like one is repeated: where a password holds a `?`, what follows it reads as an option.
_NAME = re.compile("[a-z_]{1,40}")


def is_loopback(url: str) -> bool:
    """True where no network lies between us and `url` (this machine, a Unix socket), so TLS is not to be expected."""
    parts = urlsplit(url)
    if parts.hostname is None and parts.scheme.startswith("postgres"):
        return _is_own(options_of(url).get("host", ""))
    return _is_own(parts.hostname or "")


def options_of(url: str) -> dict[str, str]:
    """The query's names and values, the last of several."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def check_database_url(url: str) -> None:
    """ValueError: what is wrong, by its path in the URL where it has one; no value is repeated."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("expected a postgresql:// URL")
    check_options(url, DATABASE_OPTIONS)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("expected host:port; what a password has of : / ? # @ is written as %3A, %2F, %3F, %23, %40") from None
    options = options_of(url)
    if "," in unquote(parts.netloc.rpartition("@")[2]) or "," in options.get("host", ""):
        raise ValueError("expected one host")
    if options.get("sslmode", SSL_MODES[0]) not in SSL_MODES:
        raise ValueError(f"/sslmode: expected {', '.join(SSL_MODES[:-1])} or {SSL_MODES[-1]}")


def check_options(url: str, known: Collection[str]) -> None:
    """ValueError where the query is no list of `known` names, each once and with a value."""
    query = urlsplit(url).query
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ValueError("expected name=value pairs with & between them after the ?") from None
    seen: set[str] = set()
    for name, value in given:
        path = f"/{name}" if _NAME.fullmatch(name) else f"/{len(seen) + 1}"
        if name not in known:
            raise ValueError(f"{path}: no such option; there are {', '.join(known)}")
        if name in seen:
            raise ValueError(f"{path}: given twice")
        if not value:
            raise ValueError(f"{path}: empty")
        seen.add(name)


def _is_own(host: str) -> bool:
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: 127.example.com may be anywhere
        return False
