"""Reference variables: resolved to the end, and every way of not being resolvable has its own message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.world.references import rendered

SCOPES = {
    "web": {
        "URL": "redis://:${{cache.PASSWORD}}@${{cache.RAILWAY_PRIVATE_DOMAIN}}:${{ cache.PORT }}",
        "OWN": "${{PORT}}",
        "PORT": "8080",
        "SHARED": "<${{shared.KEY}}>",
        "PLAIN": "$PORT ${PORT} {{PORT}}",
        "TWICE": "${{OWN}}${{OWN}}",
    },
    "cache": {"PASSWORD": "pw", "RAILWAY_PRIVATE_DOMAIN": "127.64.1.2", "PORT": "6379"},
    "my cache.v2": {"A": "x"},
}


def test_references_are_resolved_through_services_shared_and_own_variables():
    result = rendered("web", SCOPES, {"KEY": "s-${{OTHER}}", "OTHER": "o"})
    assert result.problems == ()
    assert result.values == {
        "URL": "redis://:pw@127.64.1.2:6379",
        "OWN": "8080",
        "PORT": "8080",
        "SHARED": "<s-o>",
        "PLAIN": "$PORT ${PORT} {{PORT}}",
        "TWICE": "80808080",
    }


def test_a_service_name_may_hold_blanks_and_dots():
    assert rendered("w", {"w": {"V": "${{my cache.v2.A}}"}, **SCOPES}, {}).values["V"] == "x"


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"A": "${{A}}"}, "variable web.A refers to itself: web.A -> web.A"),
        ({"A": "${{B}}", "B": "${{web.A}}"}, "variable web.B refers to itself: web.A -> web.B -> web.A"),
        ({"A": "${{nobody.B}}"}, "variable web.A refers to ${{nobody.B}}, but this environment has no service named 'nobody'"),
        ({"A": "${{B}}"}, "variable web.A refers to ${{B}}, which is not set"),
        ({"A": "${{shared.B}}"}, "variable web.A refers to ${{shared.B}}, which is not set"),
        ({"A": "${{}}"}, "variable web.A refers to ${{}}, which is not set"),
    ],
)
def test_unresolvable_reference_is_a_problem_with_its_path(variables: dict[str, str], problem: str):
    assert problem in rendered("web", {"web": variables}, {}).problems


def test_values_never_stand_in_a_problem():
    result = rendered("web", {"web": {"SECRET": "hunter2${{nobody.X}}"}}, {})
    assert "hunter2" not in " ".join(result.problems)


def test_growth_without_end_is_stopped():
    """Thirty variables that each name the next one twice would be a gigabyte."""
    chain = {f"V{number}": f"${{{{V{number + 1}}}}}" * 2 for number in range(30)}
    result = rendered("web", {"web": {**chain, "V30": "xxxxxxxxxx" * 100}}, {})
    assert any("longer than" in problem for problem in result.problems)


def test_depth_without_end_is_stopped():
    chain = {f"V{number}": f"${{{{V{number + 1}}}}}" for number in range(500)}
    assert any("deeper" in problem for problem in rendered("web", {"web": {**chain, "V500": ""}}, {}).problems)


NAMES = st.sampled_from("ABCDE")
VALUES = st.lists(st.one_of(st.text(alphabet="xyz$", max_size=3), NAMES.map(lambda name: f"${{{{{name}}}}}")), max_size=3)


@given(st.dictionaries(NAMES, VALUES.map("".join)))
def test_rendering_ends_and_what_has_no_problem_has_no_reference_left(variables: dict[str, str]):
    result = rendered("web", {"web": variables}, {})
    assert result.values.keys() == variables.keys()
    if not result.problems:
        assert not any("${{" in value for value in result.values.values())
