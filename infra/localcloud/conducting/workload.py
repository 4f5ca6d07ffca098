"""What a deployment runs: a release bundle or a cache, decided purely; anything else is refused with a clear line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.localcloud.plane.interface import HealthCheck, ReplicaSpec
from infra.localcloud.world.command_line import split_command
from infra.localcloud.world.model import Deployment, Replica, Settings
from infra.localcloud.world.provided import is_cache_image

HEALTHCHECK_TIMEOUT_DEFAULT_S = 300
CACHE_PROGRAMS = ("valkey-server", "redis-server")
SHELLS = ("/bin/sh", "sh", "/bin/bash", "bash")
PYTHON_NAMES = ("python", "python3")


class WorkloadRefused(Exception):
    """The local cloud cannot run this; the message goes to the build log."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """`directory` is the unpacked bundle, `python` the interpreter that has its dependencies."""

    directory: Path
    python: Path


@dataclass(frozen=True, slots=True)
class Cache:
    """`is_kept`: the directory is a volume, and outlives the deployment."""

    directory: Path
    is_kept: bool = False


Workload = Bundle | Cache


def check_deployable(deployment: Deployment) -> None:
    """WorkloadRefused where nothing here could run it."""
    settings = deployment.settings
    if settings.image is not None:
        if not is_cache_image(settings.image):
            raise WorkloadRefused(
                f"image {settings.image}: the local cloud runs valkey/valkey:* and redis:* images and uploaded bundles only"
            )
        if sum(settings.placement.values()) != 1:
            raise WorkloadRefused(f"a cache runs as 1 replica in 1 region, got {sum(settings.placement.values())} replicas")
        return
    if deployment.release is None:
        raise WorkloadRefused("nothing to deploy: upload a release bundle to this service, or set an image")
    if not settings.start_command:
        raise WorkloadRefused("no start command: set startCommand on the service instance")


def port_of(environment: Mapping[str, str]) -> int:
    """The user's PORT. WorkloadRefused where it is no port."""
    text = environment.get("PORT", "8080")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise WorkloadRefused("variable PORT: expected a number from 1 to 65535")
    return int(text)


def replica_spec(settings: Settings, workload: Workload, replica: Replica, environment: Mapping[str, str]) -> ReplicaSpec:
    """CommandLineError when the start command cannot be split."""
    if isinstance(workload, Cache):
        arguments = with_persistence(cache_arguments(settings.start_command, environment), is_kept=workload.is_kept)
        return _spec(replica, arguments, workload.directory, environment, None)
    argv = program(split_command(settings.start_command or "", environment), workload.python)
    health = None
    if settings.healthcheck_path:
        health = HealthCheck(settings.healthcheck_path, settings.healthcheck_timeout_s or HEALTHCHECK_TIMEOUT_DEFAULT_S)
    return _spec(replica, argv, workload.directory, environment, health)


def pre_deploy_spec(command: str, workload: Bundle, replica: Replica, environment: Mapping[str, str]) -> ReplicaSpec:
    return _spec(replica, program(split_command(command, environment), workload.python), workload.directory, environment, None)


def program(argv: tuple[str, ...], python: Path) -> tuple[str, ...]:
    """`python` means the interpreter that has the bundle's dependencies, whatever PATH says."""
    return (str(python), *argv[1:]) if argv[0] in PYTHON_NAMES else argv


def without_shell(start_command: str) -> str:
    """What `/bin/sh -c '<command>'` would run, else the command itself.

    An image's start command is not run by a shell on Railway, so `$REDIS_PASSWORD` needs one there. The outer words are
    therefore taken as they stand; only the inner command expands variables, as that shell would.
    """
    try:
        words = shlex.split(start_command)
    except ValueError:
        return start_command  # the splitting proper says what is wrong with it
    if len(words) != 3 or words[0] not in SHELLS or words[1] != "-c":
        return start_command
    return words[2].strip().removeprefix("exec ")


def cache_arguments(start_command: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """valkey-server's own arguments; address and port are the plane's business and left out."""
    if not start_command:
        return ()
    words = list(split_command(without_shell(start_command), environment))
    if words[0].rpartition("/")[2] in CACHE_PROGRAMS:
        words = words[1:]
    elif not words[0].startswith("--"):
        raise WorkloadRefused(f"start command of a cache: expected valkey-server or redis-server, got {words[0]!r}")
    kept: list[str] = []
    is_left_out = False
    for word in words:
        if word.startswith("--"):
            is_left_out = word in ("--bind", "--port")
        if not is_left_out:
            kept.append(word)
    return tuple(kept)


def with_persistence(arguments: tuple[str, ...], *, is_kept: bool) -> tuple[str, ...]:
    """With a volume every write is logged there (at most a second of them is lost), unless the command itself says how.

    Without one nothing is saved: the directory goes with the deployment.
    """
    is_decided = "--appendonly" in arguments or "--save" in arguments
    if is_decided:
        return arguments
    return (*arguments, "--appendonly", "yes") if is_kept else (*arguments, "--save", "")


def _spec(
    replica: Replica, argv: tuple[str, ...], directory: Path, environment: Mapping[str, str], health: HealthCheck | None
) -> ReplicaSpec:
    return ReplicaSpec(
        key=replica.key,
        region=replica.region,
        address=replica.address,
        port=replica.port,
        argv=argv,
        cwd=directory,
        environment=environment,
        health=health,
    )
