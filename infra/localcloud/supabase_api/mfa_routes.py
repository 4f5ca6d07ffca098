"""/factors: a second factor is enrolled, challenged, verified and taken away. TOTP only; order and words are GoTrue's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import UUID

import segno
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import factors, sessions, totp
from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.bearer import Authenticated, authenticated, caller_of, now, params_of
from infra.localcloud.supabase_api.database import Connection
from infra.localcloud.supabase_api.errors import ApiError, json_response, unexpected, validation_failed
from infra.localcloud.supabase_api.factors import StoredFactor
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.users import by_id
from infra.localcloud.supabase_api.wire import EnrollParams, FactorVerifyParams

TOO_MANY = ApiError(422, "too_many_enrolled_mfa_factors", "Maximum number of verified factors reached, unenroll to continue")
OFF = {
    "phone": ApiError(422, "mfa_phone_enroll_not_enabled", "MFA enroll is disabled for Phone"),
    "webauthn": ApiError(422, "mfa_webauthn_enroll_not_enabled", "MFA enroll is disabled for WebAuthn"),
}


async def member(request: Request) -> Authenticated:
    """The caller, who is somebody in particular. Raises ApiError."""
    caller = await authenticated(request)
    if caller.claims.is_anonymous:
        raise ApiError(403, "no_authorization", "Anonymous user not allowed to perform these actions")
    return caller


def require_session(caller: Authenticated, message: str) -> None:
    if caller.session is None:
        raise unexpected(message)


async def enroll(request: Request) -> Response:
    caller, project = await member(request), project_of(request)
    require_session(caller, "A valid session and a registered user are required to enroll a factor")
    params, config = await params_of(request, EnrollParams), project.settings.auth
    if params.factor_type in OFF:
        raise OFF[params.factor_type]
    if params.factor_type != "totp":
        raise validation_failed("factor_type needs to be totp, phone, or webauthn")
    if not config.mfa_totp_enroll_enabled:
        raise ApiError(422, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP")
    name, user = params.friendly_name or "", caller.account.user
    secret = totp.new_secret()
    async with project.database.acquire() as connection, connection.transaction():
        await factors.drop_expired(connection)
        check_enrolment(await factors.of_user(connection, user.id), name, config, is_aal2=caller.is_aal2)
        try:
            factor_id = await factors.add(connection, user.id, "totp", name, secret)
        except factors.NameTaken as exc:
            raise name_conflict(name) from exc
    uri = totp.uri(secret, params.issuer or urlsplit(config.site_url).netloc, user.email)
    shown = {"qr_code": qr_code(uri), "secret": secret, "uri": uri}
    return json_response({"id": factor_id, "type": "totp", "friendly_name": name, "totp": shown})


def name_conflict(name: str) -> ApiError:
    message = f'A factor with the friendly name "{name}" for this user already exists'
    return ApiError(422, "mfa_factor_name_conflict", message)


def check_enrolment(own: Sequence[StoredFactor], name: str, config: AuthConfig, *, is_aal2: bool) -> None:
    """Raises ApiError where the user may have no further factor of that name."""
    if any(factor.friendly_name == name for factor in own):
        raise name_conflict(name)
    if len(own) >= config.mfa_max_enrolled_factors:
        raise TOO_MANY
    if any(factor.is_verified for factor in own) and not is_aal2:
        raise ApiError(403, "insufficient_aal", "AAL2 required to enroll a new factor")


def qr_code(uri: str) -> str:
    image = io.BytesIO()
    segno.make(uri, error="h", micro=False).save(image, kind="svg", scale=totp.MODULE_PIXELS, border=totp.QUIET_ZONE)
    return image.getvalue().decode()


async def _factor(request: Request, connection: Connection, user_id: UUID) -> StoredFactor:
    """The factor in the path, if it is the user's own. Raises ApiError."""
    try:
        wanted = UUID(request.path_params["factor_id"])
    except ValueError as exc:
        raise validation_failed("factor_id must be an UUID", 404) from exc
    for factor in await factors.of_user(connection, user_id):
        if factor.id == wanted:
            return factor
    raise ApiError(404, "mfa_factor_not_found", "Factor not found")


def _require_verification(project: Project) -> None:
    if not project.settings.auth.mfa_totp_verify_enabled:
        raise ApiError(422, "mfa_totp_verify_not_enabled", "MFA verification is disabled for TOTP")


async def challenge(request: Request) -> Response:
    caller, project = await member(request), project_of(request)
    async with project.database.acquire() as connection, connection.transaction():
        factor = await _factor(request, connection, caller.account.user.id)
        _require_verification(project)
        made = await factors.challenge(connection, factor.id, caller_of(request).address)
    return json_response({"id": made.id, "type": factor.kind, "expires_at": int(made.expires_at.timestamp())})


async def verify(request: Request) -> Response:
    """The session's next tokens, at aal2. Raises ApiError."""
    caller, project = await member(request), project_of(request)
    params, user_id = await params_of(request, FactorVerifyParams), caller.account.user.id
    async with project.database.acquire() as connection, connection.transaction():
        factor = await _factor(request, connection, user_id)
        if not params.code:
            raise validation_failed("Code needs to be non-empty")
        _require_verification(project)
        challenge_id = params.challenge_id or UUID(int=0)
        await _check_challenge(request, connection, factor, challenge_id)
        if not totp.is_valid(factor.secret, params.code, now().timestamp()):
            raise ApiError(422, "mfa_verification_failed", "Invalid TOTP code entered")
        if caller.session is None:
            raise unexpected("Cannot read SessionId claim as UUID")
        await factors.verified(connection, user_id, factor, challenge_id)
        account = await by_id(connection, user_id) or caller.account
        granted = await sessions.raised(
            connection, project.signer, account, caller.session.id, "totp", factor.id, caller_of(request)
        )
        await factors.drop_unfinished(connection, user_id, factor)
    return json_response(granted.answer)


async def _check_challenge(request: Request, connection: Connection, factor: StoredFactor, challenge_id: UUID) -> None:
    found = await factors.find_challenge(connection, factor.id, challenge_id)
    if found is None:
        raise ApiError(422, "mfa_factor_not_found", "MFA factor with the provided challenge ID not found")
    if found.verified_at is not None or found.address != caller_of(request).address:
        raise ApiError(422, "mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch.")
    if project_of(request).ageing.now_for(found.created_at) > found.expires_at:
        message = f"MFA challenge {found.id} has expired, verify against another challenge or create a new challenge."
        raise ApiError(422, "mfa_challenge_expired", message)


async def unenroll(request: Request) -> Response:
    caller, project = await member(request), project_of(request)
    async with project.database.acquire() as connection, connection.transaction():
        factor = await _factor(request, connection, caller.account.user.id)
        require_session(caller, "A valid session and factor are required to unenroll a factor")
        if factor.is_verified and not caller.is_aal2:
            raise ApiError(422, "insufficient_aal", "AAL2 required to unenroll verified factor")
        await factors.remove(connection, caller.account.user.id, factor)
    return json_response({"id": factor.id})


routes = [
    Route("/factors", enroll, methods=["POST"]),
    Route("/factors/{factor_id}", unenroll, methods=["DELETE"]),
    Route("/factors/{factor_id}/challenge", challenge, methods=["POST"]),
    Route("/factors/{factor_id}/verify", verify, methods=["POST"]),
]
