"""Engine events become the rows and counts that people and programs read."""

import pytest

from infra.cli.plan import SECRET_SIGNATURE, UNKNOWN, Tally, counts_text, fold_counts, read_event, split_path, step_of, text_of

URN = "urn:pulumi:dev::cached-auth::railway:index:Service::auth-us-west2"


def metadata(operation, old=None, new=None, **more):
    sides = {key: {"inputs": value} for key, value in (("old", old), ("new", new)) if value is not None}
    return {"op": operation, "urn": URN, "type": "railway:index:Service", **sides, **more}


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a", ["a"]),
        ("a.b.c", ["a", "b", "c"]),
        ("a[0].b", ["a", "0", "b"]),
        ('variables["X.Y"]', ["variables", "X.Y"]),
        ('a["b[0]"].c', ["a", "b[0]", "c"]),
        ("", []),
    ],
)
def test_property_paths_split_as_pulumi_writes_them(path, parts):
    assert split_path(path) == parts


def test_an_update_shows_old_and_new_value_of_each_field_that_differs():
    step = step_of(metadata("update", {"replicas": 2, "name": "a"}, {"replicas": 3, "name": "a"}))
    assert [change.lines() for change in step.changes] == [["replicas: 2 -> 3"]]


def test_the_providers_detailed_diff_names_the_field_inside_a_map():
    old, new = {"variables": {"A": "1", "B": "x"}}, {"variables": {"A": "2", "B": "x"}}
    step = step_of(metadata("update", old, new, detailedDiff={"variables.A": {"diffKind": "update", "inputDiff": True}}))
    assert step.changes[0].lines() == ['variables.A: "1" -> "2"']


def test_a_text_of_many_lines_is_shown_as_a_diff():
    """railway.toml is reviewed as text, not as one long string."""
    step = step_of(metadata("update", {"railwayToml": "a = 1\nb = 2\n"}, {"railwayToml": "a = 1\nb = 3\n"}))
    assert [line.strip() for line in step.changes[0].lines()[1:]] == ["@@ -1,2 +1,2 @@", "a = 1", "-b = 2", "+b = 3"]


def test_a_secret_never_shows_its_value():
    secret = {SECRET_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "value": "hunter2"}
    step = step_of(metadata("update", {"variables": {"K": secret}}, {"variables": {"K": "[secret]"}}))
    assert "hunter2" not in str(step.document())


def test_a_value_that_only_the_deploy_knows_says_so():
    assert text_of(UNKNOWN) == "(known after up)"


def test_a_replacement_is_told_once():
    """The engine sends three events for it; a person wants one row."""
    tally = Tally()
    for operation in ("create-replacement", "replace", "delete-replaced"):
        read_event(tally, {"resourcePreEvent": {"metadata": metadata(operation, {"a": 1}, {"a": 2})}})
    assert [step.operation for step in tally.steps] == ["replace"]
    assert fold_counts({"replace": 1, "create-replacement": 1, "delete-replaced": 1, "same": 3}) == {"replace": 1, "same": 3}


@pytest.mark.parametrize(
    ("counts", "planned", "done"),
    [
        ({}, "nothing to do", "nothing to do"),
        ({"same": 12, "create": 4}, "4 to create, 12 unchanged", "4 created, 12 unchanged"),
        ({"delete": 2, "update": 1}, "1 to update, 2 to delete", "1 updated, 2 deleted"),
    ],
)
def test_counts_read_as_words(counts, planned, done):
    folded = fold_counts(counts)
    assert (counts_text(folded, is_done=False), counts_text(folded, is_done=True)) == (planned, done)


def test_only_real_changes_count_as_changes():
    assert not Tally(counts={"same": 4, "read": 1}).has_changes
    assert Tally(counts={"same": 4, "update": 1}).has_changes


def test_diagnostics_are_kept_once_each_without_colour_codes():
    tally = Tally()
    for _ in range(2):
        read_event(tally, {"diagnosticEvent": {"severity": "error", "message": "<{%fg 1%}>boom<{%reset%}>\n"}})
    assert tally.errors == ["boom"]


def refreshed(tally, operation, **more):
    read_event(tally, {"resourcePreEvent": {"metadata": metadata("refresh")}})
    read_event(tally, {"resOutputsEvent": {"metadata": {**metadata(operation), **more}}})


def test_a_refresh_that_finds_nothing_new_is_no_row():
    """It is told of every resource before anybody has looked; rows without a field would read as changes."""
    tally = Tally()
    refreshed(tally, "same")
    assert tally.steps == []


def test_a_refresh_shows_what_it_found():
    tally = Tally()
    diff = {"replicas": {"diffKind": "update"}}
    refreshed(tally, "update", old={"outputs": {"replicas": 2}}, new={"outputs": {"replicas": 5}}, detailedDiff=diff)
    refreshed(tally, "delete")
    assert [step.operation for step in tally.steps] == ["refresh", "discard"]
    assert [change.lines() for change in tally.steps[0].changes] == [["replicas: 2 -> 5"]]


def test_what_a_deploy_does_after_its_refresh_stays_a_row():
    tally = Tally()
    refreshed(tally, "same")
    read_event(tally, {"resourcePreEvent": {"metadata": metadata("update", {"a": 1}, {"a": 2})}})
    read_event(tally, {"resOutputsEvent": {"metadata": metadata("update", {"a": 1}, {"a": 2})}})
    assert [step.operation for step in tally.steps] == ["update"]
