"""Supabase's own JavaScript client against the stand-in, as a black box.

The project needs neither Node nor npm. Where both are, install @supabase/auth-js in some folder and name it in
SUPABASE_AUTH_JS: the story runs then.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import httpx
import pytest

from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.test_process import free_port, process

STORY = Path(__file__).with_name("auth_js_story.mjs")
NODE = shutil.which("node")
PACKAGES = Path(os.environ.get("SUPABASE_AUTH_JS", "/nonexistent"))
IS_THERE = NODE is not None and (PACKAGES / "node_modules" / "@supabase" / "auth-js").is_dir()


@pytest.mark.anyio
@pytest.mark.skipif(not IS_THERE, reason="node, or @supabase/auth-js in the folder that SUPABASE_AUTH_JS names, is not there")
async def test_auth_js_does_not_notice_where_it_is(settings: Settings) -> None:
    assert NODE is not None
    port = free_port()
    url = f"http://127.0.0.1:{port}/auth/v1"
    async with process(settings, port), httpx.AsyncClient() as http, asyncio.timeout(60):
        while True:
            try:
                await http.get(f"{url}/.well-known/jwks.json")
                break
            except httpx.TransportError:
                await asyncio.sleep(0.05)
        arguments = (str(STORY), url, settings.anon_key, settings.service_role_key, str(PACKAGES))
        told = await asyncio.create_subprocess_exec(NODE, *arguments, stderr=asyncio.subprocess.PIPE)
        _, problems = await told.communicate()
    assert told.returncode == 0, problems.decode()[-2000:]
