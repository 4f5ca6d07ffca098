"""What the program declares: which resources, in which order, with which inputs, and what is secret among them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.desired_state import railwaytoml
from infra.release import SOURCE_VARIABLE, ReleaseChanged, ReleaseMissing, build_release
from infra.service_settings import PASSED_ON, SECRETS_PASSED_ON
from infra.settings import Settings, parse_settings
from infra.stack import railway_files
from service.settings import Settings as ServiceSettings
from tests.program.graph import Graph, graph, is_secret, plain
from tests.program.stack_values import REGIONS, SECRETS, values

US, EUROPE = "us-west2", "europe-west4-drams3a"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small clone with something to release, and a home of its own."""
    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path / "home"))
    (tmp_path / "clone/service").mkdir(parents=True)
    (tmp_path / "clone/service/__init__.py").write_text("")
    return tmp_path / "clone"


def settings(**changes: Any) -> Settings:
    return parse_settings(values(**changes), {*SECRETS, "smtpUrl", "serviceSecrets"})


def kinds(found: Graph) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for kind, name in found.resources:
        result.setdefault(kind, set()).add(name)
    return result


CELLS = {f"auth-{US}", f"auth-{EUROPE}"}
CACHES = {f"cache-{US}", f"cache-{EUROPE}"}


def test_cells_are_one_service_with_its_own_cache_in_each_region(root: Path) -> None:
    """Types and names are public API: a change of one replaces what people run."""
    assert kinds(graph(settings(), root)) == {
        "cached-auth:index:Place": {"place"},
        "cached-auth:index:Database": {"database"},
        "cached-auth:index:Cache": CACHES,
        "cached-auth:index:Cell": CELLS,
        "railway:index:Project": {"place"},
        "railway:index:Environment": {"place"},
        "railway:index:Service": CELLS | CACHES,
        "railway:index:ServiceDomain": CELLS,
        "railway:index:Deployment": CELLS | CACHES,
        "supabase:index:Project": {"database"},
        "supabase:index:AuthConfiguration": {"database-auth"},
        "supabase:index:ReadReplica": {f"database-{EUROPE}"},
    }


def test_shared_is_one_service_over_all_regions_with_one_cache(root: Path) -> None:
    found = graph(settings(topology="shared"), root)
    assert kinds(found)["railway:index:Service"] == {"auth", f"cache-{US}"}
    assert "supabase:index:ReadReplica" not in kinds(found)
    service = found.one("railway:index:Service", "auth").inputs
    assert service["multiRegionConfig"] == {US: 2, EUROPE: 2}
    assert "REGION" not in found.variables("auth")
    assert {facts["service_id"] for facts in found.exports["regions"].values()} == {"id-of-Service-auth"}


@pytest.mark.parametrize("topology", ["cells", "shared"])
def test_every_resource_belongs_to_a_component(root: Path, topology: str) -> None:
    for each in graph(settings(topology=topology), root).resources.values():
        if each.type.startswith("cached-auth:"):
            assert each.parent == "Stack cached-auth-test"
        else:
            assert each.parent.split()[0] in {"Place", "Database", "Cache", "Cell"}


def test_cells_are_deployed_after_the_database_their_cache_and_their_address(root: Path) -> None:
    """A replica that starts before what it needs fails its health check, and with it the deployment."""
    after = graph(settings(), root).one("railway:index:Deployment", f"auth-{EUROPE}").after
    assert {
        "Project database",
        f"Deployment cache-{EUROPE}",
        f"ServiceDomain auth-{EUROPE}",
        f"Service auth-{EUROPE}",
    } <= after
    assert not [name for name in after if name.endswith(US)]  # cells do not wait for each other


