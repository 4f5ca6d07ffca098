"""The program's settings: the only reader of pulumi.Config.

Everything is validated at once, before any resource is declared. Values arrive as Pulumi hands them over: text, with
lists and objects as JSON. Pulumi's own CLI also checks the types that `Pulumi.yaml` declares; the checks here hold for
either engine and know more (ranges, regions, keys inside objects, what goes with what).

    Wrong
      +-- SettingsError     the stack's configuration did not pass; `problems` holds one line each
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

from infra.places import DATABASE_REGIONS, REGION_ALIASES, REGIONS, REPLICAS_MAX
from infra.rules import Findings, Rule, Secret, Wrong, decoded, integer, one_of, secret, shown, text, unknown
from infra.service_settings import service_secrets, service_settings

T = TypeVar("T")

NAMESPACE = "cached-auth"
SOURCE = "source"


class SettingsError(Wrong):
    """See the module docstring."""


@dataclass(frozen=True, slots=True)
class Region:
    """One region of the stack. Without `database_region` a region that is not the primary has no read replica."""

    name: str
    replicas: int
    database_region: str | None


@dataclass(frozen=True, slots=True)
class Image:
    """How a release becomes something that runs: `bundle` (an archive, built by the platform) or `docker` (built here)."""

    builder: str
    name: str


@dataclass(frozen=True, slots=True)
class Settings:
    """One stack, checked. `notes` are remarks for the user."""

    cloud: str
    environment: str
    regions: tuple[Region, ...]
    topology: str
    release: str
    releases: Mapping[str, str]
    cors_origins: tuple[str, ...]
    cache_ttl_s: int
    cache_entries_max: int
    overlap_s: int
    draining_s: int
    healthcheck_timeout_s: int
    restart_policy_type: str
    restart_policy_retries_max: int
    supabase_organization_id: str
    railway_workspace_id: str
    database_instance_size: str
    database_sessions_max: int
    pool_size_max: int
    cache_image: str
    image: Image
    log_level: str
    cache_password: Secret
    database_password: Secret
    cache_key: Secret
    smtp_url: Secret | None
    service_settings: Mapping[str, str]
    service_secrets: Mapping[str, Secret]
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> Region:
        """The first region: it has the database's primary and gives the stack its `endpoint`."""
        return self.regions[0]

    @property
    def replicas(self) -> int:
        return sum(region.replicas for region in self.regions)

    @property
    def sessions_needed(self) -> int:
        """Each replica has a pool and one session that listens; old and new ones stand side by side during a deployment."""
        return 2 * self.replicas * (self.pool_size_max + 1)

    @property
    def is_local(self) -> bool:
        return self.cloud == "local"

    def release_of(self, region: str) -> str:
        """The region's pin, else the stack's release; `source` stands for the working copy."""
        return self.releases.get(region, self.release)


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key of the namespace; `default` is text as Pulumi would hand it over, None means that the key is required."""

    name: str
    rule: Rule[T]
    default: str | None = None
    is_secret: bool = False


# Rules for the shapes of this stack


def region_name(path: str, given: object) -> str:
    name = REGION_ALIASES.get(given, given) if isinstance(given, str) else given
    if not isinstance(name, str) or name not in REGIONS:
        raise Wrong(f"{path}: expected one of {', '.join(REGIONS)}, got {shown(given)}")
    return name


def one_region(path: str, given: object) -> Region:
    fields = decoded(path, given, dict, "an object with name, replicas and databaseRegion")
    findings = Findings(unknown(f"{path}.", fields, ("name", "replicas", "databaseRegion")))
    name = findings.take(region_name, f"{path}.name", fields.get("name"), "")
    replicas = findings.take(integer(1, REPLICAS_MAX), f"{path}.replicas", fields.get("replicas", 1), 1)
    place = fields.get("databaseRegion")
    if place is not None:
        findings.take(one_of(*DATABASE_REGIONS), f"{path}.databaseRegion", place, "")
    findings.finish()
    return Region(name, replicas, place)


def region_list(path: str, given: object) -> tuple[Region, ...]:
    items = decoded(path, given, list, "a list of regions")
    if not items:
        raise Wrong(f"{path}: expected at least one region, got an empty list")
    findings = Findings()
    nowhere = Region("", 1, None)
    found = tuple(findings.take(one_region, f"{path}[{index}]", item, nowhere) for index, item in enumerate(items))
    findings.finish()
    names = [region.name for region in found]
    findings.add(f"{path}[{index}].name: {name} is there twice" for index, name in enumerate(names) if name in names[:index])
    if found[0].database_region is None:
        findings.add([f"{path}[0].databaseRegion: expected the region of the database's primary, got nothing"])
    if (total := sum(region.replicas for region in found)) > REPLICAS_MAX:
        findings.add([f"{path}: expected {REPLICAS_MAX} replicas in total at most, got {total}"])
    findings.finish()
    return found


DIGEST = r"sha256:[0-9a-f]{64}"


def pins(path: str, given: object) -> Mapping[str, str]:
    fields = decoded(path, given, dict, "an object of regions and digests")
    findings = Findings()
    digest = text(DIGEST, "sha256: and 64 hexadecimal digits")
    found = {
        findings.take(region_name, f"{path}.{name}", name, ""): findings.take(digest, f"{path}.{name}", value, "")
        for name, value in fields.items()
    }
    findings.finish()
    return MappingProxyType(found)


def origins(path: str, given: object) -> tuple[str, ...]:
    items = decoded(path, given, list, "a list of origins")
    # `*` is no origin here: browsers refuse it together with credentials, and a cache of sessions must not invite it.
    origin = text(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", "an origin such as https://app.example.com")
    findings = Findings()
    found = tuple(findings.take(origin, f"{path}[{index}]", item, "") for index, item in enumerate(items))
    findings.finish()
    return found


def image(path: str, given: object) -> Image:
    fields = decoded(path, given, dict, "an object with builder and name")
    findings = Findings(unknown(f"{path}.", fields, ("builder", "name")))
    builder = findings.take(one_of("bundle", "docker"), f"{path}.builder", fields.get("builder", "bundle"), "")
    name = text(r"([a-z0-9][a-z0-9._/:-]*)?", "an image name without a tag, such as ghcr.io/acme/cached-auth")
    found = Image(builder, findings.take(name, f"{path}.name", fields.get("name", ""), ""))
    findings.finish()
    return found


def address_of_mail(path: str, given: object) -> Secret | None:
    return None if given == "" else secret(r"smtps?://[\x21-\x7e]+", "smtp:// or smtps:// and a host")(path, given)


def optional_secrets(path: str, given: object) -> Mapping[str, Secret]:
    return MappingProxyType({}) if given == "" else service_secrets(path, given)


IDENTIFIER = text(r"[A-Za-z0-9-]*", "letters, digits and dashes")

CLOUD = Key("cloud", one_of("local", "railway"))
ENVIRONMENT = Key("environment", one_of("dev", "staging", "prod"))
REGION_LIST = Key("regions", region_list)
TOPOLOGY = Key("topology", one_of("cells", "shared"), "cells")
RELEASE = Key("release", text(rf"{SOURCE}|{DIGEST}", "source, or sha256: and 64 hexadecimal digits"), SOURCE)
RELEASES = Key("releases", pins, "{}")
CORS_ORIGINS = Key("corsOrigins", origins, "[]")
CACHE_TTL = Key("cacheTtlSeconds", integer(1, 3_600), "300")
CACHE_ENTRIES = Key("cacheEntriesMax", integer(1, 1_000_000), "5000")
OVERLAP = Key("overlapSeconds", integer(0, 300), "2")
DRAINING = Key("drainingSeconds", integer(2, 300), "10")
HEALTHCHECK_TIMEOUT = Key("healthcheckTimeoutSeconds", integer(1, 3_600), "300")
RESTART_TYPE = Key("restartPolicyType", one_of("ON_FAILURE", "ALWAYS", "NEVER"), "ON_FAILURE")
RESTART_RETRIES = Key("restartPolicyMaxRetries", integer(0, 100), "10")
SUPABASE_ORGANIZATION = Key("supabaseOrganizationId", IDENTIFIER, "")
RAILWAY_WORKSPACE = Key("railwayWorkspaceId", IDENTIFIER, "")
INSTANCE_SIZE = Key("databaseInstanceSize", text(r"[a-z0-9_]*", "one of Supabase's sizes, such as small"), "")
POOL_SIZE = Key("poolSizeMax", integer(1, 100), "10")
SESSIONS = Key("databaseSessionsMax", integer(4, 10_000), "200")
CACHE_IMAGE = Key("cacheImage", text(r"[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9._-]+", "an image with a tag"), "valkey/valkey:9-alpine")
IMAGE = Key("image", image, '{"builder":"bundle"}')
LOG_LEVEL = Key("logLevel", one_of("debug", "info", "warning", "error"), "info")
# The cache's password stands in a URL by reference, where nobody quotes it: hence the narrow alphabet.
CACHE_PASSWORD = Key("cachePassword", secret(r"[A-Za-z0-9_-]{16,128}", "16 to 128 letters, digits, _ and -"), is_secret=True)
DATABASE_PASSWORD = Key("databasePassword", secret(r"[\x21-\x7e]{16,128}", "16 to 128 visible ASCII characters"), is_secret=True)
CACHE_KEY = Key("cacheKey", secret(r"[\x21-\x7e]{32,256}", "32 to 256 visible ASCII characters"), is_secret=True)
SMTP_URL = Key("smtpUrl", address_of_mail, "", is_secret=True)
SERVICE_SETTINGS = Key("serviceSettings", service_settings, "{}")
# Its default is empty text, not {}: whoever reads the plain default must not be asked for a secret.
SERVICE_SECRETS = Key("serviceSecrets", optional_secrets, "", is_secret=True)

KEYS: tuple[Key[Any], ...] = (
    CLOUD, ENVIRONMENT, REGION_LIST, TOPOLOGY, RELEASE, RELEASES, CORS_ORIGINS, CACHE_TTL, CACHE_ENTRIES, OVERLAP, DRAINING,
    HEALTHCHECK_TIMEOUT, RESTART_TYPE, RESTART_RETRIES, SUPABASE_ORGANIZATION, RAILWAY_WORKSPACE, INSTANCE_SIZE, SESSIONS,
    POOL_SIZE, CACHE_IMAGE, IMAGE, LOG_LEVEL, CACHE_PASSWORD, DATABASE_PASSWORD, CACHE_KEY, SMTP_URL,
    SERVICE_SETTINGS, SERVICE_SECRETS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """What the stack's files say: key (without namespace) -> text, and which of them are stored encrypted."""

    values: Mapping[str, str]
    secret_keys: Collection[str]

    def read(self, key: Key[T], findings: Findings, instead: T) -> T:
        path = f"{NAMESPACE}:{key.name}"
        given = self.values.get(key.name, key.default)
        if given is None:
            findings.add([missing(key)])
            return instead
        if key.is_secret and given and key.name not in self.secret_keys:
            findings.add([f"{path}: expected a secret, got plain text; next: {set_command(key)}"])
            return instead
        return findings.take(key.rule, path, given, instead)


