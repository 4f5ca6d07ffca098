"""Account, workspace and project tokens: each in its own header, and none in a message."""

from __future__ import annotations

import pytest

from infra.provider.errors import ConfigurationError
from infra.railway.tokens import headers_of


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        ({"token": "a"}, {"RAILWAY_API_TOKEN": "b", "RAILWAY_TOKEN": "c"}, {"authorization": "Bearer a"}),
        ({"projectToken": "a"}, {"RAILWAY_API_TOKEN": "b", "RAILWAY_TOKEN": "c"}, {"project-access-token": "a"}),
        ({}, {"RAILWAY_API_TOKEN": "b", "RAILWAY_TOKEN": "c"}, {"authorization": "Bearer b"}),
        ({}, {"RAILWAY_TOKEN": "c\n"}, {"project-access-token": "c"}),
    ],
)
def test_header(settings: dict[str, str], environment: dict[str, str], expected: dict[str, str]) -> None:
    assert headers_of(settings, environment) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "railway:token: expected an account or workspace token"),
        (
            {"token": "a", "projectToken": "b"},
            "railway:projectToken: expected one of railway:token and railway:projectToken, got",
        ),
        ({"token": "very secret"}, "railway:token: expected letters, digits and dashes, got 11 other characters"),
        ({"projectToken": "geheimni\xdf"}, "railway:projectToken: expected letters, digits and dashes, got 9 other characters"),
    ],
)
def test_refusal(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        headers_of(settings, {})
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value).replace("--secret", "")
