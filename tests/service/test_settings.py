"""Settings: whole or not at all, named when wrong, silent about secrets; and documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.addresses import check_database_url
from service.database.pools import connect_arguments
from service.policies import RoutePolicy
from service.settings import Settings, SettingsInvalid, read_settings
from tests.service.conftest import settings_with
from tests.service.environment import good_environment

ROOT = Path(__file__).resolve().parents[2]
SECRETS = (
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "CACHE_KEY",
    "JWT_SECRET",
    "DATABASE_URL",
    "REDIS_URL",
    "SMTP_URL",
    "INTROSPECTION_CLIENT_SECRET",
)

DATABASE = "postgresql://u:p@db.example.com/x"
SSL_MODES = "disable, require, verify-ca or verify-full"
NO_OPTION = "no such option; there are application_name, host, options, port, sslcert, sslkey, sslmode, sslrootcert"

MISTAKES = [
    ("SUPABASE_URL", ""),
    ("SUPABASE_URL", "project.supabase.co"),
    ("SUPABASE_SECRET_KEY", "eyJhbGciOiJIUzI1NiJ9.e30.x"),
    ("SUPABASE_SERVICE_ROLE_KEY", "anon-key"),
    ("SUPABASE_SERVICE_ROLE_KEY", "sb_publishable_0123456789abcdefghijklmnop"),
    ("SUPABASE_SERVICE_ROLE_KEY", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"),
    ("SUPABASE_SERVICE_ROLE_KEY", "eyJhbGciOiJIUzI1NiJ9.e30"),
    ("JWT_ISSUER", ""),
    ("JWKS_URL", "file:///etc/passwd"),
    ("DATABASE_URL", "mysql://localhost/x"),
    ("DATABASE_REPLICA_URL", "localhost"),
    ("DATABASE_URL", "postgresql://u:pass/word@db.example.com/x"),
    ("DATABASE_URL", "postgresql://u:p@one.example.com,two.example.com/x"),
    ("DATABASE_URL", "postgresql://u:p@db.example.com/x?sslmode=require&"),
    ("REDIS_URL", "http://localhost"),
    ("SMTP_URL", "mail.example.com"),
    ("CACHE_KEY", "short"),
    ("CACHE_KEY", ""),
    ("CACHE_TTL_S", "0"),
    ("CACHE_TTL_S", "five"),
    ("CACHE_ENTRIES_MAX", "-1"),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", "https://*.example.com"),
    ("CORS_ORIGINS", "our.example.com"),
    ("CORS_ORIGINS", "https://app.example.com/path"),
    ("GZIP_LEVEL", "10"),
    ("ENVIRONMENT", "production"),
    ("PORT", "0"),
    ("PORT", "70000"),
    ("LOG_LEVEL", "loud"),
    ("STORAGE_BUCKET", "../users"),
    ("REVOCATION_STALENESS_MAX_S", "0.1"),
    ("RATE_LIMIT_ADDRESS_PER_MINUTE", "-1"),
    ("RATE_LIMIT_REPLICAS", "0"),
    ("LOCKOUT_BASE_S", "0"),
    ("LOCKOUT_FAILURES", "5"),
    ("JWT_SECRET", "a secret that is too short"),
    ("JWT_SECRET", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"),
    ("JWT_SECRET", '{"kty":"EC","crv":"P-256","x":"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY"}'),
    ("JWT_SECRET", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ someone@example.com"),
    ("JWT_SECRET", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"),
    ("JWT_SECRET", "sb_publishable_0123456789abcdefghijklmnop"),
    ("JWT_SECRET", "a" * 64),
    ("JWT_SECRET", "changeme" * 4),
    ("JWT_CLOCK_SKEW_S", "61"),
    ("VERIFY_POLICY", "lax"),
    ("VERIFY_POLICY", "cached,prove=strict"),
    ("VERIFY_POLICY", "me=strict"),
    ("VERIFY_POLICY", "cached,"),
    ("REVOCATION_WHEN_SILENT", "cached"),
    ("REVOCATION_WHEN_SILENT", "ask,refuse"),
    ("OPAQUE_TOKENS", "accept"),
    ("INTROSPECTION_URL", "auth.example.com/introspect"),
    ("INTROSPECTION_URL", "https://u:p@auth.example.com/introspect"),
    ("INTROSPECTION_URL", "https://auth.example.com/introspect"),
    ("INTROSPECTION_SECRET", "x"),
    ("CACHE_TTL", "300"),
    ("CORS_ORIGIN", "https://app.example.com"),
    ("POOL_SIZE", "3"),
]


@pytest.mark.parametrize(("name", "value"), MISTAKES)
def test_mistake_is_one_line_that_names_the_variable(name: str, value: str):
    with pytest.raises(SettingsInvalid) as caught:
        settings_with(**{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    if len(value) > 5:
        assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("VERIFY_POLICY", "cached,me=lax", "VERIFY_POLICY/me: expected cached or strict"),
        ("VERIFY_POLICY", "cached,me=", "VERIFY_POLICY/me: expected cached or strict"),
        ("VERIFY_POLICY", "cached,me", "VERIFY_POLICY/me: expected cached or strict"),
        ("DATABASE_URL", f"{DATABASE}?sslmode=", "DATABASE_URL/sslmode: empty"),
        ("DATABASE_URL", f"{DATABASE}?sslmode=of", f"DATABASE_URL/sslmode: expected {SSL_MODES}"),
        ("DATABASE_URL", f"{DATABASE}?sslmode=require&sslmode=disable", "DATABASE_URL/sslmode: given twice"),
        ("DATABASE_REPLICA_URL", f"{DATABASE}?pgbouncer=true", f"DATABASE_REPLICA_URL/pgbouncer: {NO_OPTION}"),
        ("DATABASE_URL", "postgresql://u:p?s3cret=x@db.example.com/x", f"DATABASE_URL/1: {NO_OPTION}"),
        ("SMTP_URL", "smtp://mail.example.com/?from=", "SMTP_URL/from: empty"),
        ("SMTP_URL", "smtp://mail.example.com/?form=a@b", "SMTP_URL/form: no such option; there are from"),
        ("REVOCATION_WHEN_SILENT", "ask,me=refuse,me=ask", "REVOCATION_WHEN_SILENT/me: named twice"),
    ],
)
def test_mistake_within_a_value_is_named_by_its_path(name: str, value: str, path: str):
    with pytest.raises(SettingsInvalid) as caught:
        settings_with(**{name: value})
    assert str(caught.value) == path


@pytest.mark.parametrize(
    ("url", "ssl"),
    [
        ("postgresql://u:p@127.0.0.2:5432/x", False),
        ("postgresql://u:p@[::1]/x", False),
        ("postgresql://u@/x?host=/tmp/s", False),
        ("postgresql://u:p@db.example.com/x", "require"),
        ("postgresql://u:sslmode=p@db.example.com/x", "require"),
        ("postgresql://u:p@db.example.com/x?application_name=sslmode=off", "require"),
        ("postgresql:///x?host=db.example.com", "require"),
        ("postgresql://u:p@127.example.com/x", "require"),
        ("postgresql://u:p@localhost.example.com/x", "require"),
        ("postgresql://u:p@127.0.0.1/x?sslmode=require", None),
        ("postgresql://u:p@db.example.com/x?sslmode=disable", None),
    ],
)
def test_tls_is_asked_of_whoever_is_not_on_this_machine_unless_the_url_says_what_to_ask(url: str, ssl: object):
    check_database_url(url)
    assert connect_arguments(url).get("ssl") is ssl or connect_arguments(url)["ssl"] == ssl


def test_policies_by_route():
    """The first word is for whatever is not named."""
    policies = settings_with(VERIFY_POLICY="strict, me=cached", REVOCATION_WHEN_SILENT="ask,verify=refuse").policies
    assert policies == {"verify": RoutePolicy(True, True), "me": RoutePolicy(False, False), "user": RoutePolicy(True, False)}
    assert set(settings_with().policies.values()) == {RoutePolicy()}


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsInvalid) as caught:
        settings_with(PORT="x", CACHE_TTL_S="x", CACHE_TTL="1")
    assert len(str(caught.value).splitlines()) == 3


def test_variables_of_the_platform_are_none_of_our_business():
    settings = settings_with(RAILWAY_SERVICE_ID="x", REDIS_PASSWORD="x", PATH="/bin", RAILWAY_REPLICA_REGION="us-west2", host="h")
    assert settings.region == "us-west2"
    assert settings.host == "0.0.0.0"  # noqa: S104


def test_region_of_our_own_wins_over_the_platforms():
    assert settings_with(REGION="here", RAILWAY_REPLICA_REGION="us-west2").region == "here"


def test_secrets_do_not_print():
    values = {
        name: f"{'redis' if 'REDIS' in name else 'smtp' if 'SMTP' in name else 'postgresql'}://s3cret-{'x' * 32}"
        for name in SECRETS
    }
    values["SUPABASE_SERVICE_ROLE_KEY"] += "y"
    values["SUPABASE_SECRET_KEY"] = f"sb_secret_s3cret-{'x' * 32}"
    settings = settings_with(**values)
    for text in (repr(settings), str(settings), repr(settings.cache_key), str(settings.model_dump())):
        assert "s3cret" not in text
    assert "[secret]" in repr(settings)


def test_introspection_needs_a_client_and_in_production_tls():
    given = {
        "OPAQUE_TOKENS": "introspect",
        "INTROSPECTION_URL": "http://auth.example.com/introspect/",
        "INTROSPECTION_CLIENT_ID": "c",
    }
    with pytest.raises(SettingsInvalid, match="INTROSPECTION_CLIENT_SECRET"):
        settings_with(**given)
    assert settings_with(**given, INTROSPECTION_CLIENT_SECRET="s").introspection_url.endswith("/introspect/")
    production = {"ENVIRONMENT": "prod", "SUPABASE_URL": "https://project.example.com"}
    with pytest.raises(SettingsInvalid, match="INTROSPECTION_URL: expected https"):
        settings_with(**given, **production, INTROSPECTION_CLIENT_SECRET="s")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        settings_with().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["SUPABASE_URL", "JWKS_URL"])
def test_production_needs_tls_to_the_issuer_and_to_its_keys(name: str):
    good = {"SUPABASE_URL": "https://project.example.com", "JWKS_URL": "https://keys.example.com/jwks.json"}
    with pytest.raises(SettingsInvalid, match=f"{name}: expected https"):
        settings_with(ENVIRONMENT="prod", **{**good, name: "http://project.example.com"})
    assert settings_with(ENVIRONMENT="prod", **good).environment == "prod"


def test_lists_and_defaults():
    settings = settings_with(CORS_ORIGINS="https://a.example.com, http://localhost:3000")
    assert settings.cors_origins == ("https://a.example.com", "http://localhost:3000")
    assert settings.jwks_address == "http://127.0.0.1:9/auth/v1/.well-known/jwks.json"
    assert (settings.cache_ttl_s, settings.cache_entries_max, settings.cors_max_age_s) == (300, 5000, 3600)


def test_environment_is_the_only_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A .env file that happens to lie in the working directory must not configure production."""
    (tmp_path / ".env").write_text("PORT=1234\n")
    monkeypatch.chdir(tmp_path)
    assert read_settings(good_environment()).port == 8080


