"""What the recorded scenarios do not cover, with a provider of our own."""

import json
from pathlib import Path

import pytest

from tests.engine.world import World

URN = "urn:pulumi:dev::shop::thing:index:Thing::"


def test_half_made_resource_is_kept_and_mended(world: World) -> None:
    """ErrorResourceInitFailed: never orphaned; the next up updates it instead of making a second one."""
    world.program("Thing('t', fail='init')\n")
    assert "not ready: on purpose" in world.up(code=1)
    assert world.calls() == [["create", "t"]]
    thing = world.resources()["t"]
    assert thing["initErrors"] == ["not ready: on purpose"]
    assert thing["id"]
    assert "pending_operations" not in world.state()
    world.up(code=1)
    assert world.calls() == [["update", "t"]]
    (world.folder / "store/mended").touch()
    world.up()
    assert world.calls() == [["update", "t"]]
    assert world.resources()["t"]["id"] == thing["id"]
    assert "initErrors" not in world.resources()["t"]


def test_failure_stops_dependents_only(world: World) -> None:
    """With --continue-on-error the independent rest is made; the exit code still says that something failed."""
    world.program("a = Thing('a', fail='create')\nThing('b', n=a.serial)\nThing('c')\n")
    assert "refused on purpose" in world.up("--continue-on-error", code=1)
    assert set(world.resources()) >= {"c"}
    assert not {"a", "b"} & set(world.resources())


def test_deleted_with_spares_the_call(world: World) -> None:
    """A resource that vanishes with another is not deleted by hand."""
    world.program("a = Thing('a')\nThing('b', opts=RO(deleted_with=a))\n")
    world.up()
    world.calls()
    world.program("")
    world.up()
    assert world.calls() == [["delete", "a"]]
    assert not {"a", "b"} & set(world.resources())


def test_replace_and_target_flags(world: World) -> None:
    """--replace makes anew, --target leaves the rest alone, a mistyped target is an error."""
    world.program("for n in 'abc': Thing(n, v=os.environ.get('V', '1'))\n")
    world.up()
    world.calls()
    world.up("--target", URN + "a", V="2")
    assert world.calls() == [["update", "a"]]
    world.up("--replace", URN + "b", V="2")
    assert world.calls() == [["create", "b"], ["delete", "b"], ["update", "c"]]
    assert "no resource named" in world.up("--target", URN + "nobody", code=1)
    assert "no resource named" in world.run("refresh", "--yes", "-f", "-s", "dev", "--target", URN + "nobody", code=1)
    world.run("destroy", "--yes", "--skip-preview", "-s", "dev", "--target", "**Thing::c")
    assert world.calls() == [["delete", "c"]]


def test_transforms_and_hooks_call_back(world: World) -> None:
    """Delete hooks run while the program is still there to answer."""
    world.program(
        """
def note(word):
    def hook(args):
        with open(os.environ["THING_STORE"] + "/hooks", "a") as f: f.write(f"{word} {args.name} {bool(args.id)}\\n")
    return hook
hooks = {k: [pulumi.ResourceHook(k, note(k))] for k in ("before_create", "after_create", "after_update", "before_delete")}
def tag(args):
    if args.type_ == "thing:index:Thing":
        return pulumi.ResourceTransformResult(props={**args.props, "tag": "yes"}, opts=args.opts)
pulumi.runtime.register_resource_transform(tag)
if "GONE" not in os.environ:
    Thing("t", v=os.environ.get("V", "1"), opts=RO(hooks=pulumi.ResourceHookBinding(**hooks)))
"""
    )
    world.up()
    assert world.resources()["t"]["inputs"] == {"tag": "yes", "v": "1"}
    assert json.loads(world.state_file.read_text())["version"] == 4
    world.up(V="2")
    world.up(GONE="1")
    lines = (world.folder / "store/hooks").read_text().splitlines()
    assert lines == ["before_create t False", "after_create t True", "after_update t True", "before_delete t True"]


def test_second_up_changes_nothing_and_a_preview_may_demand_it(world: World) -> None:
    """--expect-no-changes is what a pipeline asks."""
    world.program(
        "Group('g')\nThing('t', v={'a': [1, 2.5, None, True]}, w=os.environ.get('W', '1'))\npulumi.export('x', {'y': 1})\n"
    )
    world.up()
    before = [r["urn"] for r in world.state()["resources"]]
    world.up("--expect-no-changes")
    world.run("preview", "-s", "dev", "--expect-no-changes")
    world.run("preview", "-s", "dev", "--expect-no-changes", code=1, W="2")
    assert [r["urn"] for r in world.state()["resources"]] == before


