"""POST /project/{projectId}/environment/{environmentId}/up?serviceId=ID: a release bundle, as Railway's CLI sends it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import uuid
from collections import Counter
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api.call import Call
from infra.localcloud.world import lookup
from infra.localcloud.world.deployments import CreateDeployment
from infra.localcloud.world.errors import BadInput, NotAuthorized, NotFound, WorldError
from infra.localcloud.world.model import World

UPLOAD_BYTES_MAX = 64 * 1024 * 1024
GZIP_MAGIC = b"\x1f\x8b"

# Archives that are complete while their deployment is not yet on record: another upload that ends now must not take them
# for unused. Several requests may bring the same archive, hence a count.
_arriving: Counter[Path] = Counter()


class UploadRefused(Exception):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def receive(request: Request, directory: Path) -> str:
    """Streams the body to `directory`/<hex>.tar.gz; "sha256:<hex>", and counts it as arriving. UploadRefused, OSError;
    leaves no partial file.

    Writing a chunk to the page cache takes less time than a hop to a thread would; the one fsync goes to a thread.
    """
    partial = directory / f"{uuid.uuid4().hex}.partial"
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            async for chunk in request.stream():
                if size == 0 and chunk and not chunk.startswith(GZIP_MAGIC[: len(chunk)]):
                    raise UploadRefused("expected a gzip compressed tar archive", 400)
                size += len(chunk)
                if size > UPLOAD_BYTES_MAX:
                    raise UploadRefused(f"expected at most {UPLOAD_BYTES_MAX} bytes", 413)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        if size == 0:
            raise UploadRefused("expected a gzip compressed tar archive, got an empty body", 400)
        release = f"sha256:{digest.hexdigest()}"
        partial.replace(archive_of(release, directory))
        _arriving[archive_of(release, directory)] += 1
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UploadRefused("no space left for the bundle: free some disk space and try again", 507) from exc
        raise
    finally:
        partial.unlink(missing_ok=True)
    return release


def archive_of(release: str, directory: Path) -> Path:
    return directory / f"{release.removeprefix('sha256:')}.tar.gz"


async def up(request: Request, call: Call, cloud_directory: Path, base_url: str) -> Response:
    project_id, environment_id = request.path_params["project_id"], request.path_params["environment_id"]
    service_id = request.query_params.get("serviceId")
    try:
        if service_id is None:
            raise BadInput("serviceId: expected in the query, the local cloud does not create a service by itself")
        if call.access.instance(service_id, environment_id).project_id != project_id:
            raise NotFound("ServiceInstance")
        release = await receive(request, cloud_directory / "uploads")
        archive = archive_of(release, cloud_directory / "uploads")
        stamp = new_stamp()
        try:
            world = await call.apply(CreateDeployment(stamp, service_id, environment_id, release))
        finally:
            _arriving[archive] -= 1
            if not _arriving[archive]:
                del _arriving[archive]
    except UploadRefused as exc:
        return JSONResponse({"message": str(exc)}, exc.status)
    except WorldError as exc:
        return JSONResponse({"message": str(exc)}, _status(exc))
    delete_unused(world, cloud_directory / "uploads")
    path = f"{base_url}/project/{project_id}/service/{service_id}"
    domains = lookup.domains_of(world, service_id, environment_id)
    return JSONResponse(
        {
            "deploymentId": stamp.id,
            "url": path,
            "logsUrl": f"{path}?id={stamp.id}",
            "deploymentDomain": domains[0].domain if domains else "",
        }
    )


def _status(refusal: WorldError) -> int:
    if isinstance(refusal, NotFound):
        return 404
    return 403 if isinstance(refusal, NotAuthorized) else 400


def delete_unused(world: World, directory: Path) -> None:
    """Bundles that no deployment on record and no instance refers to any more."""
    used = {found.release for found in world.deployments.values()} | {found.release for found in world.instances.values()}
    for archive in directory.glob("*.tar.gz"):
        if f"sha256:{archive.name.removesuffix('.tar.gz')}" not in used and archive not in _arriving:
            archive.unlink(missing_ok=True)
