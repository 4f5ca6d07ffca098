"""What a process has sent lately, told by the kernel: the packets of its TCP connections (Linux: sock_diag(7), tcp_info).

Theory of operation. Railway puts a service to sleep that has sent no packet for a while, so packets are what is looked at and
not requests: an open connection to a database that says nothing lets a service sleep, one that keeps asking does not. A look
gives a set of marks, one for each connection and how much went out through it. A mark that was not there at the look before
means that something was sent. A connection that came and went in between leaves no socket of the process any more, but, for a
minute, the address it was at: at its own address a replica is found by that. What it opened itself and closed again between
two looks is not seen.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from infra.localcloud.plane.interface import Marks

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
MESSAGE_DONE, MESSAGE_ERROR = 3, 2
INET_DIAG_INFO = 2
ALL_STATES = 0xFFF
TIME_WAIT = 6
HEADER = struct.Struct("=IHHII")
SOCKET = struct.Struct(">HH4s12x4s12x")  # sport, dport, src, dst of struct inet_diag_sockid
INODE_AT, ATTRIBUTES_AT = 68, 72  # in struct inet_diag_msg
SEGMENTS_OUT_AT = 136  # in struct tcp_info
RECEIVE_BYTES = 256 * 1024

Mark = tuple[int, ...]


def marks_of(places: Mapping[str, tuple[int, str]]) -> dict[str, Marks]:
    """`places`: key -> (its process, the address it listens at). Empty sets where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return {key: frozenset() for key in places}
    owners = {inode: key for key, (pid, _) in places.items() for inode in _sockets_of(pid)}
    addresses = {socket.inet_aton(address): key for key, (_, address) in places.items()}
    found: dict[str, set[Mark]] = {key: set() for key in places}
    for inode, state, here, there, segments in _connections():
        if inode in owners:
            found[owners[inode]].add((inode, segments))
        elif state == TIME_WAIT:
            for end in (here, there):
                if (key := addresses.get(end[0])) is not None:
                    found[key].add((here[1], there[1]))
    return {key: frozenset(marks) for key, marks in found.items()}


def _sockets_of(pid: int) -> Iterator[int]:
    """Of a process and its children: inode numbers."""
    processes: list[int] = []
    with contextlib.suppress(psutil.Error):
        processes = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    for one in processes:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{one}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(entry.readlink())
                    if target.startswith("socket:["):
                        yield int(target[8:-1])


End = tuple[bytes, int]


def _connections() -> Iterator[tuple[int, int, End, End, int]]:
    """(inode, state, this end, other end, segments sent) of every IPv4 TCP socket there is."""
    request = struct.pack("=BBBxI48x", socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), ALL_STATES)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(2.0)
        kernel.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0) + request)
        while True:
            for kind, payload in _messages(kernel.recv(RECEIVE_BYTES)):
                if kind in (MESSAGE_DONE, MESSAGE_ERROR):
                    return
                yield _connection(payload)


def _messages(data: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        yield kind, data[at + HEADER.size : at + length]
        at += (length + 3) & ~3


def _connection(message: bytes) -> tuple[int, int, End, End, int]:
    sport, dport, source, target = SOCKET.unpack_from(message, 4)
    (inode,) = struct.unpack_from("=I", message, INODE_AT)
    segments, at = 0, ATTRIBUTES_AT
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == INET_DIAG_INFO and length >= 4 + SEGMENTS_OUT_AT + 4:
            (segments,) = struct.unpack_from("=I", message, at + 4 + SEGMENTS_OUT_AT)
        at += max(4, (length + 3) & ~3)
    return inode, message[1], (source, sport), (target, dport), segments