def test_process_ends_with_2_and_one_line_per_mistake():
    environment = {"PATH": os.environ["PATH"], **good_environment(PORT="x", CACHE_KEY="short-secret")}
    done = subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert sorted(line.split(":")[0] for line in lines) == ["CACHE_KEY", "PORT"]
    assert "short-secret" not in done.stderr


def test_every_setting_is_documented_and_nothing_else():
    """docs/service.md's table of settings is the list; each row begins with the variable's name."""
    text = (ROOT / "docs" / "service.md").read_text()
    documented = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", text, re.MULTILINE)
    assert sorted(name for name, _ in documented) == sorted(name.upper() for name in Settings.model_fields)
    for name, default in documented:
        field = Settings.model_fields[name.lower()]
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert default == (f"{field.default:g}" if isinstance(field.default, float) else str(field.default)), name


@pytest.mark.parametrize("before", ["", "your-"])
def test_secret_of_the_examples_is_good_for_development_only(before: str):
    known = f"{before}super-secret-jwt-token-with-at-least-32-characters-long"
    assert settings_with(JWT_SECRET=known).jwt_secret is not None
    for environment in ("staging", "prod"):
        with pytest.raises(SettingsInvalid, match=r"^JWT_SECRET: "):
            settings_with(JWT_SECRET=known, ENVIRONMENT=environment, SUPABASE_URL="https://project.example.com")
