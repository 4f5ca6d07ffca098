"""Answers made smaller, where that is asked for, worth it, and safe.

A client says what it takes with quality values (RFC 9110 section 12.5.3): `gzip;q=0` is a no, `identity` with the highest value
too, `*` speaks for whatever is not named. zstd (RFC 8878) is taken before gzip where both are as welcome: smaller, and quicker.

What is never compressed: answers that hold tokens. Compression beside a secret gives its letters away to whoever can choose a
part of the same answer and see its length (BREACH), and a token response repeats user_metadata, which its user chooses.
Everything else here holds no secret, or, as /me, comes only to requests with a bearer token, which no other site can make a
browser send.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from backports import zstd

from service.web.answers import Answer, Headers

Coding = Literal["zstd", "gzip"]

ZSTD_LEVEL = 3
VARY = (b"vary", b"Accept-Encoding")
_GZIP_FRAMED = 31  # zlib's way of saying: with gzip's header and trailer
_PREFERENCE: tuple[Coding, ...] = ("zstd", "gzip")
_ALIASES = {b"x-gzip": b"gzip"}  # RFC 9110 section 8.4.1.3
_QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_COMPRESSIBLE = re.compile(rb"(?:text/|application/(?:json|javascript|openmetrics-text|[a-z.+-]*\+json)\b)")


@dataclass(frozen=True, slots=True)
class Compression:
    """`bytes_min`: smallest body worth it."""

    bytes_min: int
    gzip_level: int

    def applied(self, answer: Answer, accepted: Iterable[bytes]) -> Answer:
        """`answer` as the client that sent these Accept-Encoding values wants it."""
        if len(answer.body) < self.bytes_min or not _is_compressible(answer.headers):
            return answer
        varied = replace(answer, headers=[*answer.headers, VARY])
        coding = chosen(accepted)
        if coding is None:
            return varied
        body = self.encoded(answer.body, coding)
        kept = [(name, value) for name, value in varied.headers if name != b"content-length"]
        headers = [*kept, (b"content-encoding", coding.encode()), (b"content-length", b"%d" % len(body))]
        return replace(varied, headers=headers, body=body)

    def encoded(self, body: bytes, coding: Coding) -> bytes:
        if coding == "zstd":
            return bytes(zstd.compress(body, level=ZSTD_LEVEL))
        packer = zlib.compressobj(self.gzip_level, zlib.DEFLATED, _GZIP_FRAMED)
        return packer.compress(body) + packer.flush()


def chosen(accepted: Iterable[bytes]) -> Coding | None:
    """The coding that the client likes best of those we have; None where it would rather have none, or says nothing."""
    qualities = _qualities(accepted)
    others = qualities.get(b"*", 0.0)
    plain = qualities.get(b"identity", 0.0)
    best = max(_PREFERENCE, key=lambda coding: qualities.get(coding.encode(), others))  # the first of equals
    quality = qualities.get(best.encode(), others)
    return best if quality > 0.0 and quality >= plain else None


def _qualities(accepted: Iterable[bytes]) -> dict[bytes, float]:
    """Coding to quality. What cannot be read is not accepted."""
    found: dict[bytes, float] = {}
    for part in b",".join(accepted).split(b","):
        name, *parameters = (piece.strip().lower() for piece in part.split(b";"))
        if name:
            found[_ALIASES.get(name, name)] = _quality(parameters)
    return found


def _quality(parameters: list[bytes]) -> float:
    if not parameters:
        return 1.0
    key, _, value = parameters[0].partition(b"=")
    if len(parameters) > 1 or key.strip() != b"q" or _QUALITY.fullmatch(value.strip()) is None:
        return 0.0
    return float(value)


def _is_compressible(headers: Headers) -> bool:
    names = dict(headers)
    return b"content-encoding" not in names and _COMPRESSIBLE.match(names.get(b"content-type", b"")) is not None
