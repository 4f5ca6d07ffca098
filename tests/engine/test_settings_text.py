"""Pulumi.STACK.yaml after `config set`: what nobody changed is as it was, comments included."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.engine.workspace.config import StackSettings
from infra.engine.workspace.settings_text import edited

TEXT = """# this stack
encryptionsalt: v1:abc  # made by stack init
config:
  # how many
  shop:size: 3  # enough for May
  shop:token:
    secure: v1:x:y
  # where
  shop:regions:
  - one  # the first
  - two

  shop:limits: {cpu: 1}
# at the end
"""


def changed(**config: Any) -> str:
    document = yaml.safe_load(TEXT)
    document["config"] = {k: v for k, v in {**document["config"], **config}.items() if v is not ...}
    text = edited(TEXT, document)
    assert text is not None
    assert yaml.safe_load(text) == document
    return text


def test_only_the_changed_entry_is_another() -> None:
    """A scalar keeps the comment on its line; other entries are written anew as a whole."""
    assert changed() == TEXT
    assert changed(**{"shop:size": "4"}) == TEXT.replace("size: 3", "size: '4'")
    assert changed(**{"shop:regions": ["one"]}) == TEXT.replace("  - one  # the first\n  - two\n", "  - one\n")
    assert changed(**{"shop:token": ...}) == TEXT.replace("  shop:token:\n    secure: v1:x:y\n", "")
    assert changed(**{"shop:limits": {"cpu": 2}}) == TEXT.replace(" {cpu: 1}", "\n    cpu: 2")
    assert changed(**{"shop:new": True}) == TEXT.replace("{cpu: 1}\n", "{cpu: 1}\n  shop:new: true\n")


def test_a_file_that_cannot_be_edited_is_written_anew(tmp_path: Any) -> None:
    """In one line, or with anchors: the values are right, the form is the plain one."""
    assert edited("{config: {a: 1}}", {"config": {"a": 2}}) is None
    assert edited("config: [", {}) is None
    assert edited("a: &x 1\nb: *x\n", {"a": 2, "b": 1}) is None
    file = tmp_path / "Pulumi.dev.yaml"
    for before in ("{config: {shop:a: 1}}", TEXT, "", "config:\n  shop:a: 1"):
        file.write_text(before)
        stack = StackSettings.load(file)
        stack.config["shop:a"] = "changed"
        stack.save()
        assert StackSettings.load(file).config["shop:a"] == "changed"


KEYS = st.text("abc:# ", min_size=1, max_size=4)
VALUES = st.recursive(
    st.one_of(st.text(max_size=12), st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=2)),
    max_leaves=4,
)
DOCUMENTS = st.fixed_dictionaries(
    {"config": st.dictionaries(st.sampled_from(["p:a", "p:b", "p:c", "q:d"]), VALUES, min_size=1)},
    optional={"encryptionsalt": st.just("v1:s"), "environment": VALUES},
)


@settings(max_examples=40, deadline=None)
@given(before=DOCUMENTS, after=DOCUMENTS)
def test_the_result_means_what_was_wanted_and_outer_comments_stay(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Or nothing is returned; a comment on a line of its own between entries is never lost."""
    lines = []
    for number, line in enumerate(yaml.safe_dump(before, sort_keys=False).splitlines()):
        if line.startswith("  p:") or line[:1].isalpha():
            lines.append(f"{' ' * (len(line) - len(line.lstrip()))}# note {number}")
        lines.append(line)
    text = "\n".join(lines) + "\n"
    if yaml.safe_load(text) != before:  # a comment fell into a text of several lines
        return
    result = edited(text, after)
    if result is not None:
        assert yaml.safe_load(result) == after
        kept = {key for key in before["config"] if key in after["config"]}
        assert result.count("# note") >= len([k for k in kept if k.startswith("p:")])
