"""Fixtures of the engine's tests."""

from pathlib import Path

import pytest

from tests.engine.world import World


@pytest.fixture(scope="session")
def made_world(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> World:
    """What `world` is a copy of: a new stack costs a process and a derivation of its key, a copy nothing."""
    world = World.make(tmp_path_factory.mktemp("made"), python=str(warm / "bin/python"))
    world.run("stack", "init", "dev")
    return world


@pytest.fixture
def world(made_world: World, tmp_path: Path) -> World:
    """A project `shop` with an empty stack `dev`."""
    return made_world.copy(tmp_path)
