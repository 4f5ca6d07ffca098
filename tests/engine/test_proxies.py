"""A proxy in the environment is for the world outside; what runs on this machine talks to itself directly."""

import socket
import threading

import pytest

from infra.engine.proxies import without_proxy
from tests.engine.world import World


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "intern.example, 127.0.0.1"}, "intern.example,127.0.0.1,localhost"),
        ({"no_proxy": "a", "no_grpc_proxy": "b,"}, "b,127.0.0.1,localhost"),
    ],
)
def test_what_the_user_spares_stays_spared(given: dict[str, str], expected: str) -> None:
    assert without_proxy(given) == expected
    assert without_proxy({"no_grpc_proxy": expected}) == expected


@pytest.mark.story
def test_proxy_is_not_asked_for_our_own_addresses(world: World) -> None:
    """Program, engine and plugin reach each other although the proxy reaches nobody."""
    world.program("Thing('t', n=1)\n")
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    asked.append(connection.recv(200))

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        world.up(http_proxy=url, https_proxy=url, HTTP_PROXY=url, no_proxy="")
        proxy.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert asked == []
    assert "t" in world.resources()
