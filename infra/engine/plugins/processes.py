"""The plugin processes of a run: started, also ahead of need, and ended without exception."""

import contextlib
import subprocess
import threading

from infra.engine.errors import PluginError
from infra.engine.plugins import location as plugins
from infra.engine.plugins.location import PluginCommand


class Processes:
    """Starts plugin processes, also ahead of need, and ends every one."""

    def __init__(self, engine_address: str) -> None:
        self.engine_address = engine_address
        self._idle: dict[PluginCommand, list[tuple[subprocess.Popen[bytes], list[str]]]] = {}
        self._all: list[subprocess.Popen[bytes]] = []
        self.log: list[str] = []

    def start_ahead(self, command: PluginCommand) -> None:
        """Starts a process whose need is likely, while the engine is still loading its own modules."""
        self._idle.setdefault(command, []).append(self._spawn(command))

    def _spawn(self, command: PluginCommand) -> "tuple[subprocess.Popen[bytes], list[str]]":
        try:
            process = plugins.spawn(command, self.engine_address)
        except OSError as exc:
            raise PluginError(f"cannot start {command.arguments[0]}: {exc.strerror}") from exc
        self._all.append(process)
        tail: list[str] = []
        threading.Thread(target=self._drain, args=(process, tail), daemon=True).start()
        return process, tail

    @staticmethod
    def _drain(process: "subprocess.Popen[bytes]", tail: list[str]) -> None:
        """Keeps the last lines of stderr: an unread pipe would block the plugin."""
        assert process.stderr is not None
        for line in process.stderr:
            tail.append(line.decode(errors="replace").rstrip())
            del tail[:-50]

    async def take(self, command: PluginCommand, package: str) -> str:
        """The port of a process that is ready to serve. Raises PluginError."""
        idle = self._idle.get(command)
        process, tail = idle.pop() if idle else self._spawn(command)
        port = await plugins.port_of(process, package, tail)
        threading.Thread(target=_swallow, args=(process,), daemon=True).start()
        return port

    def stop_all(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.terminate()
        for process in self._all:
            plugins.stop(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _swallow(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    with contextlib.suppress(ValueError, OSError):
        while process.stdout.read(4096):
            pass
