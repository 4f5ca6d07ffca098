"""The Automation API drives the engine with no `pulumi` on PATH, as the project's own commands do."""

import sys
from pathlib import Path

import pytest
from pulumi import automation as auto

from infra.engine.automation import EmbeddedPulumiCommand
from tests.engine.world import World

PROGRAM = """
if cfg.get("boom"):
    raise ValueError("boom")
Thing('t', token=cfg.require_secret('token'))
pulumi.export('greeting', cfg.require('who'))
pulumi.export('token', cfg.get_secret('token'))
"""


@pytest.fixture
def workspace(tmp_path: Path, warm: Path, monkeypatch: pytest.MonkeyPatch) -> auto.LocalWorkspaceOptions:
    world = World.make(tmp_path, PROGRAM)
    monkeypatch.setattr(sys, "executable", str(warm / "bin/python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    environment = {k: v for k, v in world.environment.items() if k.startswith(("PULUMI_", "THING_", "PYTHONPATH"))}
    return auto.LocalWorkspaceOptions(
        work_dir=str(tmp_path / "program"), env_vars=environment, pulumi_command=EmbeddedPulumiCommand()
    )


def stack_of(options: auto.LocalWorkspaceOptions, name: str = "dev") -> auto.Stack:
    assert options.work_dir
    return auto.create_or_select_stack(name, work_dir=options.work_dir, opts=options)


@pytest.mark.story
def test_whole_life_of_a_stack(workspace: auto.LocalWorkspaceOptions) -> None:
    """Create, configure, preview, up, outputs, refresh, history, export, destroy, remove."""
    stack = stack_of(workspace)
    stack.set_all_config({"who": auto.ConfigValue("world"), "token": auto.ConfigValue("canary", secret=True)})
    stack.set_config("list[0].name", auto.ConfigValue("first"), path=True)
    assert stack.get_config("token").value == "canary"
    assert stack.get_config("list[0].name", path=True).value == "first"
    assert stack.get_all_config()["shop:token"].secret
    assert stack.preview().change_summary == {"create": 2}

    events: list[auto.EngineEvent] = []
    lines: list[str] = []
    done = stack.up(on_event=events.append, on_output=lines.append, message="first")
    assert done.summary.resource_changes == {"create": 2}
    assert done.summary.message == "first"
    assert done.outputs["greeting"].value == "world"
    assert (done.outputs["token"].value, done.outputs["token"].secret) == ("canary", True)
    assert next(e.res_outputs_event.metadata.op for e in events if e.res_outputs_event) == "create"
    assert sum(e.summary_event is not None for e in events) == 1
    assert "canary" not in "\n".join(lines)

    assert stack.refresh().summary.resource_changes == {"same": 1}
    assert stack.preview_refresh().change_summary == {"same": 1}
    assert [entry.kind for entry in stack.history()] == ["refresh", "update"]
    exported = stack.export_stack()
    assert len(exported.deployment["resources"]) == 3
    stack.import_stack(exported)
    stack.set_tag("owner", "us")
    assert stack.list_tags() == {"owner": "us"}
    assert stack.preview(expect_no_changes=True).change_summary == {"same": 2}
    assert stack.preview_destroy().change_summary == {"delete": 2}
    assert stack.destroy().summary.resource_changes == {"delete": 2}
    stack.cancel()
    (summary,) = stack.workspace.list_stacks()
    assert (summary.name, summary.current, summary.resource_count) == ("dev", True, 0)
    assert stack.workspace.who_am_i().url
    stack.workspace.remove_stack("dev")
    assert stack.workspace.list_stacks() == []


@pytest.mark.story
def test_errors_have_the_automation_apis_types(workspace: auto.LocalWorkspaceOptions) -> None:
    """It tells them apart by the CLI's texts."""
    assert workspace.work_dir
    with pytest.raises(auto.StackNotFoundError):
        auto.select_stack("nope", work_dir=workspace.work_dir, opts=workspace)
    stack = stack_of(workspace)
    with pytest.raises(auto.StackAlreadyExistsError):
        auto.create_stack("dev", work_dir=workspace.work_dir, opts=workspace)
    stack.set_config("boom", auto.ConfigValue("yes"))
    with pytest.raises(auto.errors.RuntimeError, match="unhandled exception"):
        stack.up()
    locks = Path(workspace.env_vars["PULUMI_BACKEND_URL"].removeprefix("file://")) / ".pulumi/locks/organization/shop/dev"  # type: ignore[index]
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "other.json").write_text('{"pid": 1, "username": "x", "hostname": "elsewhere", "timestamp": "t"}')
    with pytest.raises(auto.ConcurrentUpdateError):
        stack.destroy()
    stack.cancel()
    stack.destroy()


@pytest.mark.story
def test_inline_program_runs_in_the_callers_process(workspace: auto.LocalWorkspaceOptions) -> None:
    """A function as the program, through the Automation API's language server."""
    import pulumi

    seen: list[str] = []

    def program() -> None:
        seen.append(pulumi.get_stack())
        pulumi.export("answer", 42)

    options = auto.LocalWorkspaceOptions(env_vars=workspace.env_vars, pulumi_command=EmbeddedPulumiCommand())
    stack = auto.create_or_select_stack("dev", project_name="inline", program=program, opts=options)
    assert stack.up().outputs["answer"].value == 42
    assert seen == ["dev"]
    stack.destroy()


@pytest.mark.story
def test_stacks_at_the_same_time_do_not_meet(workspace: auto.LocalWorkspaceOptions) -> None:
    """Two programs in one process, each with its own engine, state and outputs."""
    from concurrent.futures import ThreadPoolExecutor

    import pulumi

    def program() -> None:
        pulumi.export("name", pulumi.get_stack())

    def live(name: str) -> tuple[object, list[str]]:
        options = auto.LocalWorkspaceOptions(env_vars=workspace.env_vars, pulumi_command=EmbeddedPulumiCommand())
        stack = auto.create_or_select_stack(name, project_name="inline", program=program, opts=options)
        events: list[auto.EngineEvent] = []
        outputs = stack.up(on_event=events.append).outputs
        urns = [e.res_outputs_event.metadata.urn for e in events if e.res_outputs_event]
        return outputs["name"].value, urns

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(live, ["one", "two"])
    assert one[0] == "one"
    assert two[0] == "two"
    assert all(":one::" in urn for urn in one[1])
    assert all(":two::" in urn for urn in two[1])
