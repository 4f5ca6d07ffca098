"""The plane's own children that follow a table (edges, links): started on demand, started again when they break.

An attendant is no customer's process: its end is not reported but mended, with the table it had last.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from infra.localcloud.plane.control_channel import DESCRIPTOR_VARIABLE, Controller, control_pair
from infra.localcloud.plane.interface import AddressInUse, PlaneError
from infra.localcloud.plane.processes import Child, Supervisor
from infra.localcloud.plane.spawning import Command

RESTART_PAUSE_S = 0.2
ATTEMPTS_MAX = 3
STOP_S = 3.0
ROOT = Path(__file__).resolve().parents[3]


class Attendant:
    """`python -m <module> <arguments>` following the newest table it was given."""

    def __init__(self, supervisor: Supervisor, key: str, module: str, arguments: tuple[str, ...], cwd: Path) -> None:
        self._supervisor, self._key = supervisor, key
        self._argv = (sys.executable, "-m", module, *arguments)
        self._cwd = cwd
        self._table: object = None
        self._child: Child | None = None
        self._controller: Controller | None = None
        self._mender: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._is_closing = False

    async def follow(self, table: object) -> None:
        """Returns when the child works by `table`. AddressInUse when it cannot listen somewhere, PlaneError when it breaks."""
        async with self._lock:
            self._table = table
            errors = await self._deliver()
        if errors:
            raise AddressInUse(f"{self._key}: {'; '.join(errors)}")

    def retire(self) -> None:
        """From here on its end is not mended."""
        self._is_closing = True
        if self._mender is not None:
            self._mender.cancel()

    async def close(self) -> None:
        self.retire()
        await self._supervisor.stop(self._key, STOP_S)
        if self._controller is not None:
            self._controller.close()

    async def _deliver(self) -> tuple[str, ...]:
        for _ in range(ATTEMPTS_MAX):
            if self._child is None or self._child.exit_code.done():
                await self._start()
            assert self._controller is not None
            try:
                return await self._controller.send(self._table)
            except (OSError, TimeoutError):
                await self._supervisor.stop(self._key, 0.0)
        last = self._supervisor.logs(self._key, 3)
        raise PlaneError(f"{self._key} broke {ATTEMPTS_MAX} times: {' | '.join(line.text for line in last)}")

    async def _start(self) -> None:
        if self._controller is not None:
            self._controller.close()
        self._controller, theirs = control_pair()
        environment = {DESCRIPTOR_VARIABLE: str(theirs.fileno()), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with theirs:
            command = Command(self._argv, self._cwd, environment, pass_descriptors=(theirs.fileno(),))
            self._child = await self._supervisor.start(self._key, command)
        self._child.is_wanted_end = True
        if self._mender is None:
            self._mender = asyncio.get_running_loop().create_task(self._mend(), name=f"mend-{self._key}")

    async def _mend(self) -> None:
        """Waits for the child's end and gives its successor the same table; gives up when that breaks at once."""
        while not self._is_closing:
            child = self._child
            assert child is not None
            await asyncio.shield(child.exit_code)
            await asyncio.sleep(RESTART_PAUSE_S)
            with contextlib.suppress(PlaneError):
                async with self._lock:
                    if self._child is child:
                        await self._deliver()
            if self._child is child:
                self._mender = None  # the next table starts it anew
                return
