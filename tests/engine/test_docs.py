"""docs/engine.md says what works; it must not say more or less than the command line does."""

import re
from pathlib import Path

import pulumi.automation

from infra.engine.commands.arguments import COMMANDS, EVERYWHERE, UNSUPPORTED, WITHOUT_MEANING

TEXT = (Path(__file__).resolve().parents[2] / "docs/engine.md").read_text()
WORKS = TEXT.partition("## What works\n")[2].partition("## What works in part")[0]
WORKS_NOT = TEXT.partition("## What does not")[2].partition("## Speed")[0]


def test_every_command_is_told() -> None:
    """In the table when it works, in the list of refusals when it does not."""
    told = set(re.findall(r"`([a-z][a-z -]*?)(?: --[a-z-]+)?`", WORKS))
    assert {name for name in COMMANDS if name not in UNSUPPORTED} - told == set()
    refused = set(re.findall(r"`([a-z ]+)`", WORKS_NOT))
    assert refused == set(UNSUPPORTED)
    assert not told & set(UNSUPPORTED)


def test_every_flag_told_of_exists() -> None:
    """Flags that steer an update are all named; those without a meaning are not praised as working."""
    known = {flag for flags in COMMANDS.values() for flag in flags}
    told = set(re.findall(r"--[a-z][a-z-]+", WORKS))
    assert told <= known
    assert not told & set(WITHOUT_MEANING)
    everyday = {"--yes", "--skip-preview", "--message", "--config", "--config-path", "--config-file", "--client", "--remove"}
    synonyms = {"--target-replace", "--suppress-outputs"}
    steering = {flag for command in ("up", "preview", "refresh", "destroy") for flag in COMMANDS[command]}
    assert steering - told == everyday | synonyms


# `install` has nothing to do, dates are always full, and `login` knows files alone.
NOTHING_TO_STEER = {"--no-plugins", "--no-dependencies", "--reinstall", "--use-language-version-tools", "--full-dates", "--local"}


def test_every_flag_is_read_somewhere() -> None:
    """A flag in the table that no code looks at would be ignored in silence."""
    room = Path(__file__).resolve().parents[2] / "infra/engine"
    code = "\n".join(file.read_text() for file in room.rglob("*.py") if file.name != "arguments.py")
    flags = {flag for flags in COMMANDS.values() for flag in flags} - set(WITHOUT_MEANING)
    assert {flag for flag in flags if not re.search(f"[\"']{flag}[\"']", code)} == NOTHING_TO_STEER


# What needs Pulumi Cloud, Pulumi's own plugins, or a debugger; each is refused by name.
REFUSED = {"--policy-pack", "--policy-pack-config", "--attach-debugger", "--server", "--version"}
INSTALLER = {"--install-root", "--no-edit-path"}  # of the script that installs the CLI


def test_every_flag_of_the_automation_api_is_known() -> None:
    """The SDK may learn new ones: then this tells, before a user does."""
    folder = Path(pulumi.automation.__file__).parent
    files = ("_cmd.py", "_local_workspace.py", "_stack.py")
    sent = {flag for name in files for flag in re.findall(r'"(--[a-z-]+)[="]', (folder / name).read_text())}
    known = {*WITHOUT_MEANING, *EVERYWHERE, *(flag for flags in COMMANDS.values() for flag in flags)}
    assert {f for f in sent - known if not f.startswith("--remote")} <= REFUSED | INSTALLER
