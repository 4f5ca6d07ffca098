"""What a cold start can do without, in processes of our own: the engine and the plugins.

`import pulumi.runtime.proto` runs `pulumi/__init__.py`, the whole SDK. Never in a process that uses it, as programs and the
Automation API do, an empty package stands for `pulumi` and `pulumi.runtime`, with the real folders as their paths, so that only
the protobuf modules are loaded. `import httpx` loads its command line, and with it rich and pygments, where they are installed.
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
    """Call before the first import of a protobuf module, in a process that is only the engine or only a plugin."""
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


def use_httpx_alone() -> None:
    """Call before the first import of httpx: it goes on as if what its command line needs were not installed."""
    if "httpx" not in sys.modules:
        sys.modules["httpx._main"] = None  # type: ignore[assignment] # Python's mark for "not to be had"