def test_diff_shows_lines_of_text(world: World) -> None:
    """A long text's change is read line by line, not as two walls of text."""
    world.program("Thing('t', text='one\\ntwo\\nthree\\n' + os.environ.get('V', ''))\n")
    world.up()
    text = world.run("preview", "--diff", "-s", "dev", V="four\n")
    assert "~ text:" in text
    assert "+four" in text
    assert " three" in text
    steps = json.loads(world.run("preview", "--json", "-s", "dev", V="four\n"))
    assert steps["changeSummary"] == {"same": 1, "update": 1}


def test_event_log_holds_pulumis_events(world: World, tmp_path: Path) -> None:
    """The higher-level commands build their screen from these."""
    world.program("Thing('t', fixed=os.environ.get('V', '1'))\n")
    world.up()
    log = tmp_path / "events"
    world.up("--event-log", str(log), V="2")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["sequence"] for e in events] == list(range(len(events)))
    kinds = [next(k for k in e if k.endswith("Event")) for e in events]
    assert kinds[0] == "preludeEvent"
    assert kinds[-2:] == ["summaryEvent", "cancelEvent"]
    steps = [e["resOutputsEvent"]["metadata"] for e in events if "resOutputsEvent" in e]
    ops = [s["op"] for s in steps if s["urn"] == URN + "t"]
    assert ops == ["replace", "create-replacement", "delete-replaced"]
    replace = next(s for s in steps if s["op"] == "replace")
    assert replace["detailedDiff"] == {"fixed": {"diffKind": "update-replace", "inputDiff": True}}
    assert replace["old"]["inputs"] == {"fixed": "1"}
    assert events[-2]["summaryEvent"]["resourceChanges"] == {"replace": 1, "same": 1}


def test_missing_plugin_is_named(world: World) -> None:
    """One line that says how to get it."""
    world.program("pulumi.CustomResource('random:index:Pet', 'p', {})\n")
    text = world.up(code=1)
    assert "no resource plugin for package 'random'" in text
    assert "pulumi plugin install resource random" in text


def test_failed_program_names_the_users_line(world: World) -> None:
    """The Automation API classifies by the first words; a person needs the place."""
    world.program("Thing('t')\nraise ValueError('mine')\n")
    text = world.up(code=1)
    assert "failed with an unhandled exception" in text
    assert "ValueError: mine" in text
    assert "runpy" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up", "--yes", "-s", "dev", "--policy-pack", "x"), "unknown or unsupported flag --policy-pack"),
        (("fly",), "unknown command 'fly'"),
        (("config", "env", "add", "x", "-s", "dev"), "config: unexpected argument 'env'"),
        (("logs", "-s", "dev", "--since", "soon"), "logs: --since: expected a duration such as 90s or 2h"),
        (("policy", "ls"), "policy: not supported by the embedded engine"),
        (("up", "--yes", "-s", "dev", "--target", "a", "--exclude", "b"), "cannot be used together"),
        (("up", "--yes", "-s", "dev", "elsewhere"), "up: unexpected argument 'elsewhere'"),
        (("up", "--yes", "-s", "nope"), "no stack named 'nope' found"),
        (("stack", "init", "dev"), "stack 'organization/shop/dev' already exists"),
        (("up", "-s", "dev", "--non-interactive"), "--yes must be passed"),
        (("config", "get", "nothing", "-s", "dev"), "configuration key 'nothing' not found"),
    ],
)
def test_wrong_use_is_one_line_and_code_two(world: World, arguments: tuple[str, ...], message: str) -> None:
    """Never ignored in silence, never a traceback."""
    text = world.run(*arguments, code=2)
    assert message in text
    assert len(text.splitlines()) == 1


def test_logged_errors_do_not_hide_what_follows(world: World) -> None:
    """A program may log an error and then fail for another reason: both are told. Logging alone fails nothing."""
    world.program("pulumi.log.error('first')\nraise pulumi.RunError('second')\n")
    text = world.up(code=1)
    assert "error: first" in text
    assert "error: second" in text
    world.program("pulumi.log.error('only told')\nThing('t')\n")
    assert "error: only told" in world.up()
    assert world.calls() == [["create", "t"]]


