"""HTTP: a raw ASGI front for what must be fast, FastAPI behind it for the rest, one set of answers for both."""
