"""`python -m infra.localcloud.edge REGION`: started by the plane, which sends its tables over the control descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys

import uvloop

from infra.localcloud.edge.routes import EdgeRoute
from infra.localcloud.edge.server import EdgeServer
from infra.localcloud.plane.control_channel import raise_descriptor_limit, serve_orders


async def main(region: str) -> None:
    raise_descriptor_limit()
    os.set_blocking(sys.stdout.fileno(), False)  # the access log's: a daemon that is slow to read must not hold up requests
    server = EdgeServer(region)
    serving = asyncio.ensure_future(serve_orders(list[EdgeRoute], server.follow))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    await server.drain()


if __name__ == "__main__":
    gc.freeze()  # what is imported lives as long as the process: no collection needs to look at it
    uvloop.run(main(sys.argv[1]))
