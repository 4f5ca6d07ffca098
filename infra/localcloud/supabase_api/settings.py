"""Settings of the process, read once from the environment and validated whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.localcloud.hook_address import EXPECTED, HOOK_ADDRESS
from infra.localcloud.supabase_api import auth_config
from infra.localcloud.supabase_api.auth_config import AuthConfig, AuthConfigInvalid

DEFAULT_AUTH = AuthConfig()


class SettingsInvalid(Exception):
    """The environment is not usable; the message names every variable that is wrong, never a value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, sizes in bytes. Secrets stay out of `repr`."""

    host: str
    port: int
    database_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    signing_key_file: Path
    external_url: str
    storage_dir: Path
    bcrypt_cost: int = 10
    auth: AuthConfig = DEFAULT_AUTH
    smtp_host: str = ""
    smtp_port: int = 25
    clock_file: Path | None = None
    database_wait_s: float = 30.0
    pool_size_max: int = 10
    request_timeout_s: float = 10.0
    drain_s: float = 10.0

    @property
    def issuer(self) -> str:
        """The `iss` claim of every access token."""
        return f"{self.external_url}/auth/v1"


REQUIRED = (
    "HOST",
    "DATABASE_URL",
    "JWT_SECRET",
    "ANON_KEY",
    "SERVICE_ROLE_KEY",
    "SIGNING_KEY_FILE",
    "EXTERNAL_URL",
    "STORAGE_DIR",
)
JWT_SECRET_CHARACTERS_MIN = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as the hash


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from `environment`; raises SettingsInvalid with all mistakes at once."""
    mistakes = [f"{name}: missing" for name in REQUIRED if not environment.get(name)]
    port = _integer(environment, "PORT", 8000, 1, 65535, mistakes.append)
    bcrypt_cost = _integer(environment, "BCRYPT_COST", 10, 4, 15, mistakes.append)
    smtp_port = _integer(environment, "SMTP_PORT", 25, 1, 65535, mistakes.append)
    auth = _auth(environment, mistakes.append)
    if auth.hook_custom_access_token_enabled and HOOK_ADDRESS.fullmatch(auth.hook_custom_access_token_uri) is None:
        mistakes.append(f"AUTH_CONFIG: hook_custom_access_token_uri: {EXPECTED}")
    if 0 < len(environment.get("JWT_SECRET", "")) < JWT_SECRET_CHARACTERS_MIN:
        mistakes.append(f"JWT_SECRET: expected at least {JWT_SECRET_CHARACTERS_MIN} characters")
    if not environment.get("EXTERNAL_URL", "http://").startswith(("http://", "https://")):
        mistakes.append("EXTERNAL_URL: expected http:// or https://")
    if mistakes:
        raise SettingsInvalid("; ".join(mistakes))
    return Settings(
        host=environment["HOST"],
        port=port,
        database_url=environment["DATABASE_URL"],
        jwt_secret=environment["JWT_SECRET"],
        anon_key=environment["ANON_KEY"],
        service_role_key=environment["SERVICE_ROLE_KEY"],
        signing_key_file=Path(environment["SIGNING_KEY_FILE"]),
        external_url=environment["EXTERNAL_URL"].rstrip("/"),
        storage_dir=Path(environment["STORAGE_DIR"]),
        bcrypt_cost=bcrypt_cost,
        auth=auth,
        smtp_host=environment.get("SMTP_HOST", ""),
        smtp_port=smtp_port,
        clock_file=Path(environment["CLOCK_FILE"]) if environment.get("CLOCK_FILE") else None,
    )


def _auth(environment: Mapping[str, str], report: Callable[[str], None]) -> AuthConfig:
    try:
        return auth_config.parsed(environment.get("AUTH_CONFIG") or "{}")
    except AuthConfigInvalid as exc:
        report(f"AUTH_CONFIG: {exc}")
        return DEFAULT_AUTH


def _integer(
    environment: Mapping[str, str], name: str, default: int, lowest: int, highest: int, report: Callable[[str], None]
) -> int:
    text = environment.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
        report(f"{name}: expected a whole number from {lowest} to {highest}")
        return default
    return int(text)
