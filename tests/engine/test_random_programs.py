"""Programs nobody would write: random graphs, options and edits, and what must hold after each update.

A run of the suite plays a few, the same each time. A long search: RANDOM_PROGRAMS=SEED draws others, and
RANDOM_PROGRAMS_COUNT=N plays N of them (about 5 s each).
"""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.engine.world import World

EXAMPLES_MAX = int(os.environ.get("RANDOM_PROGRAMS_COUNT") or 4)
BUDGET_S = 5.0 * EXAMPLES_MAX
KILLS = 2

# The program reads its graph from a file: a list of resources, each of which may use those before it.
PROGRAM = """
import json
made = {}
graph = json.load(open(os.environ["GRAPH"]))
names = {r["name"] for r in graph}
for r in graph:
    with_ = made.get(r["with"])
    options = RO(
        # Not on groups: a group stands for all in it, and one's own group would be waiting for oneself.
        depends_on=[made[n] for n in r["after"] if n in made and not isinstance(made[n], Group)],
        parent=made.get(r["parent"]),
        retain_on_delete=r["retain"],
        delete_before_replace=r["first"],
        ignore_changes=["v"] if r["ignore"] else None,
        additional_secret_outputs=["serial"] if r["secret"] else None,
        replace_on_changes=["v"] if r["strict"] else None,
        replacement_trigger=r["trigger"],
        deleted_with=None if isinstance(with_, Group) else with_,
        aliases=[pulumi.Alias(name=r["was"])] if r["was"] and r["was"] not in names else None,
    )
    if r["group"]:
        made[r["name"]] = Group(r["name"], opts=RO(parent=options.parent))
    else:
        uses = [made[n].serial for n in r["uses"] if n in made and not isinstance(made[n], Group)]
        value = pulumi.Output.secret(r["v"]) if r["secret"] else r["v"]
        made[r["name"]] = Thing(r["name"], v=value, fixed=r["fixed"], uses=uses, opts=options)
pulumi.export("names", sorted(made))
"""

NAMES = [f"r{n}" for n in range(7)]
RESOURCE = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "group": st.integers(0, 5).map(lambda n: n == 0),
        "v": st.sampled_from(["one", "two"]),
        "fixed": st.sampled_from(["x", "x", "y"]),
        "uses": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
        "after": st.lists(st.sampled_from(NAMES), max_size=1),
        "parent": st.sampled_from([None, None, *NAMES]),
        "retain": st.integers(0, 9).map(lambda n: n == 0),
        "first": st.booleans(),
        "ignore": st.integers(0, 5).map(lambda n: n == 0),
        "secret": st.booleans(),
        "strict": st.integers(0, 3).map(lambda n: n == 0),
        "trigger": st.sampled_from([None, None, "left", "right"]),
        "with": st.sampled_from([None, None, None, *NAMES]),
        "was": st.sampled_from([None, *NAMES]),
    }
)
GRAPH = st.lists(RESOURCE, max_size=6, unique_by=lambda r: r["name"])


def needs(resource: dict[str, Any]) -> set[str]:
    urns = {resource.get("parent", ""), (resource.get("provider") or "").rpartition("::")[0], *resource.get("dependencies", [])}
    urns.add(resource.get("deletedWith", ""))
    for names in (resource.get("propertyDependencies") or {}).values():
        urns.update(names or ())
    return urns - {""}


def require_integrity(world: World, graph: list[dict[str, Any]], *, was_killed: bool = False) -> None:
    """What is needed comes first, nothing is there twice or waits, and the state is what the program says."""
    latest = world.state()
    seen: set[str] = set()
    for resource in latest["resources"]:
        assert needs(resource) <= seen, resource["urn"]
        assert resource["urn"] not in seen
        assert not resource.get("delete")
        assert not resource.get("pendingReplacement")
        seen.add(resource["urn"])
    assert was_killed or "pending_operations" not in latest
    assert {r["name"] for r in graph} == set(world.resources()) - {"shop-dev", "default"}
    kept = {r["id"] for r in latest["resources"] if r.get("id") and r["type"] == "thing:index:Thing"}
    assert kept <= {path.stem for path in (world.folder / "store").glob("*.json")}


def require_order(world: World, before: dict[str, set[str]]) -> None:
    """Each resource was deleted only after all that used it and were deleted too."""
    path = world.folder / "store/calls.log"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    order = [name for operation, name in rows if operation == "delete"]
    path.unlink(missing_ok=True)
    for index, name in enumerate(order):
        late = {n for n in order[index + 1 :] if name in before.get(n, ())}
        assert not late, f"{name} was deleted before {late}; order {order}"


