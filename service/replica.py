"""One replica: every part made, joined and, at the end, closed. The only place that knows them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psutil

from service.accounts.follow_up import CHANNEL as OUTBOX_CHANNEL
from service.accounts.jobs import job_table, read_smtp_url
from service.accounts.positions import CHANNEL as ACCOUNTS_CHANNEL
from service.accounts.positions import Positions
from service.accounts.worker import Worker
from service.cache.authenticator import Authenticator, Limits
from service.cache.entries import Sealer
from service.cache.introspection import Ask, Verifier
from service.cache.redis_tier import RedisTier
from service.clocks import Clock
from service.database.pools import Database, connect_arguments
from service.limits.arithmetic import per
from service.limits.gate import Gate
from service.limits.local_store import LocalStore
from service.limits.redis_store import RedisStore
from service.limits.rules import read_rules
from service.limits.users import UserRates
from service.metrics.counters import Counters
from service.metrics.exposition import Exposition, Gauges
from service.metrics.performance import Performance
from service.readiness import Readiness
from service.revocation.feed import RevocationFeed
from service.revocation.records import Revocations
from service.settings import Settings
from service.tokens.jwks import Jwks
from service.tokens.keys import VerificationKey, secret_key
from service.tokens.verification import Policy
from service.tracing.otlp import Exporter
from service.tracing.tracer import Tracer
from service.upstream.auth_api import AuthApi
from service.upstream.introspection_api import IntrospectionApi
from service.upstream.pass_through import PassThrough
from service.upstream.storage_api import StorageApi
from service.web.app import build_app
from service.web.auth_endpoints import AuthEndpoints, verify_lines
from service.web.compression import Compression
from service.web.cors import Cors
from service.web.drop_in import DropIn
from service.web.front import Front
from service.web.limited_drop_in import LimitedDropIn
from service.web.limited_endpoints import LimitedEndpoints
from service.web.shortcut import Shortcut
from service.web.sign_ins import SignIns

# In the last fifth of CACHE_TTL_S a token that is in use is confirmed anew: so nobody who uses one all the time ever waits.
EARLY_SHARE = 0.2


@asynccontextmanager
async def running(settings: Settings, is_draining: Callable[[], bool]) -> AsyncIterator[Front]:
    """The replica's application, with its background tasks running until the block is left."""
    clock, counters = Clock(), Counters()
    async with AsyncExitStack() as stack:
        database = Database(settings, clock, counters)
        stack.push_async_callback(database.close)
        await database.open()
        grant_key = settings.supabase_secret_key.get_secret_value() if settings.supabase_secret_key else ""
        anon_key = settings.supabase_anon_key.get_secret_value()
        auth_api = AuthApi(settings.auth_url, settings.jwks_address, anon_key, counters, grant_key)
        stack.push_async_callback(auth_api.close)
        service_role_key = settings.supabase_service_role_key.get_secret_value()
        storage = StorageApi(settings.supabase_url, service_role_key, settings.storage_bucket)
        stack.push_async_callback(storage.close)

        mail_server = read_smtp_url(settings.smtp_url.get_secret_value()) if settings.smtp_url else None
        worker = Worker(database, job_table(database, storage, mail_server), counters)
        revocations = Revocations()
        database_url = settings.database_url.get_secret_value()
        also: dict[str, Callable[[str], None]] = {
            OUTBOX_CHANNEL: lambda _payload: worker.wake(),
            ACCOUNTS_CHANNEL: lambda user_id: positions.changed(user_id),
        }
        feed = RevocationFeed(database_url, connect_arguments(database_url), revocations, clock, counters, also)
        sealer = Sealer(settings.cache_key.get_secret_value())
        shared = RedisTier(settings.redis_url.get_secret_value(), sealer, clock, counters) if settings.redis_url else None
        if shared is not None:
            stack.push_async_callback(shared.close)
        jwks = Jwks(auth_api.key_document, clock, lambda gone: authenticator.forget_keys(gone), _secret(settings))
        policy = Policy(settings.jwt_issuer, settings.jwt_audience, settings.jwt_clock_skew_s)
        authenticator = Authenticator(
            limits=Limits(
                ttl_s=settings.cache_ttl_s,
                entries_max=settings.cache_entries_max,
                bytes_max=settings.cache_bytes_max,
                staleness_max_s=settings.revocation_staleness_max_s,
                early_share=EARLY_SHARE,
            ),
            policy=policy,
            sealer=sealer,
            jwks=jwks,
            revocations=revocations,
            feed=feed,
            shared=shared,
            ask_issuer=auth_api.user,
            lines_for=verify_lines,
            clock=clock,
            counters=counters,
        )
        stack.push_async_callback(authenticator.close)
        policies, rates = settings.policies, UserRates(per(settings.rate_limit_user_per_minute, 60), clock.monotonic, counters)
        verifier = Verifier(
            authenticator,
            auth_api.user,
            auth_api.strict_user,
            _opaque(settings, auth_api, policy, clock, counters, stack),
            verify_lines,
            clock,
            policies,
            rates,
        )
        staleness_max_s = settings.revocation_staleness_max_s
        positions = Positions(lambda since: feed.position_within(staleness_max_s, since), shared, clock, staleness_max_s)
        endpoints = AuthEndpoints(
            authenticator=authenticator,
            verifier=verifier,
            auth_api=auth_api,
            database=database,
            revocations=revocations,
            positions=positions,
            worker=worker,
            rates=rates,
            is_followed=lambda: feed.follows_log_ins,
            service_role_key=service_role_key,
            clock=clock,
            counters=counters,
        )
        upstream = PassThrough(settings.supabase_url, counters)
        stack.push_async_callback(upstream.close)
        drop_in = DropIn(
            upstream=upstream,
            authenticator=authenticator,
            endpoints=endpoints,
            sign_ins=SignIns(endpoints, counters),
            entries_max=settings.cache_entries_max,
            bytes_max=settings.cache_bytes_max,
            policy=policies["user"],
            rates=rates,
            clock=clock,
            counters=counters,
        )
        stack.push_async_callback(drop_in.close)
        readiness = Readiness(
            jwks=jwks,
            feed=feed,
            database=database,
            shared=shared,
            staleness_max_s=settings.revocation_staleness_max_s,
            is_draining=is_draining,
            release=settings.release,
            region=settings.region,
        )
        stack.push_async_callback(readiness.close)
        process = psutil.Process()
        gauges = Gauges(
            entries=lambda: len(authenticator),
            entries_bytes=lambda: authenticator.size_bytes,
            flights=lambda: authenticator.flights,
            feed_silent_s=lambda: feed.silent_s,
            revocation_subjects=lambda: len(revocations),
            outbox_waiting=lambda: worker.waiting,
            outbox_dead=lambda: worker.dead,
            memory_bytes=lambda: process.memory_info().rss,
            breakers=lambda: {
                **{f"issuer_{lane}": breaker.is_tripped for lane, breaker in auth_api.breakers.items()},
                "issuer_drop_in": upstream.breaker.is_tripped,
                **{f"database_{pool.name}": pool.is_given_up for pool in database.pools},
                **({} if shared is None else {"redis": shared.is_given_up}),
                **({} if limits is None else {"redis_limits": limits.breaker.is_tripped}),
            },
        )
        gate, limits = _gate(settings, clock, counters, stack)
        app = build_app(
            settings,
            endpoints,
            LimitedEndpoints(endpoints, gate),
            readiness,
            Exposition(counters, gauges, settings.release, settings.region, settings.replica_id),
            Performance(counters, gauges, database),
        )
        cors = Cors(settings.cors_origins, settings.cors_max_age_s)
        tracer, exporter = _tracing(settings, stack)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(part.run()) for part in (jwks, feed, worker)]
            background.append(group.create_task(database.warm()))
            background += [group.create_task(part.run()) for part in (exporter, limits) if part is not None]
            yield Front(
                framework=app,
                drop_in=LimitedDropIn(drop_in, gate),
                endpoints=endpoints,
                verifier=verifier,
                cors=cors,
                compression=Compression(settings.gzip_bytes_min, settings.gzip_level),
                counters=counters,
                at_once=Shortcut(verifier, drop_in.kept_user, cors, counters, clock).at_once,
                tracer=tracer,
            )
            for task in background:
                task.cancel()


