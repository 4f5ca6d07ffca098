"""The command line: reading it, and one module per family of commands."""
