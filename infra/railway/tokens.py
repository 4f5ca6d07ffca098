"""The three kinds of Railway's tokens and the header that each travels in."""

from __future__ import annotations

from collections.abc import Mapping

from infra.provider.errors import ConfigurationError


def headers_of(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The one header that says who asks. The settings go before the environment; ConfigurationError for none or two.

    Account and workspace tokens are bearer tokens. A project token, which reaches one environment and cannot ask who it is
    (`me` refuses it), has a header of its own. The variables are those of Railway's CLI.
    """
    account, project = settings.get("token"), settings.get("projectToken")
    if account and project:
        raise ConfigurationError("railway:projectToken: expected one of railway:token and railway:projectToken, got both")
    if not account and not project:
        account = environment.get("RAILWAY_API_TOKEN")
        project = None if account else environment.get("RAILWAY_TOKEN")
    if account:
        return {"authorization": f"Bearer {_checked('token', account)}"}
    if project:
        return {"project-access-token": _checked("projectToken", project)}
    raise ConfigurationError(
        "railway:token: expected an account or workspace token (or railway:projectToken, a project token), got nothing; "
        "set RAILWAY_API_TOKEN (or RAILWAY_TOKEN), or run `pulumi config set --secret railway:token`"
    )


def _checked(setting: str, token: str) -> str:
    """What cannot be in a header would come back in an error of the HTTP library, token and all."""
    stripped = token.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ConfigurationError(f"railway:{setting}: expected letters, digits and dashes, got {len(token)} other characters")
    return stripped
