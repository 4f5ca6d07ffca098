"""Templates: an undefined name or a result that does not pass its check reaches nobody."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.desired_state.rendering import CHECKS, TEMPLATES, RenderingError, render, toml_key, toml_value

ROOT = Path(__file__).resolve().parents[2]
SERVICE_IMAGE = {"python": "3.11", "command": ["python", "-m", "service"]}

scalars = st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**63), 2**63 - 1) | st.booleans()


@given(scalars | st.lists(scalars, max_size=4))
def test_a_value_reads_back_from_toml(value: object) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_key_reads_back_from_toml(name: str) -> None:
    assert tomllib.loads(f"{toml_key(name)} = 1") == {name: 1}


@pytest.mark.parametrize("value", [None, 1.5, {"a": 1}, b"bytes", "\ud800", object()])
def test_a_value_that_toml_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(RenderingError, match="expected"):
        toml_value(value)


def test_an_undefined_name_is_an_error() -> None:
    with pytest.raises(RenderingError, match=r"templates/Dockerfile\.j2: 'python' is undefined"):
        render("Dockerfile.j2", {"command": []})


def test_a_result_that_fails_its_check_is_an_error() -> None:
    values = {"service": "s", "build": None, "deploy": {"healthcheckTimeout": 0}, "environments": None}
    with pytest.raises(RenderingError, match=r"deploy\.healthcheckTimeout"):
        render("railway.toml.j2", values)


def test_a_template_without_a_check_is_refused() -> None:
    with pytest.raises(RenderingError, match="a template needs a check"):
        render("other.j2", {})


def test_every_template_has_a_check() -> None:
    assert {path.name for path in TEMPLATES.glob("*.j2")} == set(CHECKS)


def test_the_committed_dockerfile_is_the_rendered_one() -> None:
    """Railway builds from the file in the release, so it must stand in service/, not only in the template."""
    assert (ROOT / "service" / "Dockerfile").read_text() == render("Dockerfile.j2", SERVICE_IMAGE)


def test_the_dockerfile_does_not_run_as_root() -> None:
    assert "USER 10001:10001" in render("Dockerfile.j2", SERVICE_IMAGE).splitlines()