def set_command(key: Key[T]) -> str:
    return f"pulumi config set {'--secret ' if key.is_secret else ''}{NAMESPACE}:{key.name} ..."


def missing(key: Key[T]) -> str:
    return f"{NAMESPACE}:{key.name}: required, but not set; next: {set_command(key)}"


def parse_settings(values: Mapping[str, str], secret_keys: Collection[str]) -> Settings:
    """Pure. Raises SettingsError with every problem there is."""
    source, findings = Source(values, secret_keys), Findings(unknown(f"{NAMESPACE}:", values, [key.name for key in KEYS]))
    hidden = Secret("")
    settings = Settings(
        cloud=source.read(CLOUD, findings, ""),
        environment=source.read(ENVIRONMENT, findings, ""),
        regions=source.read(REGION_LIST, findings, ()),
        topology=source.read(TOPOLOGY, findings, ""),
        release=source.read(RELEASE, findings, ""),
        releases=source.read(RELEASES, findings, {}),
        cors_origins=source.read(CORS_ORIGINS, findings, ()),
        cache_ttl_s=source.read(CACHE_TTL, findings, 0),
        cache_entries_max=source.read(CACHE_ENTRIES, findings, 0),
        overlap_s=source.read(OVERLAP, findings, 0),
        draining_s=source.read(DRAINING, findings, 0),
        healthcheck_timeout_s=source.read(HEALTHCHECK_TIMEOUT, findings, 0),
        restart_policy_type=source.read(RESTART_TYPE, findings, ""),
        restart_policy_retries_max=source.read(RESTART_RETRIES, findings, 0),
        supabase_organization_id=source.read(SUPABASE_ORGANIZATION, findings, ""),
        railway_workspace_id=source.read(RAILWAY_WORKSPACE, findings, ""),
        database_instance_size=source.read(INSTANCE_SIZE, findings, ""),
        database_sessions_max=source.read(SESSIONS, findings, 0),
        pool_size_max=source.read(POOL_SIZE, findings, 0),
        cache_image=source.read(CACHE_IMAGE, findings, ""),
        image=source.read(IMAGE, findings, Image("", "")),
        log_level=source.read(LOG_LEVEL, findings, ""),
        cache_password=source.read(CACHE_PASSWORD, findings, hidden),
        database_password=source.read(DATABASE_PASSWORD, findings, hidden),
        cache_key=source.read(CACHE_KEY, findings, hidden),
        smtp_url=source.read(SMTP_URL, findings, None),
        service_settings=source.read(SERVICE_SETTINGS, findings, {}),
        service_secrets=source.read(SERVICE_SECRETS, findings, {}),
    )
    findings.add(contradictions(settings))
    if findings.problems:
        raise SettingsError(*findings.problems)
    return replace(settings, notes=tuple(notes(settings, values.get(REGION_LIST.name, ""))))


