"""/auth/v1: sign-up, tokens, the signed-in user, log-out, and what is public about the project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import sessions, users
from infra.localcloud.supabase_api.bearer import authenticated, caller_of, params_of
from infra.localcloud.supabase_api.errors import ApiError, OAuthError, json_response, validation_failed
from infra.localcloud.supabase_api.passwords import check_strength
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.users import Account, Changes, NewUser
from infra.localcloud.supabase_api.validation import checked_email
from infra.localcloud.supabase_api.wire import PasswordGrantParams, RefreshGrantParams, SignupParams, UserUpdateParams

VERSION = "v2.189.0-local"
INVALID_LOGIN = ApiError(400, "invalid_credentials", "Invalid login credentials")
AUDIENCE_HEADER = "x-jwt-aud"
LOGOUT_SCOPES = {"": "global", "global": "global", "local": "local", "others": "others"}
EXTERNAL = """anonymous_users apple azure bitbucket discord facebook snapchat figma fly github gitlab google keycloak kakao
    linkedin linkedin_oidc notion spotify slack slack_oidc workos twitch twitter email phone zoom"""
PROVIDERS = tuple(EXTERNAL.split())


async def signup(request: Request) -> Response:
    """200 with tokens; 422 signup_disabled, user_already_exists, weak_password; 400 validation_failed."""
    limits = project_of(request).settings
    if limits.is_signup_disabled:
        raise ApiError(422, "signup_disabled", "Signups not allowed for this instance")
    params = await params_of(request, SignupParams)
    if not params.email and not params.phone:
        raise ApiError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    if not params.password:
        raise validation_failed("Signup requires a valid password")
    check_strength(params.password, limits.password_characters_min)
    if params.email and params.phone:
        raise validation_failed("Only an email address or phone number should be provided on signup.")
    if params.phone:
        raise ApiError(400, "phone_provider_disabled", "Phone signups are disabled")
    project, email = project_of(request), checked_email(params.email or "")
    # The hash comes first: an address that is taken must not answer sooner than a free one.
    password_hash = await project.passwords.hashed(params.password)
    account = await users.insert(project.database, _new_user(email, password_hash, params))
    if account is None:
        raise ApiError(422, "user_already_exists", "User already registered")
    return json_response(await sessions.open_session(project.database, project.signer, account, caller_of(request)))


def _new_user(email: str, password_hash: str, params: SignupParams) -> NewUser:
    identity = {**(params.data or {}), "email": email, "email_verified": False, "phone_verified": False}
    return NewUser(
        email=email,
        phone="",
        password_hash=password_hash,
        role="authenticated",
        app_metadata={"provider": "email", "providers": ["email"]},
        user_metadata={**identity, "email_verified": True},
        identity_data={"email": identity},
        is_email_confirmed=True,
        is_phone_confirmed=False,
    )


async def token(request: Request) -> Response:
    grants = {"password": _password_grant, "refresh_token": _refresh_grant}
    grant = grants.get(request.query_params.get("grant_type", ""))
    if grant is None:
        raise ApiError(400, "invalid_credentials", "unsupported_grant_type")
    return await grant(request, project_of(request))


async def _password_grant(request: Request, project: Project) -> Response:
    params = await params_of(request, PasswordGrantParams)
    account = await _claimed_account(project, params)
    # A ban is told before the password is looked at: GoTrue does so, and clients depend on the code.
    if account is not None and account.user.is_banned(datetime.now(UTC)):
        raise ApiError(400, "user_banned", "User is banned")
    is_right = await project.passwords.matches(params.password or "", account.password_hash if account else None)
    if account is None or not is_right:
        raise INVALID_LOGIN
    if params.email and account.user.email_confirmed_at is None:
        raise ApiError(400, "email_not_confirmed", "Email not confirmed")
    if params.phone and account.user.phone_confirmed_at is None:
        raise ApiError(400, "phone_not_confirmed", "Phone not confirmed")
    return json_response(await sessions.open_session(project.database, project.signer, account, caller_of(request)))


async def _claimed_account(project: Project, params: PasswordGrantParams) -> Account | None:
    if params.email and params.phone:
        raise validation_failed("Only an email address or phone number should be provided on login.")
    if params.email:
        return await users.by_email(project.database, params.email)
    if params.phone:
        return await users.by_phone(project.database, params.phone)
    raise validation_failed("missing email or phone")


async def _refresh_grant(request: Request, project: Project) -> Response:
    params = await params_of(request, RefreshGrantParams)
    if not params.refresh_token:
        raise OAuthError("invalid_request", "refresh_token required")
    interval = timedelta(seconds=project.settings.reuse_interval_s)
    caller = caller_of(request)
    return json_response(await sessions.refreshed(project.database, project.signer, params.refresh_token, caller, interval))


async def user(request: Request) -> Response:
    caller = await authenticated(request)
    wanted = request.headers.get(AUDIENCE_HEADER) or caller.claims.audience or "authenticated"
    if request.method == "PUT":
        return await _update_user(request, caller.account, caller.session_id)
    if wanted != caller.claims.audience:
        raise validation_failed("Token audience doesn't match request audience")
    return json_response(caller.account.user)


async def _update_user(request: Request, account: Account, session_id: UUID | None) -> Response:
    """Password and metadata. A new password ends all other sessions of the user."""
    params, project = await params_of(request, UserUpdateParams), project_of(request)
    if params.app_metadata is not None:
        raise ApiError(403, "not_admin", "Updating app_metadata requires admin privileges")
    if params.phone or (params.email and checked_email(params.email) != account.user.email):
        raise ApiError(422, "feature_disabled", "Changes of email or phone need a mail or SMS provider; this project has none")
    password_hash = await _new_password_hash(project, account, params.password) if params.password else None
    async with project.database.acquire() as connection, connection.transaction():
        changes = Changes(password_hash=password_hash, user_metadata=params.data)
        changed = await users.update(connection, account.user.id, changes)
        if password_hash is not None:
            await sessions.end(connection, account.user.id, session_id, "others")
    if changed is None:
        raise ApiError(403, "user_not_found", "User from sub claim in JWT does not exist")
    return json_response(changed.user)


async def _new_password_hash(project: Project, account: Account, password: str) -> str:
    check_strength(password, project.settings.password_characters_min)
    if await project.passwords.matches(password, account.password_hash):
        raise ApiError(422, "same_password", "New password should be different from the old password.")
    return await project.passwords.hashed(password)


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
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256", "plain"],
    }
    return json_response(body, headers={"cache-control": "public, max-age=600"})


async def settings(request: Request) -> Response:
    return json_response(
        {
            "external": {name: name == "email" for name in PROVIDERS},
            "disable_signup": project_of(request).settings.is_signup_disabled,
            "mailer_autoconfirm": True,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
            "saml_private_key_next_configured": False,
            "passkeys_enabled": False,
        }
    )


async def health(_: Request) -> Response:
    body = {"version": VERSION, "name": "GoTrue", "description": "GoTrue is a user registration and authentication API"}
    return json_response(body)


routes = [
    Route("/signup", signup, methods=["POST"]),
    Route("/token", token, methods=["POST"]),
    Route("/user", user, methods=["GET", "PUT"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/.well-known/jwks.json", jwks),
    Route("/.well-known/openid-configuration", openid_configuration),
    Route("/settings", settings),
    Route("/health", health),
]