def _opaque(
    settings: Settings, auth_api: AuthApi, policy: Policy, clock: Clock, counters: Counters, stack: AsyncExitStack
) -> Ask | None:
    """Who is asked about tokens that are no JWT; nobody unless the settings say so."""
    if settings.opaque_tokens != "introspect":
        return None
    if not settings.introspection_url or settings.introspection_client_secret is None:
        return auth_api.opaque_user
    secret = settings.introspection_client_secret.get_secret_value()
    url, client_id = settings.introspection_url, settings.introspection_client_id
    endpoint = IntrospectionApi(url, client_id, secret, policy, clock.wall, counters)
    stack.push_async_callback(endpoint.close)
    return endpoint.user


def _gate(settings: Settings, clock: Clock, counters: Counters, stack: AsyncExitStack) -> tuple[Gate, RedisStore | None]:
    """The rate limits: the cell's where there is a Redis, this process's own where there is none."""
    rules = read_rules(settings)
    alone = LocalStore(rules.divided(settings.rate_limit_replicas), lambda: int(clock.wall() * 1_000_000))
    key = settings.cache_key.get_secret_value()
    if settings.redis_url is None:
        return Gate(alone, rules, key, counters), None
    shared = RedisStore(settings.redis_url.get_secret_value(), rules, alone, clock, counters)
    stack.push_async_callback(shared.close)
    return Gate(shared, rules, key, counters), shared


def _secret(settings: Settings) -> VerificationKey | None:
    if settings.jwt_secret is None:
        return None
    return secret_key(settings.jwt_secret.get_secret_value(), settings.cache_key.get_secret_value())


def _tracing(settings: Settings, stack: AsyncExitStack) -> tuple[Tracer | None, Exporter | None]:
    """Nothing at all without an endpoint."""
    if not settings.otel_exporter_otlp_endpoint:
        return None, None
    about = {
        "service.name": settings.otel_service_name,
        "service.version": settings.release,
        "service.instance.id": settings.replica_id,
        "cloud.region": settings.region,
        "deployment.environment.name": settings.environment,
    }
    headers = settings.otel_exporter_otlp_headers.get_secret_value() if settings.otel_exporter_otlp_headers else ""
    tracer = Tracer(settings.otel_traces_sampler_arg)
    exporter = Exporter(settings.otel_exporter_otlp_endpoint, headers, {k: v for k, v in about.items() if v}, tracer)
    stack.push_async_callback(exporter.close)
    return tracer, exporter
