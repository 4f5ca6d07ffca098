"""What needs the program while the engine works: destroy and refresh with --run-program, error hooks, transforms of invokes."""

import json

from tests.engine.world import World


def test_destroy_and_refresh_by_the_program(world: World) -> None:
    """Delete hooks can run, providers are configured as the program says now, and nothing new is made on the way."""
    world.program(
        """
def note(args):
    with open(os.environ["THING_STORE"] + "/hooks", "a") as f: f.write(args.name + "\\n")
hooks = pulumi.ResourceHookBinding(before_delete=[pulumi.ResourceHook("note", note)])
p = pulumi.ProviderResource("thing", "mine", {"key": os.environ.get("KEY", "1")})
a = Thing("a", opts=RO(hooks=hooks, provider=p))
group = Group("g")
Thing("b", v=a.serial, opts=RO(parent=group))
if "MORE" in os.environ:
    Thing("late", v=Thing("new").serial)
pulumi.export("serial", a.serial)
"""
    )
    world.up()
    world.calls()
    (world.folder / "store" / f"{world.resources()['b']['id']}.json").unlink()
    world.run("refresh", "--yes", "--skip-preview", "-s", "dev", "--run-program", KEY="2", MORE="1")
    assert world.calls() == [["read", "a"], ["read", "b"]]
    assert set(world.resources()) == {"shop-dev", "mine", "default", "a", "g"}
    assert world.resources()["mine"]["inputs"]["key"] == "2"
    assert "was not registered" not in world.run("preview", "-s", "dev", "--refresh", "--run-program", KEY="2")
    world.calls()
    shown = json.loads(world.run("destroy", "-s", "dev", "--preview-only", "--json", "--run-program", MORE="1"))
    assert shown["changeSummary"]["delete"] == 4
    assert not (world.folder / "store/hooks").exists()
    world.run("destroy", "--yes", "--skip-preview", "-s", "dev", "--run-program", MORE="1", KEY="3")
    assert world.calls() == [["delete", "a"]]
    assert (world.folder / "store/hooks").read_text() == "a\n"
    assert world.state().get("resources", []) == []


def test_error_hooks_may_ask_for_another_try(world: World) -> None:
    """What was in the way is removed by the hook; a hook that says no leaves the failure as it is."""
    world.program(
        """
tries = []
def mend(args):
    tries.append((args.failed_operation, args.errors[0], args.new_inputs["fail"]))
    if len(tries) == 2: open(os.environ["THING_STORE"] + "/mended", "w").close()
    return "GIVE_UP" not in os.environ
binding = pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook("mend", mend)])
t = Thing("t", fail="create", opts=RO(hooks=binding))
t.serial.apply(lambda serial: print("tries", tries))
"""
    )
    text = world.up(GIVE_UP="1", code=1)
    assert "refused on purpose" in text
    assert "retrying" not in text
    world.calls()
    text = world.up()
    assert "retrying create due to on-error hook request (2/100)" in text
    assert text.count("('create', 'refused on purpose', 'create')") == 2
    assert world.calls() == [["create", "t"]] * 3
    assert "pending_operations" not in world.state()


def test_invokes_pass_through_transforms(world: World) -> None:
    """And a parameterized package is refused in one line."""
    world.program(
        """
def elsewhere(args):
    return pulumi.InvokeTransformResult(args={"name": args.args["name"] + "-changed"}, opts=args.opts)
pulumi.runtime.register_invoke_transform(elsewhere)
pulumi.runtime.invoke("pulumi:pulumi:readStackReference", {"name": "other"})
"""
    )
    assert 'unknown stack "other-changed"' in world.up(code=1)
    world.program(
        """
from pulumi.runtime.settings import register_package
async def made():
    return await register_package("terraform-provider", "1.0.0", "", "tunnel", "2.0.0", "e30=")
pulumi.Output.from_input(made()).apply(lambda ref: Thing("t", v=ref))
"""
    )
    text = world.up(code=1)
    assert "package 'tunnel' is 'terraform-provider' with parameters, which the embedded engine cannot load" in text
    assert "Traceback" not in text
