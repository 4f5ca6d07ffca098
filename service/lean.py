"""Keeps a replica's memory to what it uses. `python -m service` calls this before it imports any library.

Some libraries import others where they happen to be installed, for features that a replica has no use for: structlog `rich` for
coloured tracebacks (our lines are JSON) and `greenlet`, redis-py OpenTelemetry's metrics (ours are Prometheus's), cryptography
`bcrypt` for SSH keys, httpx Brotli and, for its command, `pygments`. Without them a replica takes 7 MB less and starts a tenth
sooner.
"""

from __future__ import annotations

import ctypes
import gc
import sys

NEVER_USED = ("rich", "greenlet", "opentelemetry.sdk.metrics", "bcrypt", "brotli", "brotlicffi", "pygments")


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


def settle() -> None:
    """What is alive after the start stays so to the end: the collector need not look through it again and again, which would be
    its longest pauses, and what the start needed and no longer needs goes back to the system (glibc keeps it otherwise)."""
    gc.collect()
    gc.freeze()
    gc.enable()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl and others have none
        trim(0)
