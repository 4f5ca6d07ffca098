"""Each command starts two plugins: what they load, every user waits for."""

import subprocess
import sys

from infra import __path__ as rooms

CODE = """
import sys
sys.argv = ["plugin"]
from infra.lean_imports import use_httpx_alone, use_protos_alone
use_protos_alone()
use_httpx_alone()
import infra.provider.server, infra.railway.provider, infra.supabase.provider
print(*[name for name, module in sys.modules.items() if module and name.split(".")[0] in ("pulumi", "rich", "pygments")])
"""


def test_a_plugin_loads_the_protocol_without_the_sdk_and_httpx_without_its_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=f"{rooms[0]}/..", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "pulumi.runtime.proto.provider_pb2" in loaded
    assert all(name in ("pulumi", "pulumi.runtime") or name.startswith("pulumi.runtime.proto") for name in loaded)
