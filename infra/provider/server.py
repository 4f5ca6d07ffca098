"""Starts a provider as a Pulumi plugin: a gRPC server whose port is the first line of standard output.

Ends on SIGTERM or SIGINT, and when its parent is gone: an engine that was killed cannot end its plugins.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2_grpc

from infra.provider.native import NativeProvider
from infra.provider.servicer import Servicer

_MESSAGE_BYTES_MAX = 400 * 1024 * 1024  # what Pulumi's own SDKs allow
_GRACE_S = 20.0
_PARENT_CHECK_S = 2.0


def main(provider: NativeProvider[Any]) -> None:
    """`python <plugin folder> <engine address>`."""
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    asyncio.run(_serve(provider, arguments[0] if arguments else ""))


async def start(servicer: Servicer[Any]) -> tuple[grpc.aio.Server, int]:
    """A listening server on a free loopback port."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
            # Each message of half-made resources carries its state in the trailers.
            ("grpc.max_metadata_size", 16 * 1024 * 1024),
        ]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def _serve(provider: NativeProvider[Any], engine_address: str) -> None:
    parent = os.getppid()  # before the port is told: whoever has read it may be killed in the next moment
    servicer = Servicer(provider, engine_address)
    server, port = await start(servicer)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await _until_ended(ended, parent)
    servicer.stopper.stop()
    await server.stop(_GRACE_S)
    await servicer.close()


async def _until_ended(ended: asyncio.Event, parent: int) -> None:
    while os.getppid() == parent:
        try:
            async with asyncio.timeout(_PARENT_CHECK_S):
                await ended.wait()
        except TimeoutError:
            continue
        return
