"""nginx as the cache to be compared with: one worker, `proxy_cache` keyed by the Authorization header, set up to be fast.

It asks nobody whether a session was ended: what it has kept, it gives out. Runs only where `nginx` is on PATH.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.bench.processes import free_port
from loadtests.bench.replica_stack import Program, spawn, wait_until_listens

# The answer says no-store, and Vary: Origin; whoever caches answers by token has to overrule the first.
_CONFIG = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 75s;
  open_file_cache max=10000 inactive=600s; open_file_cache_valid 600s;
  client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
  uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
  proxy_cache_path {directory}/cache levels=1:2 keys_zone=tokens:10m inactive=600s;
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache tokens; proxy_cache_key "$http_authorization$request_uri"; proxy_cache_valid 200 600s;
      proxy_ignore_headers Cache-Control Vary; add_header X-Nginx-Cache $upstream_cache_status;
    }}
  }}
}}
"""


def is_on_path() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def running_nginx(directory: Path, upstream_url: str) -> Iterator[tuple[str, Program]]:
    """Its URL and process. StackFailed where it does not come up."""
    home = directory / "nginx"
    home.mkdir(mode=0o777)
    home.chmod(0o777)  # started as root, its worker would be another user
    port = free_port()
    config = home / "nginx.conf"
    config.write_text(_CONFIG.format(directory=home, port=port, upstream=urlsplit(upstream_url).netloc))
    program = spawn("nginx", [str(shutil.which("nginx")), "-c", str(config)], {}, directory)
    try:
        wait_until_listens(port, program)
        yield f"http://127.0.0.1:{port}", program
    finally:
        program.end()
