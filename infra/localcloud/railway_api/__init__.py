"""Railway's public GraphQL API over the local world: our own SDL, a subset of the real schema, executed by graphql-core."""
