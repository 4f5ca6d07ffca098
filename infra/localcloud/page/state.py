"""What the page shows, in one answer: the status, deployments, traffic per region, what is switched on, and log lines."""

from __future__ import annotations

import time
from typing import Any

from infra.localcloud.access_lines import access_lines
from infra.localcloud.page.traffic import traffic_of
from infra.localcloud.process_names import key_of, process_names
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.model import World

DEPLOYMENTS_MAX = 30
ACCESS_LINES_MAX = 1000  # of each edge; the page asks every second
LOG_LINES_MAX = 200
View = dict[str, Any]


def deployment_views(world: World) -> list[View]:
    """The newest ones, newest first."""
    newest = sorted(world.deployments.values(), key=lambda found: found.created_at, reverse=True)[:DEPLOYMENTS_MAX]
    return [
        {
            "id": found.id,
            "service": world.services[found.service_id].name,
            "environment": world.environments[found.environment_id].name,
            "project": world.projects[found.project_id].name,
            "status": found.status.value,
            "created_at": found.created_at,
            "what": found.settings.image or found.release or "",
            "regions": found.settings.placement,
        }
        for found in newest
    ]


def traffic_views(cloud: Cloud) -> dict[str, View]:
    """Edges write by the machine's clock."""
    now_ms = time.time() * 1000
    found = access_lines(cloud.plane, ACCESS_LINES_MAX)
    return {region: traffic_of(lines, now_ms, is_all=len(lines) < ACCESS_LINES_MAX) for region, lines in found.items()}


def log_view(cloud: Cloud, name: str) -> View:
    """Of a process by its name, or of a deployment's build by its id. NotFound, BadInput."""
    if name in cloud.keeper.world.deployments:
        build = cloud.conductor.build_logs.read(name)[-LOG_LINES_MAX:]
        return {"name": f"build of {name}", "lines": [[one.timestamp, one.severity, one.message] for one in build]}
    names = process_names(cloud.keeper.world)
    key = key_of(names, name)
    lines = cloud.plane.logs(key, LOG_LINES_MAX)
    return {"name": names[key], "lines": [[one.timestamp, one.stream, one.text] for one in lines]}