def test_a_cell_gets_the_variables_that_the_service_reads(root: Path) -> None:
    found = graph(settings(corsOrigins=["https://a.example", "https://b.example"], smtpUrl="smtp://mail.example:25"), root)
    variables = {name: plain(value) for name, value in found.variables(f"auth-{EUROPE}").items()}
    password, replica = "database%2Fpassword%3Fof-the-test", f"database-{EUROPE}"
    assert variables == {
        "PORT": "8080",
        "ENVIRONMENT": "dev",
        "REGION": EUROPE,
        "RELEASE": build_release(root).digest,
        "SUPABASE_URL": "http://127.64.1.1:8000",
        "SUPABASE_ANON_KEY": "anon",
        "SUPABASE_SERVICE_ROLE_KEY": "service-role",
        "JWT_ISSUER": "http://127.64.1.1:8000/auth/v1",
        "JWT_AUDIENCE": "authenticated",
        "JWKS_URL": "http://127.64.1.1:8000/auth/v1/.well-known/jwks.json",
        "DATABASE_URL": f"postgresql://postgres.abcdefghij:{password}@pooler.example:5432/postgres?sslmode=disable",
        "DATABASE_REPLICA_URL": (
            f"postgresql://postgres.{replica}:{password}@{replica}.pooler.example:5432/postgres?sslmode=disable"
        ),
        "POOL_SIZE_MIN": "2",
        "POOL_SIZE_MAX": "10",
        "REDIS_URL": f"redis://default:${{{{cache-{EUROPE}.REDIS_PASSWORD}}}}@${{{{cache-{EUROPE}.RAILWAY_PRIVATE_DOMAIN}}}}:6379/0",
        "CACHE_KEY": SECRETS["cacheKey"],
        "CACHE_TTL_S": "300",
        "CACHE_ENTRIES_MAX": "5000",
        "CORS_ORIGINS": "https://a.example,https://b.example",
        "DRAIN_S": "9",
        "SMTP_URL": "smtp://mail.example:25",
        "STORAGE_BUCKET": "users",
        "LOG_LEVEL": "info",
        "RAILWAY_DOCKERFILE_PATH": "service/Dockerfile",
    }


def test_more_settings_reach_the_service_and_its_secrets_stay_secret(root: Path) -> None:
    secrets = json.dumps({"SUPABASE_SECRET_KEY": "sb_secret_canary"})
    found = graph(settings(serviceSettings={"RATE_LIMIT_ADDRESS_PER_MINUTE": 600}, serviceSecrets=secrets), root)
    variables = found.variables(f"auth-{US}")
    assert variables["RATE_LIMIT_ADDRESS_PER_MINUTE"] == "600"
    assert variables["SUPABASE_SECRET_KEY"] != "sb_secret_canary"  # wrapped: a secret on the wire
    assert plain(variables["SUPABASE_SECRET_KEY"]) == "sb_secret_canary"


def test_every_setting_of_the_service_is_made_by_the_program_or_passed_on(root: Path) -> None:
    """A new setting that nobody can set would only be found in production."""
    everything = settings(cloud="railway", supabaseOrganizationId="acme", corsOrigins=["https://a.example"], smtpUrl="smtp://m:1")
    made = set(graph(everything, root).variables(f"auth-{EUROPE}")) - {"RAILWAY_DOCKERFILE_PATH"}
    platform = {"REPLICA_ID"}  # from RAILWAY_REPLICA_ID
    assert made.isdisjoint(PASSED_ON | SECRETS_PASSED_ON)
    assert made | PASSED_ON | SECRETS_PASSED_ON | platform == {name.upper() for name in ServiceSettings.model_fields}


def test_the_primary_reads_from_the_primary(root: Path) -> None:
    assert "DATABASE_REPLICA_URL" not in graph(settings(), root).variables(f"auth-{US}")


def test_on_railway_replicas_listen_everywhere_and_the_database_is_reached_with_tls(root: Path) -> None:
    variables = graph(settings(cloud="railway", supabaseOrganizationId="acme"), root).variables(f"auth-{US}")
    assert variables["HOST"] == "0.0.0.0"  # noqa: S104
    assert plain(variables["DATABASE_URL"]).endswith("?sslmode=require")


@pytest.mark.parametrize(("pool", "warm"), [("1", "1"), ("2", "2"), ("8", "2")])
def test_a_pool_is_never_warmed_beyond_its_size(root: Path, pool: str, warm: str) -> None:
    """The service refuses to start with a minimum above the maximum."""
    variables = graph(settings(poolSizeMax=pool), root).variables(f"auth-{US}")
    assert (variables["POOL_SIZE_MIN"], variables["POOL_SIZE_MAX"]) == (warm, pool)


def test_in_production_the_database_is_protected(root: Path) -> None:
    """It holds the users; everything else can be made again."""
    for environment in ("dev", "prod"):
        found = graph(settings(environment=environment), root)
        protected = {f"{kind} {name}" for (kind, name), each in found.resources.items() if each.is_protected}
        assert protected == ({"supabase:index:Project database"} if environment == "prod" else set())


