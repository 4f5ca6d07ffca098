"""Railway as a native Pulumi provider.

Programs import `infra.railway.resources` only; that half knows the SDK and nothing of HTTP. The other half, started as a
plugin by the engine, is `provider` with one folder per resource: its declaration and its GraphQL operations side by side.
"""
