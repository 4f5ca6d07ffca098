"""What the edges wrote down of requests, read back: for the page's traffic, the API's HTTP logs and their metrics.

An edge knows addresses, not services: whose a line is, is for the reader to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.plane.interface import REGIONS, LogLine, Plane

_decoder = msgspec.json.Decoder(AccessLine)


def access_lines(plane: Plane, limit: int) -> dict[str, list[AccessLine]]:
    """By the region of the edge, each edge's newest `limit` lines, oldest first; regions without one are left out."""
    found = {region: list(_decoded(plane.logs(f"edge-{region}", limit))) for region in REGIONS}
    return {region: lines for region, lines in found.items() if lines}


def _decoded(lines: Iterable[LogLine]) -> Iterator[AccessLine]:
    """Without whatever else an edge may have written."""
    for line in lines:
        try:
            yield _decoder.decode(line.text)
        except msgspec.DecodeError:
            continue
