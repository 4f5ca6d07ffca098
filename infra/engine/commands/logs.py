"""logs: what the resources of a stack have logged.

Pulumi's engine collects logs of AWS and GCP itself, and of nothing else (pkg/operations); for any other resources the list is
empty, there and here. Where a stack has resources of those clouds, we say that we cannot rather than show an empty list.
"""

import json
import re
import signal
from datetime import UTC, datetime, timedelta

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, workspace_of
from infra.engine.errors import UsageError
from infra.engine.model.urns import package_of
from infra.engine.planning.goals import duration_s

_WITH_LOGS = ("aws", "gcp")


def run_logs(arguments: Arguments) -> int:
    session = open_session(workspace_of(arguments), arguments)
    since = since_when(arguments.value("--since", "1h"), datetime.now(UTC))
    resources = (session.document()["checkpoint"].get("latest") or {}).get("resources") or []
    if packages := sorted({package_of(r["type"]) for r in resources} & set(_WITH_LOGS)):
        raise UsageError(f"logs: those of package '{packages[0]}' need the pulumi CLI")
    wanted = arguments.value("--resource")
    if wanted and not any(_is_meant(wanted, r["urn"], r["type"]) for r in resources):
        raise UsageError(f"logs: --resource: expected NAME, TYPE::NAME or a URN of the stack, got {wanted!r}")
    if not arguments.has("--json"):
        print(f"Collecting logs for stack {session.name.stack} since {since:%Y-%m-%dT%H:%M:%S.000Z}.\n", flush=True)
    elif not arguments.has("--follow"):
        print(json.dumps([]))
    if arguments.has("--follow"):
        signal.pause()  # nothing will come; Ctrl-C ends it, as it ends the CLI's
    return 0


def _is_meant(wanted: str, urn: str, type_token: str) -> bool:
    name = urn.rsplit("::", 1)[-1]
    return wanted in (name, f"{type_token}::{name}", urn)


def since_when(text: str, now: datetime) -> datetime:
    """A duration before now (`90s`, `2h`), a date or time (local where it names no zone), or Unix seconds. Raises UsageError."""
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        if text[:1].isdigit() and text[-1:].isalpha() and "-" not in text:
            return now - timedelta(seconds=duration_s(text))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, UsageError) as exc:
        raise UsageError(f"logs: --since: expected a duration such as 90s or 2h, or a time, got {text!r}") from exc
