"""A stack's configuration checked before anything is started, with the program's own rules.

The program checks it again when it runs; doing it here first turns a wrong value into an answer within half a second, with
exit code 2 and nothing begun.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.cli.engine import chosen_engine
from infra.cli.errors import UsageError
from infra.cli.project import StackFile
from infra.cli.workspace import LOCAL_SECRETS

if TYPE_CHECKING:
    from infra.settings import Settings

NAMESPACE = "cached-auth:"
STAND_IN = "0" * 32  # for a value that is stored encrypted: there is one, and what it is does not matter here


def checked_settings(file: StackFile) -> Settings:
    """The stack's settings. UsageError names the first problem, the rest follow as details."""
    from infra.settings import SettingsError, parse_settings

    try:
        return parse_settings(*texts(file))
    except SettingsError as error:
        next_step = f"edit {file.path.name}"
        if chosen_engine() == "embedded" and any("pulumi config" in problem for problem in error.problems):
            next_step += "   (docs/configuration.md says what stands for `pulumi`, which is not installed)"
        raise UsageError(f"{file.path.name}: {error.problems[0]}", next_step, "\n".join(error.problems[1:])) from error


def texts(file: StackFile) -> tuple[dict[str, str], set[str]]:
    """The stack's values as Pulumi hands them to a program, and which of them are secret.

    The secrets that a local stack gets made for it count as there.
    """
    given = {key.removeprefix(NAMESPACE): value for key, value in file.config.items() if key.startswith(NAMESPACE)}
    is_made_here = file.is_local and not file.has_own_secrets
    made = {key.removeprefix(NAMESPACE) for key in LOCAL_SECRETS} - given.keys() if is_made_here else set()
    encrypted = {name for name, value in given.items() if is_encrypted(value)}
    values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return {**values, **dict.fromkeys(made | encrypted, STAND_IN)}, made | encrypted


def is_encrypted(value: Any) -> bool:
    return isinstance(value, Mapping) and "secure" in value
