"""One update from start to end: up, preview, refresh, destroy.

prepare   read project, settings and state; start the program and the likely plugins (they load while we do)
run       server up -> refresh? -> program registers -> deletes -> stack outputs -> last save -> summary
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2_grpc

from infra.engine.display.events import EventFile, Events, EventStream
from infra.engine.errors import EngineError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.values import has_secret, mask, secret_strings
from infra.engine.planning.deletion import unwanted, with_dependents
from infra.engine.planning.import_file import ImportSpec
from infra.engine.planning.options import Options
from infra.engine.planning.plan import Op
from infra.engine.plugins.assets import count_paths_from
from infra.engine.plugins.processes import Processes
from infra.engine.plugins.remote import CHANNEL_OPTIONS
from infra.engine.running import program
from infra.engine.running.callbacks import Callbacks, Hooks
from infra.engine.running.deletes import Deletes
from infra.engine.running.deployment import Deployment
from infra.engine.running.engine_service import EngineService
from infra.engine.running.execution import Execution
from infra.engine.running.imports import Imports
from infra.engine.running.monitor import Monitor
from infra.engine.running.refresh import Refresh
from infra.engine.running.registration import Registrar
from infra.engine.running.registry import Providers
from infra.engine.running.replacement import Replacement
from infra.engine.state.snapshot import Snapshot
from infra.engine.workspace.config import secret_texts
from infra.engine.workspace.session import Session

GIVE_UP_S = 2.0  # for plugins that were told to cancel


@dataclass(slots=True)
class Prepared:
    """What was started before gRPC was loaded."""

    port_holder: socket.socket
    processes: Processes
    program: "program.LocalProgram | program.InlineProgram | None"


@dataclass(frozen=True, slots=True)
class Result:
    """How the update ended."""

    is_success: bool
    changes: dict[str, int]
    duration_s: float
    states: list[ResourceState] = field(default_factory=list)

    @property
    def has_changes(self) -> bool:
        return any(count for op, count in self.changes.items() if op not in (Op.SAME, Op.READ, Op.REFRESH))


class Update:
    """Runs one update; made for a single use."""

    def __init__(self, kind: str, session: Session, options: Options, document: dict[str, Any], prepared: Prepared) -> None:
        self._kind = kind
        program_path = session.project.program
        count_paths_from(program_path if program_path.is_dir() else session.project.folder)
        self._session = session
        self._prepared = prepared
        latest = document["checkpoint"].get("latest") or {}
        crypter = session.crypter(latest)
        latest["secrets_providers"] = {"type": "passphrase", "state": {"salt": crypter.state}}
        document["checkpoint"]["latest"] = latest
        write: Callable[[str], None] | None = None
        if not options.is_preview:
            write = lambda text: session.backend.write(session.name, text)  # noqa: E731
        self.snapshot = Snapshot(document, session.states(document), crypter, write)
        self.events = Events(options.is_preview)
        self.deployment = Deployment(
            session.name,
            session.project,
            options,
            session.config(crypter),
            crypter,
            session.crypter_of,
            session.backend,
            self.snapshot,
            self.events,
            session.workspace.home,
        )
        self._is_finished = False
        self.imports: tuple[list[ImportSpec], bool] = ([], False)
        self._cancelled = asyncio.Event()
        self._giving_up: asyncio.Task[None] | None = None

    async def run(self, event_log: str) -> Result:
        """Never raises for what the deployment itself meets: that is told by events and the result."""
        log = _open_log(event_log)
        if log is not None:
            self.events.subscribe(log.write)
        started = time.monotonic()
        try:
            self._announce()
            await self._run()
        except EngineError as exc:
            self.deployment.fail("", str(exc))
        finally:
            duration_s = time.monotonic() - started
            self.events.summary(duration_s, False)
            self.events.emit("cancelEvent", {})
            if log is not None:
                await log.close()
        states = self.snapshot.states()
        return Result(not self.deployment.has_failed, self.events.changes, duration_s, states)

    def _announce(self) -> None:
        deployment = self.deployment
        self.events.never_show(secret_texts(self._session.settings, deployment.crypter))
        for state in self.snapshot.olds:
            self.events.never_show(secret_strings([state.inputs, state.outputs]))
        self.events.prelude({k: "[secret]" if item.is_secret else item.text for k, item in deployment.config.items()})
        for operation in self.snapshot.kept_pending:
            urn = operation["resource"]["urn"]
            deployment.events.diagnostic(
                "warning",
                "an update before this one was interrupted while it created this resource, which may exist without being in the "
                "state; look for it, import or delete it, then run `refresh --clear-pending-creates`",
                urn,
            )

    async def _run(self) -> None:
        deployment, prepared = self.deployment, self._prepared
        providers = Providers(deployment, prepared.processes)
        callbacks = Callbacks()
        hooks = Hooks(callbacks, deployment.is_preview)
        execution = Execution(deployment, providers, hooks)
        refresh = Refresh(deployment, providers)
        registrar = Registrar(deployment, providers, execution, Replacement(deployment, providers, execution), refresh)
        monitor = Monitor(deployment, providers, registrar, hooks, callbacks, lambda: self._finish(execution, monitor, refresh))
        server = grpc.aio.server(options=CHANNEL_OPTIONS)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
        engine_pb2_grpc.add_EngineServicer_to_server(EngineService(deployment), server)
        monitor.address = prepared.processes.engine_address
        server.add_insecure_port(monitor.address)
        await server.start()
        prepared.port_holder.close()
        try:
            with _signals(lambda: self._cancel(providers)):
                if self._kind == "refresh":
                    deployment.targets.check({state.urn for state in self.snapshot.olds})
                if deployment.options.is_refresh and not deployment.options.is_refresh_by_program:
                    await refresh.run()
                if self._kind == "import":
                    await Imports(deployment, providers, execution, registrar.provider_resources).run(*self.imports)
                elif prepared.program is None:
                    await self._finish(execution, monitor, refresh)
                elif not deployment.has_failed:
                    await self._run_program(monitor, lambda: self._finish(execution, monitor, refresh))
                if deployment.is_cancelled:
                    deployment.fail("", "cancelled; what was done is saved, run it again to go on")
                if not deployment.is_preview:
                    await self.snapshot.save()
        finally:
            await callbacks.close()
            await providers.close()
            await server.stop(0)

    async def _run_program(self, monitor: Monitor, finish: Callable[[], Awaitable[None]]) -> None:
        deployment = self.deployment
        assert self._prepared.program is not None
        running = asyncio.create_task(self._prepared.program.run(deployment, monitor.address))
        cancelled = asyncio.create_task(self._cancelled.wait())
        await asyncio.wait([running, cancelled], return_when=asyncio.FIRST_COMPLETED)
        cancelled.cancel()
        if deployment.is_cancelled:
            await monitor.idle()
            self._prepared.program.stop()
        code = await running
        await monitor.idle()
        if deployment.is_cancelled:
            return
        if code == 0 and not deployment.has_failed:
            await finish()
        elif not deployment.has_failed and not deployment.has_logged_error:
            deployment.fail(deployment.stack_urn, f"the program ended with exit code {code}")
        deployment.has_failed = deployment.has_failed or code != 0

    async def _finish(self, execution: Execution, monitor: Monitor, refresh: Refresh) -> None:
        """Once everything is registered: stack outputs, then deletes. On a failure neither, unless asked to go on."""
        deployment = self.deployment
        if self._is_finished or deployment.is_cancelled or (deployment.has_failed and not deployment.options.continue_on_error):
            return
        self._is_finished = True
        if deployment.options.is_refresh_by_program:
            await refresh.run()  # what the program no longer registers
        if self._kind == "refresh":
            return
        stack = deployment.news.get(deployment.stack_urn)
        if stack is not None and monitor.stack_outputs is not None and not deployment.has_failed and self._kind != "destroy":
            old_outputs = stack.outputs
            stack.outputs = monitor.stack_outputs
            self.snapshot.touched(stack)
            self.events.outputs_registered(deployment.metadata(Op.SAME, stack.copy(outputs=old_outputs), stack))
        self._rename_references()
        snapshot, options = self.snapshot, deployment.options
        left_over = [s for s in snapshot.olds if not snapshot.is_gone(s) and (s.delete or s.urn not in deployment.seen)]
        doomed = unwanted(snapshot.states(), left_over, deployment.replaced_urns, options, deployment.targets)
        try:
            deployment.targets.check({s.urn for s in self.snapshot.olds} | set(deployment.news))
            if options.targets:
                doomed = with_dependents(snapshot.states(), doomed, options)
        except EngineError as exc:
            deployment.fail("", str(exc))
            return
        if deployment.watch is not None and (violation := deployment.watch.deletes(doomed)):
            deployment.fail("", violation)
            return
        await Deletes(deployment, execution).run(doomed)

    def _rename_references(self) -> None:
        """Old states that stay must not point at a name that an alias has replaced."""
        renamed = self.deployment.renamed
        if not renamed:
            return
        for state in self.snapshot.olds:
            if not self.snapshot.is_gone(state):
                state.parent = renamed.get(state.parent, state.parent)
                state.dependencies = [renamed.get(urn, urn) for urn in state.dependencies]
                self.snapshot.touched(state)

    def _cancel(self, providers: Providers) -> None:
        """First Ctrl-C or SIGTERM: nothing new starts, what is under way ends and is saved.

        The second: plugins are told to give up, and get a moment to end what they do in order. The third: at once."""
        deployment = self.deployment
        if self._giving_up is not None:
            self._give_up_now()
        if deployment.is_cancelled:
            self._giving_up = asyncio.create_task(self._give_up(providers))
            return
        deployment.is_cancelled = deployment.has_failed = True
        self.events.diagnostic("warning", "cancelling: waiting for operations under way; press Ctrl-C again to give up at once")
        self._cancelled.set()

    async def _give_up(self, providers: Providers) -> None:
        await providers.cancel()
        await asyncio.sleep(GIVE_UP_S)
        self._give_up_now()

    def _give_up_now(self) -> None:
        self._prepared.processes.stop_all()
        if self._prepared.program is not None:
            self._prepared.program.stop()
        os._exit(130)  # pending operations are on disk; the next run warns of them


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Any:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _open_log(event_log: str) -> "EventFile | EventStream | None":
    if not event_log:
        return None
    if event_log.startswith("tcp://"):
        return EventStream(event_log.removeprefix("tcp://"))
    return EventFile(Path(event_log))


def outputs_of(states: list[ResourceState], stack_urn: str) -> dict[str, tuple[Any, bool]]:
    """Stack output -> (value with secrets masked, whether it holds a secret)."""
    for state in states:
        if state.urn == stack_urn:
            return {k: (mask(v), has_secret(v)) for k, v in sorted(state.outputs.items())}
    return {}
