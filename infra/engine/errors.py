"""What can go wrong in the engine.

EngineError                   anything we refuse or fail, one line for the user
├── UsageError                wrong arguments, unknown flag, missing project or stack (the user's mistake)
│   ├── NoSuchStack           text is matched by the Automation API: "no stack named 'x' found"
│   └── StackExists           text is matched by the Automation API: "stack 'x' already exists"
├── StackLocked               text is matched by the Automation API: "the stack is currently locked by"
├── StateError                the checkpoint is damaged, newer than we know, or encrypted with another passphrase
├── PluginError               a provider plugin is missing or does not start
└── ResourceError             one resource could not be planned or changed (already reported as a diagnostic)
    └── Bail                  the deployment has failed elsewhere; nothing more to say
"""


class EngineError(Exception):
    """A failure with a message for the user; shown as one line, without a traceback."""


class UsageError(EngineError):
    """The command line, the project or the configuration is wrong."""


class NoSuchStack(UsageError):
    """The named stack does not exist in the backend."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no stack named '{name}' found")


class StackExists(UsageError):
    """The stack is there already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"stack '{name}' already exists")


class StackLocked(EngineError):
    """Another process holds the stack's lock."""


class StateError(EngineError):
    """The checkpoint cannot be used as it is."""


class PluginError(EngineError):
    """A provider plugin is missing or does not start."""


class ResourceError(EngineError):
    """One resource failed; the diagnostic has been emitted already."""


class Bail(ResourceError):
    """Stop quietly: the cause has been reported by someone else."""
