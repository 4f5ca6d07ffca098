"""The three jobs of a first log-in. Each may run twice (a worker can die between doing and noting), so each is repeatable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from service.addresses import is_loopback
from service.database.pools import Database
from service.upstream.storage_api import StorageApi

SMTP_TIMEOUT_S = 10.0

_PREFERENCES = "INSERT INTO cached_auth.preferences (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING"


class JobFailed(Exception):
    """This attempt did not work; the message goes into the outbox and holds nothing personal."""


class Payload(msgspec.Struct, frozen=True):
    email: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed line of the outbox; `attempts` counts this one."""

    number: int
    user_id: str
    kind: str
    payload_json: str
    attempts: int

    @property
    def payload(self) -> Payload:
        return msgspec.json.decode(self.payload_json, type=Payload)


@dataclass(frozen=True, slots=True)
class MailServer:
    """SMTP_URL taken apart: smtp://user:password@host:port/?from=address; smtps is TLS from the first byte.

    needs_start_tls: a password is to be sent over a network. Without the demand STARTTLS is used where the server offers it,
    and whoever sits in between need only take the offer out to read the password (RFC 3207 section 6).
    """

    host: str
    port: int
    user: str | None
    password: str | None
    sender: str
    is_tls: bool
    needs_start_tls: bool = False


def read_smtp_url(url: str) -> MailServer:
    parts = urlsplit(url)
    is_tls = parts.scheme == "smtps"
    return MailServer(
        host=parts.hostname or "localhost",
        port=parts.port or (465 if is_tls else 25),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        sender=parse_qs(parts.query).get("from", ["no-reply@localhost"])[0],
        is_tls=is_tls,
        needs_start_tls=not is_tls and bool(parts.username) and not is_loopback(url),
    )


def welcome_mail(server: MailServer, job: Job) -> EmailMessage:
    """The message; its Message-ID is the same at every attempt, so a mail server can tell a repetition."""
    message = EmailMessage()
    message["From"] = server.sender
    message["To"] = job.payload.email
    message["Subject"] = "Welcome"
    message["Message-ID"] = f"<welcome.{job.user_id}@cached-auth>"
    name = (job.payload.display_name or "").replace("\r", " ").replace("\n", " ").strip()
    message.set_content(f"Hello{' ' + name if name else ''},\n\nyour account is ready.\n")
    return message


async def send_welcome_mail(server: MailServer | None, job: Job) -> None:
    """Nothing to do without a mail server or an address (phone log-ins have none). JobFailed."""
    if server is None or not job.payload.email:
        return
    import aiosmtplib  # here, because many a replica never sends a mail

    try:
        await aiosmtplib.send(
            welcome_mail(server, job),
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.is_tls,
            start_tls=server.needs_start_tls or None,
            timeout=SMTP_TIMEOUT_S,
        )
    except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
        raise JobFailed(f"mail server: {type(exc).__name__}") from exc


def job_table(
    database: Database, storage: StorageApi, server: MailServer | None
) -> Mapping[str, Callable[[Job], Awaitable[None]]]:
    """What to do for each kind of job."""

    async def mail(job: Job) -> None:
        await send_welcome_mail(server, job)

    async def preferences(job: Job) -> None:
        await database.write(_PREFERENCES, job.user_id)

    async def folders(job: Job) -> None:
        await storage.make_folders(job.user_id)

    return {"welcome_mail": mail, "default_preferences": preferences, "storage_folders": folders}
