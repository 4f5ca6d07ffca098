"""The embedded engine: runs Pulumi programs without Pulumi's CLI. See docs/engine.md for the theory of operation."""
