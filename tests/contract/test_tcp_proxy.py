"""A TCP proxy on the local cloud leads raw connections to a real process, and to its successor after the next deployment."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.cloud import Cloud
from tests.railway.contract import ground_at

pytestmark = [pytest.mark.story, pytest.mark.anyio]
DEADLINE_S = 20


async def said(host: str, port: int, words: bytes) -> bytes:
    """One line of the answer. Routes follow a deployment within moments, so a refusal is tried again until the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(words)
                line = await reader.readline()
                writer.close()
            except ConnectionError:
                line = b""
            if line:
                return line
            await asyncio.sleep(0.05)


async def refused(host: str, port: int) -> bool:
    """True as soon as nobody listens there any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except ConnectionRefusedError:
                return True
            writer.close()
            await asyncio.sleep(0.05)


async def test_cache_answers_through_its_proxy(cloud: Cloud) -> None:
    async with ground_at(cloud.endpoint, cloud.token) as ground:
        _, at = await ground.service(startCommand="valkey-server")
        deployed = await ground.driver.create("Deployment", "d", **at, timeoutS=60)
        proxy = await ground.driver.create("TcpProxy", "t", **at, applicationPort=6379)
        where = (str(proxy.outputs["domain"]), int(proxy.outputs["proxyPort"]))
        assert await said(*where, b"PING\r\n") == b"+PONG\r\n"
        await ground.driver.up(deployed, **at, triggers={"again": "1"}, timeoutS=60)
        assert await said(*where, b"PING\r\n") == b"+PONG\r\n"
        await ground.driver.delete(proxy)
        assert await refused(*where)
