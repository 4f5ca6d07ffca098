"""The templates that the local cloud offers: those whose images it can run.

Their form is Railway's serializedConfig, and the names of their variables are those of Railway's own database templates, so that
what refers to `${{Redis.REDIS_URL}}` there does so here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

GENERATED = '${{secret(32, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")}}'


@dataclass(frozen=True, slots=True)
class Template:
    code: str
    name: str
    description: str
    category: str
    config: dict[str, Any]

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"template:{self.code}"))


def _cache(name: str, image: str, program: str) -> dict[str, Any]:
    """With a password of its own, its data in a volume, reached from outside by a TCP proxy."""
    variables = {
        "REDISHOST": "${{RAILWAY_PRIVATE_DOMAIN}}",
        "REDISPORT": "6379",
        "REDISUSER": "default",
        "REDISPASSWORD": "${{REDIS_PASSWORD}}",
        "REDIS_PASSWORD": GENERATED,
        "REDIS_URL": "redis://${{REDISUSER}}:${{REDIS_PASSWORD}}@${{REDISHOST}}:${{REDISPORT}}",
        "REDIS_PUBLIC_URL": (
            "redis://${{REDISUSER}}:${{REDIS_PASSWORD}}@${{RAILWAY_TCP_PROXY_DOMAIN}}:${{RAILWAY_TCP_PROXY_PORT}}"
        ),
    }
    service = {
        "name": name,
        "source": {"image": image},
        "deploy": {
            "startCommand": f"/bin/sh -c 'exec {program} --requirepass $REDIS_PASSWORD'",
            "requiredMountPath": "/data",
        },
        "variables": {key: {"defaultValue": value, "isOptional": False} for key, value in variables.items()},
        "networking": {"tcpProxies": {"6379": {}}, "serviceDomains": {}},
    }
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"template service:{name}"))
    return {"services": {identity: {**service, "volumeMounts": {identity: {"mountPath": "/data"}}}}}


TEMPLATES = (
    Template("redis", "Redis", "An in-memory store, its data in a volume", "Storage", _cache("Redis", "redis:8", "redis-server")),
    Template(
        "valkey", "Valkey", "As Redis, of the same protocol", "Storage", _cache("Valkey", "valkey/valkey:8", "valkey-server")
    ),
)


def found(*, code: str | None = None, identity: str | None = None) -> Template | None:
    return next((one for one in TEMPLATES if one.code == code or one.id == identity), None)
