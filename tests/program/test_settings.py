# ruff: noqa: E501 - a table of messages reads best with one message on a line
"""A stack's configuration: what is right is typed and frozen, what is wrong is said all at once and in full."""

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pulumi
import pytest

from infra.rules import Secret
from infra.settings import KEYS, Image, Region, Settings, SettingsError, parse_settings, read_settings
from tests.program.stack_values import SECRETS, values

DIGEST = "sha256:" + "a" * 64


def parsed(**changes: Any) -> Settings:
    return parse_settings(values(**changes), {*SECRETS, "smtpUrl", "serviceSecrets"})


def problems(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        parsed(**changes)
    return raised.value.problems


def test_a_stack_with_only_its_required_keys_gets_every_default() -> None:
    settings = parsed()
    assert settings.regions == (Region("us-west2", 2, "us-west-1"), Region("europe-west4-drams3a", 2, "eu-central-1"))
    assert (settings.topology, settings.release, dict(settings.releases), settings.image) == (
        "cells",
        "source",
        {},
        Image("bundle", ""),
    )
    assert (settings.cache_ttl_s, settings.cache_entries_max, settings.overlap_s, settings.draining_s) == (300, 5000, 2, 10)
    assert settings.primary.name == "us-west2"
    assert settings.smtp_url is None
    assert settings.notes == ()


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    with pytest.raises(FrozenInstanceError):
        parsed().cloud = "railway"  # type: ignore[misc]


def test_old_region_names_mean_todays_regions_and_say_so() -> None:
    settings = parsed(
        regions=[{"name": "us-west1", "databaseRegion": "us-west-1"}, {"name": "europe-west4"}],
        releases={"europe-west4": DIGEST},
    )
    assert [region.name for region in settings.regions] == ["us-west2", "europe-west4-drams3a"]
    assert settings.release_of("europe-west4-drams3a") == DIGEST
    assert settings.release_of("us-west2") == "source"
    assert settings.notes == (
        "cached-auth:regions: us-west1 is an old name; us-west2 is meant",
        "cached-auth:regions: europe-west4 is an old name; europe-west4-drams3a is meant",
    )


def test_a_secret_shows_neither_in_the_settings_nor_in_a_message() -> None:
    """Settings end up in tracebacks and debug output; messages end up in build logs."""
    settings = parsed(smtpUrl="smtps://user:mail-password@mail.example.com:465")
    assert not [value for value in [*SECRETS.values(), "mail-password"] if value in repr(settings)]
    assert repr(settings.cache_key) == "[secret]"
    assert f"{Secret('x')}" == "[secret]"
    short = problems(cachePassword="short!")
    assert short == (
        "cached-auth:cachePassword: expected 16 to 128 letters, digits, _ and -, got something else of 6 characters",
    )


def test_every_problem_is_reported_in_one_go() -> None:
    found = problems(
        cloud="azure",
        regions=[{"name": "us-west2", "replicas": 0, "databaseRegion": "mars-1"}],
        cacheTtlSeconds="soon",
        colour="red",
    )
    assert len(found) == 5
    assert "cached-auth:regions[0].replicas: expected 1 to 50, got 0" in found


US = {"name": "us-west2", "databaseRegion": "us-west-1"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"cloud": None}, "cached-auth:cloud: required, but not set; next: pulumi config set cached-auth:cloud ..."),
    ({"cloud": "aws"}, "cached-auth:cloud: expected local or railway, got 'aws'"),
    ({"environment": "production"}, "cached-auth:environment: expected dev or staging or prod, got 'production'"),
    ({"regions": None}, "cached-auth:regions: required, but not set; next: pulumi config set cached-auth:regions ..."),
    ({"regions": []}, "cached-auth:regions: expected at least one region, got an empty list"),
    ({"regions": {}}, "cached-auth:regions: expected a list of regions, got {}"),
    ({"regions": "us-west2"}, "cached-auth:regions: expected a list of regions, got 'us-west2'"),
    ({"regions": "[{"}, "cached-auth:regions: expected a list of regions, got '[{'"),
    ({"regions": ["us-west2"]}, "cached-auth:regions[0]: expected an object with name, replicas and databaseRegion, got 'us-west2'"),
    ({"regions": [{**US, "replicas": 0}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got 0"),
    ({"regions": [{**US, "replicas": 51}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got 51"),
    ({"regions": [{**US, "replicas": -1}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got -1"),
    ({"regions": [{**US, "replicas": True}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got true"),
    ({"regions": [{**US, "replicas": 1.5}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got 1.5"),
    ({"regions": [{**US, "replicas": "many"}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got 'many'"),
    ({"regions": [{**US, "replicas": None}]}, "cached-auth:regions[0].replicas: expected 1 to 50, got null"),
    ({"regions": [{**US, "replicsa": 2}]}, "cached-auth:regions[0].replicsa: unknown key; did you mean replicas?"),
    ({"regions": [{"name": "us-west2"}]}, "cached-auth:regions[0].databaseRegion: expected the region of the database's primary, got nothing"),
    ({"regions": [US, US]}, "cached-auth:regions[1].name: us-west2 is there twice"),
    ({"regions": [US, {**US, "name": "us-west1"}]}, "cached-auth:regions[1].name: us-west2 is there twice"),
    ({"regions": [{**US, "replicas": 50}]}, "cached-auth:databaseSessionsMax: expected at least 1100 (2 x 50 replicas x (poolSizeMax 10 + 1)), got 200"),
    ({"regions": [{**US, "replicas": 30}, {"name": "us-east4-eqdc4a", "replicas": 21}]}, "cached-auth:regions: expected 50 replicas in total at most, got 51"),
    ({"topology": "mesh"}, "cached-auth:topology: expected cells or shared, got 'mesh'"),
    ({"release": "latest"}, "cached-auth:release: expected source, or sha256: and 64 hexadecimal digits, got 'latest'"),
    ({"release": DIGEST.upper()}, f"cached-auth:release: expected source, or sha256: and 64 hexadecimal digits, got '{DIGEST.upper()[:56]}..."),
    ({"releases": "[]"}, "cached-auth:releases: expected an object of regions and digests, got []"),
    ({"releases": {"us-west2": "v1"}}, "cached-auth:releases.us-west2: expected sha256: and 64 hexadecimal digits, got 'v1'"),
    ({"releases": {"mars": DIGEST}}, "cached-auth:releases.mars: expected one of us-west2, us-east4-eqdc4a, europe-west4-drams3a, asia-southeast1-eqsg3a, got 'mars'"),
    ({"releases": {"us-east4": DIGEST}}, "cached-auth:releases.us-east4-eqdc4a: expected a region of this stack (us-west2, europe-west4-drams3a)"),
    ({"releases": {"us-west2": DIGEST}, "topology": "shared"}, "cached-auth:releases: topology shared has one service, which changes in all regions at once; next: pulumi config set cached-auth:release sha256:..."),
    ({"corsOrigins": "https://a.example"}, "cached-auth:corsOrigins: expected a list of origins, got 'https://a.example'"),
    ({"corsOrigins": ["*"]}, "cached-auth:corsOrigins[0]: expected an origin such as https://app.example.com, got '*'"),
    ({"corsOrigins": ["https://a.example/"]}, "cached-auth:corsOrigins[0]: expected an origin such as https://app.example.com, got 'https://a.example/'"),
    ({"corsOrigins": ["https://a.example,https://b.example"]}, "cached-auth:corsOrigins[0]: expected an origin such as https://app.example.com, got 'https://a.example,https://b.example'"),
    ({"corsOrigins": [7]}, "cached-auth:corsOrigins[0]: expected an origin such as https://app.example.com, got 7"),
    ({"cacheTtlSeconds": "0"}, "cached-auth:cacheTtlSeconds: expected 1 to 3600, got '0'"),
    ({"cacheTtlSeconds": "5 min"}, "cached-auth:cacheTtlSeconds: expected 1 to 3600, got '5 min'"),
    ({"cacheTtlSeconds": "٣"}, "cached-auth:cacheTtlSeconds: expected 1 to 3600, got '٣'"),
    ({"cacheEntriesMax": ""}, "cached-auth:cacheEntriesMax: expected 1 to 1000000, got ''"),
    ({"overlapSeconds": "301"}, "cached-auth:overlapSeconds: expected 0 to 300, got '301'"),
    ({"drainingSeconds": "1"}, "cached-auth:drainingSeconds: expected 2 to 300, got '1'"),
    ({"healthcheckTimeoutSeconds": "0"}, "cached-auth:healthcheckTimeoutSeconds: expected 1 to 3600, got '0'"),
    ({"restartPolicyType": "SOMETIMES"}, "cached-auth:restartPolicyType: expected ON_FAILURE or ALWAYS or NEVER, got 'SOMETIMES'"),
    ({"restartPolicyMaxRetries": "-1"}, "cached-auth:restartPolicyMaxRetries: expected 0 to 100, got '-1'"),
    ({"cacheImage": "valkey/valkey"}, "cached-auth:cacheImage: expected an image with a tag, got 'valkey/valkey'"),
    ({"logLevel": "verbose"}, "cached-auth:logLevel: expected debug or info or warning or error, got 'verbose'"),
    ({"databaseSessionsMax": "15"}, "cached-auth:databaseSessionsMax: expected at least 88 (2 x 4 replicas x (poolSizeMax 10 + 1)), got 15"),
    ({"databaseSessionsMax": "3"}, "cached-auth:databaseSessionsMax: expected 4 to 10000, got '3'"),
    ({"image": {"builder": "podman"}}, "cached-auth:image.builder: expected bundle or docker, got 'podman'"),
    ({"image": {"bilder": "docker"}}, "cached-auth:image.bilder: unknown key; did you mean builder?"),
    ({"image": {"builder": "docker", "name": "acme/auth"}}, "cached-auth:image.builder: expected bundle where cloud is local, got 'docker'"),
    ({"cloud": "railway"}, "cached-auth:supabaseOrganizationId: required where cloud is railway (see the address of your organization's page); next: pulumi config set cached-auth:supabaseOrganizationId ..."),
    ({"supabaseOrganizationId": "<your organization>"}, "cached-auth:supabaseOrganizationId: expected letters, digits and dashes, got '<your organization>'"),
    ({"cacheKey": None}, "cached-auth:cacheKey: required, but not set; next: pulumi config set --secret cached-auth:cacheKey ..."),
    ({"cacheKey": "x" * 31}, "cached-auth:cacheKey: expected 32 to 256 visible ASCII characters, got something else of 31 characters"),
    ({"cachePassword": "with@sign-in-a-long-text"}, "cached-auth:cachePassword: expected 16 to 128 letters, digits, _ and -, got something else of 24 characters"),
    ({"smtpUrl": "mail.example.com"}, "cached-auth:smtpUrl: expected smtp:// or smtps:// and a host, got something else of 16 characters"),
    ({"serviceSettings": "fast"}, "cached-auth:serviceSettings: expected an object of setting names and values, got 'fast'"),
    ({"serviceSettings": {"RATE_LIMIT": 1}}, "cached-auth:serviceSettings.RATE_LIMIT: unknown key; "),
    ({"serviceSettings": {"POOL_SIZE_MAX": 1}}, "cached-auth:serviceSettings.POOL_SIZE_MAX: unknown key; "),
    ({"serviceSettings": {"GZIP_LEVEL": True}}, "cached-auth:serviceSettings.GZIP_LEVEL: expected a number or 1 to 1000 printable characters, got true"),
    ({"serviceSettings": {"OTEL_SERVICE_NAME": "a\nb"}}, "cached-auth:serviceSettings.OTEL_SERVICE_NAME: expected a number or 1 to 1000 printable characters, got 'a\\nb'"),
    ({"serviceSettings": {"JWT_SECRET": "x" * 32}}, "cached-auth:serviceSettings.JWT_SECRET: expected in serviceSecrets, which is stored encrypted"),
    ({"serviceSecrets": "hunter2"}, "cached-auth:serviceSecrets: expected an object of setting names and values as JSON, got something else"),
    ({"serviceSecrets": {"JWT_SECRET": ""}}, "cached-auth:serviceSecrets.JWT_SECRET: expected 1 to 1000 visible ASCII characters, got something else of 0 characters"),
    ({"serviceSecrets": {"CACHE_KEY": "x"}}, "cached-auth:serviceSecrets.CACHE_KEY: unknown key; "),
    ({"region": "us-west2"}, "cached-auth:region: unknown key; did you mean regions?"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"), WRONG, ids=[expected.partition(", got")[0][:70] + str(i) for i, (_, expected) in enumerate(WRONG)]
)
def test_a_wrong_value_is_named_by_its_path_with_what_was_expected(changes: dict[str, Any], expected: str) -> None:
    found = problems(**changes)
    assert [problem for problem in found if problem.startswith(expected)] == list(found)


def test_a_secret_stored_as_plain_text_is_refused() -> None:
    """A stack file is committed: a key in plain text there is public for ever."""
    with pytest.raises(SettingsError) as raised:
        parse_settings(values(), {"cachePassword", "databasePassword"})
    assert raised.value.problems == (
        "cached-auth:cacheKey: expected a secret, got plain text; next: pulumi config set --secret cached-auth:cacheKey ...",
    )


def test_numbers_may_be_text_or_numbers() -> None:
    """`pulumi config set` writes text, `pulumi config set --path` and people write numbers."""
    assert parsed(regions=[{**US, "replicas": "3"}], cacheTtlSeconds="60").regions[0].replicas == 3


def test_docker_images_need_a_name() -> None:
    found = problems(cloud="railway", supabaseOrganizationId="org", image={"builder": "docker"})
    assert found == (
        "cached-auth:image.name: required where image.builder is docker; next: pulumi config set cached-auth:image ...",
    )


def test_an_unused_read_replica_is_pointed_out() -> None:
    assert parsed(topology="shared").notes == (
        "cached-auth:regions: topology shared has no read replica; databaseRegion of europe-west4-drams3a is not used",
    )


def test_pulumi_config_is_read_with_its_secrets_and_unknown_keys() -> None:
    """read_settings is the thin edge to Pulumi; keys of other namespaces are none of ours."""
    config = {f"cached-auth:{key}": value for key, value in values(logLevel="debug").items()}
    pulumi.runtime.set_all_config({**config, "railway:token": "t"}, [f"cached-auth:{key}" for key in SECRETS])
    try:
        assert read_settings(pulumi.Config("cached-auth")).log_level == "debug"
        pulumi.runtime.set_all_config({**config, "cached-auth:nosuch": "1"}, [f"cached-auth:{key}" for key in SECRETS])
        with pytest.raises(SettingsError, match="cached-auth:nosuch: unknown key"):
            read_settings(pulumi.Config("cached-auth"))
    finally:
        pulumi.runtime.set_all_config({}, [])


def test_every_field_of_the_settings_has_one_key() -> None:
    """A key that is parsed but not kept, or a field without a key, would be a setting that silently does nothing."""
    assert len(fields(Settings)) - 1 == len(KEYS)  # all but `notes`
    assert len({key.name for key in KEYS}) == len(KEYS)


def test_defaults_pass_their_own_rules() -> None:
    for key in KEYS:
        if key.default is not None:
            key.rule(key.name, key.default)
