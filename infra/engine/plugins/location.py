"""Finding and starting provider plugins."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.engine.errors import PluginError
from infra.engine.workspace.project import Project, interpreter, load_yaml

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 5.0
CHILD: Final = str(Path(__file__).with_name("child.py"))
DYNAMIC: Final = "pulumi-python"


@dataclass(frozen=True, slots=True)
class PluginCommand:
    """How to start a plugin: the engine's address is appended."""

    arguments: tuple[str, ...]
    folder: Path


def locate(project: Project, package: str, version: str, home: Path) -> PluginCommand:
    """The command of a package's plugin: of the project, of PULUMI_HOME, or on PATH. Raises PluginError."""
    if package == DYNAMIC:
        python = interpreter(project.virtualenv, project.folder, sys.executable)
        program = project.program
        return PluginCommand((python, "-u", CHILD, "module", "pulumi.dynamic"), program if program.is_dir() else program.parent)
    if folder := project.plugin_paths.get(package):
        return PluginCommand(_in_folder(folder, package), project.folder)
    if installed := _installed(package, version, home):
        return PluginCommand(_in_folder(installed, package), project.folder)
    if ambient := shutil.which(f"pulumi-resource-{package}"):
        return PluginCommand((ambient,), project.folder)
    wanted = f" v{version.removeprefix('v')}" if version else ""
    raise PluginError(
        f"no resource plugin for package '{package}'{wanted}: it is neither in Pulumi.yaml plugins.providers "
        f"nor in {home}/plugins; install it with `pulumi plugin install resource {package}{wanted}`"
    )


def _installed(package: str, version: str, home: Path) -> Path | None:
    if version:
        exact = home / "plugins" / f"resource-{package}-v{version.removeprefix('v')}"
        return exact if exact.is_dir() else None
    return max((home / "plugins").glob(f"resource-{package}-v*"), key=_version_key, default=None)


def _version_key(folder: Path) -> tuple[list[int], bool, str]:
    """As semantic versions compare: numbers, then a release after all of its pre-releases."""
    version, _, before_release = folder.name.rsplit("-v", 1)[-1].partition("+")[0].partition("-")
    return [int(n) for n in re.findall(r"\d+", version)], not before_release, before_release


def _in_folder(folder: Path, package: str) -> tuple[str, ...]:
    binary = folder / f"pulumi-resource-{package}"
    if binary.is_file() and os.access(binary, os.X_OK):
        return (str(binary),)
    definition = folder / "PulumiPlugin.yaml"
    if not definition.is_file():
        raise PluginError(f"plugin '{package}': {folder} has neither PulumiPlugin.yaml nor pulumi-resource-{package}")
    document = load_yaml(definition) or {}
    runtime = document.get("runtime")
    name, options = (runtime.get("name"), runtime.get("options") or {}) if isinstance(runtime, dict) else (runtime, {})
    if name != "python":
        raise PluginError(f"plugin '{package}': {definition}: runtime: this engine starts python plugins only, got {name!r}")
    return (interpreter(options.get("virtualenv") or "", folder, sys.executable), CHILD, "path", str(folder))


def spawn(command: PluginCommand, engine_address: str) -> "subprocess.Popen[bytes]":
    """Starts the process. In its own session, so that a Ctrl-C at the terminal reaches only the engine, which stops it
    when the operation under way has ended."""
    return subprocess.Popen(
        [*command.arguments, engine_address],
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def read_port(process: "subprocess.Popen[bytes]") -> str:
    """The port: first line of stdout; "" where the process ended before. Blocks: call in a thread."""
    assert process.stdout is not None
    return process.stdout.readline().decode(errors="replace").strip()


async def port_of(process: "subprocess.Popen[bytes]", package: str, stderr_tail: list[str]) -> str:
    """Waits for the port. Raises PluginError with the end of what the plugin wrote to stderr."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            port = await asyncio.to_thread(read_port, process)
    except TimeoutError:
        process.kill()
        raise PluginError(f"plugin '{package}': did not print its port within {START_TIMEOUT_S:.0f} s") from None
    if not port.isdigit():
        process.kill()
        await asyncio.sleep(0.1)
        detail = stderr_tail[-1] if stderr_tail else f"got {port!r}"
        raise PluginError(f"plugin '{package}': did not print its port: {detail}")
    return port


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process: asks, waits, kills. Blocks."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
