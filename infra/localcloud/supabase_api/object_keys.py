"""Object keys of Storage and where their bytes lie on disk. Pure: no file is touched here.

Layout: `<root>/<bucket>/<directory>/.../=<name>` holds the bytes, `+<name>` beside it the media type and cache control.
Segments are percent-encoded, and the encoding never yields `=` or `+`, so that the objects `a` and `a/b` (a file and a
directory of the same name, which an object store allows and a file system does not) never clash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}")  # supabase/storage, src/storage/limits.ts
KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]{1,1024}")
SEGMENT_BYTES_MAX = 254  # a file name's 255 less the prefix


class KeyInvalid(Exception):
    """Not a name Storage accepts, or one that would leave its directory."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    data: Path
    facts: Path


def bucket_directory(root: Path, bucket: str) -> Path:
    """Where the bucket's objects lie. Raises KeyInvalid."""
    if not BUCKET.fullmatch(bucket) or bucket in (".", ".."):
        raise KeyInvalid(bucket)
    return root / _encoded(bucket)


def place(root: Path, bucket: str, key: str) -> ObjectPlace:
    """Where the object's bytes and facts lie; always below `root`. Raises KeyInvalid."""
    segments = key.split("/")
    if not KEY.fullmatch(key) or any(segment in ("", ".", "..") for segment in segments):
        raise KeyInvalid(key)
    *directories, name = (_encoded(segment) for segment in segments)
    directory = bucket_directory(root, bucket).joinpath(*directories)
    return ObjectPlace(directory / f"={name}", directory / f"+{name}")


def _encoded(segment: str) -> str:
    encoded = quote(segment, safe="")
    if len(encoded) > SEGMENT_BYTES_MAX:
        raise KeyInvalid(segment)
    return encoded
