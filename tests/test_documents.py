"""What the documents say about the tree holds: commands exist, decisions are numbered, dependencies have reasons."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from infra.cli.__main__ import main

ROOT = Path(__file__).parents[1]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]
COMMAND = re.compile(r"\./cached-auth((?: [a-z][a-z-]*)+)")


def test_decisions_are_numbered_without_gap_or_twin() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [path.read_text().split(".")[0] for path in DECISIONS] == [f"# {number}" for number in numbers]


def test_every_dependency_has_a_row_of_reasons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[^\w.-]", dependency)[0].lower() for dependency in project["dependencies"]}
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "adr" / "0004-dependencies.md").read_text(), re.MULTILINE)
    named = {re.split(r"[\[ ]", name.strip())[0].lower() for row in rows[1:] for name in row.split(",")}
    assert wanted - named == set()
    assert named - wanted == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_a_document_names_exist(document: Path) -> None:
    for words in COMMAND.findall(document.read_text()):
        found: click.Command | None = main
        for word in words.split():
            if not isinstance(found, click.Group):
                break  # an argument, such as the stack
            found = found.get_command(click.Context(found), word)
            assert found is not None, f"{document.name}: ./cached-auth{words}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target
