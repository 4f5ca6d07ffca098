"""The screen of a running deploy."""

import io

import pytest

from infra.cli.plan import Change, Step, Tally
from infra.cli.progress import Progress, show_plan
from infra.cli.screen import Screen

URN = "urn:pulumi:dev::cached-auth::railway:index:Service::auth"


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    return Screen()


def metadata(operation, type_="railway:index:Service"):
    return {"op": operation, "urn": URN, "type": type_}


def test_a_resource_gets_one_line_when_it_ends(screen, capsys):
    progress = Progress(screen)
    progress({"resourcePreEvent": {"metadata": metadata("create")}})
    assert capsys.readouterr().out == ""
    progress({"resOutputsEvent": {"metadata": metadata("create")}})
    shown = capsys.readouterr().out
    assert "created" in shown
    assert "Service auth" in shown
    assert shown.rstrip().endswith("s")


def test_a_failed_resource_says_so(screen, capsys):
    progress = Progress(screen)
    progress({"resourcePreEvent": {"metadata": metadata("create")}})
    progress({"resOpFailedEvent": {"metadata": metadata("create")}})
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "hidden", [metadata("same"), metadata("create", "pulumi:pulumi:Stack"), metadata("create", "pulumi:providers:railway")]
)
def test_what_nobody_waits_for_is_not_shown(screen, capsys, hidden):
    progress = Progress(screen)
    progress({"resourcePreEvent": {"metadata": hidden}})
    progress({"resOutputsEvent": {"metadata": hidden}})
    assert capsys.readouterr().out == ""


def test_a_planning_run_prints_nothing_by_itself(screen, capsys):
    progress = Progress(screen, is_planning=True)
    progress({"resourcePreEvent": {"metadata": metadata("create")}})
    progress({"resOutputsEvent": {"metadata": metadata("create")}})
    assert capsys.readouterr().out == ""
    assert [step.operation for step in progress.tally.steps] == ["create"]


def test_new_resources_show_their_rendered_files_only_when_asked(screen, capsys):
    text = Change("railwayToml", None, "[deploy]\nx = 1\n", is_text=True)
    tally = Tally(steps=[Step("create", URN, "railway:index:Service", "auth", (text, Change("name", None, '"auth"')))])
    show_plan(screen, tally, with_texts=False)
    assert "[deploy]" not in capsys.readouterr().out
    show_plan(screen, tally, with_texts=True)
    shown = capsys.readouterr().out
    assert "+[deploy]" in shown
    assert '"auth"' not in shown


def test_json_runs_keep_stdout_for_the_document(monkeypatch, capsys):
    screen = Screen(is_json=True)
    screen.say("words")
    screen.result({"a": 1})
    shown = capsys.readouterr()
    assert "words" in shown.err
    assert shown.out == '{\n  "a": 1\n}\n'


def test_force_color_paints_a_pipe(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in Screen().paint("x", "good", io.StringIO())
