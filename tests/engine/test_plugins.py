"""Where plugins are looked for, and what is said where there is none."""

from pathlib import Path

import pytest

from infra.engine.errors import PluginError
from infra.engine.plugins.location import locate
from infra.engine.workspace.project import Project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "home"


def installed(home: Path, name: str, *, binary: bool = True) -> Path:
    folder = home / "plugins" / name
    folder.mkdir(parents=True)
    if binary:
        file = folder / f"pulumi-{name.rpartition('-v')[0]}"
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    return folder


def project(folder: Path, **paths: Path) -> Project:
    return Project(folder, "shop", plugin_paths=dict(paths))


def test_the_version_asked_for_is_used_else_the_newest(home: Path) -> None:
    """As the CLI: exactly that version; without one the newest, releases after their pre-releases."""
    for version in ("4.9.0", "4.16.0-alpha.7", "4.16.0", "4.2.11"):
        installed(home, f"resource-random-v{version}")
    installed(home, "resource-random-extra-v9.0.0")
    here = project(home)

    def found(version: str) -> str:
        return Path(locate(here, "random", version, home).arguments[0]).parent.name

    assert found("") == "resource-random-v4.16.0"
    assert found("4.9.0") == found("v4.9.0") == "resource-random-v4.9.0"
    with pytest.raises(
        PluginError, match=r"no resource plugin for package 'random' v5\.0\.0.*pulumi plugin install resource random v5"
    ):
        found("5.0.0")


def test_the_project_comes_first_and_path_last(home: Path, tmp_path: Path) -> None:
    """A plugin under development stands for the installed one."""
    installed(home, "resource-docker-v1.0.0")
    own = tmp_path / "own"
    own.mkdir()
    (own / "PulumiPlugin.yaml").write_text("runtime: python\n")
    assert locate(project(home, docker=own), "docker", "1.0.0", home).arguments[-1] == str(own)
    ambient = tmp_path / "bin/pulumi-resource-aws"
    ambient.write_text("#!/bin/sh\n")
    ambient.chmod(0o755)
    assert locate(project(home), "aws", "", home).arguments == (str(ambient),)


@pytest.mark.parametrize(
    ("definition", "message"),
    [("", "has neither PulumiPlugin.yaml nor"), ("runtime: nodejs\n", "starts python plugins only, got 'nodejs'")],
)
def test_a_plugin_that_cannot_be_started_is_named(home: Path, definition: str, message: str) -> None:
    """In one line, before anything is started."""
    folder = installed(home, "resource-odd-v1.0.0", binary=False)
    if definition:
        (folder / "PulumiPlugin.yaml").write_text(definition)
    with pytest.raises(PluginError, match=message):
        locate(project(home), "odd", "", home)
