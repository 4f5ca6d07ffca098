"""What a stack consists of: settings -> components -> exports.

    place ---> database (primary, replicas) --+
         +---> cache of each region ----------+--> cell of each region

Cells wait for the database and their cache, not for each other: a change of the stack reaches them at the same time. To
take it region by region is promotion's work, which pins `releases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pulumi

from infra.components.cache import Cache, CacheArguments
from infra.components.cell import PORT, Cell, CellArguments, Serving, desired_state
from infra.components.database import Database, DatabaseArguments
from infra.components.image import ReleaseImage, tagged
from infra.components.place import Place
from infra.desired_state.railway_iac import railway_ts
from infra.desired_state.railwaytoml import RailwayFile, RestartPolicyType
from infra.desired_state.rendering import render_railway_toml
from infra.release import Release, ReleaseChanged, build_release, find_release, source_release
from infra.settings import SOURCE, Region, Settings

LOCAL_ORGANIZATION = "local"
AUDIENCE = "authenticated"  # what Supabase Auth writes into the tokens of signed-in users
BUCKET = "users"
POOL_SIZE_WARM = 2
# The service stops by itself a moment before the platform would kill it, so that its last lines are its own.
DRAIN_MARGIN_S = 1


@dataclass(frozen=True, slots=True)
class Ground:
    """What the cells stand on. `releases`: region -> what it runs; `images`: digest -> image, where images are built here."""

    settings: Settings
    place: Place
    database: Database
    releases: Mapping[str, Release]
    images: Mapping[str, pulumi.Input[str]]


def declare(settings: Settings, root: Path) -> dict[str, object]:
    """Declares every resource of the stack; the exports, by name. ReleaseError, RenderingError."""
    releases = find_releases(settings, root)  # first: what is missing must be missed before anything is declared
    title = title_of(pulumi.get_stack())
    place = Place("place", title=title, environment=settings.environment, workspace_id=settings.railway_workspace_id)
    database = Database("database", database_arguments(settings, title))
    ground = Ground(settings, place, database, releases, declare_images(settings, releases, root))
    return exports(ground, declare_cells(ground))


def title_of(stack: str) -> str:
    """The name of the stack's projects."""
    return f"cached-auth-{stack}"


def database_arguments(settings: Settings, title: str) -> DatabaseArguments:
    others = settings.regions[1:] if settings.topology == "cells" else ()
    return DatabaseArguments(
        title=title,
        organization_id=settings.supabase_organization_id or LOCAL_ORGANIZATION,
        region=settings.primary.database_region or "",
        instance_size=settings.database_instance_size,
        password=settings.database_password,
        replica_regions={region.name: region.database_region for region in others if region.database_region},
        tls="disable" if settings.is_local else "require",
        is_protected=settings.environment == "prod",
    )


def find_releases(settings: Settings, root: Path) -> dict[str, Release]:
    """What each region runs; `source` is built now, once. ReleaseError."""
    wanted = {region.name: settings.release_of(region.name) for region in settings.regions}
    found = {name: found_release(name, settings, root) for name in sorted(set(wanted.values()))}
    return {region: found[name] for region, name in wanted.items()}


def found_release(name: str, settings: Settings, root: Path) -> Release:
    if name == SOURCE:
        found = source_release(root)
        # An image is built from the working copy as it is now; an archive has been kept since the preview.
        if settings.image.builder == "docker" and (now := build_release(root)).digest != found.digest:
            raise ReleaseChanged(
                f"release {found.digest}: the service has been edited since the preview, now {now.digest}; next: preview again"
            )
        return found
    if settings.image.builder == "docker":
        return Release(name, Path())  # the registry has it, under its digest as the tag
    return find_release(name)


def declare_images(settings: Settings, releases: Mapping[str, Release], root: Path) -> dict[str, pulumi.Input[str]]:
    """Digest -> image, where images are built here; otherwise nothing."""
    if settings.image.builder != "docker":
        return {}
    images: dict[str, pulumi.Input[str]] = {
        release.digest: tagged(settings.image.name, release.digest) for release in releases.values()
    }
    built = {releases[region.name].digest: releases[region.name] for region in settings.regions if is_source(settings, region)}
    for digest, release in built.items():
        images[digest] = ReleaseImage("image", release, image_name=settings.image.name, root=root).reference
    return images


def is_source(settings: Settings, region: Region) -> bool:
    return settings.release_of(region.name) == SOURCE


def declare_cells(ground: Ground) -> dict[str, Cell]:
    """Region -> the cell that serves it. In topology `shared` it is the same one for all."""
    served = cell_regions(ground.settings)
    cells = {name: declare_cell(name, ground, regions) for name, regions in served.items()}
    return {region.name: cells[name] for name, regions in served.items() for region in regions}


def cell_regions(settings: Settings) -> dict[str, tuple[Region, ...]]:
    """Cell -> the regions that it serves."""
    if settings.topology == "shared":
        return {"auth": settings.regions}
    return {f"auth-{region.name}": (region,) for region in settings.regions}


