"""Everything a replica can be told, read once from the environment, validated whole, frozen and passed down.

No other module reads the environment. docs/service.md lists the same variables; a test compares the two.

Errors: SettingsInvalid: one line per mistake, each naming the variable; a value is never shown, it may be a secret.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from service.addresses import MAIL_OPTIONS, check_database_url, check_options, is_loopback
from service.policies import ROUTES, Policies, RoutePolicy, by_route

# Variables beginning like this are ours alone, so an unknown one is a misspelling. SUPABASE_, DATABASE_ and REDIS_ are not
# in the list: platforms put variables of their own under those prefixes.
OWN_PREFIXES = (
    "CACHE_",
    "CORS_",
    "GZIP_",
    "POOL_",
    "JWT_",
    "JWKS_",
    "REVOCATION_",
    "DRAIN_",
    "SMTP_",
    "STORAGE_",
    "RATE_",
    "LOCKOUT_",
    "VERIFY_",
    "OPAQUE_",
    "INTROSPECTION_",
)
POLICIES = ("cached", "strict")
WHEN_SILENT = ("ask", "refuse")
# Ended sessions stay in the revocation log for as long as any replica may be set to believe a confirmation.
CACHE_TTL_S_MAX = 3600
JWT_SECRET_BYTES_MIN = 32
# The end of what Supabase's CLI and its Docker set-up (with `your-` before it) begin with: everybody can sign with it.
KNOWN_JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"  # noqa: S105 - no secret at all
JWT_SECRET_CHARACTERS_MIN = 8  # different ones; 32 bytes by chance have fewer once in a very long time
# An anon or service_role key is a JWT, whose header begins with eyJ.
API_KEY_PREFIXES = ("eyJ", "sb_publishable_", "sb_secret_")


class SettingsInvalid(Exception):
    """The user's mistake: the environment cannot be served from. `str()` is the text to print."""


class Secret(SecretStr):
    """A value that prints as [secret] wherever it ends up by mistake."""

    def _display(self) -> str:
        return "[secret]"


