"""Following one deployment to its end."""

from __future__ import annotations

from infra.provider.definition import Call
from infra.provider.errors import ProviderError, RemoteError
from infra.provider.waiting import PAUSE_FIRST_S, PAUSE_GROWTH, PAUSE_MAX_S
from infra.railway.client import Data, RailwayClient
from infra.railway.deployment.statuses import READY, UNDER_WAY
from infra.railway.deployment.watch import watching
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
    """Waits until the deployment serves; tells each change of status. NotReady, with log lines, for every other end.

    Railway tells by subscription; without one, and now and then all the same, it is asked.
    """
    last, give_up_at = "QUEUED", call.clock() + deadline_s
    pause_s = PAUSE_FIRST_S
    try:
        async with watching(call, deployment_id) as watch:
            while True:
                await watch.show_when_due()
                deployment = watch.taken() or await status_of(call, deployment_id)
                status = str(deployment["status"]) if deployment else last  # None: not to be seen yet
                if status != last:
                    await call.tell(f"deployment {status.lower().replace('_', ' ')}")
                    last = status
                if deployment is not None and status in READY:
                    return deployment
                if status not in UNDER_WAY:
                    lines = await last_lines(call, deployment_id)
                    raise NotReady(f"deployment {deployment_id} ended as {status}", status, lines)
                left_s = give_up_at - call.clock()
                if left_s <= 0:
                    lines = await last_lines(call, deployment_id)
                    message = f"deployment {deployment_id} is still {last} after {deadline_s:g} s"
                    raise NotReady(f"{message}; raise timeout_s if it needs longer", last, lines)
                await watch.pause(min(PAUSE_MAX_S if watch.is_live else pause_s, left_s))
                pause_s = min(pause_s * PAUSE_GROWTH, PAUSE_MAX_S)
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
        lines.extend(call.shortened(str(entry["message"]).rstrip(), LINE_CHARS_MAX) for entry in answer[name] or ())
    return tuple(line for line in lines if line)[-LINES_SHOWN:]
