"""`python -m infra.localcloud.supabase_api`: serves one project until SIGTERM, then drains."""

from __future__ import annotations

import logging
import os
import signal
import sys

import uvicorn

from infra.localcloud.supabase_api.app import create_app
from infra.localcloud.supabase_api.settings import SettingsInvalid, read

CONCURRENCY_MAX = 1024


def main() -> int:
    """Exit codes: 0 drained, 2 settings invalid, 3 not started (uvicorn's own)."""
    # uvicorn drains on SIGTERM and then raises the signal again for the handler that was there before: this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = read(os.environ)
    except SettingsInvalid as exc:
        print(f"supabase_api: {exc}", file=sys.stderr)
        return 2
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=CONCURRENCY_MAX,
        timeout_graceful_shutdown=int(settings.drain_s),
        timeout_keep_alive=60,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
