"""/auth/v1: sign-up, tokens, the signed-in user, log-out, and what is public about the project."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import (
    disabled_routes,
    mail_routes,
    mfa_routes,
    pkce,
    refresh,
    registration,
    sessions,
    user_update,
    users,
    verify_routes,
)
from infra.localcloud.supabase_api.bearer import authenticated, caller_of, is_banned, params_of, require_audience
from infra.localcloud.supabase_api.errors import ApiError, OAuthError, json_response, validation_failed
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.registration import granted_response
from infra.localcloud.supabase_api.session_limits import SessionLimits
from infra.localcloud.supabase_api.users import Account
from infra.localcloud.supabase_api.wire import IdTokenGrantParams, PasswordGrantParams, PkceGrantParams, RefreshGrantParams

VERSION = "v2.189.0-local"
INVALID_LOGIN = ApiError(400, "invalid_credentials", "Invalid login credentials")
LOGOUT_SCOPES = {"": "global", "global": "global", "local": "local", "others": "others"}
EXTERNAL = """anonymous_users apple azure bitbucket discord facebook snapchat figma fly github gitlab google keycloak kakao
    linkedin linkedin_oidc notion spotify slack slack_oidc workos twitch twitter email phone zoom"""
PROVIDERS = tuple(EXTERNAL.split())
ISSUERS = {
    "google": "https://accounts.google.com",
    "apple": "https://appleid.apple.com",
    "facebook": "https://www.facebook.com",
    "kakao": "https://kauth.kakao.com",
}
CLAIMS = """sub aud iss exp iat auth_time nonce email email_verified phone_number phone_number_verified name picture
    preferred_username updated_at"""


async def token(request: Request) -> Response:
    grants = {
        "password": _password_grant,
        "refresh_token": _refresh_grant,
        "pkce": _pkce_grant,
        "id_token": _id_token_grant,
        "web3": _web3_grant,
    }
    grant = grants.get(request.query_params.get("grant_type", ""))
    if grant is None:
        raise ApiError(400, "invalid_credentials", "unsupported_grant_type")
    project_of(request).limits.check("token", caller_of(request).address)
    return await grant(request, project_of(request))


async def _password_grant(request: Request, project: Project) -> Response:
    params = await params_of(request, PasswordGrantParams)
    account = await _claimed_account(project, params)
    # A ban is told before the password is looked at: GoTrue does so, and clients depend on the code.
    if account is not None and account.password_hash and is_banned(project, account.user):
        raise ApiError(400, "user_banned", "User is banned")
    is_right = await project.passwords.matches(params.password or "", account.password_hash if account else None)
    if account is None or not is_right:
        raise INVALID_LOGIN
    if params.email and account.user.email_confirmed_at is None:
        raise ApiError(400, "email_not_confirmed", "Email not confirmed")
    granted = await sessions.open_session(project.database, project.signer, account, caller_of(request))
    # GoTrue says so where a password that was accepted once is too weak by today's rules; null means it is not.
    return json_response({**msgspec.structs.asdict(granted.answer), "weak_password": None}, headers=granted.headers)


async def _claimed_account(project: Project, params: PasswordGrantParams) -> Account | None:
    if params.email and params.phone:
        raise validation_failed("Only an email address or phone number should be provided on login.")
    if params.email:
        if not project.settings.auth.external_email_enabled:
            raise ApiError(422, "email_provider_disabled", "Email logins are disabled")
        return await users.by_email(project.database, params.email)
    if params.phone:
        raise ApiError(422, "phone_provider_disabled", "Phone logins are disabled")
    raise validation_failed("missing email or phone")


async def _refresh_grant(request: Request, project: Project) -> Response:
    params, config = await params_of(request, RefreshGrantParams), project.settings.auth
    if not params.refresh_token:
        raise validation_failed("Refresh token is not valid")
    interval = timedelta(seconds=config.security_refresh_token_reuse_interval)
    limits = SessionLimits(
        timedelta(hours=config.sessions_timebox),
        timedelta(hours=config.sessions_inactivity_timeout),
        config.sessions_single_per_user,
    )
    rules = refresh.Rules(interval, config.refresh_token_rotation_enabled, limits)
    granted = await sessions.refreshed(
        project.database, project.signer, params.refresh_token, caller_of(request), rules, project.ageing
    )
    return granted_response(granted)


async def _pkce_grant(request: Request, project: Project) -> Response:
    """The session behind a link that was followed, for the client that began the flow."""
    params = await params_of(request, PkceGrantParams)
    if not params.auth_code or not params.code_verifier:
        raise validation_failed("invalid request: both auth code and code verifier should be non-empty")
    async with project.database.acquire() as connection, connection.transaction():
        user_id, method = await pkce.redeem(connection, params.auth_code, params.code_verifier, project.ageing.now_for)
        account = await users.by_id(connection, user_id)
        if account is None:
            raise ApiError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
        granted = await sessions.open_session(connection, project.signer, account, caller_of(request), method)
    return granted_response(granted)


async def _web3_grant(_: Request, __: Project) -> Response:
    raise ApiError(422, "web3_provider_disabled", "Web3 provider is disabled")


async def _id_token_grant(request: Request, __: Project) -> Response:
    params = await params_of(request, IdTokenGrantParams)
    if not params.id_token:
        raise OAuthError("invalid request", "id_token required")
    if not params.provider and not (params.client_id and params.issuer):
        raise OAuthError("invalid request", "provider or client_id and issuer required")
    if params.provider and params.provider not in ISSUERS:
        raise validation_failed(f'Custom OIDC provider "{params.provider[:80]}" not allowed')
    issuer = ISSUERS.get(params.provider or "", params.issuer or "")
    raise ApiError(400, "provider_disabled", f'Provider (issuer "{issuer[:200]}") is not enabled')


async def user(request: Request) -> Response:
    caller = await authenticated(request)
    if request.method == "PUT":
        project_of(request).limits.check("user", caller_of(request).address)
        return await user_update.updated(request, caller)
    require_audience(request, caller)
    return json_response(caller.account.user)


async def logout(request: Request) -> Response:
    caller = await authenticated(request)
    asked = request.query_params.get("scope", "")
    scope = LOGOUT_SCOPES.get(asked)
    if scope is None:
        raise validation_failed(f'Unsupported logout scope "{asked}"')
    await sessions.end(project_of(request).database, caller.account.user.id, caller.session_id, scope)
    return Response(status_code=204)


async def jwks(request: Request) -> Response:
    return json_response(project_of(request).signer.jwks(), headers={"cache-control": "public, max-age=600"})


async def openid_configuration(request: Request) -> Response:
    issuer = project_of(request).settings.issuer
    body = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "scopes_supported": ["openid", "profile", "email", "phone", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "claims_supported": CLAIMS.split(),
        "code_challenge_methods_supported": ["S256", "plain"],
    }
    return json_response(body, headers={"cache-control": "public, max-age=600"})


async def settings(request: Request) -> Response:
    config = project_of(request).settings.auth
    enabled = {"email": config.external_email_enabled, "anonymous_users": config.external_anonymous_users_enabled}
    return json_response(
        {
            "external": {name: enabled.get(name, False) for name in PROVIDERS},
            "disable_signup": config.disable_signup,
            "mailer_autoconfirm": config.mailer_autoconfirm,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
            "saml_private_key_next_configured": True,
            "passkeys_enabled": False,
        }
    )


async def health(_: Request) -> Response:
    body = {"version": VERSION, "name": "GoTrue", "description": "GoTrue is a user registration and authentication API"}
    return json_response(body)


routes = [
    Route("/signup", registration.signup, methods=["POST"]),
    Route("/token", token, methods=["POST"]),
    Route("/user", user, methods=["GET", "PUT"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/.well-known/jwks.json", jwks),
    Route("/.well-known/openid-configuration", openid_configuration),
    Route("/settings", settings),
    Route("/health", health),
    *mail_routes.routes,
    *verify_routes.routes,
    *mfa_routes.routes,
    *disabled_routes.routes,
]
