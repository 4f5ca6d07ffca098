"""`python infra/supabase <engine address>`: the plugin's entry, as both engines start it."""

import sys
from pathlib import Path

# Python puts this folder first on the path when it runs a folder; the repository's root is what our imports need.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from infra.provider.server import main  # noqa: E402  only now can it be found
from infra.supabase.provider import SupabaseProvider  # noqa: E402

main(SupabaseProvider())
