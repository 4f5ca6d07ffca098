"""Railway's reads for Pulumi programs. Only the SDK is imported here; each answers with an Output of a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi

Answer = pulumi.Output[dict[str, Any]]


def get_regions(*, project_id: pulumi.Input[str] | None = None, opts: pulumi.InvokeOptions | None = None) -> Answer:
    """{"regions": [{"name", "location", "country"}]}, by name."""
    return _asked("getRegions", {"projectId": project_id}, opts)


def get_project(
    *, name: pulumi.Input[str], workspace_id: pulumi.Input[str] | None = None, opts: pulumi.InvokeOptions | None = None
) -> Answer:
    """{"id", "name", "workspaceId", "environments": {name: id}}. An error unless exactly one project has the name."""
    return _asked("getProject", {"name": name, "workspaceId": workspace_id}, opts)


def get_latest_deployment(
    *,
    project_id: pulumi.Input[str],
    environment_id: pulumi.Input[str],
    service_id: pulumi.Input[str],
    opts: pulumi.InvokeOptions | None = None,
) -> Answer:
    """{"id", "status", "createdAt", "url", "canRollback", "image"} of the newest one; an empty id where there is none."""
    place = {"projectId": project_id, "environmentId": environment_id, "serviceId": service_id}
    return _asked("getLatestDeployment", place, opts)


def get_estimated_usage(
    *,
    project_id: pulumi.Input[str] | None = None,
    workspace_id: pulumi.Input[str] | None = None,
    measurements: Sequence[str] | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> Answer:
    """{"usage": [{"projectId", "measurement", "value"}]} for the whole billing period, as Railway estimates it."""
    given = {"projectId": project_id, "workspaceId": workspace_id, "measurements": measurements}
    return _asked("getEstimatedUsage", given, opts)


def _asked(name: str, arguments: Mapping[str, Any], opts: pulumi.InvokeOptions | None) -> Answer:
    given = {key: value for key, value in arguments.items() if value is not None}
    return cast("Answer", pulumi.runtime.invoke_output(f"railway:index:{name}", given, opts))
