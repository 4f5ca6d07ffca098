"""Each resource option that has no test of its own elsewhere, in one program and its edits.

Elsewhere: aliases, protect, ignoreChanges, replaceOnChanges, deleteBeforeReplace, import, provider (recorded scenarios),
dependsOn, parent (random programs), additionalSecretOutputs (test_secrets), deletedWith, hooks, transforms (test_lifecycle).
"""

from tests.engine.world import World

PROGRAM = """
edited = "EDIT" in os.environ
mine = pulumi.ProviderResource("thing", "mine", {})
class Shop(pulumi.ComponentResource):
    def __init__(self, name, opts):
        super().__init__("thing:index:Shop", name, {}, opts)
        Thing("inherits", opts=RO(parent=self))
Shop("shop", RO(providers=[mine]))
Thing("explicit", opts=RO(provider=mine))
Thing("timed", v=edited, opts=RO(custom_timeouts=pulumi.CustomTimeouts(create="1m30s", update="2h", delete="5s")))
Thing("triggered", opts=RO(replacement_trigger="two" if edited else "one"))
first = Thing("first", fixed=str(edited))
Thing("follows", opts=RO(replace_with=[first]))
Thing("packed", files=pulumi.FileArchive("./folder"), text=pulumi.StringAsset("x"), one=pulumi.FileAsset("folder/a"))
Thing("referred", by=pulumi.Output.all(first.urn, first.id))
if not edited:
    Thing("kept", opts=RO(retain_on_delete=True))
    Thing("dropped", opts=RO(custom_timeouts=pulumi.CustomTimeouts(delete="7s")))
"""


def test_options_do_what_they_say(world: World) -> None:
    """Created as asked; the edit changes what each option says it changes, and nothing more."""
    world.program(PROGRAM)
    folder = world.folder / "program/folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    world.up()
    things = world.resources()
    mine = f"{things['mine']['urn']}::{things['mine']['id']}"
    assert {things[name]["provider"] for name in ("inherits", "explicit")} == {mine}
    assert things["first"]["provider"] != mine
    assert things["timed"]["customTimeouts"] == {"create": 90, "update": 7200, "delete": 5}
    assert things["kept"]["retainOnDelete"] is True
    assert things["triggered"]["replacementTrigger"] == "one"
    assert {things["packed"]["inputs"][key].get("hash", "")[:4] for key in ("files", "text", "one")} == {"42d7", "2d71", "6b86"}
    world.calls()
    world.up("--expect-no-changes")

    kept = things["kept"]["id"]
    (folder / "a").write_text("2")
    world.up(EDIT="1")
    made_anew = [["create", name] for name in ("first", "follows", "triggered")]
    gone = [["delete", name] for name in ("dropped", "first", "follows", "triggered")]
    changed = [["update", name] for name in ("packed", "referred", "timed")]
    assert world.calls() == sorted([*made_anew, *gone, *changed])
    assert (world.folder / "store" / f"{kept}.json").exists()
    assert "kept" not in world.resources()
    timeouts = sorted((world.folder / "store/timeouts").read_text().splitlines())
    assert timeouts == ["create timed 90.0", "delete dropped 7.0", "update timed 7200.0"]
    world.up("--expect-no-changes", EDIT="1")
