"""The mails of Auth. Subjects as GoTrue's own templates have them; each carries the link and the code, so that a person and
a test can use either."""

from __future__ import annotations

import html
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib

from infra.localcloud.supabase_api.errors import unexpected

SENDER = "Supabase Auth <noreply@local.invalid>"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Mail:
    """`kind` is the type that /verify knows the link by; `link` is "" for a code that only a form takes."""

    to: str
    kind: str
    otp: str
    link: str


SUBJECTS = {
    "signup": "Confirm your email address",
    "invite": "You've been invited",
    "recovery": "Reset your password",
    "magiclink": "Your sign-in link",
    "email_change": "Confirm your new email address",
    "reauthentication": "{otp} is your verification code",
}


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None: ...


class NoMailer:
    """Where no SMTP server is configured a mail is dropped, as GoTrue does; an administrator can still make links."""

    async def send(self, mail: Mail) -> None:
        return


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    host: str
    port: int

    async def send(self, mail: Mail) -> None:
        """Raises ApiError unexpected_failure where the server does not take it."""
        try:
            await aiosmtplib.send(composed(mail), hostname=self.host, port=self.port, start_tls=False, timeout=TIMEOUT_S)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
            what = {"signup": "confirmation", "magiclink": "magic link", "email_change": "email change"}.get(mail.kind, mail.kind)
            raise unexpected(f"Error sending {what} email") from exc


def composed(mail: Mail) -> EmailMessage:
    subject = SUBJECTS[mail.kind].format(otp=mail.otp)
    link = f'<p><a href="{html.escape(mail.link)}">{html.escape(subject)}</a></p>\n' if mail.link else ""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, mail.to, subject
    message.set_content(f"<h2>{html.escape(subject)}</h2>\n{link}<p>Code: {mail.otp}</p>\n", subtype="html")
    return message
