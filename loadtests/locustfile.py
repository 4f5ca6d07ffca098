"""Interactive use of the same scenarios: LOADTEST_OUTPUTS=outputs.json locust -f loadtests/locustfile.py

One user class per scenario and region, each an open-loop dispatcher at the rate of the SLO file (LOADTEST_SLO names another
one); more users of a class multiply its rate. Locust's page shows latencies from the intended start. LOADTEST_ALLOW_REMOTE=1 and
LOADTEST_ALLOW_SEEDING=1 lift the same guards as the gate's options.
"""

from __future__ import annotations

import os
from pathlib import Path

from locust import LoadTestShape

from loadtests import seeding
from loadtests.cli import DEFAULT_SLO
from loadtests.generator import raise_file_limit, user_class
from loadtests.outputs import OutputsError, guard_hosts, guard_seeding, load_outputs
from loadtests.run import field_of, lanes_of
from loadtests.slo import load_slo


def _user_classes() -> dict[str, type]:
    if "LOADTEST_OUTPUTS" not in os.environ:
        raise OutputsError("LOADTEST_OUTPUTS: expected the path of the stack's outputs file, got nothing")
    outputs = load_outputs(Path(os.environ["LOADTEST_OUTPUTS"]))
    guard_hosts(outputs, os.environ.get("LOADTEST_ALLOW_REMOTE") == "1")
    guard_seeding(outputs, os.environ.get("LOADTEST_ALLOW_SEEDING") == "1")
    slo = load_slo(Path(os.environ.get("LOADTEST_SLO", DEFAULT_SLO)))
    raise_file_limit()
    people = seeding.people_of(outputs, slo.run.users)
    seeding.seed(outputs, people)
    lanes = lanes_of(outputs, slo, seeding.cast_of(outputs, people, slo.run.sessions))
    field = field_of(outputs, slo, lanes)
    classes = [user_class(lane, field, None) for lane in lanes]
    return {found.__name__: found for found in classes}


_CLASSES = _user_classes()
# Locust collects the user classes it finds among a locustfile's names.
globals().update(_CLASSES)


class EveryLane(LoadTestShape):
    """One dispatcher per lane, until somebody stops the run; without it Locust would start one user of one class."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options if self.runner is not None else None
        run_time_s = options.run_time if options is not None else None
        # Locust would stop the users at --run-time, and a shape that goes on would start them again.
        if run_time_s and self.get_run_time() > run_time_s - 0.5:  # type: ignore[no-untyped-call]  # locust's own
            return None
        return len(_CLASSES), len(_CLASSES)
