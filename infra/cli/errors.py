"""What a command may end with.

CliError
  +-- UsageError       the user's mistake: wrong stack, wrong option, wrong value        exit 2
  +-- OperationFailed  a step of the work failed: engine, provider, local cloud          exit 1
  +-- Interrupted      Ctrl-C or SIGTERM; what was done so far is recorded               exit 130

Each is printed as one line and one `next:` line; a traceback only with --verbose.
"""

from __future__ import annotations

DONE, FAILED, USAGE, GATE_FAILED, GATE_UNMEASURED, INTERRUPTED = 0, 1, 2, 10, 12, 130


class CliError(Exception):
    """`message` says what is wrong (path, expected, given); `next_command` what to type now."""

    exit_code = FAILED

    def __init__(self, message: str, next_command: str | None = None, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_command = next_command
        self.details = details


class UsageError(CliError):
    """The command line or the configuration is wrong; nothing was done."""

    exit_code = USAGE


class OperationFailed(CliError):
    """Work was begun and failed; what succeeded is recorded in the state."""


class Interrupted(CliError):
    """The user stopped the work; what was done is recorded in the state."""

    exit_code = INTERRUPTED