class Settings(BaseModel):
    """One field per environment variable: the name in capitals. Times in seconds, sizes in bytes.

    Not pydantic-settings' BaseSettings: only what `read_settings` passes in may count (no .env file of the working directory),
    and that package alone would take 10 MB and a tenth of the start.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True)

    # Railway injects no HOST and reaches a replica on its own addresses, so everything but loopback must answer.
    host: str = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    environment: Literal["dev", "staging", "prod"] = "dev"
    region: str = ""
    release: str = "source"
    replica_id: str = ""

    supabase_url: str
    supabase_anon_key: Secret
    supabase_service_role_key: Secret
    supabase_secret_key: Secret | None = None
    jwt_issuer: str
    jwt_audience: str = "authenticated"
    jwks_url: str = ""
    jwt_secret: Secret | None = None
    jwt_clock_skew_s: Annotated[float, Field(ge=0.0, le=60.0)] = 5.0
    verify_policy: str = "cached"
    opaque_tokens: Literal["refuse", "introspect"] = "refuse"
    introspection_url: str = ""
    introspection_client_id: str = ""
    introspection_client_secret: Secret | None = None

    database_url: Secret
    database_replica_url: Secret | None = None
    redis_url: Secret | None = None
    pool_size_min: Annotated[int, Field(ge=0, le=100)] = 2
    pool_size_max: Annotated[int, Field(ge=1, le=100)] = 50
    pool_timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 30.0
    pool_recycle_s: Annotated[float, Field(ge=1.0, le=86_400.0)] = 3600.0

    cache_key: Secret
    cache_ttl_s: Annotated[int, Field(ge=1, le=CACHE_TTL_S_MAX)] = 300
    cache_entries_max: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    cache_bytes_max: Annotated[int, Field(ge=65_536, le=4_294_967_296)] = 33_554_432
    revocation_staleness_max_s: Annotated[float, Field(ge=1.0, le=60.0)] = 2.0
    revocation_when_silent: str = "ask"

    cors_origins: tuple[str, ...] = ()
    cors_max_age_s: Annotated[int, Field(ge=0, le=86_400)] = 3600
    gzip_bytes_min: Annotated[int, Field(ge=0)] = 1000
    gzip_level: Annotated[int, Field(ge=1, le=9)] = 6

    rate_limit_address_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 300
    rate_limit_refresh_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    rate_limit_account_per_hour: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    rate_limit_user_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    rate_limit_replicas: Annotated[int, Field(ge=1, le=50)] = 2
    lockout_pair_failures: Annotated[int, Field(ge=0, le=1000)] = 5
    lockout_address_failures: Annotated[int, Field(ge=0, le=100_000)] = 50
    lockout_base_s: Annotated[int, Field(ge=1, le=3600)] = 5
    lockout_max_s: Annotated[int, Field(ge=1, le=86_400)] = 900

    otel_exporter_otlp_endpoint: str = ""
    otel_exporter_otlp_headers: Secret | None = None
    otel_service_name: str = "cached-auth"
    otel_traces_sampler_arg: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0

    drain_s: Annotated[float, Field(ge=0.0, le=300.0)] = 8.0
    smtp_url: Secret | None = None
    storage_bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = "users"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            # A wildcard together with credentials is what every browser refuses and every attacker hopes for.
            if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query or "*" in origin:
                raise ValueError(
                    "expected origins such as https://app.example.com, separated by commas, without path or wildcard"
                )
        return origins

    @field_validator("supabase_url", "jwt_issuer", "jwks_url", "otel_exporter_otlp_endpoint")
    @classmethod
    def _check_web_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("expected an http:// or https:// URL")
        return value.rstrip("/")

    @field_validator("introspection_url")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.fragment):
            raise ValueError("expected an http:// or https:// URL without credentials in it")
        return value  # as it is: with and without a slash at its end are two endpoints

    @field_validator("database_url", "database_replica_url")
    @classmethod
    def _check_database_url(cls, value: Secret | None) -> Secret | None:
        if value is not None:
            check_database_url(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: Secret | None) -> Secret | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss"}:
            raise ValueError("expected a redis:// or rediss:// URL")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: Secret | None) -> Secret | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"smtp", "smtps"}:
            raise ValueError("expected an smtp:// or smtps:// URL")
        if value is not None:
            check_options(value.get_secret_value(), MAIL_OPTIONS)
        return value

    @field_validator("supabase_secret_key")
    @classmethod
    def _check_secret_key(cls, value: Secret | None) -> Secret | None:
        # Supabase believes the client address that comes with such a key only; the service_role key, a JWT, does not do.
        if value is not None and not value.get_secret_value().startswith("sb_secret_"):
            raise ValueError("expected a secret API key, which begins with sb_secret_")
        return value

    @field_validator("supabase_service_role_key")
    @classmethod
    def _check_service_role_key(cls, value: Secret) -> Secret:
        text = value.get_secret_value()
        if text.startswith("sb_publishable_") or (text.startswith("eyJ") and _role_in(text) != "service_role"):
            raise ValueError("expected the service_role or a secret key; this one is given to browsers, and it opens /revoke")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_jwt_secret(cls, value: Secret | None) -> Secret | None:
        if value is None:
            return None
        text = value.get_secret_value()
        if len(text.encode()) < JWT_SECRET_BYTES_MIN:
            raise ValueError(f"expected at least {JWT_SECRET_BYTES_MIN} bytes (RFC 7518 section 3.2)")
        # A public key used as a secret is one that everybody knows: the root of all algorithm confusion (GHSA-xgmm-8j9v-c9wx).
        if "-----BEGIN" in text or text.startswith("ssh-") or ("{" in text and '"kty"' in text):
            raise ValueError("expected the project's legacy JWT secret, not a key document or a PEM file")
        if text.startswith(API_KEY_PREFIXES):
            raise ValueError("expected the project's legacy JWT secret, not an API key: those are given to browsers")
        if len(set(text)) < JWT_SECRET_CHARACTERS_MIN:
            raise ValueError("expected a secret that nobody can guess")
        return value

    @field_validator("cache_key")
    @classmethod
    def _check_cache_key(cls, value: Secret) -> Secret:
        if len(value.get_secret_value()) < 32:
            raise ValueError("expected at least 32 characters")
        return value

    @field_validator("verify_policy")
    @classmethod
    def _check_policy(cls, value: str) -> str:
        by_route(value, POLICIES)
        return value

    @field_validator("revocation_when_silent")
    @classmethod
    def _check_silence(cls, value: str) -> str:
        by_route(value, WHEN_SILENT)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.pool_size_min > self.pool_size_max:
            raise ValueError("POOL_SIZE_MIN: expected at most POOL_SIZE_MAX")
        # Whoever sits in between would read tokens there, or publish keys of his own.
        for name in ("supabase_url", "jwks_url", "introspection_url"):
            url = getattr(self, name)
            if self.environment == "prod" and url and not (url.startswith("https://") or is_loopback(url)):
                raise ValueError(f"{name.upper()}: expected https:// where ENVIRONMENT is prod")
        if self.introspection_url:
            self._check_introspection()
        if self.supabase_service_role_key.get_secret_value() == self.supabase_anon_key.get_secret_value():
            raise ValueError("SUPABASE_SERVICE_ROLE_KEY: expected another than SUPABASE_ANON_KEY, which everybody has")
        is_known = self.jwt_secret is not None and self.jwt_secret.get_secret_value().endswith(KNOWN_JWT_SECRET)
        if is_known and self.environment != "dev":
            raise ValueError("JWT_SECRET: expected a secret of the project's own; this one stands in Supabase's examples")
        return self

    def _check_introspection(self) -> None:
        if self.opaque_tokens != "introspect":
            raise ValueError("INTROSPECTION_URL: expected OPAQUE_TOKENS to be introspect; else it is never asked")
        if not self.introspection_client_id or self.introspection_client_secret is None:
            raise ValueError("INTROSPECTION_CLIENT_ID and INTROSPECTION_CLIENT_SECRET: expected both beside INTROSPECTION_URL")

    @property
    def policies(self) -> Policies:
        """How careful each route is."""
        words, rules = by_route(self.verify_policy, POLICIES), by_route(self.revocation_when_silent, WHEN_SILENT)
        return {route: RoutePolicy(words[route] == "strict", rules[route] == "refuse") for route in ROUTES}

    @property
    def jwks_address(self) -> str:
        """JWKS_URL, or where Supabase Auth publishes its keys."""
        return self.jwks_url or f"{self.supabase_url}/auth/v1/.well-known/jwks.json"

    @property
    def auth_url(self) -> str:
        return f"{self.supabase_url}/auth/v1"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The process's environment (or `environment`) as settings. An empty variable counts as absent. SettingsInvalid."""
    source = os.environ if environment is None else environment
    names = set(Settings.model_fields)
    given = {name.lower(): value for name, value in source.items() if name.lower() in names and name.isupper() and value != ""}
    given.setdefault("region", source.get("RAILWAY_REPLICA_REGION", ""))
    given.setdefault("replica_id", source.get("RAILWAY_REPLICA_ID", ""))
    unknown = sorted(name for name in source if name.startswith(OWN_PREFIXES) and name.lower() not in names)
    lines = [f"{name}: no such setting; see docs/service.md for the list" for name in unknown]
    settings: Settings | None = None
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines += [_line(mistake) for mistake in error.errors(include_input=False, include_url=False)]
    if lines or settings is None:
        raise SettingsInvalid("\n".join(lines))
    return settings


def _role_in(key: str) -> str:
    """The role that an API key of the older kind, a JWT, names; empty where it is none. Only compared, never believed."""
    part = key.split(".")[1] if key.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return ""
    return str(claims.get("role", "")) if isinstance(claims, dict) else ""


def _line(mistake: Any) -> str:
    message = str(mistake["msg"]).removeprefix("Value error, ")
    if not mistake["loc"]:  # raised by a rule over several variables, which names them itself
        return message
    name = str(mistake["loc"][0]).upper()
    if mistake["type"] == "missing":
        return f"{name}: not set, and there is no default"
    return f"{name}{message}" if message.startswith("/") else f"{name}: {message}"
