"""The two questions that the commands ask Railway's API themselves: how is a deployment, and what did it write.

The same questions go to Railway and to the local cloud. Operations are queries of Railway's public schema.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from infra.cli.errors import OperationFailed, UsageError
from infra.cli.session import Session
from infra.provider.endpoints import is_loopback, require_private_way
from infra.provider.errors import ConfigurationError

RAILWAY_URL = "https://backboard.railway.com/graphql/v2"
TIMEOUT_S = 15
STATUS_QUERY = "query status($id: String!) { deployment(id: $id) { id status } }"
LOGS_QUERY = """query logs($id: String!, $limit: Int) {
  deploymentLogs(deploymentId: $id, limit: $limit) { timestamp message severity }
}"""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a deployment's log; `timestamp` is RFC 3339 in UTC."""

    timestamp: str
    severity: str
    message: str


def deployment_status(session: Session, region: Mapping[str, Any]) -> str:
    """Railway's status word of the region's deployment; `unknown` where the stack has none yet."""
    if not region.get("deployment_id"):
        return "unknown"
    found = ask(session, STATUS_QUERY, {"id": region["deployment_id"]}).get("deployment") or {}
    return str(found.get("status", "unknown"))


def deployment_logs(session: Session, deployment_id: str, limit: int) -> list[LogEntry]:
    """The newest `limit` lines, oldest first."""
    rows = ask(session, LOGS_QUERY, {"id": deployment_id, "limit": limit}).get("deploymentLogs") or []
    return [LogEntry(str(row["timestamp"]), str(row.get("severity") or ""), str(row["message"])) for row in rows]


def ask(session: Session, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """One GraphQL query's data. OperationFailed with the API's own message; the token is never part of it."""
    environment = session.cloud.environment() if session.cloud else dict(os.environ)
    token = environment.get("RAILWAY_API_TOKEN")
    if not token:
        raise UsageError("RAILWAY_API_TOKEN: expected a Railway account token, found none", "export RAILWAY_API_TOKEN=...")
    url = environment.get("RAILWAY_API_URL") or RAILWAY_URL
    try:
        require_private_way("RAILWAY_API_URL", url)
    except ConfigurationError as error:
        raise UsageError(str(error), "unset RAILWAY_API_URL") from error
    try:
        answer = httpx.post(
            url,
            json={"query": query, "variables": dict(variables)},
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=not is_loopback(httpx.URL(url).host),  # a proxy has no business on this machine's own addresses
        )
        document = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise OperationFailed(
            f"Railway's API at {httpx.URL(url).host} did not answer ({type(error).__name__})", "./cached-auth doctor"
        ) from error
    if errors := document.get("errors"):
        raise OperationFailed(
            f"Railway's API: {errors[0].get('message', 'no message')}", f"./cached-auth status {session.file.name}"
        )
    return dict(document.get("data") or {})