def test_on_railway_a_shell_fills_in_the_caches_password(root: Path) -> None:
    """Railway starts the command of an image without a shell: the server would demand the literal text $REDIS_PASSWORD."""
    local, railway = settings(), settings(cloud="railway", supabaseOrganizationId="acme")
    commands = [graph(each, root).one("railway:index:Service", f"cache-{US}").inputs["startCommand"] for each in (local, railway)]
    assert commands[0].startswith("valkey-server --requirepass $REDIS_PASSWORD ")
    assert commands[1] == f"/bin/sh -c 'exec {commands[0]}'"


def test_docker_images_are_built_once_and_named_by_the_release(root: Path) -> None:
    image = {"builder": "docker", "name": "ghcr.io/acme/cached-auth"}
    pin = "sha256:" + "a" * 64  # not on this machine: the registry has it under its tag
    found = graph(settings(cloud="railway", supabaseOrganizationId="acme", image=image, releases={EUROPE: pin}), root)
    digest = build_release(root).digest.removeprefix("sha256:")
    built = found.one("docker:index/image:Image", "image")
    assert built.parent == "ReleaseImage image"
    assert built.inputs["imageName"] == f"ghcr.io/acme/cached-auth:{digest}"
    services = {region: found.one("railway:index:Service", f"auth-{region}").inputs for region in (US, EUROPE)}
    assert services[US]["image"] == "ghcr.io/acme/cached-auth@sha256:built"
    assert services[EUROPE]["image"] == f"ghcr.io/acme/cached-auth:{'a' * 64}"
    assert "bundle" not in found.one("railway:index:Deployment", f"auth-{US}").inputs
    assert "RAILWAY_DOCKERFILE_PATH" not in found.variables(f"auth-{US}")


def test_what_is_secret_stays_secret(root: Path) -> None:
    """A secret that loses its mark stands in the state and in every preview as plain text."""
    found = graph(settings(smtpUrl="smtp://user:mail-password@mail.example:25"), root)
    marked = {name for name, value in found.variables(f"auth-{EUROPE}").items() if is_secret(value)}
    assert marked == {
        "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "DATABASE_URL", "DATABASE_REPLICA_URL", "CACHE_KEY", "SMTP_URL",
    }  # fmt: skip
    assert is_secret(found.variables(f"cache-{US}")["REDIS_PASSWORD"])
    assert is_secret(found.one("supabase:index:Project", "database").inputs["dbPassword"])
    hidden = ("anon_key", "service_role_key", "database_url")
    assert [name for name in hidden if not is_secret(found.exports[name])] == []


def test_no_secret_stands_unmarked_anywhere(root: Path) -> None:
    found = graph(settings(smtpUrl="smtp://user:mail-password@mail.example:25"), root)
    secrets = [*SECRETS.values(), "database%2Fpassword%3Fof-the-test", "mail-password", "digest of"]
    for each in found.resources.values():
        assert not [value for value in secrets if value in json.dumps(without_secrets(each.inputs))], each
    assert not [value for value in secrets if value in json.dumps(without_secrets(found.exports))]


def without_secrets(value: Any) -> Any:
    if is_secret(value):
        return "[secret]"
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def test_a_service_carries_its_reviewed_desired_state_and_its_fields(root: Path) -> None:
    """The text is what people see in the preview; the fields beside it are what is applied. They say the same."""
    service = graph(settings(), root).one("railway:index:Service", f"auth-{US}").inputs
    file = railwaytoml.parse(service["railwayToml"])
    arguments = railwaytoml.applied(file, "dev").arguments
    assert service["startCommand"] == arguments["start_command"] == "python -m service"
    assert service["preDeployCommand"] == arguments["pre_deploy_command"] == ["python -m service migrate"]
    assert service["multiRegionConfig"] == arguments["multi_region_config"] == {US: 2}
    assert (service["overlapSeconds"], service["drainingSeconds"]) == (2, 10)
    assert (service["healthcheckPath"], service["restartPolicyType"]) == ("/health/ready", "ON_FAILURE")


@pytest.mark.parametrize("topology", ["cells", "shared"])
def test_what_is_rendered_without_a_cloud_is_what_is_declared(root: Path, topology: str) -> None:
    """`render` shows a file for review; the program must not deploy another."""
    found = graph(settings(topology=topology), root)
    for name, text in railway_files(settings(topology=topology)).items():
        assert found.one("railway:index:Service", name).inputs["railwayToml"] == text


