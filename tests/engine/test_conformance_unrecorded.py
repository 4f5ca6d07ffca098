"""Scenarios nobody recorded from the real CLI: what to expect is taken from Pulumi's documentation and source instead."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.shared import SHARED, needs_shared

pytestmark = [pytest.mark.story, needs_shared("engine/conformance.py")]
FILES = {f"m{n}" for n in range(6)} | {"dep"}


def played(group: str, monkeypatch: pytest.MonkeyPatch, warm: Path) -> list[dict[str, Any]]:
    """The steps; what the program's hooks wrote stands among the calls as ["hook", KIND, NAME]."""
    spec = importlib.util.spec_from_file_location("conformance", SHARED / "engine/conformance.py")
    assert spec
    assert spec.loader
    conformance = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conformance)

    def with_hooks(world: Any) -> list[list[str]]:
        path = world.root / "store/hooks.log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted([*provider_calls(world), *(["hook", *line.split()[:2]] for line in lines)])

    provider_calls = conformance.World.calls
    monkeypatch.setattr(conformance.World, "calls", with_hooks)
    steps: list[dict[str, Any]] = conformance.play(group, f"{warm}/bin/python -m infra.engine", warm)
    return steps


def by_name(step: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {r["urn"].rsplit("::", 1)[-1]: r for r in step["state"]["resources"]}


def test_transforms_and_hooks(monkeypatch: pytest.MonkeyPatch, warm: Path) -> None:
    """Hooks run around the step and not in a preview; transforms change what is registered, the resource's own first."""
    preview, first, second, removed = played("th", monkeypatch, warm)
    assert all(step["ok"] for step in (preview, first, second, removed)), [s["_out"] for s in (preview, first, second, removed)]
    assert preview["calls"] == []
    assert first["calls"] == [["create", "h1"], ["create", "h2"], ["create", "src"], ["hook", "ac", "h1"], ["hook", "bc", "h1"]]
    files = by_name(first)
    assert files["h2"]["inputs"]["path"] == "h2x"
    assert (files["h2"]["inputs"]["tags"], files["h2"]["ignoreChanges"]) == ({"by": "transform"}, ["zzz"])
    assert "tags" not in files["src"]["inputs"]
    kinds = {"BeforeCreate", "AfterCreate", "BeforeUpdate", "AfterUpdate", "BeforeDelete", "AfterDelete"}
    assert set(files["h1"]["resourceHooks"]) == kinds  # as in sdk/go/common/resource/resource_hooks.go
    assert first["state"]["version"] == 4
    assert second["calls"] == []
    assert removed["calls"] == [["delete", "h1"], ["hook", "ad", "h1"], ["hook", "bd", "h1"]]
    assert (set(by_name(removed)) & {"h1", "h2", "src"}, removed["state"]["version"]) == ({"h2", "src"}, 3)


def test_targets(monkeypatch: pytest.MonkeyPatch, warm: Path) -> None:
    """What is no target stays as it is; a target's dependents are destroyed with it only when asked."""
    everything, two, other, one, refused, together, replaced = played("target", monkeypatch, warm)
    assert everything["calls"] == [["create", name] for name in sorted(FILES)]
    assert two["calls"] == [["update", "m1"], ["update", "m2"]]
    assert {n: by_name(two)[n]["inputs"]["content"] for n in ("m0", "m1", "m2")} == {"m0": "0", "m1": "1x", "m2": "2x"}
    assert other["calls"] == [["create", "m10"]]
    assert set(by_name(other)) >= FILES
    assert one["calls"] == [["delete", "m3"]]
    assert (refused["ok"], refused["calls"]) == (False, [])
    assert "dep' will be destroyed but was not specified in --target list" in refused["_out"]
    assert refused["state"] == one["state"]
    assert (together["ok"], together["calls"]) == (True, [["delete", "dep"], ["delete", "m0"]])
    assert ["create", "m5"] in replaced["calls"]
    assert ["delete", "m5"] in replaced["calls"]
    assert ["delete", "m10"] in replaced["calls"]
    assert set(by_name(replaced)) >= FILES


def test_stack_reference_and_stash(monkeypatch: pytest.MonkeyPatch, warm: Path) -> None:
    """A reference reads the other stack's outputs, secrets included; a stash keeps the first value it was given."""
    _, preview, first, second, emptied = played("sref", monkeypatch, warm)
    assert (preview["ok"], preview["state"]["resources"]) == (True, [])
    outputs = by_name(first)["scen-sref"]["outputs"]
    # The output's own shape is hidden with its secrets: all that is read through a reference to a secret is secret.
    assert all("ciphertext" in outputs[key] for key in ("x", "pl"))
    assert by_name(first)["st"]["outputs"] == {"input": "1", "output": "1"}
    assert by_name(second)["st"]["outputs"] == {"input": "2", "output": "1"}
    reference = next(r for r in first["state"]["resources"] if r["type"] == "pulumi:pulumi:StackReference")
    assert (reference["external"], reference["outputs"]["secretOutputNames"]) == (True, ["o"])
    assert json.dumps(first["state"]).count("tok") == 0
    assert [r["type"] for r in emptied["state"]["resources"]] == ["pulumi:pulumi:Stack"]
    assert "< 1 discarded" in emptied["_out"]
