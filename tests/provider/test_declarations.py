"""What a program may write, what the plugin accepts and what the document says are the same things."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import infra
import infra.railway.resources
import infra.supabase.resources
from infra.provider.definition import Resource, snake
from infra.provider.native import NativeProvider
from infra.railway.provider import RailwayProvider
from infra.supabase.provider import SupabaseProvider

PROVIDERS: tuple[NativeProvider[Any], ...] = (RailwayProvider(), SupabaseProvider())
MODULES = {"railway": infra.railway.resources, "supabase": infra.supabase.resources}
RESOURCES = [each for provider in PROVIDERS for each in provider.resources.values()]
DOCUMENT = (Path(infra.__file__).parents[1] / "docs" / "providers.md").read_text()


def named(resource: Resource[Any, Any]) -> str:
    return resource.resource_type


@pytest.mark.parametrize("resource", RESOURCES, ids=named)
def test_program_side_has_every_input_and_output(resource: Resource[Any, Any]) -> None:
    """An argument that the plugin does not know would fail at the first preview; a missing one could never be set."""
    package, _, name = resource.resource_type.split(":")
    declared = getattr(MODULES[package], name)
    parameters = inspect.signature(declared.__init__).parameters
    arguments = {each: given for each, given in parameters.items() if each not in ("self", "resource_name", "opts")}
    assert set(arguments) == {snake(each.name) for each in resource.fields}
    required = {each for each, given in arguments.items() if given.default is inspect.Parameter.empty}
    assert required == {snake(each.name) for each in resource.fields if each.is_required}
    assert {snake(each.name) for each in resource.outputs} <= set(vars(declared))


@pytest.mark.parametrize("resource", RESOURCES, ids=named)
def test_document_has_every_input_and_output(resource: Resource[Any, Any]) -> None:
    section = DOCUMENT.partition(f"### {resource.resource_type}\n")[2].partition("\n#")[0]
    row = next(line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| inputs"))
    inputs, outputs, replaces = row.strip("|").split("|")
    for each in resource.fields:
        name = snake(each.name)
        assert re.search(rf"\*\*{name}\*\*" if each.is_required else rf"(?<!\*)\b{name}\b", inputs), name
        assert each.replaces == bool(re.search(rf"\b{name}\b", replaces)) or name == "image", name
    for output in resource.outputs:
        mark = r" \(secret\)" if output.is_secret else ""
        assert re.search(rf"\b{snake(output.name)}\b{mark}", outputs), output.name


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_document_has_every_setting(provider: NativeProvider[Any]) -> None:
    for setting in provider.settings:
        assert f"`{provider.name}:{setting.name}`{' (secret)' if setting.is_secret else ''}" in DOCUMENT
