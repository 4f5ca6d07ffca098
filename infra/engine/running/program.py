"""Running the user's program: as a process of ours, or through the Automation API's language server (inline)."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from infra.engine.errors import UsageError
from infra.engine.plugins.location import CHILD
from infra.engine.workspace.project import Project, interpreter

if TYPE_CHECKING:
    from infra.engine.running.deployment import Deployment

STOPPED = 3  # the program ended because the engine stopped answering; see child.py


def spawn(project: Project) -> "subprocess.Popen[bytes]":
    """Starts the interpreter, which loads the SDK while the engine gets ready. Raises UsageError."""
    if not project.program.exists():
        raise UsageError(f"{project.folder}/Pulumi.yaml: main: {project.program} does not exist")
    if project.program.is_dir() and not (project.program / "__main__.py").exists():
        raise UsageError(f"{project.program}: there is no __main__.py to run")
    python = interpreter(project.virtualenv, project.folder, sys.executable)
    return subprocess.Popen(
        [python, "-u", CHILD, "program"],
        cwd=project.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


class LocalProgram:
    """The program as a process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    async def run(self, deployment: "Deployment", address: str) -> int:
        """Exit code; output lines become diagnostics of the stack."""
        assert self._process.stdin is not None
        loop = asyncio.get_running_loop()

        def tell(severity: str, line: str) -> None:
            loop.call_soon_threadsafe(deployment.events.diagnostic, severity, line, deployment.stack_urn)

        readers = [
            threading.Thread(target=_pump, args=(self._process.stdout, "info", tell), daemon=True),
            threading.Thread(target=_pump, args=(self._process.stderr, "info#err", tell), daemon=True),
        ]
        for reader in readers:
            reader.start()
        with contextlib.suppress(BrokenPipeError):  # it ended at once; its stderr says why
            self._process.stdin.write(json.dumps(self._order(deployment, address)).encode() + b"\n")
            self._process.stdin.close()
        code = await asyncio.to_thread(self._process.wait)
        for reader in readers:
            await asyncio.to_thread(reader.join, 5)
        return code

    @staticmethod
    def _order(deployment: "Deployment", address: str) -> dict[str, Any]:
        project = deployment.project
        return {
            "monitor": address,
            "engine": address,
            "project": deployment.name.project,
            "stack": deployment.name.stack,
            "organization": "organization",
            "root_directory": str(project.folder),
            "is_preview": deployment.is_preview,
            "is_debug": deployment.options.is_debug,
            "parallel": deployment.options.parallel or 128,
            "config": {k: item.text for k, item in deployment.config.items()},
            "secret_keys": [k for k, item in deployment.config.items() if item.is_secret],
            "program": str(project.program),
            "folder": str(project.program if project.program.is_dir() else project.folder),
        }

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _pump(stream: Any, severity: str, tell: Callable[[str, str], None]) -> None:
    with contextlib.suppress(ValueError, OSError, RuntimeError):
        for line in stream:
            tell(severity, line.decode(errors="replace").rstrip("\n"))


class InlineProgram:
    """`--client=ADDRESS`: a function inside the process that drives us."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def run(self, deployment: "Deployment", address: str) -> int:
        import grpc.aio  # type: ignore[import-untyped]
        from pulumi.runtime.proto import language_pb2, language_pb2_grpc

        request = language_pb2.RunRequest(
            project=deployment.name.project,
            stack=deployment.name.stack,
            pwd=str(deployment.project.folder),
            program=".",
            args=[address],
            config={k: item.text for k, item in deployment.config.items()},
            configSecretKeys=[k for k, item in deployment.config.items() if item.is_secret],
            dryRun=deployment.is_preview,
            parallel=deployment.options.parallel or 32,
            monitor_address=address,
            organization="organization",
        )
        async with grpc.aio.insecure_channel(self._address) as channel:
            stub: Any = language_pb2_grpc.LanguageRuntimeStub(channel)
            try:
                response = await stub.Run(request)
            except grpc.aio.AioRpcError as exc:
                deployment.fail("", f"the inline program's host stopped answering: {exc.details()}")
                return STOPPED
        if response.error and not deployment.has_failed:
            deployment.fail("", response.error)
        return 1 if response.error else 0

    def stop(self) -> None:
        return
