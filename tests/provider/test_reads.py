"""Reads: their arguments are checked like a resource's, and programs, plugin and document know the same ones."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import infra
import infra.railway.functions
import infra.supabase.functions
from infra.provider.definition import snake
from infra.provider.errors import InvalidInput
from infra.provider.fields import Field
from infra.provider.functions import Read
from infra.provider.rules import Whole
from infra.railway.reads import READS as RAILWAY
from infra.supabase.reads import READS as SUPABASE

MODULES = {"railway": infra.railway.functions, "supabase": infra.supabase.functions}
READS = [*RAILWAY.values(), *SUPABASE.values()]
DOCUMENT = (Path(infra.__file__).parents[1] / "docs" / "providers.md").read_text()


@pytest.mark.parametrize("read", READS, ids=lambda read: read.token)
def test_program_side_and_document_know_the_read(read: Read) -> None:
    package, _, name = read.token.split(":")
    function = getattr(MODULES[package], snake(name))
    arguments = {name: each for name, each in inspect.signature(function).parameters.items() if name != "opts"}
    assert set(arguments) == {snake(each.name) for each in read.fields}
    required = {name for name, each in arguments.items() if each.default is inspect.Parameter.empty}
    assert required == {snake(each.name) for each in read.fields if each.is_required}
    row = next(line for line in DOCUMENT.splitlines() if f"({read.token})" in line)
    for each in read.fields:
        assert (f"**{snake(each.name)}**" if each.is_required else snake(each.name)) in row


async def _answer(call: Any, arguments: Any) -> dict[str, Any]:
    return dict(arguments)


READ = Read(
    "p:index:getThing", (Field("aNumber", Whole(1, 5), is_required=True), Field("other", Whole(1, 5), default=2)), _answer
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "getThing/a_number: expected a value, got nothing"),
        ({"aNumber": 9}, "getThing/a_number: expected 1 to 5, got 9"),
        ({"aNumber": 1, "wrong": 1}, "getThing/wrong: expected one of aNumber, other"),
    ],
)
def test_wrong_argument_is_named_before_any_call(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        READ.checked(given)
    assert str(refused.value) == message


def test_defaults_fill_in_and_nothing_means_absent() -> None:
    assert READ.checked({"aNumber": 3, "other": None}) == {"aNumber": 3, "other": 2}
