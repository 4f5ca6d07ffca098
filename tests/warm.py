"""Python processes without the time that they take to start.

Of the processor time of an engine's command nine tenths are three interpreters that import gRPC and the SDK: the engine's
own, the program's, the plugin's. Here a server imports them once and forks; what looks like an interpreter is a client of a few
lines (warm_client.py), so that whoever starts it has a process to talk to, to signal and to wait for. All else is as it
would be: arguments, environment, folder, stdio, sys.path and exit code. A client that is killed takes its process along.

Tests about the processes themselves (kills, time, what is imported) use a real interpreter.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
READY = b"ready\n"


@contextlib.contextmanager
def warm_environment() -> Iterator[Path]:
    """A folder like a virtualenv's, whose bin/python is warm."""
    with tempfile.TemporaryDirectory(prefix="warm-") as name:  # short: a socket's address has 107 characters
        folder, address = Path(name), f"{name}/socket"
        python = folder / "bin" / "python"
        python.parent.mkdir()
        python.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -S "{HERE / "warm_client.py"}" "{address}" "$0" "$@"\n', encoding="utf-8"
        )
        python.chmod(0o755)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.warm", address], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            assert server.stdout.readline() == READY
            try:
                yield folder
            finally:
                server.stdin.close()


def preload() -> None:
    """Whatever the processes import anyway; nothing of it may start a thread, since a fork has only the forking one."""
    import infra.engine

    engine = (module.name for module in pkgutil.walk_packages(infra.engine.__path__, "infra.engine."))
    for name in ("grpc.aio", "pulumi", "pulumi.dynamic", "infra.railway.provider", "infra.supabase.provider", *engine):
        if not name.endswith(("__main__", ".child")):
            importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    gc.collect()
    gc.freeze()


class Server:
    """Takes orders, forks, tells how the forked ended. One thread, no asyncio: a fork of it is a plain program."""

    def __init__(self, address: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.children: dict[socket.socket, int] = {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(100)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(0, selectors.EVENT_READ, self._end)

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def _end(self, _: object) -> None:
        for child in self.children.values():
            os.kill(child, signal.SIGKILL)
        sys.exit(0)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        head, stdio, _, _ = socket.recv_fds(client, 4, 3)
        left, order = int.from_bytes(head, "big"), b""
        while left > len(order):
            order += client.recv(left - len(order))
        child = os.fork()
        if not child:
            become(stdio, *marshal.loads(order))  # noqa: S302 - from a client of ours; it needs no import there
        for descriptor in stdio:
            os.close(descriptor)
        self.children[client] = child
        self.selector.register(client, selectors.EVENT_READ, self._signalled)
        self.selector.register(os.pidfd_open(child), selectors.EVENT_READ, lambda pidfd: self._ended(client, pidfd))

    def _signalled(self, client: socket.socket) -> None:
        if client not in self.children:  # its process ended in this same round
            return
        try:
            numbers = client.recv(16) or bytes([signal.SIGKILL])
        except ConnectionError:
            numbers = bytes([signal.SIGKILL])
        for number in numbers:
            os.kill(self.children[client], number)
        if signal.SIGKILL in numbers:
            self.selector.unregister(client)

    def _ended(self, client: socket.socket, pidfd: int) -> None:
        _, status = os.waitpid(self.children.pop(client), 0)
        with contextlib.suppress(OSError):  # the client may have been killed
            client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
        with contextlib.suppress(KeyError):
            self.selector.unregister(client)
        self.selector.unregister(pidfd)
        os.close(pidfd)
        client.close()


def become(stdio: list[int], interpreter: str, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """In the fork: goes on as `interpreter ARGUMENTS` would, to its end."""
    code = 1
    try:
        os.setsid()
        for number, descriptor in enumerate(stdio):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.executable = interpreter
        code = run_as_main(list(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_as_main(arguments: list[str]) -> int:
    """`[-u] [-P] SCRIPT|-m MODULE|-c TEXT ...`; the exit code."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    installed = [path for path in sys.path if "site-packages" in path or path.startswith(sys.base_prefix)]
    sys.path[:] = [*paths, *installed, str(ROOT)]
    while arguments[0] in ("-u", "-P"):  # -P comes with -c only, which puts no folder on the path here in any case
        if arguments.pop(0) == "-u":
            sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    try:
        if arguments[0] == "-m":
            sys.path.insert(0, str(Path.cwd()))
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        elif arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(arguments[1], {"__name__": "__main__"})  # noqa: S102 - what the interpreter would do
        else:
            sys.path.insert(0, str(Path(arguments[0]).parent))
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        return exit_code(ended.code)
    except BaseException:  # noqa: BLE001 - what an interpreter does with whatever a program raises
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def exit_code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


if __name__ == "__main__":
    preload()
    server = Server(sys.argv[1])
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    server.serve()
