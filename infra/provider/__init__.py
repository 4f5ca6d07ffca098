"""The base our native Pulumi providers share: a gRPC servicer, declarative resources and one careful HTTP client.

Theory of operation. A provider is data plus three kinds of functions. `rules` say what an input may be, `definition` puts
rules, outputs and the five verbs of one resource together, `comparison` turns two sets of inputs into a detailed diff: all
pure. `servicer` is the only place that knows Pulumi's protocol: it turns protobuf structs into values (`properties`),
keeps secrets marked and unknowns unknown, and turns our errors into what the engine understands. `transport` is the only
place that talks HTTP. It never sends a change twice without looking first, because neither Railway nor Supabase takes
idempotency keys. `resource_class` belongs to the other side: programs make their resource classes of it, and load nothing else.

Why not pulumi.provider.experimental: in 3.272 it cannot marshal unknowns, hides the old inputs from diff, update and
delete, and loses the id of a resource whose creation failed halfway.
"""
