"""Where a link in a mail may lead afterwards (utilities.GetReferrer, utilities.IsRedirectURLValid). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

DECIMAL_ADDRESS = re.compile(r"[0-9]+")
HOST_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")
# As Go's net/url refuses them. A browser takes a backslash for a slash: http://evil.com\@site leads to evil.com, while for
# urlsplit its host is the site.
CONTROL = re.compile(r"[\x00-\x1f\x7f]|^ ")
USER_INFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
GLOB_PART = re.compile(r"\*\*|\*|\?|[^*?]+")


def chosen(candidates: Iterable[str], site_url: str, allow_list: str) -> str:
    """The first candidate that is allowed, else the site itself."""
    return next((url for url in candidates if is_allowed(url, site_url, allow_list)), site_url)


def is_allowed(url: str, site_url: str, allow_list: str) -> bool:
    if CONTROL.search(url) or not USER_INFO.fullmatch(_user_info(url)):
        return False
    try:
        base, given = urlsplit(site_url), urlsplit(url)
        if not url or _is_same_site(base.hostname, given.hostname, base.scheme == given.scheme, base.port == given.port):
            return bool(url)
    except ValueError:
        return False
    host = given.hostname or ""
    if DECIMAL_ADDRESS.fullmatch(host):
        return False
    address = _address(host)
    if address is not None:
        return address.is_loopback
    if given.scheme.lower() in ("http", "https") and not HOST_NAME.fullmatch(host):
        return False
    wanted = url.partition("#")[0]
    return any(_glob(pattern.strip()).fullmatch(wanted) for pattern in allow_list.split(",") if pattern.strip())


def _user_info(url: str) -> str:
    authority = re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]
    return authority.rpartition("@")[0]


def _is_same_site(base: str | None, given: str | None, has_same_scheme: bool, has_same_port: bool) -> bool:
    """On loopback any port will do (RFC 8252 section 7.3: native applications take the one they get)."""
    return base == given and has_same_scheme and (has_same_port or _is_local(given or ""))


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` stays within a label or path segment, `**` does not."""
    meanings = {"**": ".*", "*": "[^./]*", "?": "[^./]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in GLOB_PART.findall(pattern)))


def with_fragment(url: str, values: dict[str, str]) -> str:
    """`sb` tells clients that the fragment is Supabase's."""
    return f"{url}#{urlencode(sorted({**values, 'sb': ''}.items()))}"


def with_query(url: str, values: dict[str, str]) -> str:
    """The URL with `values` in its query instead of what was there under these names; sorted by name, as Go encodes."""
    parts = urlsplit(url)
    kept = {name: value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in values}
    return urlunsplit(parts._replace(query=urlencode(sorted({**kept, **values}.items()))))