def users(world: World) -> dict[str, set[str]]:
    return {n: {urn.rsplit("::", 1)[-1] for urn in needs(r)} for n, r in world.resources().items()}


@pytest.mark.story
def test_random_programs_converge(made_world: World, tmp_path: Path) -> None:
    """A second up and a refresh change nothing, deletes respect dependencies, destroy leaves nothing behind."""
    deadline = time.monotonic() + BUDGET_S

    @settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        database=None,
        derandomize="RANDOM_PROGRAMS" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(graphs=st.lists(GRAPH, min_size=2, max_size=2))
    def play(graphs: list[list[dict[str, Any]]]) -> None:
        if time.monotonic() > deadline:
            return
        live(made_world.copy(tmp_path / str(len(list(tmp_path.iterdir())))), graphs)

    play()
    assert any(tmp_path.iterdir())


def live(world: World, graphs: list[list[dict[str, Any]]]) -> None:
    graph_file = world.folder / "graph.json"
    world.program(PROGRAM)
    for graph in graphs:
        graph_file.write_text(json.dumps(graph))
        before = users(world)
        told = f"programs, in turn: {json.dumps(graphs)}"
        try:
            world.up(GRAPH=str(graph_file))
            require_order(world, before)
            require_integrity(world, graph)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{told}") from exc
    world.up("--refresh", "--expect-no-changes", GRAPH=str(graph_file))
    assert [call for call in world.calls() if call[0] != "read"] == []
    before = users(world)
    world.run("destroy", "--yes", "--skip-preview", "-s", "dev")
    require_order(world, before)
    assert world.state().get("resources", []) == []


def require_nothing_lost(world: World) -> None:
    """After kill -9: the file is whole, and what was made is in it, but for what is pending."""
    latest = world.state()
    pending = [(op["type"], op["resource"].get("id")) for op in latest.get("pending_operations", [])]
    going = {identity for kind, identity in pending if kind == "deleting"}
    known = {r["id"] for r in latest.get("resources", []) if r["type"] == "thing:index:Thing" and not r.get("pendingReplacement")}
    there = {path.stem for path in (world.folder / "store").glob("*.json")}
    assert known - going <= there


def killed(world: World, graph_file: Path, calls: int) -> bool:
    """Ends an update with SIGKILL once the provider has had so many calls; False where it was done before."""
    log = world.folder / "store/calls.log"
    log.unlink(missing_ok=True)
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev", GRAPH=str(graph_file), EACH_S="0.05")
    try:
        while process.poll() is None:
            if log.exists() and len([line for line in log.read_text().splitlines() if "diff" not in line]) >= calls:
                process.kill()
                break
            time.sleep(0.005)
    finally:
        process.kill()
        process.communicate(timeout=60)
    return process.returncode == -9


@pytest.mark.story
def test_killed_at_any_moment_an_update_resumes(world: World) -> None:
    """What a later update finds is enough to come to the state that the program says, and to destroy it all."""
    world.program(PROGRAM)
    graph_file = world.folder / "graph.json"
    seed = os.environ.get("RANDOM_PROGRAMS") or "1"
    chance = random.Random(seed)  # noqa: S311 - made-up programs, no secrets
    store = world.folder / "store"
    for _ in range(KILLS):
        graph = chance_graph(chance)
        graph_file.write_text(json.dumps(graph))
        told = f"RANDOM_PROGRAMS={seed}: {json.dumps(graph)}"
        try:
            killed(world, graph_file, chance.randint(1, 6))
            require_nothing_lost(world)
            world.up(GRAPH=str(graph_file))
            (store / "calls.log").unlink(missing_ok=True)
            require_integrity(world, graph, was_killed=True)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{told}") from exc
    world.run("destroy", "--yes", "--skip-preview", "-s", "dev")
    assert world.state().get("resources", []) == []
    # Those that were under way may exist without an id we know, and are told of; all others are gone.
    assert len(list(store.glob("*.json"))) <= len(world.state().get("pending_operations", []))


def chance_graph(chance: random.Random) -> list[dict[str, Any]]:
    """Five resources that depend on one another, without those that stay or share an end: what is left over can be counted."""
    return [
        {
            "name": name,
            "group": False,
            "v": chance.choice(["one", "two"]),
            "fixed": chance.choice("xy"),
            "uses": [n for n in NAMES[:index] if chance.random() < 0.3],
            "after": [],
            "parent": None,
            "retain": False,
            "first": chance.random() < 0.5,
            "ignore": False,
            "secret": chance.random() < 0.3,
            "strict": chance.random() < 0.3,
            "trigger": None,
            "with": None,
            "was": None,
        }
        for index, name in enumerate(chance.sample(NAMES[:5], 5))
    ]
