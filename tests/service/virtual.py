"""Several processes in one, on one virtual clock: each has an event loop of its own, which can be stopped, as SIGSTOP does.

Nothing here waits. Time is a number that jumps to whatever is due next; the same seed gives the same run, event by event.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class World:
    """Everything that happens, in order. `at` plans an event of the world's own; programs plan theirs on their loops."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self.loops: list[ProcessLoop] = []

    def at(self, when: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (max(when, self.now), next(self._numbers), event))

    def run(self, until: float) -> None:
        while True:
            while sum(loop.step() for loop in self.loops if not loop.is_stopped):  # every one has its turn
                pass
            due = [loop.next_due() for loop in self.loops if not loop.is_stopped]
            when = min([*due, *(event[0] for event in self._events[:1])], default=until)
            if when >= until:
                self.now = until
                return
            self.now = max(self.now, when)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one process. `is_stopped`: what becomes due waits until it goes on, as it does in the kernel."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self.is_stopped = False
        self.faults: list[BaseException] = []
        world.loops.append(self)

    def step(self) -> bool:
        """Runs what is due; False where nothing was."""
        while self._timers and self._timers[0][0] <= self._world.now:
            self._ready.append(heapq.heappop(self._timers)[2])
        count = len(self._ready)
        if count == 0:
            return False
        asyncio._set_running_loop(self)
        try:
            for _ in range(count):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(None)
        return True

    def next_due(self) -> float:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._world.now if self._ready else self._timers[0][0] if self._timers else float("inf")

    def kill(self) -> None:
        """The process is gone: nothing of it runs again, not even its clean-up."""
        self._world.loops.remove(self)

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._world.now

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._world.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **_: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        return asyncio.Task(coro, loop=self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context.get("exception") or RuntimeError(context["message"]))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """`next_due` drops it."""
