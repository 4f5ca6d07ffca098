"""What Railway tells of a deployment by itself: its states, its steps and its log lines, as they come.

The watch never fails what it watches. Without a connection, or after it was lost for good, `pause` is only a pause and the
caller asks, as it does now and then anyway.

Who deploys ten services wants to see what is wrong, not ten logs. So the newest line passes by beside the resource, and lines
stay on the screen only once a deployment takes long: then all of them, from the first. One that fails has its last lines in its
error in any case. The setting `deploymentLogs` says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from infra.provider.definition import Call
from infra.provider.waiting import pause
from infra.provider.websocket import SocketLost
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import load
from infra.railway.subscriptions import Asked

STATES = load(__file__, "deployment_subscription.graphql")
EVENTS = load(__file__, "events_subscription.graphql")
BUILD_LOGS = load(__file__, "build_logs_subscription.graphql")
DEPLOYMENT_LOGS = load(__file__, "deployment_logs_subscription.graphql")

CONNECTIONS_MAX = 3
LINES_MAX = 200
LINE_CHARS_MAX = 300
SLOW_S = 30.0
"""Longer than a start, shorter than the patience of who watches a build."""
_LOGS = {"buildLogs": "build", "deploymentLogs": "run"}


class Watch:
    """One deployment's. `is_live` while Railway tells; `state` is the last that it told and nobody has taken yet."""

    def __init__(self, call: Call[RailwayClient], deployment_id: str) -> None:
        self._call, self._id = call, deployment_id
        self._told = asyncio.Event()
        self._state: Data | None = None
        self._lines: set[tuple[str, str, str]] = set()
        self._held: deque[str] = deque()
        """Lines that may have to be shown; never more than are shown at all."""
        self._showing = asyncio.Lock()
        self._slow_at = call.clock() + SLOW_S
        self.is_live = False

    def taken(self) -> Data | None:
        state, self._state = self._state, None
        self._told.clear()
        return state

    async def pause(self, seconds: float) -> None:
        """Until something is told, or `seconds` have passed."""
        await pause(self._call, self._told, seconds)

    async def run(self) -> None:
        """Follows until everything is told; a lost connection is made again, a few times."""
        variables = {"id": self._id}
        logs = {**variables, "limit": LINES_MAX}
        asked: Asked = {
            "deployment": (STATES, variables),
            "deploymentEvents": (EVENTS, variables),
            "buildLogs": (BUILD_LOGS, logs),
            "deploymentLogs": (DEPLOYMENT_LOGS, logs),
        }
        for attempt in range(CONNECTIONS_MAX):
            try:
                async with contextlib.aclosing(self._call.client.subscriptions.follow(asked)) as told:
                    async for name, data in told:
                        self.is_live = True
                        await self._take(name, data)
                return
            except SocketLost as error:
                if attempt + 1 == CONNECTIONS_MAX:
                    await self._call.tell(f"asking for the deployment's state now and then: {error}")
            finally:
                self.is_live = False
            await self._call.sleep(float(1 << attempt))

    async def _take(self, name: str, data: Data) -> None:
        content: Any = data.get(name)
        if name == "deployment" and isinstance(content, dict) and "status" in content:
            self._state = content
            self._told.set()
        elif name == "deploymentEvents" and isinstance(content, dict):
            await self._call.tell(self._step(content))
        elif name in _LOGS and isinstance(content, list):
            for entry in content:
                await self._show(_LOGS[name], entry)

    def _step(self, event: Data) -> str:
        step = str(event.get("step") or "").lower().replace("_", " ")
        payload = event.get("payload")
        error = payload.get("error") if isinstance(payload, dict) else None
        if error:
            return f"{step} failed: {self._call.shortened(str(error), LINE_CHARS_MAX)}"
        return f"{step} done" if event.get("completedAt") else step

    async def _show(self, log: str, entry: Any) -> None:
        """Each line once, also after a connection was made again; not more than a screen or two."""
        text = str(entry.get("message") or "").rstrip() if isinstance(entry, dict) else ""
        line = self._call.shortened(text, LINE_CHARS_MAX)
        key = (log, str(entry.get("timestamp")) if isinstance(entry, dict) else "", line)
        if not line or key in self._lines or len(self._lines) > LINES_MAX:
            return
        self._lines.add(key)
        is_last = len(self._lines) > LINES_MAX
        self._held.append(f"{log}: further lines of this deployment are in Railway's logs" if is_last else f"{log}: {line}")
        await self._call.tell(self._held[-1])
        await self.show_when_due()

    async def show_when_due(self) -> None:
        """Puts on the screen what was held, in its order, if this deployment's lines are to be seen by now."""
        logs = self._call.client.deployment_logs
        if logs == "failed" or (logs == "slow" and self._call.clock() < self._slow_at):
            return
        async with self._showing:
            while self._held:
                await self._call.show(self._held.popleft())


@contextlib.asynccontextmanager
async def watching(call: Call[RailwayClient], deployment_id: str) -> AsyncIterator[Watch]:
    watch = Watch(call, deployment_id)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # a stop in its pause is everybody's stop, and told by who waits
