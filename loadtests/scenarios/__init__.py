"""The scenarios, one file each."""

from __future__ import annotations

from collections.abc import Callable

from loadtests.scenarios.health import Health
from loadtests.scenarios.interface import Cast, Scenario
from loadtests.scenarios.login import Login
from loadtests.scenarios.preflight import Preflight
from loadtests.scenarios.revoke_then_validate import RevokeThenValidate
from loadtests.scenarios.validate import Validate
from loadtests.slo import ScenarioSlo

_MAKERS: dict[str, Callable[[ScenarioSlo, Cast], Scenario]] = {
    "validate": lambda slo, cast: Validate(cast.sessions),
    "login": lambda slo, cast: Login(cast.login),
    "preflight": lambda slo, cast: Preflight(slo.origin),
    "health": lambda slo, cast: Health(slo.path),
    "revoke_then_validate": lambda slo, cast: RevokeThenValidate(tuple(cast.revoke), cast.service_role_key, slo.bound_ms),
}


def make(slo: ScenarioSlo, cast: Cast) -> Scenario:
    """The scenario of an SLO entry."""
    return _MAKERS[slo.name](slo, cast)
