"""gRPC on this machine and HTTP proxies: they must not meet.

gRPC sends every channel through `http_proxy` where that is set, those to 127.0.0.1 too. A proxy elsewhere cannot reach our
address, and must not see what a deployment says. Engine, program and plugins are told by environment, because the Pulumi
SDK's channels are not ours to give options to.
"""

from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "no_grpc_proxy"
LOOPBACK: Final = ("127.0.0.1", "localhost")


def without_proxy(environment: Mapping[str, str]) -> str:
    """The value for VARIABLE: what the user spares already, and loopback. gRPC reads `no_proxy` only where it is not set."""
    given = environment.get(VARIABLE) or environment.get("no_proxy") or ""
    hosts = [host for host in (part.strip() for part in given.split(",")) if host]
    return ",".join(dict.fromkeys((*hosts, *LOOPBACK)))
