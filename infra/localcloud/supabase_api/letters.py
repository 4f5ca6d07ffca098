"""Codes and links on their way: when one may be sent, what it says, and that it is remembered."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request

from infra.localcloud.supabase_api import one_time, users
from infra.localcloud.supabase_api.bearer import redirect_of
from infra.localcloud.supabase_api.database import Connection
from infra.localcloud.supabase_api.mailer import Mail
from infra.localcloud.supabase_api.one_time import SENT_AT, Code, Purpose, check_frequency, new_code
from infra.localcloud.supabase_api.project import project_of
from infra.localcloud.supabase_api.settings import Settings
from infra.localcloud.supabase_api.users import Account
from infra.localcloud.supabase_api.wire import User

KINDS = {  # what /verify calls the link of each mail
    "signup": Purpose.CONFIRMATION,
    "invite": Purpose.CONFIRMATION,
    "recovery": Purpose.RECOVERY,
    "magiclink": Purpose.RECOVERY,
    "reauthentication": Purpose.REAUTHENTICATION,
}


def action_link(settings: Settings, code_hash: str, kind: str, redirect: str) -> str:
    # GoTrue leaves a plain address readable and quotes one that would break the query (encodeRedirectURL).
    shown = quote(redirect, safe="") if set("&=#") & set(redirect) else redirect
    return f"{settings.issuer}/verify?token={code_hash}&type={kind}&redirect_to={shown}"


def _sent_at(user: User, purpose: Purpose) -> datetime | None:
    sent: datetime | None = getattr(user, SENT_AT[purpose])
    return sent


async def send(request: Request, connection: Connection, account: Account, kind: str, *, is_pkce: bool = False) -> None:
    """A mail of `kind` to the user's address. Raises ApiError over_email_send_rate_limit, unexpected_failure.

    What is remembered is undone by the caller's transaction when the mail cannot be sent.
    """
    project, purpose = project_of(request), KINDS[kind]
    config = project.settings.auth
    check_frequency(_sent_at(account.user, purpose), project.ageing.now_for, config.smtp_max_frequency)
    code = new_code(account.user.email, config.mailer_otp_length, is_pkce=is_pkce)
    await remember(connection, account.user.id, purpose, code, account.user.email)
    link = "" if kind == "reauthentication" else action_link(project.settings, code.hash, kind, redirect_of(request))
    await project.mailer.send(Mail(account.user.email, kind, code.otp, link))


async def remember(connection: Connection, user_id: UUID, purpose: Purpose, code: Code, relates_to: str) -> None:
    await one_time.put(connection, user_id, purpose, code.hash, relates_to)
    await users.mark_sent(connection, user_id, SENT_AT[purpose])


async def send_email_change(
    request: Request, connection: Connection, account: Account, email: str, *, is_pkce: bool = False
) -> None:
    """To the new address, and to the old one too where both have to agree."""
    project = project_of(request)
    config, redirect = project.settings.auth, redirect_of(request)
    check_frequency(account.user.email_change_sent_at, project.ageing.now_for, config.smtp_max_frequency)
    await users.begin_email_change(connection, account.user.id, email)
    letters = [(email, Purpose.EMAIL_CHANGE_NEW)]
    if config.mailer_secure_email_change_enabled and account.user.email:
        letters.append((account.user.email, Purpose.EMAIL_CHANGE_CURRENT))
    for address, purpose in letters:
        code = new_code(address, config.mailer_otp_length, is_pkce=is_pkce)
        await one_time.put(connection, account.user.id, purpose, code.hash, address)
        link = action_link(project.settings, code.hash, "email_change", redirect)
        await project.mailer.send(Mail(address, "email_change", code.otp, link))
