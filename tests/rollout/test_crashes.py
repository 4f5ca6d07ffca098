"""kill -9 at any moment: whoever resumes ends with all regions on the new release or all on their previous one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.rollout.driver import Promoter
from infra.rollout.errors import JournalDamaged, NothingToDo, ReturnStalled
from infra.rollout.journal import journals, latest, load
from infra.rollout.plan import FINAL, Phase
from tests.rollout.world import ASIA, EU, FAIL, NEW, OLD, PASS, UNCLEAR, US, World, request, world

ATTEMPTS_MAX = 60


class Crash(BaseException):
    """The process is gone: nothing of the driver runs after this."""


class Moments:
    """Counts the moments of a driver's life, in all its lives, and ends it at some of them."""

    def __init__(self, deadly: set[int]) -> None:
        self.deadly = deadly
        self.count = 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count in self.deadly:
            raise Crash


async def no_pause(seconds: float) -> None:
    """Retries at once."""


def live_on(folder: Path, there: World, moments: Moments, holds: tuple[str, ...], choices: Iterator[str], torn: bytes) -> None:
    """Drivers come and go until the promotion has ended."""
    for life in range(ATTEMPTS_MAX):
        driver = Promoter(folder, "dev", "ada", there, there, listener=moments, pause=no_pause)
        try:
            if life == 0:
                state = asyncio.run(driver.promote(request(there, hold_after=holds)))
            elif next(choices, "resume") == "resume":
                state = asyncio.run(driver.resume())
            else:
                state = asyncio.run(driver.send_back("asked"))
        except (Crash, ReturnStalled):
            for path in journals(folder / "dev"):
                with path.open("ab") as file:
                    file.write(torn)  # the record the driver was writing when it died
            continue
        except NothingToDo:
            return  # the last life died right after its last record
        if state.is_final:
            return
    raise AssertionError("the promotion never ended")


@settings(deadline=None, max_examples=300)
@given(
    regions=st.permutations([US, EU, ASIA]).flatmap(lambda order: st.integers(1, 3).map(lambda n: {US, *order[:n]})),
    deployments=st.lists(st.sampled_from(["ok", "ok", "ok", "before", "after"]), max_size=12),
    verdicts=st.lists(st.sampled_from([PASS, PASS, FAIL, UNCLEAR]), max_size=8),
    deadly=st.sets(st.integers(1, 40), max_size=8),
    holds=st.sets(st.sampled_from([US, EU, ASIA])),
    choices=st.lists(st.sampled_from(["resume", "resume", "resume", "send back"]), max_size=8),
    torn=st.sampled_from([b"", b"{", b'{"number":9,"at":"2026']),
)
def test_every_promotion_ends_all_new_or_all_previous(
    regions: set[str],
    deployments: list[str],
    verdicts: list[object],
    deadly: set[int],
    holds: set[str],
    choices: list[str],
    torn: bytes,
) -> None:
    there = world(*sorted(regions), deployments=deployments, verdicts=verdicts)  # type: ignore[arg-type]
    before = dict(there.serving)
    there.moment = moments = Moments(deadly)
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.rollout.journal.os.fsync", lambda descriptor: None)  # matters in a power cut, which none of these is
        live_on(Path(home), there, moments, tuple(holds & regions), iter(choices), torn)
        found = latest(Path(home), "dev")
    assert found is not None
    state = found[0]
    assert state.phase in FINAL
    if state.phase is Phase.PROMOTED:
        assert set(there.serving.values()) == {NEW}
        assert {region for region, _, outcome in there.judged if outcome == "pass"} == regions, "every region passed its gate"
    else:
        assert there.serving == before


@given(deadly=st.integers(1, 30), verdicts=st.lists(st.sampled_from([PASS, FAIL]), max_size=2))
@settings(deadline=None, max_examples=60)
def test_a_gate_that_failed_is_not_forgotten_by_a_crash(deadly: int, verdicts: list[object]) -> None:
    """Once a failed verdict is on disk no later life promotes, whatever its own gate would say."""
    there = world(verdicts=verdicts)  # type: ignore[arg-type]
    there.moment = moments = Moments({deadly})
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.rollout.journal.os.fsync", lambda descriptor: None)
        live_on(Path(home), there, moments, (), iter(()), b"")
        found = latest(Path(home), "dev")
    assert found is not None
    recorded = [getattr(record.event, "outcome", None) for record in found[1]]
    assert (found[0].phase is Phase.RETURNED) == ("fail" in recorded)


KILLED = """
import asyncio, json, os, signal, sys
from pathlib import Path
from infra.rollout.driver import Promoter, Request
from tests.rollout.world import EU, NEW, US, World

home, deadly, verb = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
count = 0

def moment(*_):
    global count
    (home / "serving.json").write_text(json.dumps(there.serving))
    count += 1
    if count == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

there = World(json.loads((home / "serving.json").read_text()), moment=moment)
promoter = Promoter(home, "dev", "ada", there, there, listener=moment)
run = promoter.promote(Request(NEW, dict(there.serving), US)) if verb == "promote" else promoter.resume()
asyncio.run(run)
"""


@pytest.mark.parametrize("deadly", [1, 2, 3, 5, 8, 13, 17])
def test_kill_9_of_a_real_process_is_survived(tmp_path: Path, deadly: int) -> None:
    """The kernel gives the lock back, and the journal that was synced is the one that is found."""
    import json

    (tmp_path / "serving.json").write_text(json.dumps({US: OLD, EU: OLD}))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    arguments = [sys.executable, "-c", KILLED, str(tmp_path)]
    first = subprocess.run([*arguments, str(deadly), "promote"], env=environment, timeout=30, check=False)
    assert first.returncode == -signal.SIGKILL
    subprocess.run([*arguments, "0", "resume"], env=environment, timeout=30, check=True)
    assert set(json.loads((tmp_path / "serving.json").read_text()).values()) == {NEW}


def test_a_journal_without_a_first_record_is_no_promotion(tmp_path: Path) -> None:
    """Killed before anything was said: the next promotion starts fresh."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "20261124T000000Z-0000.jsonl").write_bytes(b'{"number":1,')
    there = world()
    driver = Promoter(tmp_path, "dev", "ada", there, there)
    with pytest.raises(NothingToDo):
        asyncio.run(driver.resume())
    assert asyncio.run(driver.promote(request(there))).phase is Phase.PROMOTED


def test_a_journal_cut_at_any_byte_is_either_read_or_refused(tmp_path: Path) -> None:
    """Cut inside a line: as if that line was never written. Changed inside: refused, with file and line."""
    there = world()
    asyncio.run(Promoter(tmp_path, "dev", "ada", there, there).promote(request(there)))
    (path,) = journals(tmp_path / "dev")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in range(len(lines[0]), len(whole)):
        path.write_bytes(whole[:length])
        assert len(load(path)[1]) == whole[:length].count(b"\n")
    for damaged in (lines[0] + lines[2], lines[0] + b"{}\n", lines[0] + lines[0], b"\n" + lines[0]):
        path.write_bytes(damaged)
        with pytest.raises(JournalDamaged, match=rf"{path.name}:\d"):
            load(path)
