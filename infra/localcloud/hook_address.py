"""Where a hook of Supabase's Auth lies: a function in the project's database, and nowhere else here."""

from __future__ import annotations

import re

HOOK_ADDRESS = re.compile(r"pg-functions://[^/]+/([a-zA-Z_][a-zA-Z0-9_]*)/([a-zA-Z_][a-zA-Z0-9_]*)")
EXPECTED = "expected pg-functions://postgres/<schema>/<function>"
