"""`python -m service` serves; `python -m service migrate` brings the database to this release's version; `python -m service
memory-profile [--top]` says what a replica's memory goes into; `python -m service dead-letters` lists the jobs that were given
up, `... dead-letters retry [NUMBER ...]` tries them again;
`python -m service roles` is about who may do what.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings (one line per mistake on stderr).
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable

from service import lean
from service.settings import Settings, SettingsInvalid, read_settings

USAGE = """\
usage: python -m service [migrate | memory-profile [--top] | dead-letters [retry [NUMBER ...]] | roles ...]
  (nothing)        serve
  migrate          bring the database to this release's version
  memory-profile   what a replica's memory goes into; --top: which files' allocations
  dead-letters     the jobs that were given up; retry: try all of them, or those NUMBERs, again
  roles            all roles; list USER: a user's; define ROLE [PERMISSION ...], drop ROLE; grant or revoke USER ROLE
settings come from the environment: docs/service.md"""
COMMANDS: tuple[list[str], ...] = ([], ["migrate"], ["memory-profile"], ["memory-profile", "--top"])


def main(arguments: list[str]) -> int:
    if arguments in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    if arguments not in COMMANDS and not _is_about_dead_letters(arguments) and not _is_about_roles(arguments):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        settings = read_settings()
    except SettingsInvalid as error:
        print(error, file=sys.stderr)
        return 2
    if arguments == ["migrate"]:
        return _migrate(settings)
    if arguments[:1] == ["dead-letters"]:
        return _dead_letters(settings, arguments[1:])
    if arguments[:1] == ["roles"]:
        return _roles(settings, arguments[1:])
    if arguments:
        return _profile_memory(settings, is_traced="--top" in arguments)
    return _serve(settings)


def _migrate(settings: Settings) -> int:
    from service.database.migrate import MigrationFailed, migrate

    began = time.monotonic()
    try:
        print(asyncio.run(migrate(settings.database_url.get_secret_value())))
    except MigrationFailed as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    print(f"migrated in {time.monotonic() - began:.1f} s")
    return 0


def _profile_memory(settings: Settings, *, is_traced: bool) -> int:
    from service.logs import configure_logs
    from service.memory_profile import memory_profile

    configure_logs("error", {})
    print(memory_profile(settings, is_traced=is_traced))
    return 0


def _is_about_dead_letters(arguments: list[str]) -> bool:
    return arguments[:1] == ["dead-letters"] and (
        len(arguments) == 1 or (arguments[1] == "retry" and all(word.isdecimal() and len(word) < 19 for word in arguments[2:]))
    )


def _dead_letters(settings: Settings, arguments: list[str]) -> int:
    from service.accounts.dead_letters import DeadLettersFailed, listed, retried

    url = settings.database_url.get_secret_value()
    try:
        if not arguments:
            lines = asyncio.run(listed(url))
            print("\n".join(lines) or "no job was given up")
            return 0
        numbers = asyncio.run(retried(url, [int(word) for word in arguments[1:]] or None))
    except DeadLettersFailed as error:
        print(f"dead-letters: {error}", file=sys.stderr)
        return 1
    print(f"{len(numbers)} will be tried again: {', '.join(map(str, numbers)) or 'none'}")
    return 0


def _is_about_roles(arguments: list[str]) -> bool:
    if arguments[:1] != ["roles"]:
        return False
    from service.accounts.roles import is_usage

    return is_usage(arguments[1:])


def _roles(settings: Settings, words: list[str]) -> int:
    from service.accounts.roles import RolesFailed, carried_out

    try:
        print("\n".join(asyncio.run(carried_out(settings.database_url.get_secret_value(), words))))
    except RolesFailed as error:
        print(f"roles: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(settings: Settings) -> int:
    gc.disable()  # until `lean.settle`: a start makes much and drops little
    lean.put_off_the_document()
    from service.logs import configure_logs
    from service.server import serve

    configure_logs(settings.log_level, {"region": settings.region, "release": settings.release})
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    lean.share_one_heap()
    lean.leave_out_the_unused()
    sys.exit(main(sys.argv[1:]))
