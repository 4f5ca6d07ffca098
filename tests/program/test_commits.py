"""How many commits and deployments an `up` of the program costs: one commit for all that can go together, one deployment each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from infra.provider.properties import from_struct
from infra.railway import staging
from infra.railway.provider import RailwayProvider
from infra.settings import parse_settings
from tests.program.graph import Declared, Graph, graph
from tests.program.stack_values import SECRETS, values
from tests.provider.driving import Driver, Kept, driven
from tests.provider.serving import served
from tests.railway.fake import TOKEN, FakeRailway

COMMIT, STAGE = "environmentPatchCommitStaged", "environmentStageChanges"


@dataclass
class Engine:
    """Carries a program's graph out as an engine does: each resource as soon as all that it depends on is done."""

    driver: Driver
    fake: FakeRailway
    kept: dict[str, Kept] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """What the mocks of the graph made up -> what the provider really answered."""
    when_done: Callable[[], None] = lambda: None

    async def up(self, program: Graph, database: asyncio.Event | None = None) -> dict[str, int]:
        """Mutations by name, and `deployments`. The database is there at once, or as soon as `database` is set."""
        before, deployments = self.fake.changed.copy(), len(self.fake.deployments)
        done = {label(each): asyncio.Event() for each in program.resources.values()}

        async def bring(each: Declared) -> None:
            for other in each.after & done.keys():
                await done[other].wait()
            if each.type.startswith("railway:"):
                await self._bring(each)
            elif each.type == "supabase:index:Project" and database is not None:
                await database.wait()
            done[label(each)].set()
            self.when_done()

        async with asyncio.TaskGroup() as tasks:
            for each in program.resources.values():
                tasks.create_task(bring(each))
        return {**(self.fake.changed - before), "deployments": len(self.fake.deployments) - deployments}

    async def _bring(self, each: Declared) -> None:
        inputs = from_struct(ParseDict(self._real(dict(each.inputs)), Struct()))
        name = label(each)
        if name in self.kept:
            await self.driver.up(self.kept[name], **inputs)
        else:
            self.kept[name] = await self.driver.create(each.type.split(":")[-1], each.name, **inputs)
        made = self.kept[name]
        self.texts[f"id-of-{each.type.split(':')[-1]}-{each.name}"] = made.identity
        if digest := made.outputs.get("variablesDigest"):
            self.texts[f"digest of {each.name}"] = digest.value

    def _real(self, value: Any) -> Any:
        match value:
            case dict():
                return {name: self._real(inner) for name, inner in value.items()}
            case list():
                return [self._real(inner) for inner in value]
            case str():
                return self.texts.get(value, value)
        return value


def label(each: Declared) -> str:
    return f"{each.type.split(':')[-1]} {each.name}"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path / "home"))
    (tmp_path / "clone/service").mkdir(parents=True)
    (tmp_path / "clone/service/__init__.py").write_text("")
    return tmp_path / "clone"


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(staging, "WAVE_QUIET_S", 0.4)  # a busy machine must not cut a wave in two
    fake = FakeRailway()
    async with served(fake.app) as address, driven(RailwayProvider(), patient=True) as driver:
        await driver.configure(endpoint=f"{address}/graphql/v2", token=TOKEN)
        yield Engine(driver, fake)


async def program(root: Path, **changes: Any) -> Graph:
    return await asyncio.to_thread(graph, parse_settings(values(**changes), set(SECRETS)), root)


@pytest.mark.anyio
async def test_an_up_is_one_commit_and_one_deployment_of_each_service(engine: Engine, root: Path) -> None:
    first = await engine.up(await program(root))
    assert (first[COMMIT], first["deployments"]) == (1, 4)

    # One variable and one setting of both cells.
    second = await engine.up(await program(root, logLevel="debug", overlapSeconds=9))
    assert second == {STAGE: 1, COMMIT: 1, "deployments": 2}

    # Another service as well: the caches' password, which the cells only refer to.
    other = {"cachePassword": "another-password-another-password"}
    third = await engine.up(await program(root, overlapSeconds=7, **other))
    assert third[STAGE] == third[COMMIT] == 1
    assert third["deployments"] == 4

    assert await engine.up(await program(root, overlapSeconds=7, **other)) == {"deployments": 0}


@pytest.mark.anyio
async def test_what_has_to_wait_for_the_database_is_a_second_commit(engine: Engine, root: Path) -> None:
    """The caches need not wait for it. What the graph forces apart is committed apart, and nothing else."""
    database = asyncio.Event()

    caches = {"Deployment cache-us-west2", "Deployment cache-europe-west4-drams3a"}
    engine.when_done = lambda: database.set() if caches <= engine.kept.keys() else None
    first = await engine.up(await program(root), database)
    assert (first[COMMIT], first["deployments"]) == (2, 4)
