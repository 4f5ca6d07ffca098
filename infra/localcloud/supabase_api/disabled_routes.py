"""What a project without providers of its own answers: OAuth, SAML, passkeys, Web3. In GoTrue's words for "not enabled"."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import redirects, users
from infra.localcloud.supabase_api.bearer import authenticated
from infra.localcloud.supabase_api.errors import ApiError, json_response, validation_failed
from infra.localcloud.supabase_api.project import project_of
from infra.localcloud.supabase_api.validation import parsed_uuid
from infra.localcloud.supabase_api.verify_routes import see_other

NO_SAML = ApiError(404, "saml_provider_disabled", "SAML 2.0 is disabled")
NO_PASSKEYS = ApiError(404, "passkey_disabled", "Passkeys are disabled")


KNOWN = [
    "apple",
    "azure",
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "fly",
    "github",
    "gitlab",
    "google",
    "kakao",
    "keycloak",
    "linkedin",
    "linkedin_oidc",
    "notion",
    "slack",
    "slack_oidc",
    "snapchat",
    "spotify",
    "twitch",
    "twitter",
    "workos",
    "zoom",
    "x",
]


async def authorize(request: Request) -> Response:
    raise _no_provider(request)


def _no_provider(request: Request) -> ApiError:
    name = request.query_params.get("provider", "").lower()
    reason = "provider is not enabled" if name in KNOWN else f"Provider {name[:80]} could not be found"
    return validation_failed(f"Unsupported provider: {reason}")


async def callback(request: Request) -> Response:
    """Nobody was sent to a provider from here, so no state is known."""
    has_state = bool(request.query_params.get("state"))
    code = "bad_oauth_state" if has_state else "bad_oauth_callback"
    message = f"OAuth state parameter {'is invalid' if has_state else 'missing'}"
    values = {"error": "invalid_request", "error_code": code, "error_description": message}
    return see_other(redirects.with_query(project_of(request).settings.auth.site_url, values))


async def oauth_server(_: Request) -> Response:
    raise ApiError(404, "feature_disabled", "OAuth server is disabled")


async def sso(_: Request) -> Response:
    raise NO_SAML


async def passkeys(_: Request) -> Response:
    raise NO_PASSKEYS


async def link_identity(request: Request) -> Response:
    await authenticated(request)
    _require_linking(request)
    raise _no_provider(request)


def _require_linking(request: Request) -> None:
    if not project_of(request).settings.auth.security_manual_linking_enabled:
        raise ApiError(404, "manual_linking_disabled", "Manual linking is disabled")


async def unlink_identity(request: Request) -> Response:
    """A user keeps at least one identity. A second one can only come from outside (a row written by its project's owner)."""
    caller = await authenticated(request)
    _require_linking(request)
    identity_id = parsed_uuid(request.path_params["identity_id"])
    if identity_id is None:
        raise validation_failed("identity_id must be an UUID", 404)
    own = users.identities_of(caller.account)
    if len(own) <= 1:
        message = "User must have at least 1 identity after unlinking"
        raise ApiError(422, "single_identity_not_deletable", message)
    if identity_id not in own:
        raise ApiError(422, "identity_not_found", "Identity doesn't exist")
    user_id = caller.account.user.id
    async with project_of(request).database.acquire() as connection, connection.transaction():
        await users.delete_identity(connection, user_id, identity_id)
        await users.note_providers(connection, user_id)
    return json_response({})


routes = [
    Route("/authorize", authorize, methods=["GET"]),
    Route("/callback", callback, methods=["GET", "POST"]),
    Route("/.well-known/oauth-authorization-server", oauth_server, methods=["GET"]),
    Route("/user/identities/authorize", link_identity, methods=["GET"]),
    Route("/user/identities/{identity_id}", unlink_identity, methods=["DELETE"]),
    Route("/sso", sso, methods=["POST"]),
    Route("/sso/saml/metadata", sso, methods=["GET"]),
    Route("/sso/saml/acs", sso, methods=["POST"]),
    Route("/passkeys", passkeys, methods=["GET"]),
    Route("/passkeys/authentication/options", passkeys, methods=["POST"]),
    Route("/passkeys/authentication/verify", passkeys, methods=["POST"]),
    Route("/passkeys/registration/options", passkeys, methods=["POST"]),
    Route("/passkeys/registration/verify", passkeys, methods=["POST"]),
    Route("/passkeys/{passkey_id}", passkeys, methods=["PATCH", "DELETE"]),
]
