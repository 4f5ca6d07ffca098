"""Keeps a replica's memory to what it uses. `python -m service` calls this before it imports any library.

Some libraries import others where they happen to be installed, for features that a replica has no use for: structlog `rich` for
coloured tracebacks (our lines are JSON) and `greenlet`, redis-py OpenTelemetry's metrics (ours are Prometheus's), cryptography
`bcrypt` for SSH keys, httpx Brotli and its command, uvicorn its command and reloader, FastAPI `pydantic.v1` to refuse models of
that kind. httpcore looks for `sniffio` anew at each request, through every directory of the path. Without all these a replica
takes 12 MB less and starts a fifth sooner.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from types import ModuleType

NEVER_USED = (
    "rich",
    "greenlet",
    "opentelemetry.sdk.metrics",
    "bcrypt",
    "brotli",
    "brotlicffi",
    "pygments",
    "httpx._main",
    "sniffio",
    "pydantic.v1",
)

# Hits make no garbage in cycles; log-ins do (some seventy objects each), and all requests wait while it is collected. Less at a
# time is a shorter wait: 0.23 ms instead of 0.44 with CPython's 700. A full collection looks through L1 too (3 to 5 ms) and finds
# a hundredth of what the others do, so it comes a tenth as often as CPython's 10 would have it.
YOUNG_MAX = 300
FULL_AFTER = 100

_M_ARENA_MAX = -8  # malloc.h


def share_one_heap() -> None:
    """glibc gives each thread a heap of its own; ours (name look-ups) allocate little, at a time when nobody else waits."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_ARENA_MAX, 1)


def leave_out_the_unused() -> None:
    """None in sys.modules makes an import fail like that of a package that is not installed (the import system, 5.3.1)."""
    for name in NEVER_USED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    _leave_out_the_command()
    # pydantic would read the metadata of every installed package to find its plugins, and load them.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"


def _leave_out_the_command() -> None:
    """uvicorn's package imports its command (click, multiprocessing) for the sake of three names and cannot do without, so it
    gets a module with those. What serves is `uvicorn.server.Server`, which is where server.py takes it from."""
    stand_in = ModuleType("uvicorn.main")
    for name in ("Server", "main", "run"):
        setattr(stand_in, name, None)
    sys.modules.setdefault("uvicorn.main", stand_in)


def put_off_the_document() -> None:
    """FastAPI makes validators for some forty models of OpenAPI as it is imported, and /openapi.json alone needs them. Deferred
    ones are made at their first use, by pydantic itself (ConfigDict.defer_build)."""
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True
    try:
        import fastapi.openapi.models  # noqa: F401 - what counts is that it is imported now
    finally:
        del BaseModel.model_config["defer_build"]


def settle() -> None:
    """What is alive after the start stays so to the end: the collector need not look through it again and again, which would be
    its longest pauses, and what the start needed and no longer needs goes back to the system (glibc keeps it otherwise)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 10, FULL_AFTER)
    gc.enable()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl and others have none
        trim(0)
