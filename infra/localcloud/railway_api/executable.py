"""The SDL files and the resolvers, bound: every root field has exactly one resolver, or the import fails."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLSchema, build_schema

from infra.localcloud.railway_api import (
    resolvers_account,
    resolvers_api_tokens,
    resolvers_backup,
    resolvers_change_set,
    resolvers_clients,
    resolvers_deployment,
    resolvers_http,
    resolvers_http_logs,
    resolvers_instance_network,
    resolvers_limits,
    resolvers_metrics,
    resolvers_networking,
    resolvers_patch,
    resolvers_service,
    resolvers_subscription,
    resolvers_template,
)

MODULES = (
    resolvers_account,
    resolvers_api_tokens,
    resolvers_backup,
    resolvers_service,
    resolvers_limits,
    resolvers_networking,
    resolvers_instance_network,
    resolvers_clients,
    resolvers_deployment,
    resolvers_metrics,
    resolvers_http,
    resolvers_http_logs,
    resolvers_patch,
    resolvers_change_set,
    resolvers_subscription,
    resolvers_template,
)


def schema_text() -> str:
    directory = files(__package__) / "schema"
    documents = sorted((entry for entry in directory.iterdir() if entry.name.endswith(".graphql")), key=lambda entry: entry.name)
    return "\n".join(document.read_text(encoding="utf-8") for document in documents)


@cache
def executable_schema() -> GraphQLSchema:
    schema = build_schema(schema_text())
    for root, table in ((schema.query_type, "QUERIES"), (schema.mutation_type, "MUTATIONS")):
        assert root is not None
        resolvers = {name: resolve for module in MODULES for name, resolve in getattr(module, table).items()}
        if resolvers.keys() != root.fields.keys():
            raise AssertionError(f"{root.name}: schema and resolvers differ in {sorted(resolvers.keys() ^ root.fields.keys())}")
        for name, resolve in resolvers.items():
            root.fields[name].resolve = resolve
    _bind_subscriptions(schema)
    return schema


def _bind_subscriptions(schema: GraphQLSchema) -> None:
    """A source yields what the field shows: its own resolver has nothing to add."""
    root = schema.subscription_type
    assert root is not None
    sources = {**resolvers_subscription.SUBSCRIPTIONS, **resolvers_http_logs.SUBSCRIPTIONS}
    if sources.keys() != root.fields.keys():
        raise AssertionError(f"{root.name}: schema and sources differ in {sorted(sources.keys() ^ root.fields.keys())}")
    for name, source in sources.items():
        root.fields[name].subscribe = source
        root.fields[name].resolve = _as_it_is


def _as_it_is(value: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    return value
