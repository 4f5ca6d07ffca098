"""What goes into a report passes here: tokens and keys are cut out, whatever a service put into its answers."""

from __future__ import annotations

import re
from collections.abc import Iterable

# A JWS in compact form begins with the base64url of '{"'; RFC 7515 section 7.1.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}")
_FIELD = re.compile(r"""(?i)(["']?(?:password|refresh_token|access_token|apikey|secret)["']?\s*[:=]\s*)["']?[^"'\s,}]+["']?""")
DETAIL_CHARACTERS_MAX = 200


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """At most 200 characters on one line, without tokens, credentials and the given secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = _FIELD.sub(r"\1[secret]", _TOKEN.sub("[token]", text))
    return " ".join(text.split())[:DETAIL_CHARACTERS_MAX]
