"""Messages to the provider of a remote component: Construct makes one, Call runs a method of one."""

from typing import Any

from pulumi.runtime.proto import alias_pb2, provider_pb2

from infra.engine.planning.goals import Goal
from infra.engine.plugins.wire import to_struct
from infra.engine.running.deployment import Deployment

PARALLEL = 128


def surroundings(deployment: Deployment, address: str) -> dict[str, Any]:
    """What both messages say of the deployment around them; `address` is where resources are to be registered."""
    return {
        "project": deployment.name.project,
        "stack": deployment.name.stack,
        "organization": "organization",
        "config": {k: item.text for k, item in deployment.config.items()},
        "configSecretKeys": [k for k, item in deployment.config.items() if item.is_secret],
        "dryRun": deployment.is_preview,
        "parallel": deployment.options.parallel or PARALLEL,
        "monitorEndpoint": address,
    }


def construct_request(deployment: Deployment, goal: Goal, aliases: list[str], address: str) -> Any:
    """`address` is where the component's resources are to be registered."""
    request = provider_pb2.ConstructRequest(
        **surroundings(deployment, address),
        type=goal.type,
        name=goal.name,
        parent=goal.parent,
        inputs=to_struct(goal.properties),
        providers=goal.providers,
        dependencies=goal.dependencies,
        protect=goal.protect,
        additionalSecretOutputs=goal.additional_secret_outputs,
        deletedWith=goal.deleted_with,
        deleteBeforeReplace=goal.delete_before_replace,
        ignoreChanges=goal.ignore_changes,
        replaceOnChanges=goal.replace_on_changes,
        retainOnDelete=goal.retain_on_delete,
        replace_with=goal.replace_with,
        aliases=[alias_pb2.Alias(urn=urn) for urn in aliases],
    )
    for name, urns in goal.property_dependencies.items():
        request.inputDependencies[name].urns.extend(urns)
    return request


def call_request(deployment: Deployment, request: Any, address: str) -> Any:
    """The program's ResourceCallRequest as one to the provider."""
    message = provider_pb2.CallRequest(
        tok=request.tok,
        args=request.args,
        **surroundings(deployment, address),
    )
    for name, dependencies in request.argDependencies.items():
        message.argDependencies[name].urns.extend(dependencies.urns)
    return message
