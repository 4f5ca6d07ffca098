"""Which resources --target, --exclude and their dependents flags leave alone."""

from pathlib import Path

import pytest

from tests.engine.world import World

URN = "urn:pulumi:dev::shop::thing:index:Thing::"
# a <- b <- c, and d alone; V changes all of them.
PROGRAM = """
v = os.environ.get('V', '1')
a = Thing('a', v=v)
b = Thing('b', v=v, s=a.serial)
c = Thing('c', v=v, opts=RO(depends_on=[b]))
Thing('d', v=v)
"""


@pytest.fixture(scope="module")
def made_once(made_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """What `made` is a copy of."""
    world = made_world.copy(tmp_path_factory.mktemp("targets"))
    world.program(PROGRAM)
    world.up()
    world.calls()
    return world


@pytest.fixture
def made(made_once: World, tmp_path: Path) -> World:
    return made_once.copy(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "touched"),
    [
        (("--target", URN + "a"), "a"),
        (("--target", URN + "a", "--target-dependents"), "abc"),
        (("--target", URN + "b", "--target-dependents"), "bc"),
        (("--exclude", URN + "b"), "acd"),
        (("--exclude", URN + "b", "--exclude-dependents"), "ad"),
        (("--exclude", "**Thing::?"), "abcd"),
        (("--exclude", "**"), ""),
    ],
)
def test_update_and_refresh_touch_the_named_ones(made: World, arguments: tuple[str, ...], touched: str) -> None:
    """Dependents follow only when asked; what is left alone keeps its old inputs."""
    made.run("refresh", "--yes", "--skip-preview", "-s", "dev", *arguments)
    assert made.calls() == [["read", name] for name in touched]
    made.up(*arguments, V="2")
    assert made.calls() == [["update", name] for name in touched]
    assert {n: made.resources()[n]["inputs"]["v"] for n in "abcd"} == {n: "2" if n in touched else "1" for n in "abcd"}


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (("--exclude", URN + "d"), "abc"),
        (("--exclude", URN + "b"), "cd"),  # a stays, since b needs it
        (("--exclude", URN + "b", "--exclude-dependents"), "d"),
    ],
)
def test_destroy_keeps_what_the_excluded_needs(made: World, arguments: tuple[str, ...], gone: str) -> None:
    """Nothing that stays may lose what it stands on."""
    made.run("destroy", "--yes", "--skip-preview", "-s", "dev", *arguments)
    assert made.calls() == [["delete", name] for name in gone]
    assert not set(gone) & set(made.resources())
    assert set("abcd") - set(gone) <= set(made.resources())
