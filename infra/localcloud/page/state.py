"""What the page shows, in one answer: the status, deployments, traffic per region, what is switched on, and log lines."""

from __future__ import annotations

import time
from typing import Any

from infra.localcloud.page.traffic import access_lines, traffic_of
from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.process_names import key_of, process_names
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.model import World

DEPLOYMENTS_MAX = 30
ACCESS_LINES_MAX = 500
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
    logs = {region: cloud.plane.logs(f"edge-{region}", ACCESS_LINES_MAX) for region in REGIONS}
    return {region: traffic_of(access_lines(lines), now_ms) for region, lines in logs.items() if lines}


def log_view(cloud: Cloud, name: str) -> View:
    """Of a process by its name, or of a deployment's build by its id. NotFound, BadInput."""
    if name in cloud.keeper.world.deployments:
        build = cloud.conductor.build_logs.read(name)[-LOG_LINES_MAX:]
        return {"name": f"build of {name}", "lines": [[one.timestamp, one.severity, one.message] for one in build]}
    names = process_names(cloud.keeper.world)
    key = key_of(names, name)
    lines = cloud.plane.logs(key, LOG_LINES_MAX)
    return {"name": names[key], "lines": [[one.timestamp, one.stream, one.text] for one in lines]}
