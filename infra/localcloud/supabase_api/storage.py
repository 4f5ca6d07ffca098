"""/storage/v1: objects as files under STORAGE_DIR. Only the service key may read or write; there are no policies here.

Errors are Storage's: HTTP status 400 with the real one in `statusCode` (supabase/storage, src/http/error-handler.ts).
"""

from __future__ import annotations

import asyncio
import hmac
import os
import tempfile
from email.utils import formatdate
from pathlib import Path
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from infra.localcloud.supabase_api import object_keys
from infra.localcloud.supabase_api.bearer import BEARER, BODY_BYTES_MAX
from infra.localcloud.supabase_api.errors import json_response
from infra.localcloud.supabase_api.object_keys import KeyInvalid, ObjectPlace
from infra.localcloud.supabase_api.project import project_of

OBJECT_BYTES_MAX = 50 << 20
WRITE_BYTES = 1 << 18


class StorageError(Exception):
    def __init__(self, status: int, code: str, error: str, message: str) -> None:
        super().__init__(message)
        self.body = {"statusCode": str(status), "code": code, "error": error, "message": message}

    def render(self) -> Response:
        return json_response(self.body, 400)


class ObjectFacts(msgspec.Struct, frozen=True):
    id: str
    media_type: str
    cache_control: str


UNDESCRIBED = ObjectFacts("", "application/octet-stream", "no-cache")


class NewBucket(msgspec.Struct, frozen=True):
    name: str
    id: str | None = None


def no_such_bucket() -> StorageError:
    return StorageError(404, "NoSuchBucket", "Bucket not found", "Bucket not found")


def no_such_key() -> StorageError:
    return StorageError(404, "NoSuchKey", "not_found", "Object not found")


def duplicate(code: str) -> StorageError:
    return StorageError(409, code, "Duplicate", "The resource already exists")


def too_large() -> StorageError:
    return StorageError(413, "EntityTooLarge", "Payload too large", "The object exceeded the maximum allowed size")


def require_service_key(request: Request) -> None:
    """Raises StorageError. A missing Authorization falls back to `apikey`, as Supabase's gateway forwards it."""
    match = BEARER.fullmatch(request.headers.get("authorization", ""))
    given = match[1] if match else request.headers.get("apikey", "")
    if not hmac.compare_digest(given.encode(), project_of(request).settings.service_role_key.encode()):
        raise StorageError(403, "AccessDenied", "Unauthorized", "Access denied: this storage serves the service_role key only")


async def create_bucket(request: Request) -> Response:
    require_service_key(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise too_large()
    try:
        bucket = msgspec.json.decode(body, type=NewBucket)
        directory = object_keys.bucket_directory(project_of(request).settings.storage_dir, bucket.id or bucket.name)
    except (msgspec.MsgspecError, KeyInvalid) as exc:
        raise StorageError(400, "InvalidBucketName", "Invalid Input", "Bucket name invalid") from exc
    try:
        directory.mkdir()
    except FileExistsError as exc:
        raise duplicate("BucketAlreadyExists") from exc
    return json_response({"name": bucket.name})


async def objects(request: Request) -> Response:
    require_service_key(request)
    where = _place(request)
    if request.method in ("POST", "PUT"):
        return await _upload(request, where)
    if request.method == "DELETE":
        return await asyncio.to_thread(_remove, where)
    return await asyncio.to_thread(_answer, where)


def _place(request: Request) -> ObjectPlace:
    root, bucket, key = project_of(request).settings.storage_dir, request.path_params["bucket"], request.path_params["key"]
    try:
        directory, where = object_keys.bucket_directory(root, bucket), object_keys.place(root, bucket, key)
    except KeyInvalid as exc:
        raise StorageError(400, "InvalidKey", "InvalidKey", f"Invalid key: {key[:200]}") from exc
    if not directory.is_dir():
        raise no_such_bucket()
    return where


def _answer(where: ObjectPlace) -> Response:
    """The object. FileResponse does HEAD, ranges and conditional requests."""
    try:
        status = where.data.stat()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise no_such_key() from exc
    try:
        facts = msgspec.json.decode(where.facts.read_bytes(), type=ObjectFacts)
    except FileNotFoundError:
        facts = UNDESCRIBED  # the upload has the bytes in place and not the rest yet, or never came that far
    headers = {"cache-control": facts.cache_control, "last-modified": formatdate(status.st_mtime, usegmt=True)}
    return FileResponse(where.data, headers=headers, media_type=facts.media_type, stat_result=status)


async def _upload(request: Request, where: ObjectPlace) -> Response:
    media_type = request.headers.get("content-type", "application/octet-stream")
    if media_type.startswith("multipart/"):
        raise StorageError(415, "InvalidMimeType", "invalid_mime_type", "multipart uploads are not supported; send the bytes")
    if int(request.headers.get("content-length") or 0) > OBJECT_BYTES_MAX:
        raise too_large()
    replaces = request.method == "PUT" or request.headers.get("x-upsert") == "true"
    cache_control = request.headers.get("cache-control", "no-cache")
    facts = ObjectFacts(str(uuid4()), media_type, cache_control)
    await asyncio.to_thread(where.data.parent.mkdir, parents=True, exist_ok=True)
    staged = await _received(request, where.data.parent)
    try:
        await asyncio.to_thread(_publish, staged, where, facts, replaces)
    finally:
        await asyncio.to_thread(staged.unlink, missing_ok=True)
    return json_response({"Id": facts.id, "Key": f"{request.path_params['bucket']}/{request.path_params['key']}"})


async def _received(request: Request, directory: Path) -> Path:
    """The body in a temporary file of its own. Raises StorageError past the bound, and leaves nothing behind."""
    descriptor, name = tempfile.mkstemp(prefix="+.", dir=directory)
    staged, length, waiting = Path(name), 0, bytearray()
    with os.fdopen(descriptor, "wb") as file:
        try:
            async for chunk in request.stream():
                length += len(chunk)
                if length > OBJECT_BYTES_MAX:
                    raise too_large()
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(file.write, bytes(waiting))
        except BaseException:
            await asyncio.to_thread(staged.unlink)
            raise
    return staged


def _publish(staged: Path, where: ObjectPlace, facts: ObjectFacts, replaces: bool) -> None:
    """The bytes first: of two uploads at once one wins, and only the winner may write the facts."""
    if replaces:
        staged.replace(where.data)
    else:
        try:
            os.link(staged, where.data)  # refuses where rename would replace
        except FileExistsError as exc:
            raise duplicate("KeyAlreadyExists") from exc
    described = staged.with_name(f"{staged.name}.facts")
    described.write_bytes(msgspec.json.encode(facts))
    described.replace(where.facts)


def _remove(where: ObjectPlace) -> Response:
    try:
        where.data.unlink()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise no_such_key() from exc
    where.facts.unlink(missing_ok=True)
    return json_response({"message": "Successfully deleted"})


routes = [
    Route("/bucket", create_bucket, methods=["POST"]),
    Route("/object/{bucket}/{key:path}", objects, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
]
