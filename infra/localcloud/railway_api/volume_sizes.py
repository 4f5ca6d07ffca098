"""How large a volume is: its directory's files, measured off the loop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

MEGABYTE = 1_000_000
VOLUME_MB = 50_000  # a volume of Railway's Pro plan; nothing here holds anybody to it
FILES_MAX = 100_000  # a figure for a page of a list must not walk for minutes; beyond this it is a lower bound


async def used_mb(directory: Path) -> float:
    return await asyncio.to_thread(_used_bytes, directory) / MEGABYTE


def _used_bytes(directory: Path) -> int:
    total = count = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += Path(folder, name).lstat().st_size
            except FileNotFoundError:  # written and removed meanwhile
                continue
            count += 1
            if count >= FILES_MAX:
                return total
    return total
