"""The SDK's protobuf modules without the SDK.

`import pulumi.runtime.proto` runs `pulumi/__init__.py`, which takes 0.1 s that a cold start can do without. In our own
process (never in one that uses the SDK, as the Automation API does) an empty package stands for `pulumi` and
`pulumi.runtime`, with the real folders as their paths, so that only the protobuf modules are loaded.
"""

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path


def _stand_in(name: str, folder: Path) -> None:
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = module


def use_protos_alone() -> None:
    """Call before the first import of a protobuf module, in a process that is only the engine."""
    if "pulumi" in sys.modules:
        return
    spec = importlib.util.find_spec("pulumi")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    _stand_in("pulumi", folder)
    _stand_in("pulumi.runtime", folder / "runtime")
    # The package's own __init__ imports every module; we want only those we name.
    _stand_in("pulumi.runtime.proto", folder / "runtime" / "proto")
