"""Following one deployment to its end."""

from __future__ import annotations

from infra.provider.definition import Call
from infra.provider.errors import ProviderError, RemoteError
from infra.provider.waiting import TimedOut, until
from infra.railway.client import Data, RailwayClient
from infra.railway.deployment.statuses import READY, UNDER_WAY
from infra.railway.operations import load

READ = load(__file__, "read.graphql")
BUILD_LOGS = load(__file__, "build_logs.graphql")
DEPLOYMENT_LOGS = load(__file__, "deployment_logs.graphql")

LINES_SHOWN = 15
LINE_CHARS_MAX = 300


class NotReady(ProviderError):
    """The deployment ended, or was left, in another status than ready. `status` is the last one seen."""

    def __init__(self, message: str, status: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.lines = lines


async def status_of(call: Call[RailwayClient], deployment_id: str) -> Data | None:
    """The deployment as Railway reports it; None when it is unknown there."""
    answer = await call.client.query_or_none(READ, id=deployment_id)
    deployment: Data | None = (answer or {}).get("deployment")
    return deployment


async def until_ready(call: Call[RailwayClient], deployment_id: str, deadline_s: float) -> Data:
    """Waits until the deployment serves; tells each change of status. NotReady, with log lines, for every other end."""
    last = "QUEUED"

    async def look() -> Data | None:
        nonlocal last
        deployment = await status_of(call, deployment_id)
        if deployment is None:
            return None  # not to be seen yet
        status = str(deployment["status"])
        if status != last:
            await call.tell(f"deployment {status.lower().replace('_', ' ')}")
            last = status
        if status in READY:
            return deployment
        if status not in UNDER_WAY:
            lines = await last_lines(call, deployment_id)
            raise NotReady(f"deployment {deployment_id} ended as {status}", status, lines)
        return None

    try:
        return await until(call, look, deadline_s=deadline_s, what=f"deployment {deployment_id}")
    except TimedOut:
        lines = await last_lines(call, deployment_id)
        message = f"deployment {deployment_id} is still {last} after {deadline_s:g} s; raise timeout_s if it needs longer"
        raise NotReady(message, last, lines) from None
    except NotReady:
        raise
    except ProviderError as error:
        raise NotReady(f"deployment {deployment_id} was left in status {last}: {error}", last) from error


async def last_lines(call: Call[RailwayClient], deployment_id: str) -> tuple[str, ...]:
    """The last lines of the build and run logs. Logs are a help, never a reason to fail: without them, none."""
    lines: list[str] = []
    for operation, name in ((BUILD_LOGS, "buildLogs"), (DEPLOYMENT_LOGS, "deploymentLogs")):
        try:
            answer = await call.client.query(operation, deploymentId=deployment_id, limit=100)
        except RemoteError:
            continue
        lines.extend(str(entry["message"]).rstrip()[:LINE_CHARS_MAX] for entry in answer[name] or ())
    return tuple(line for line in lines if line)[-LINES_SHOWN:]