def changed_inputs(before: Graph, after: Graph) -> set[str]:
    keys = set(before.resources) | set(after.resources)
    return {
        f"{kind.split(':')[-1]} {name}"
        for kind, name in keys
        if (kind, name) not in before.resources
        or (kind, name) not in after.resources
        or before.one(kind, name).inputs != after.one(kind, name).inputs
    }


def test_a_second_evaluation_declares_the_same(root: Path) -> None:
    assert changed_inputs(graph(settings(), root), graph(settings(), root)) == set()


def test_a_pin_changes_its_own_cell_alone(root: Path) -> None:
    """Promotion pins one region after the other; what is not pinned must not move."""
    old = build_release(root).digest
    (root / "service/__init__.py").write_text("changed = True\n")
    new = build_release(root).digest
    before = graph(settings(release=old), root)
    after = graph(settings(release=old, releases={EUROPE: new}), root)
    assert changed_inputs(before, after) == {f"Deployment auth-{EUROPE}", f"Service auth-{EUROPE}"}
    assert after.exports["regions"][EUROPE]["release"] == new
    assert after.exports["regions"][US]["release"] == after.exports["release"] == old


def test_more_replicas_change_the_service_and_deploy_nothing(root: Path) -> None:
    regions = [{**REGIONS[0], "replicas": 3}, REGIONS[1]]
    assert changed_inputs(graph(settings(), root), graph(settings(regions=regions), root)) == {f"Service auth-{US}"}


def test_a_setting_that_replicas_read_at_start_deploys_again(root: Path) -> None:
    changed = changed_inputs(graph(settings(), root), graph(settings(healthcheckTimeoutSeconds="61"), root))
    assert changed == {f"{kind} {name}" for kind in ("Service", "Deployment") for name in CELLS}


def test_cells_are_redeployed_when_what_they_refer_to_changes(root: Path) -> None:
    """A cell names the cache's password only by reference: without this trigger a new password would lock the cells out."""
    triggers = graph(settings(), root).one("railway:index:Deployment", f"auth-{US}").inputs["triggers"]
    assert plain(triggers["cache"]) == f"digest of cache-{US}"
    assert plain(triggers["variables"]) == f"digest of auth-{US}"


def test_a_pinned_release_that_is_not_here_is_said_with_the_next_step(root: Path) -> None:
    with pytest.raises(ReleaseMissing, match="next: copy"):
        graph(settings(release="sha256:" + "0" * 64), root)


def test_the_exports_name_each_region(root: Path) -> None:
    exports = graph(settings(), root).exports
    assert exports["endpoint"] == f"https://auth-{US}.example"
    assert exports["regions"][EUROPE] == {
        "url": f"https://auth-{EUROPE}.example",
        "service_id": f"id-of-Service-auth-{EUROPE}",
        "environment_id": "id-of-Environment-place",
        "deployment_id": f"deployment of auth-{EUROPE}",
        "release": build_release(root).digest,
        "replicas": 2,
    }
    assert set(exports) == {
        "endpoint", "release", "regions", "project_id", "supabase_url", "anon_key", "service_role_key", "database_url",
    }  # fmt: skip


def test_what_the_preview_showed_is_deployed_whatever_was_edited_since(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    previewed = build_release(root).digest
    monkeypatch.setenv(SOURCE_VARIABLE, previewed)
    (root / "service/__init__.py").write_text("edited = True\n")
    deployment = graph(settings(), root).one("railway:index:Deployment", f"auth-{US}")
    assert deployment.inputs["release"] == previewed
    assert Path(deployment.inputs["bundle"]).name.startswith(previewed.removeprefix("sha256:"))


def test_an_image_of_what_was_edited_since_the_preview_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be built from the edited files under the previewed name."""
    monkeypatch.setenv(SOURCE_VARIABLE, build_release(root).digest)
    (root / "service/__init__.py").write_text("edited = True\n")
    image = {"builder": "docker", "name": "ghcr.io/acme/cached-auth"}
    with pytest.raises(ReleaseChanged, match=r"edited since the preview, now sha256:[0-9a-f]{64}; next: preview again"):
        graph(settings(cloud="railway", supabaseOrganizationId="acme", image=image), root)


def test_a_local_stack_needs_no_docker(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK of Docker asks for a plugin and an engine; only `image.builder: docker` may import it."""
    monkeypatch.setitem(sys.modules, "pulumi_docker", None)  # an import would now fail
    graph(settings(), root)
