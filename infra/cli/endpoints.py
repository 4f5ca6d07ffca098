"""A stack's outputs in the form that others rely on, with single replicas where they can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.cli.cloud import LocalCloud
from infra.cli.errors import UsageError
from infra.cli.screen import Screen
from infra.cli.session import Session

SECRET_OUTPUTS = ("anon_key", "service_role_key", "database_url")


def stack_document(session: Session) -> dict[str, Any]:
    """The outputs with secrets: {"stack", "endpoint", "release", "regions": {name: {"url", "replica_urls", ...}}, ...}."""
    outputs = session.deployment.outputs()
    if "regions" not in outputs:
        stack = session.file.name
        raise UsageError(f"stack {stack!r} has not been deployed from here", f"./cached-auth up {stack}")
    replicas = replica_urls(session.cloud) if session.cloud else {}
    regions = {
        name: {**region, "replica_urls": replicas.get((str(region.get("service_id")), name), [])}
        for name, region in dict(outputs["regions"]).items()
    }
    return {"stack": session.file.name, **outputs, "regions": regions}


def replica_urls(cloud: LocalCloud) -> dict[tuple[str, str], list[str]]:
    """(service id, region) -> URLs of its replicas. Railway has no way to reach one replica; the local cloud has."""
    urls: dict[tuple[str, str], list[str]] = {}
    for replica in cloud.status().get("replicas", []):
        if replica.get("url"):
            urls.setdefault((str(replica.get("service_id")), str(replica["region"])), []).append(str(replica["url"]))
    return {key: sorted(value) for key, value in urls.items()}


def public_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without what must not be on a screen."""
    return {key: value for key, value in document.items() if key not in SECRET_OUTPUTS}


def show_endpoints(screen: Screen, document: Mapping[str, Any]) -> None:
    screen.heading("endpoints")
    rows = [
        (
            name,
            str(region["url"]),
            f"{region.get('replicas', len(region['replica_urls']))} replicas",
            short(str(region.get("release", ""))),
        )
        for name, region in document["regions"].items()
    ]
    screen.table(("region", "url", "replicas", "release"), rows)
    screen.say(f"endpoint: {document['endpoint']}")


def short(digest: str) -> str:
    return digest[:19] if digest.startswith("sha256:") else digest
