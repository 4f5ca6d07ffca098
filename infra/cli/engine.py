"""Picks the engine and speaks to it through Pulumi's Automation API; the only file that knows which engine runs.

With `pulumi` on PATH (or PULUMI_ENGINE=cli) it is Pulumi's own; else, or with PULUMI_ENGINE=embedded, `infra.engine`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.cli.errors import CliError, Interrupted, OperationFailed, UsageError
from infra.cli.home import Home
from infra.cli.plan import Tally
from infra.cli.workspace import Workspace
from infra.release import SOURCE_VARIABLE, ReleaseError, build_release, releases_folder

if TYPE_CHECKING:
    from pulumi.automation import PulumiCommand, Stack

OnEvent = Callable[[Mapping[str, Any]], None]
CONFIG_TIMEOUT_S = 60
GOES_ON = ("up", "refresh", "destroy")


def chosen_engine() -> str:
    """`cli` or `embedded`. UsageError for any other PULUMI_ENGINE."""
    wish = os.environ.get("PULUMI_ENGINE", "")
    if wish not in ("", "cli", "embedded"):
        raise UsageError(f"PULUMI_ENGINE: expected cli or embedded, got {wish!r}", "unset PULUMI_ENGINE")
    if wish:
        return wish
    return "cli" if shutil.which("pulumi") else "embedded"


def engine_words() -> list[str]:
    """The chosen engine as a command line."""
    return ["pulumi"] if chosen_engine() == "cli" else [sys.executable, "-m", "infra.engine"]


def engine_command() -> PulumiCommand:
    if chosen_engine() == "embedded":
        from infra.engine.automation import EmbeddedPulumiCommand

        return EmbeddedPulumiCommand()
    from pulumi.automation import PulumiCommand

    if not shutil.which("pulumi"):
        raise UsageError("PULUMI_ENGINE=cli: expected `pulumi` on PATH, found none", "unset PULUMI_ENGINE")
    return PulumiCommand()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A selected stack and the operations on it. Engine events go to `on_event` as JSON objects, as they happen."""

    stack: Stack
    name: str

    def preview(self, tally: Tally, on_event: OnEvent, refresh: bool = False) -> None:
        self._fix_source()
        with self._translated("preview", tally):
            self.stack.preview(on_event=wire(on_event), refresh=refresh or None)

    def _fix_source(self) -> None:
        """An edit between the preview and the deploy is for the next preview to show."""
        workspace = self.stack.workspace
        if SOURCE_VARIABLE in workspace.env_vars:
            return
        with suppress(ReleaseError):  # the program says it better, and where it does not want the source nothing is wrong
            release = build_release(out_dir=releases_folder(workspace.env_vars))
            workspace.env_vars = {**workspace.env_vars, SOURCE_VARIABLE: release.digest}

    def up(self, tally: Tally, on_event: OnEvent, refresh: bool = False) -> None:
        self._fix_source()
        with self._translated("up", tally):
            self.stack.up(on_event=wire(on_event), refresh=refresh or None, color="never")

    def refresh(self, tally: Tally, on_event: OnEvent) -> None:
        with self._translated("refresh", tally):
            self.stack.refresh(on_event=wire(on_event), color="never")

    def destroy(self, tally: Tally, on_event: OnEvent) -> None:
        with self._translated("destroy", tally):
            self.stack.destroy(on_event=wire(on_event), color="never")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in plain text: callers decide what to show."""
        with self._translated("outputs", Tally()):
            return {name: output.value for name, output in self.stack.outputs().items()}

    def set_config(self, values: Mapping[str, str], is_path: bool = False) -> None:
        """Plain values; secrets go by `set_secrets`."""
        from pulumi.automation import ConfigValue

        with self._translated("config", Tally()):
            self.stack.set_all_config({key: ConfigValue(value) for key, value in values.items()}, path=is_path)

    def set_secrets(self, values: Mapping[str, str]) -> None:
        """By standard input: the Automation API would put the values on a command line, which every user can read."""
        workspace = self.stack.workspace
        environment = {**os.environ, **workspace.env_vars}
        for key, value in values.items():
            command = [*engine_words(), "config", "set", "--secret", key, "--stack", self.name, "--non-interactive"]
            done = subprocess.run(
                command,
                cwd=workspace.work_dir,
                env=environment,
                input=value,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if done.returncode:
                raise failure("config", self.name, Tally(), done.stderr)

    def remove_config(self, keys: list[str]) -> None:
        with self._translated("config", Tally()):
            self.stack.remove_all_config(keys)

    def cancel(self) -> None:
        with self._translated("cancel", Tally()):
            self.stack.cancel()

    def remove(self) -> None:
        with self._translated("remove", Tally()):
            self.stack.workspace.remove_stack(self.name)

    @contextmanager
    def _translated(self, operation: str, tally: Tally) -> Iterator[None]:
        with interruptible(operation, self.name), translated(operation, self.name, tally):
            yield


def wire(on_event: OnEvent) -> Callable[[Any], None]:
    """The SDK parses events into objects and drops what it does not know; our screen reads the JSON as written."""
    from infra.cli.events import event_document

    return lambda event: on_event(event_document(event))


def open_deployment(home: Home, workspace: Workspace, environment: Mapping[str, str], create: bool = True) -> Deployment:
    """The stack, selected (and made where `create`). UsageError where it does not exist."""
    from pulumi.automation import LocalWorkspace, Stack
    from pulumi.automation.errors import StackNotFoundError

    from infra.engine.proxies import VARIABLE, without_proxy

    variables = {
        VARIABLE: without_proxy(os.environ),  # here as well, for the program and the plugins that Pulumi's own engine starts
        "PULUMI_BACKEND_URL": os.environ.get("PULUMI_BACKEND_URL") or f"file://{home.state}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "CACHED_AUTH_HOME": str(home.path),
        **workspace.environment,
        **environment,
    }
    with translated("select", workspace.stack, Tally()):
        local = LocalWorkspace(work_dir=str(workspace.folder), env_vars=variables, pulumi_command=engine_command())
        try:
            stack = Stack.select(workspace.stack, local)
        except StackNotFoundError:
            if not create:
                raise UsageError(
                    f"stack {workspace.stack!r} has not been deployed from here", f"./cached-auth up {workspace.stack}"
                ) from None
            stack = Stack.create(workspace.stack, local)
    return Deployment(stack, workspace.stack)


@contextmanager
def translated(operation: str, stack: str, tally: Tally) -> Iterator[None]:
    """The engine's failures in our words."""
    from pulumi.automation.errors import CommandError, ConcurrentUpdateError, StackNotFoundError

    try:
        yield
    except StackNotFoundError:
        raise
    except ConcurrentUpdateError as error:
        holder = next((line.strip() for line in str(error).splitlines() if "locked by" in line or "created by" in line), "")
        raise OperationFailed(
            f"stack {stack!r} is locked by another run",
            f"wait for it to end; if it is dead: ./cached-auth cancel {stack}",
            holder,
        ) from error
    except CommandError as error:
        raise failure(operation, stack, tally, str(error)) from error