def test_program_and_project_may_demand_a_version(world: World) -> None:
    """The range is checked against the version we present, in Pulumi's words."""
    world.program("pulumi.require_pulumi_version('>=3.200.0 <4.0.0')\n")
    world.up()
    world.program("pulumi.require_pulumi_version('>=99.0.0')\n")
    assert 'does not satisfy the version range ">=99.0.0"' in world.up(code=1)
    project = world.folder / "program/Pulumi.yaml"
    project.write_text(project.read_text() + "requiredPulumiVersion: '<3.0.0'\n")
    assert 'does not satisfy the version range "<3.0.0"' in world.up(code=2)


def test_missing_secret_configuration_says_how_to_set_it(world: World) -> None:
    """With `--secret`, and without the value on the command line."""
    project = world.folder / "program/Pulumi.yaml"
    project.write_text(project.read_text() + "config:\n  token:\n    type: string\n    secret: true\n")
    assert "`pulumi config set --secret shop:token`" in world.up(code=2)


def test_dynamic_provider(world: World) -> None:
    """A provider written inside the program, pickled into the state."""
    world.program(
        """
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
class Doubler(ResourceProvider):
    def create(self, props): return CreateResult("d1", {**props, "twice": props["text"] * 2})
class Double(Resource):
    twice: pulumi.Output[str]
    def __init__(self, name, text): super().__init__(Doubler(), name, {"text": text, "twice": None})
Thing("t", v=Double("d", "ab").twice)
"""
    )
    world.up()
    assert world.resources()["t"]["inputs"] == {"v": "abab"}
    world.up("--expect-no-changes")


COMPONENT = """
from typing import Optional, TypedDict
import pulumi
from pulumi.provider.experimental import component_provider_host
class Args(TypedDict):
    who: pulumi.Input[str]
class Inner(pulumi.CustomResource):
    serial: pulumi.Output[str]
    def __init__(self, name, opts=None, **inputs):
        super().__init__("thing:index:Thing", name, {"serial": None, **inputs}, opts)
class Greeter(pulumi.ComponentResource):
    serial: pulumi.Output[str]
    def __init__(self, name: str, args: Args, opts: Optional[pulumi.ResourceOptions] = None):
        super().__init__("greet:index:Greeter", name, {}, opts)
        inner = Inner(name + "-inner", who=args["who"], opts=pulumi.ResourceOptions(parent=self))
        self.serial = inner.serial
        self.register_outputs({"serial": inner.serial})
component_provider_host(name="greet", components=[Greeter])
"""


def test_remote_component_registers_through_its_provider(world: World) -> None:
    """Construct: the provider calls the monitor back for what is inside."""
    folder = world.folder / "greet"
    folder.mkdir()
    (folder / "PulumiPlugin.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(COMPONENT)
    project = world.folder / "program/Pulumi.yaml"
    project.write_text(project.read_text() + "    - name: greet\n      path: ../greet\n")
    world.program(
        """
class Greeter(pulumi.ComponentResource):
    serial: pulumi.Output[str]
    def __init__(self, name, who): super().__init__("greet:index:Greeter", name, {"who": who, "serial": None}, remote=True)
Thing("after", s=Greeter("g", Thing("t").serial).serial)
"""
    )
    world.up()
    things = world.resources()
    assert things["g-inner"]["parent"].endswith("::g")
    assert things["after"]["inputs"]["s"] == things["g-inner"]["id"]
    world.up("--expect-no-changes")


def test_import_that_does_not_fit_is_refused(world: World) -> None:
    """Taking over a resource must not change it."""
    (world.folder / "store/known.json").write_text("{}")
    world.program("Thing('t', v='1', opts=RO(import_='known'))\n")
    text = world.up(code=1)
    assert "do not match the existing resource; these differ: v" in text
    assert "t" not in world.resources()
    world.program("Thing('t', v='1', opts=RO(import_='unknown'))\n")
    assert "resource 'unknown' does not exist" in world.up(code=1)


def test_stack_reference_reads_and_reseals(world: World) -> None:
    """Outputs of another stack, whose secrets have another key."""
    world.program("pulumi.export('open', 1)\npulumi.export('closed', pulumi.Output.secret('hidden'))\n")
    world.up()
    world.run("stack", "init", "other")
    reading = "pulumi.export('got', [r.get_output('open'), r.get_output('closed')])\n"
    world.program("r = pulumi.StackReference('organization/shop/dev')\n" + reading)
    for _ in range(2):
        world.run("up", "--yes", "--skip-preview", "-s", "other")
    assert json.loads(world.run("stack", "output", "got", "--show-secrets", "-s", "other")) == [1, "hidden"]
    world.run("stack", "rename", "third", "-s", "other")
    world.run("up", "--yes", "--skip-preview", "--expect-no-changes", "-s", "third")
