"""Where everything of a stack lives: one Railway project with one environment."""

from __future__ import annotations

import pulumi

from infra.railway import resources as railway


class Place(pulumi.ComponentResource):
    """A project of its own for each stack, so that removing a stack can never touch another's services."""

    project_id: pulumi.Output[str]
    environment_id: pulumi.Output[str]

    def __init__(self, name: str, *, title: str, environment: str, workspace_id: str, opts: pulumi.ResourceOptions | None = None):
        super().__init__("cached-auth:index:Place", name, {}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        project = railway.Project(name, name=title, workspace_id=workspace_id or None, opts=inside)
        home = railway.Environment(name, project_id=project.id, name=environment, opts=inside)
        self.project_id = project.id
        self.environment_id = home.id
        self.register_outputs({"project_id": self.project_id, "environment_id": self.environment_id})
