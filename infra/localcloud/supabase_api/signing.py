"""The project's signing key: access tokens out, bearer tokens in.

Two kinds of tokens are accepted, as by GoTrue: ES256 with our `kid` (sessions) and HS256 over the project's JWT secret (the
anon and service_role keys). The algorithm decides which key is used, never the other way round: a token whose header says
HS256 is never checked against the public key's bytes (RFC 8725 section 3.1).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey

from infra.localcloud.supabase_api.errors import bad_jwt
from infra.localcloud.supabase_api.hooks import TokenHook
from infra.localcloud.supabase_api.wire import User
from infra.localcloud.world_clock import Ageing

TOKEN_CHARACTERS_MAX = 16_384
NOT_BASE64URL = re.compile(r"[^A-Za-z0-9_-]")


class SigningKeyInvalid(Exception):
    """The key file does not hold an ES256 JWK; the message names the file."""


class Claims(msgspec.Struct, frozen=True):
    """What the stand-in reads of a bearer token. Absent claims are empty, as in GoTrue's Go struct."""

    sub: str = ""
    role: str = ""
    session_id: str = ""
    is_anonymous: bool = False
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    aud: str | list[str] = ""

    @property
    def audience(self) -> str:
        if isinstance(self.aud, str):
            return self.aud
        return self.aud[0] if self.aud else ""


def load_or_create(path: Path) -> ECKey:
    """The ES256 key at `path`, made (mode 0600) when there is none. Raises SigningKeyInvalid."""
    try:
        return _parsed(path)
    except FileNotFoundError:
        _create(path)
    return _parsed(path)


def _parsed(path: Path) -> ECKey:
    try:
        key = ECKey.import_key(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
        ready = key.is_private and key.kid and key.curve_name == "P-256"
    except (JoseError, msgspec.MsgspecError, ValueError, KeyError, TypeError) as exc:
        raise SigningKeyInvalid(f"{path}: expected a JWK for ES256") from exc
    if not ready:
        raise SigningKeyInvalid(f"{path}: expected a private P-256 JWK with a kid")
    return key


def _create(path: Path) -> None:
    key = ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}, private=True, auto_kid=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(key.as_dict(private=True)))
        os.fsync(file.fileno())
    try:
        os.link(staging, path)  # fails rather than replaces: another process may have been first, and its key wins
    except FileExistsError:
        pass
    finally:
        staging.unlink()


class Signer:
    """Signs access tokens and checks bearer tokens. Holds no state but keys."""

    def __init__(
        self, key: ECKey, jwt_secret: str, issuer: str, jwt_exp_s: int, ageing: Ageing, hook: TokenHook | None = None
    ) -> None:
        self._key = key
        self._shared_key = OctKey.import_key(jwt_secret)
        self._issuer = issuer
        self.jwt_exp_s = jwt_exp_s
        self._ageing = ageing
        self.hook = hook
        self._header = {"alg": "ES256", "kid": key.kid, "typ": "JWT"}

    def jwks(self) -> dict[str, Any]:
        """The public half. The shared secret is never in it."""
        public = {**self._key.as_dict(private=False), "alg": "ES256", "use": "sig", "key_ops": ["verify"]}
        return {"keys": [public]}

    def claims_for(self, user: User, session_id: UUID, amr: msgspec.Raw, aal: str) -> dict[str, Any]:
        """What a new access token says. `amr` is the JSON list of the session's methods."""
        issued = int(time.time())
        return {
            "iss": self._issuer,
            "sub": user.id,
            "aud": user.aud,
            "exp": issued + self.jwt_exp_s,
            "iat": issued,
            "email": user.email,
            "phone": user.phone,
            "app_metadata": user.app_metadata,
            "user_metadata": user.user_metadata,
            "role": user.role,
            "aal": aal,
            "amr": amr,
            "session_id": session_id,
            "is_anonymous": user.is_anonymous,
        }

    def signed(self, claims: Mapping[str, Any]) -> str:
        return jws.serialize_compact(self._header, msgspec.json.encode(claims), self._key, ["ES256"])

    def claims(self, token: str) -> Claims:
        """The claims of a bearer token that is ours and in its time; raises ApiError bad_jwt, worded as golang-jwt does."""
        if token.count(".") != 2 or len(token) > TOKEN_CHARACTERS_MAX:
            raise _refused("token is malformed: token contains an invalid number of segments")
        _check_segments(token)
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            verified = jws.deserialize_compact(token, self._key_for(header), ["ES256", "HS256"])
            claims = msgspec.json.decode(verified.payload, type=Claims)
        except (JoseError, ValueError, msgspec.MsgspecError) as exc:
            raise _refused("token signature is invalid: signature is invalid") from exc
        # `iat` is of whole seconds: what the clock was moved by in that very second, the session has to tell (`check_age`).
        now = self._ageing.now_for(datetime.fromtimestamp(claims.iat + 1, UTC)) if claims.iat else datetime.now(UTC)
        if claims.exp is not None and now.timestamp() >= claims.exp:
            raise _refused(EXPIRED)
        if claims.nbf is not None and now.timestamp() < claims.nbf:
            raise _refused("token has invalid claims: token is not valid yet")
        return claims

    def check_age(self, claims: Claims, issued: datetime) -> None:
        """`issued`: when the token's session was last given any. Raises ApiError bad_jwt."""
        if claims.exp is None or claims.iat is None:
            return
        named = datetime.fromtimestamp(claims.iat, UTC)
        if not named <= issued < named + timedelta(seconds=1):  # given others since: that second is all that is known of this one
            issued = named
        if self._ageing.now_for(issued).timestamp() >= claims.exp:
            raise _refused(EXPIRED)

    def _key_for(self, header: Mapping[str, Any]) -> ECKey | OctKey:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == "ES256" and kid == self._key.kid:
            return self._key
        if algorithm == "HS256":
            return self._shared_key
        if algorithm not in ("ES256", "HS256"):
            raise _refused(f"token signature is invalid: signing method {algorithm} is invalid")
        raise _refused(
            f"token is unverifiable: error while executing keyfunc: unrecognized JWT kid {kid} for algorithm {algorithm}"
        )


def _check_segments(token: str) -> None:
    """Raises as golang-jwt does for a header or claims that are no base64url."""
    for name, segment in zip(("header", "claim"), token.split("."), strict=False):
        wrong = NOT_BASE64URL.search(segment)
        # A single character left over holds six bits: no byte. Go points at where its group of four begins.
        position = wrong.start() if wrong else len(segment) - 1 if len(segment) % 4 == 1 else None
        if position is not None:
            reason = f"could not base64 decode {name}: illegal base64 data at input byte {position}"
            raise _refused(f"token is malformed: {reason}")


EXPIRED = "token has invalid claims: token is expired"


def _refused(reason: str) -> Exception:
    return bad_jwt(f"invalid JWT: unable to parse or verify signature, {reason}")