def serving(settings: Settings, regions: tuple[Region, ...]) -> Serving:
    return Serving(
        replicas={region.name: region.replicas for region in regions},
        environment=settings.environment,
        is_bundle=settings.image.builder == "bundle",
        healthcheck_timeout_s=settings.healthcheck_timeout_s,
        restart_policy_type=cast("RestartPolicyType", settings.restart_policy_type),
        restart_policy_retries_max=settings.restart_policy_retries_max,
        overlap_s=settings.overlap_s,
        draining_s=settings.draining_s,
    )


def desired_states(settings: Settings) -> dict[str, RailwayFile]:
    """Cell -> what its railway.toml says; needs no cloud and no engine."""
    return {name: desired_state(serving(settings, regions)) for name, regions in cell_regions(settings).items()}


def railway_files(settings: Settings) -> dict[str, str]:
    """Cell -> the text of its railway.toml."""
    return {name: render_railway_toml(file, name) for name, file in desired_states(settings).items()}


def railway_iac(settings: Settings, stack: str) -> str:
    """All cells as Railway's infrastructure as code: the text of `.railway/railway.ts`."""
    return railway_ts(title_of(stack), desired_states(settings))


def declare_cell(name: str, ground: Ground, regions: tuple[Region, ...]) -> Cell:
    settings = ground.settings
    first, release = regions[0], ground.releases[regions[0].name]
    # Railway runs an image's start command without a shell; the local cloud fills in variables itself and has no image.
    kept = CacheArguments(first.name, settings.cache_image, settings.cache_password, has_shell=not settings.is_local)
    cache = Cache(f"cache-{first.name}", ground.place, kept)
    shape = serving(settings, regions)
    arguments = CellArguments(
        serving=shape,
        release=release.digest,
        bundle=release.path if shape.is_bundle else None,
        image=ground.images.get(release.digest),
        variables=variables(ground, regions, release, cache),
        others={"cache": cache.fingerprint},
    )
    return Cell(name, ground.place, arguments, after=[ground.database.project, ground.database.auth, cache.deployment])


def variables(ground: Ground, regions: tuple[Region, ...], release: Release, cache: Cache) -> dict[str, pulumi.Input[str]]:
    """The service's environment (its names: docs/service.md). Of several regions the platform tells each replica its own."""
    settings, database, project = ground.settings, ground.database, ground.database.project
    found: dict[str, pulumi.Input[str]] = {
        "PORT": str(PORT),
        "ENVIRONMENT": settings.environment,
        "RELEASE": release.digest,
        "SUPABASE_URL": project.url,
        "SUPABASE_ANON_KEY": project.anon_key,
        "SUPABASE_SERVICE_ROLE_KEY": project.service_role_key,
        "JWT_ISSUER": project.issuer,
        "JWT_AUDIENCE": AUDIENCE,
        "JWKS_URL": project.jwks_url,
        "DATABASE_URL": database.url,
        "POOL_SIZE_MIN": str(min(POOL_SIZE_WARM, settings.pool_size_max)),
        "POOL_SIZE_MAX": str(settings.pool_size_max),
        "REDIS_URL": cache.url,
        "CACHE_KEY": pulumi.Output.secret(settings.cache_key.text),
        "CACHE_TTL_S": str(settings.cache_ttl_s),
        "CACHE_ENTRIES_MAX": str(settings.cache_entries_max),
        "DRAIN_S": str(settings.draining_s - DRAIN_MARGIN_S),
        "STORAGE_BUCKET": BUCKET,
        "LOG_LEVEL": settings.log_level,
    }
    if settings.cors_origins:
        found["CORS_ORIGINS"] = ",".join(settings.cors_origins)
    if not settings.is_local:
        found["HOST"] = "0.0.0.0"  # noqa: S104 - the container's own network; the local cloud gives each replica its address
    if len(regions) == 1:
        found["REGION"] = regions[0].name
        if replica := database.replica_urls.get(regions[0].name):
            found["DATABASE_REPLICA_URL"] = replica
    if settings.smtp_url is not None:
        found["SMTP_URL"] = pulumi.Output.secret(settings.smtp_url.text)
    found.update(settings.service_settings)
    found.update({name: pulumi.Output.secret(value.text) for name, value in settings.service_secrets.items()})
    return found


def exports(ground: Ground, cells: Mapping[str, Cell]) -> dict[str, object]:
    """What the commands, the gate and promotion read. Names and shapes are public API."""
    settings, project = ground.settings, ground.database.project
    return {
        "endpoint": cells[settings.primary.name].url,
        "release": cells[settings.primary.name].facts["release"],
        "regions": {region.name: {**cells[region.name].facts, "replicas": region.replicas} for region in settings.regions},
        "project_id": ground.place.project_id,
        "supabase_url": project.url,
        # Secret already, like everything that is made of them.
        "anon_key": project.anon_key,
        "service_role_key": project.service_role_key,
        "database_url": ground.database.url,
    }
