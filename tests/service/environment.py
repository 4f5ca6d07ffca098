"""The smallest environment that a replica starts from."""

from __future__ import annotations


def good_environment(**changes: str) -> dict[str, str]:
    """The smallest environment that a replica starts from, with `changes`; an empty value takes a variable away."""
    good = {
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_ANON_KEY": "anon-key",
        "SUPABASE_SERVICE_ROLE_KEY": "service-role-key",
        "JWT_ISSUER": "https://project.example.com/auth/v1",
        "DATABASE_URL": "postgresql://postgres:pw@127.0.0.1:9/postgres",
        "CACHE_KEY": "k" * 32,
    }
    return {**good, **changes}
