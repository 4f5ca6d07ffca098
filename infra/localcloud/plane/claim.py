"""One home, one octet: claimed by a listening socket, which the operating system takes back when the daemon ends."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

import psutil

from infra.localcloud.plane.interface import AddressInUse

CLAIM_PORT = 46127  # on 127.A.255.254, where nothing else of ours listens; above 1024 so that no privilege is needed


def claim_octet(candidates: Iterable[int]) -> tuple[int, socket.socket]:
    """The first octet nobody holds, and the socket that holds it now. AddressInUse when all are held."""
    for octet in candidates:
        claim = _try_claim(octet)
        if claim is not None:
            return octet, claim
    raise AddressInUse("every local cloud network is claimed; stop another local cloud: ./cached-auth cloud stop")


def reclaim_octet(octet: int) -> socket.socket:
    """Claims the octet this home already has. AddressInUse when another daemon (of this or another home) holds it."""
    claim = _try_claim(octet)
    if claim is None:
        holder = holder_of(f"127.{octet}.255.254", CLAIM_PORT) or "another process"
        raise AddressInUse(f"network 127.{octet}.0.0/16 of this home is held by {holder}: stop that local cloud first")
    return claim


def is_free(address: str, port: int) -> bool:
    """Whether we could listen there now. A bind is the only honest question; reading /proc would race as well."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as exc:
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise AddressInUse(f"{address}:{port}: {exc.strerror}; run ./cached-auth doctor") from exc
    return True


def require_free(address: str, port: int) -> None:
    """AddressInUse, naming the holder where it can be seen."""
    if not is_free(address, port):
        raise AddressInUse(f"{address}:{port} is held by {holder_of(address, port) or 'another process'}: end it, then deploy")


def holder_of(address: str, port: int) -> str | None:
    """`name (pid N)` of whoever listens there, None where the operating system does not tell."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        where = connection.laddr
        if connection.status == psutil.CONN_LISTEN and where and where[1] == port and where[0] in (address, "0.0.0.0", "::"):  # noqa: S104
            return _named(connection.pid)
    return None


def _named(pid: int | None) -> str | None:
    if pid is None:
        return None
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"


def _try_claim(octet: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        claim.bind((f"127.{octet}.255.254", CLAIM_PORT))
        claim.listen(1)
    except OSError:
        claim.close()
        return None
    return claim