def failure(operation: str, stack: str, tally: Tally, said: str) -> CliError:
    """What a command of the engine that failed means for the user."""
    if "PULUMI_CONFIG_PASSPHRASE" in said:
        return UsageError(
            f"stack {stack!r}: its secrets need the passphrase they were encrypted with", "export PULUMI_CONFIG_PASSPHRASE=..."
        )
    summary = tally.errors[0].splitlines()[0] if tally.errors else last_error_line(said)
    details = "\n".join(tally.errors)
    goes_on = "   (what succeeded is recorded; it goes on from there)" if operation in GOES_ON else ""
    again = f"./cached-auth {operation if operation in GOES_ON else 'preview'} {stack}{goes_on}"
    return OperationFailed(f"{operation} of {stack!r} failed: {summary}", again, details if details != summary else "")


def last_error_line(text: str) -> str:
    """The engine's own last word: the last `error:` line of what it wrote, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.removeprefix("stderr:").strip().startswith("error:")]
    line = (errors or lines or ["no message"])[-1]
    return line.removeprefix("stderr:").strip().removeprefix("error:").strip()


@contextmanager
def interruptible(operation: str, stack: str) -> Iterator[None]:
    """Ctrl-C reaches the engine too (same terminal); it ends its running steps and saves, and we wait for it.

    The alternative, ending at once, would leave the user in front of a prompt while the state is still being written.
    """
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        seen.append(number)
        if len(seen) == 1:
            print(f"\nstopping: no new steps; waiting for the running ones of {operation} to finish (again: at once)", flush=True)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are then the caller's
        yield
        return
    try:
        yield
    except OperationFailed as error:
        if seen:
            raise Interrupted(
                f"{operation} of {stack!r} was stopped; what was done is recorded", f"./cached-auth {operation} {stack}"
            ) from error
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