def contradictions(settings: Settings) -> list[str]:
    """What is right key by key and wrong together. Values that failed their own rule are empty here and say nothing."""
    problems = []
    names = [region.name for region in settings.regions]
    if names:
        problems += [
            f"{NAMESPACE}:releases.{name}: expected a region of this stack ({', '.join(names)})"
            for name in settings.releases
            if name and name not in names
        ]
    if settings.database_sessions_max and settings.sessions_needed > settings.database_sessions_max:
        problems.append(
            f"{NAMESPACE}:databaseSessionsMax: expected at least {settings.sessions_needed} (2 x {settings.replicas} replicas x "
            f"(poolSizeMax {settings.pool_size_max} + 1)), got {settings.database_sessions_max}"
        )
    if settings.topology == "shared" and settings.releases:
        problems.append(
            f"{NAMESPACE}:releases: topology shared has one service, which changes in all regions at once; "
            f"next: pulumi config set {NAMESPACE}:release sha256:..."
        )
    if settings.cloud == "railway" and not settings.supabase_organization_id:
        problems.append(
            f"{NAMESPACE}:supabaseOrganizationId: required where cloud is railway (see the address of your organization's page); "
            f"next: {set_command(SUPABASE_ORGANIZATION)}"
        )
    if settings.image.builder == "docker":
        if settings.is_local:
            problems.append(f"{NAMESPACE}:image.builder: expected bundle where cloud is local, got 'docker'")
        if not settings.image.name:
            problems.append(f"{NAMESPACE}:image.name: required where image.builder is docker; next: {set_command(IMAGE)}")
    return problems


def notes(settings: Settings, written: str) -> list[str]:
    remarks = [
        f"{NAMESPACE}:regions: {old} is an old name; {new} is meant"
        for old, new in REGION_ALIASES.items()
        if f'"{old}"' in written
    ]
    if settings.topology == "shared":
        remarks += [
            f"{NAMESPACE}:regions: topology shared has no read replica; databaseRegion of {region.name} is not used"
            for region in settings.regions[1:]
            if region.database_region
        ]
    return remarks


def read_settings(config: pulumi.Config) -> Settings:
    """The settings of the stack that runs now."""
    prefix = f"{config.name}:"
    names = {name.removeprefix(prefix) for name in {**CONFIG.get(), **get_config_env()} if name.startswith(prefix)}
    found = {name: config.get(name) for name in names | {key.name for key in KEYS}}
    encrypted = {name for name in names if is_config_secret(prefix + name) or prefix + name in get_config_secret_keys_env()}
    return parse_settings({name: value for name, value in found.items() if value is not None}, encrypted)
