"""Fixtures of the engine's tests."""

from pathlib import Path

import pytest

from tests.engine.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project `shop` with an empty stack `dev`."""
    world = World.make(tmp_path)
    world.run("stack", "init", "dev")
    return world
