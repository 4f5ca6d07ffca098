"""Reference data beside the clone: recorded engine behaviour, Railway's schema, JOSE vectors. A clone may lack it."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("CACHED_AUTH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def needs_shared(relative: str) -> pytest.MarkDecorator:
    """Skips, with the reason, where the reference file is not beside the clone."""
    return pytest.mark.skipif(not (SHARED / relative).exists(), reason=f"reference data not beside this clone: shared/{relative}")
