"""docs/engine.md says what works; it must not say more or less than the command line does."""

import re
from pathlib import Path

from infra.engine.commands.arguments import COMMANDS, UNSUPPORTED, WITHOUT_MEANING

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
    synonyms = {"--target-replace", "--suppress-outputs", "--run-program"}
    assert {*COMMANDS["up"], *COMMANDS["preview"]} - told == everyday | synonyms
