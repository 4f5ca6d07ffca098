"""The load generator on Locust: open-loop arrivals, each in a greenlet of a bounded pool.

Theory of operation. A closed loop (send, wait, send) slows down with the service and so leaves out exactly the requests that
would have suffered: coordinated omission. Here one Locust user per scenario and region is a dispatcher. It walks a schedule of
intended start times that was fixed before the run and hands each arrival to a greenlet of its own; the latency counts from the
intended start, whatever the service, the pool or the scheduler did in between. What the generator itself adds is measured as
lateness (start of the greenlet minus intended start), as its CPU, and as arrivals that found the pool full; the verdict calls
a run invalid when these are too large. Locust's own statistics and web page get the same latencies.

Import only in the run process (see http_session.py).
"""

from __future__ import annotations

import gc
import math
import random
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import gevent  # type: ignore[import-untyped]  # gevent carries no types
from gevent.pool import Pool  # type: ignore[import-untyped]  # gevent carries no types
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from loadtests.arrivals import schedule
from loadtests.distribution import Distribution
from loadtests.http_session import exchange, stay_put
from loadtests.measurement import GeneratorFacts
from loadtests.recorder import SeriesRecorder, distribution_of, empty_histogram
from loadtests.scenarios.interface import Answer, Ask, Attempt, Judge, Scenario
from loadtests.slo import ScenarioSlo

CONNECTIONS_MAX = 4000
STARTS_IN_A_ROW_MAX = 32
LATE_S_MAX = 1.0
LATE_IN_WARM_UP_S_MAX = 3.0


class RunHung(Exception):
    """The run went on beyond every deadline: our bug, or a machine that stood still."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One scenario in one region. `attempt_s_max` bounds how long one arrival may take, which sizes the pool."""

    scenario: Scenario
    slo: ScenarioSlo
    region: str
    attempt_s_max: float

    @property
    def pool_size(self) -> int:
        """Enough for every arrival to hang until its time-out, and a half more for Poisson's clusters."""
        return min(CONNECTIONS_MAX, math.ceil(1.5 * self.slo.rate_per_s * self.attempt_s_max) + 8)


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of load: warm-up, then the counted part. `offset_s` puts a second look behind the first on the timeline."""

    warm_up_s: float
    duration_s: float
    offset_s: float
    seed: int

    @property
    def whole_s(self) -> float:
        return self.warm_up_s + self.duration_s


class Lateness:
    """How late arrivals were started: the generator's own share, kept apart for each run."""

    def __init__(self) -> None:
        self._histogram = empty_histogram()
        self.dropped = 0
        self.sent = 0
        self.cpu_percents: list[float] = []

    def record(self, late_s: float, is_counted: bool) -> None:
        self.sent += 1
        if is_counted:
            self._histogram.record_value(max(1, round(late_s * 1e6)))

    @property
    def distribution(self) -> Distribution:
        return distribution_of(self._histogram)

    def facts(self) -> GeneratorFacts:
        found = self.distribution
        cpu = max(self.cpu_percents, default=0.0)
        return GeneratorFacts(found.percentile(0.99) / 1000, found.max_us / 1000, round(cpu, 1), self.dropped, self.sent)


@dataclass(frozen=True, slots=True)
class Field:
    """Where a run takes place: URL of each region, recorders by (scenario, region), the generator's own figures."""

    urls: Mapping[str, str]
    timeout_s: float
    recorders: Mapping[tuple[str, str], SeriesRecorder]
    lateness: Lateness


class Dispatcher(FastHttpUser):
    """The user of one lane. Subclasses made by `user_class` carry the lane."""

    abstract = True
    insecure = False
    max_retries = 0
    fixed_count = 1
    lane: Lane
    field: Field
    window: Window | None = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        stay_put(self.client)
        self._pool = Pool(self.lane.pool_size)

    @task
    def dispatch(self) -> None:
        """Walks the schedule once. Without a window (interactive use) it goes on until Locust stops the user."""
        window = self.window or Window(0.0, 30 * 24 * 3600.0, 0.0, random.randrange(2**32))  # noqa: S311
        slo = self.lane.slo
        key = f"{window.seed}/{window.offset_s}/{slo.name}/{self.lane.region}"
        start_s = time.perf_counter()
        for number, at_s in enumerate(schedule(slo.arrivals, slo.rate_per_s, window.whole_s, key)):
            late_s = time.perf_counter() - start_s - at_s
            # A late dispatcher starts all that is due before it yields: one start per turn of the loop would cap its rate on a
            # busy machine. It yields now and then, so that the requests under way are not starved.
            if late_s < 0 or number % STARTS_IN_A_ROW_MAX == 0:
                gevent.sleep(max(0.0, -late_s))
                late_s = time.perf_counter() - start_s - at_s
            is_counted = at_s >= window.warm_up_s
            self._recorder(self.lane.region).plan(is_counted)
            if self._pool.full() or late_s > (LATE_S_MAX if is_counted else LATE_IN_WARM_UP_S_MAX):
                # Waiting here would close the loop. A dropped arrival makes the run invalid, so nothing is gained by going on.
                self.field.lateness.dropped += 1
            if self.field.lateness.dropped:
                self._pool.kill(block=False)
                raise StopUser
            self._pool.spawn(self._arrive, start_s + at_s, window.offset_s + at_s, is_counted, f"{key}/{number}")
        self._pool.join(timeout=self.lane.attempt_s_max + 5)
        self._pool.kill(block=True, timeout=5)
        raise StopUser

    def on_stop(self) -> None:
        """Locust ends the user early: its requests end with it."""
        self._pool.kill(block=False)

    def _recorder(self, region: str) -> SeriesRecorder:
        return self.field.recorders[self.lane.scenario.name, region]

    def _arrive(self, intended_s: float, at_s: float, is_counted: bool, seed: str) -> None:
        self.field.lateness.record(max(0.0, time.perf_counter() - intended_s), is_counted)
        scenario = self.lane.scenario
        attempt = Attempt(self.lane.region, random.Random(seed))  # noqa: S311  choices must come again
        scenario.attempt(LaneSession(self, intended_s), attempt)
        ended_s = time.perf_counter()
        own = self._recorder(self.lane.region)
        if scenario.measures_regions:
            for region, seen_s in attempt.seen_after:
                self._recorder(region).sample(at_s, seen_s, is_counted)
        else:
            own.sample(at_s, ended_s - intended_s, is_counted)
        for is_hit in attempt.cache_lookups:
            own.lookup(is_hit, is_counted)
        own.finish(at_s, attempt.failures, attempt.ran, is_counted)


