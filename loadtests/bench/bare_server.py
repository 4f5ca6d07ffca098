"""`python -m loadtests.bench.bare_server PORT`: a server that does nothing: constant bytes for whatever it reads.

Beside it one sees what the machine, the client and Python's fastest loop cost by themselves.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

# As many bytes as the replica's answer to a hit.
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-filler: %b\r\n\r\n" % (b"-" * 490)


class Constant(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
