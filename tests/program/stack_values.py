"""Configuration as Pulumi hands it over: text, with lists and objects as JSON."""

import json
from typing import Any

SECRETS = {
    "cachePassword": "cache-password-cache-password",
    "databasePassword": "database/password?of-the-test",
    "cacheKey": "0123456789abcdef0123456789abcdef",
}
REGIONS = [
    {"name": "us-west2", "replicas": 2, "databaseRegion": "us-west-1"},
    {"name": "europe-west4-drams3a", "replicas": 2, "databaseRegion": "eu-central-1"},
]


def values(**changes: Any) -> dict[str, str]:
    """A right local stack with `changes`; a change to None takes the key out."""
    base: dict[str, Any] = {"cloud": "local", "environment": "dev", "regions": REGIONS, **SECRETS, **changes}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in base.items() if value is not None}
