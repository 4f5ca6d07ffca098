"""An address where connecting hangs, as it does when packets to it are dropped.

The kernel answers a connection request as soon as anybody listens, so a relay that never reads would still look like a
server. On Linux a listener whose queue is full drops further requests unanswered (tcp(7); a backlog of 0 holds one): we fill
that queue ourselves. The client's kernel asks again after 1, 3, 7 s, so that what hung goes on when the partition heals.
"""

from __future__ import annotations

import asyncio
import errno
import socket

BIND_TIMEOUT_S = 1.0
BIND_PAUSE_S = 0.005


class Dark:
    """Holds the address until it is closed."""

    def __init__(self, listener: socket.socket, fillers: list[socket.socket]) -> None:
        self._sockets = [*fillers, listener]

    def close(self) -> None:
        for one in self._sockets:
            one.close()


async def go_dark(address: str, port: int) -> Dark:
    """OSError when the address is taken."""
    listener = await _bound(address, port)
    try:
        listener.listen(0)
        filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        filler.setblocking(False)
        if filler.connect_ex((address, port)) not in (0, errno.EINPROGRESS):
            filler.close()
            raise OSError(errno.EADDRNOTAVAIL, "could not fill the queue of a partitioned link")
    except BaseException:
        listener.close()
        raise
    return Dark(listener, [filler])


async def _bound(address: str, port: int) -> socket.socket:
    """The event loop closes the listener that was here before a moment after it was told to."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BIND_TIMEOUT_S
    while True:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as exc:
            listener.close()
            if exc.errno != errno.EADDRINUSE or loop.time() > deadline:
                raise
            await asyncio.sleep(BIND_PAUSE_S)
            continue
        return listener
