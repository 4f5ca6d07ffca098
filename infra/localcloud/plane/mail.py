"""The SMTP sink: takes every message, delivers none, keeps the newest as .eml files."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from infra.localcloud.plane.claim import require_free

MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGES_MAX = 1000


class MailSink:
    """Listens in the daemon: mail is rare and small. Files: `directory`/<time in ns>-<random>.eml."""

    PORT = 2525

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: dict[str, asyncio.Server] = {}

    async def ensure(self, address: str) -> None:
        """AddressInUse when the port is taken."""
        if address in self._servers:
            return
        require_free(address, self.PORT)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._servers[address] = await asyncio.get_running_loop().create_server(self._connection, address, self.PORT)

    async def close(self) -> None:
        servers, self._servers = self._servers, {}
        for server in servers.values():
            server.close()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        head = f"X-Envelope-From: {_one_line(envelope.mail_from)}\r\nX-Envelope-To: {_one_line(', '.join(envelope.rcpt_tos))}\r\n"
        await asyncio.to_thread(self._store, head.encode("utf-8") + content)
        return "250 OK"

    def _connection(self) -> SMTP:
        return SMTP(
            self,
            data_size_limit=MESSAGE_BYTES_MAX,
            hostname="mail.localcloud",
            ident="localcloud",
            timeout=60,
            enable_SMTPUTF8=True,
            authenticator=_anybody,
            auth_require_tls=False,
        )

    def _store(self, content: bytes) -> None:
        (self._directory / f"{time.time_ns()}-{secrets.token_hex(4)}.eml").write_bytes(content)
        for old in sorted(self._directory.glob("*.eml"))[:-MESSAGES_MAX]:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()


def _anybody(*_: object) -> AuthResult:
    """Any credentials will do: a mail URL made for production works here unchanged."""
    return AuthResult(success=True)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
