"""What every command on a stack begins with: home, stack file, cloud, engine."""

from __future__ import annotations

from dataclasses import dataclass

from infra.cli.cloud import LocalCloud, find_cloud, require_cloud, start_cloud
from infra.cli.configuration import checked_settings
from infra.cli.engine import Deployment, open_deployment
from infra.cli.home import ROOT, Home, open_home
from infra.cli.project import StackFile, read_stack_file
from infra.cli.screen import Screen
from infra.cli.workspace import missing_local_secrets, prepare_workspace


@dataclass(frozen=True, slots=True)
class Session:
    """One command's stack, ready to be worked on. `cloud` is None for stacks on Railway."""

    screen: Screen
    home: Home
    file: StackFile
    cloud: LocalCloud | None
    deployment: Deployment


def open_session(screen: Screen, stack: str, starts_cloud: bool = True, create: bool = True) -> Session:
    """Opens everything that an operation on `stack` needs. With `starts_cloud` False a stopped local cloud is an error."""
    file, home = read_stack_file(stack), open_home()
    checked_settings(file)
    workspace = prepare_workspace(home, file)
    if file.is_local and not create and find_cloud(home) is None:
        open_deployment(home, workspace, {}, create)  # no cloud is started for a stack that there is not
    cloud = open_cloud(screen, home, starts_cloud) if file.is_local else None
    environment = cloud.environment() if cloud else {}
    deployment = open_deployment(home, workspace, environment, create)
    if create and cloud and workspace.folder != ROOT:
        deployment.set_secrets(missing_local_secrets(workspace, lambda: cloud.status().get("mail")))
    return Session(screen, home, file, cloud, deployment)


def open_cloud(screen: Screen, home: Home, starts_cloud: bool) -> LocalCloud:
    if not starts_cloud:
        return require_cloud(home)
    running = find_cloud(home)
    if running is not None:
        return running
    with screen.step("starting the local cloud"):
        return start_cloud(home)
