"""`preview --save-plan` and `up --plan`: what was looked at is what happens."""

import json
from pathlib import Path

import pytest

from tests.engine.world import World

PROGRAM = """
v = os.environ.get('V', '1')
a = Thing('a', v=v, token=cfg.get_secret('token'))
Thing('b', s=a.serial, fixed=os.environ.get('F', '1'))
if 'MORE' in os.environ: Thing('c')
if 'LESS' not in os.environ: Thing('d')
"""


@pytest.fixture(scope="module")
def made_plan(made_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """What `planned` is a copy of."""
    world = made_world.copy(tmp_path_factory.mktemp("planned"))
    world.run("config", "set", "--secret", "token", "canary", "-s", "dev")
    world.program(PROGRAM)
    world.up()
    world.calls()
    world.run("preview", "-s", "dev", "--save-plan", str(world.folder / "plan.json"), V="2", LESS="1")
    return world


@pytest.fixture
def planned(made_plan: World, tmp_path: Path) -> World:
    """A stack with a plan to change `a`, in plan.json."""
    return made_plan.copy(tmp_path)


def up(world: World, code: int = 0, **environment: str) -> str:
    return world.up("--plan", str(world.folder / "plan.json"), code=code, **environment)


def test_planned_steps_are_taken(planned: World) -> None:
    """The file has Pulumi's form and no secret in the clear; afterwards it is for a state of the past."""
    text = (planned.folder / "plan.json").read_text()
    plans = json.loads(text)["plan"]["resourcePlans"]
    steps = {urn.rsplit("::", 1)[-1]: plan["steps"] for urn, plan in plans.items()}
    assert steps == {"shop-dev": ["same"], "default": ["same"], "a": ["update"], "b": ["same"], "d": ["delete"]}
    assert plans["urn:pulumi:dev::shop::thing:index:Thing::a"]["goal"]["inputDiff"] == {"updates": {"v": "2"}}
    assert "canary" not in text
    up(planned, V="2", LESS="1")
    assert planned.calls() == [["delete", "d"], ["update", "a"]]
    assert "state has changed since this plan was made" in up(planned, code=1, V="2", LESS="1")
    assert planned.calls() == []


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"V": "3", "LESS": "1"}, "property v is not as planned"),
        ({"V": "2", "LESS": "1", "MORE": "1"}, "create is not allowed by the plan: this resource is not in it"),
        ({"V": "2", "LESS": "1", "F": "2"}, "replace is not allowed by the plan: it has same"),
        ({"V": "2"}, "same is not allowed by the plan: it has delete"),
    ],
)
def test_other_steps_are_refused(planned: World, environment: dict[str, str], message: str) -> None:
    """Before the provider hears of them."""
    assert message in up(planned, code=1, **environment)
    assert [call for call in planned.calls() if call != ["update", "a"]] == []


def test_doing_less_than_planned_is_fine(planned: World) -> None:
    """An update that turned out to be unnecessary; but what the plan creates must come."""
    plan = str(planned.folder / "plan.json")
    planned.run("preview", "-s", "dev", "--save-plan", plan, F="2", MORE="1")
    assert "which the program no longer registers" in up(planned, code=1, F="2")
    planned.calls()
    planned.run("preview", "-s", "dev", "--save-plan", plan, F="2", MORE="1")
    up(planned, F="2", MORE="1")
    assert planned.calls() == [["create", "c"], ["delete", "b"]]  # the b that the refused update had replaced


def test_unknown_values_may_become_anything(world: World, tmp_path: Path) -> None:
    """What depends on a resource yet to be made is planned as unknown."""
    world.program(PROGRAM)
    plan = str(tmp_path / "plan.json")
    world.run("preview", "-s", "dev", "--save-plan", plan)
    world.up("--plan", plan)
    assert world.calls() == [["create", "a"], ["create", "b"], ["create", "d"]]


def test_a_file_that_is_no_plan_is_named(planned: World) -> None:
    """Rather than read as an empty plan."""
    path = planned.folder / "plan.json"
    path.write_text("{}")
    assert "this is no update plan" in up(planned, code=1)
    path.unlink()
    assert "cannot read it" in up(planned, code=2)