class LaneSession:
    """A scenario's Session for one arrival. The first exchange counts from the intended start, later ones from their own."""

    def __init__(self, user: Dispatcher, intended_s: float) -> None:
        self._user = user
        self._started_s: float | None = intended_s

    @property
    def regions(self) -> Sequence[str]:
        return tuple(self._user.field.urls)

    def exchange(self, ask: Ask, judge: Judge, attempt: Attempt) -> Answer:
        region = ask.region or attempt.region
        started_s, self._started_s = self._started_s, None

        def report(answer: Answer) -> str | None:
            known = len(attempt.failures)
            judge(answer)
            return attempt.failures[known][0] if len(attempt.failures) > known else None

        name = f"{self._user.lane.scenario.name} {region} {ask.path}"
        url = self._user.field.urls[region] + ask.path
        return exchange(self._user.client, ask, url, name, self._user.field.timeout_s, report, started_s)

    def now(self) -> float:
        return time.perf_counter()

    def pause(self, seconds: float) -> None:
        gevent.sleep(seconds)


def user_class(lane: Lane, field: Field, window: Window | None) -> type[Dispatcher]:
    """Locust wants a class per kind of user; its name is what Locust's web page shows."""
    name = f"{lane.scenario.name}_{lane.region}".replace("-", "_")
    body = {
        "abstract": False,
        "host": field.urls[lane.region],
        "lane": lane,
        "field": field,
        "window": window,
        "concurrency": lane.pool_size,
        "network_timeout": field.timeout_s,
        "connection_timeout": field.timeout_s,
    }
    return type(name, (Dispatcher,), body)


def run_window(lanes: Sequence[Lane], field: Field, window: Window, each_second: Callable[[int], None]) -> None:
    """Runs all lanes through one window and returns when every request has come to its end.

    `each_second` is called with the number of the second just passed. RunHung beyond every deadline.
    """
    raise_file_limit()
    classes: list[type[FastHttpUser]] = [user_class(lane, field, window) for lane in lanes]
    environment = Environment(user_classes=list(classes), stop_timeout=1, catch_exceptions=False)
    runner = environment.create_local_runner()
    # A full collection during the run would be measured as the service's latency.
    gc.collect()
    gc.freeze()
    watch = gevent.spawn(_watch, field.lateness, window, each_second)
    deadline_s = window.whole_s + max(lane.attempt_s_max for lane in lanes) + 20
    try:
        with gevent.Timeout(deadline_s, RunHung(f"the run did not end within {deadline_s:g} s")):
            runner.start(len(classes), spawn_rate=len(classes))
            if runner.spawning_greenlet is not None:
                runner.spawning_greenlet.join()
            runner.user_greenlets.join()
            if not field.lateness.dropped:
                watch.join()
    finally:
        watch.kill()
        runner.quit()
        gc.unfreeze()


def _watch(lateness: Lateness, window: Window, each_second: Callable[[int], None]) -> None:
    """Progress once a second, and the CPU share of the counted part."""
    start_s = time.perf_counter()
    meter = gevent.spawn(_meter, lateness, window)
    try:
        for second in range(math.ceil(window.whole_s)):
            gevent.sleep(max(0.0, start_s + second + 1 - time.perf_counter()))
            each_second(math.floor(window.offset_s) + second)
        meter.join()
    finally:
        meter.kill()


def _meter(lateness: Lateness, window: Window) -> None:
    gevent.sleep(window.warm_up_s)
    from_s, cpu_from_s = time.perf_counter(), time.process_time()
    gevent.sleep(window.duration_s)
    lateness.cpu_percents.append(100 * (time.process_time() - cpu_from_s) / (time.perf_counter() - from_s))


def raise_file_limit() -> None:
    """Every hanging request holds a connection; the default of 1,024 files would be found out by a stall, as an error of ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
