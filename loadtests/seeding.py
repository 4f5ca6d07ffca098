"""The load-test users: made once per stack through Supabase's admin API, signed in before a run.

Idempotent without any file. Both the password and the namespace of the emails are derived from the stack's name and its
service-role key: a later run knows the password again, and a rotated key begins a new set of users. One bcrypt hash is
computed, once, and given for all of them: a thousand sign-ups would otherwise cost a thousand hashes of ~60 ms.

Errors: SeedingError   the admin API or the service did not do what was asked
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

import bcrypt
from gevent.pool import Pool  # type: ignore[import-untyped]  # gevent carries no types
from locust.contrib.fasthttp import FastHttpSession

from loadtests.http_session import exchange, new_session
from loadtests.outputs import Outputs
from loadtests.redaction import redact
from loadtests.scenarios.interface import Answer, Ask, Cast, Person, SignedIn
from loadtests.scenarios.login import login_ask, signed_in

CONNECTIONS = 16
SIGN_INS_AT_ONCE = 4
BCRYPT_COST = 10
TIMEOUT_S = 15.0
# auth-js and supabase-py call these the remote's passing faults: worth one more try.
PASSING = (0, 429, 500, 502, 503, 504)
TRIES = 3


class SeedingError(Exception):
    """The users could not be made or signed in. One line, without credentials."""


def people_of(outputs: Outputs, count: int) -> list[Person]:
    """The stack's load-test users, the same on each call."""
    key = outputs.service_role_key.encode()
    namespace = hmac.new(key, f"loadtest namespace {outputs.stack}".encode(), hashlib.sha256).hexdigest()[:10]
    secret = hmac.new(key, f"loadtest password {outputs.stack}".encode(), hashlib.sha256).digest()
    password = base64.urlsafe_b64encode(secret).decode()[:32]
    return [Person(f"user-{number:05d}.{namespace}@loadtest.example", password) for number in range(count)]


def seed(outputs: Outputs, people: Sequence[Person]) -> int:
    """Makes the users that do not exist yet; returns how many were made. SeedingError.

    The last one is made after all others: when it can sign in, an earlier run made them all.
    """
    session = new_session(outputs.supabase_url, CONNECTIONS, TIMEOUT_S)
    if _can_sign_in(session, outputs, people[-1]):
        return 0
    password_hash = bcrypt.hashpw(people[0].password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()
    pool = Pool(CONNECTIONS)
    try:
        made: int = sum(pool.imap_unordered(lambda person: _create(session, outputs, person, password_hash), people[:-1]))
        return made + _create(session, outputs, people[-1], password_hash)
    finally:
        pool.kill(timeout=5)


def _create(session: FastHttpSession, outputs: Outputs, person: Person, password_hash: str) -> int:
    key = outputs.service_role_key
    body: Mapping[str, object] = {"email": person.email, "password_hash": password_hash, "email_confirm": True}
    ask = Ask("POST", "/auth/v1/admin/users", {"apikey": key, "Authorization": f"Bearer {key}"}, body)
    answer = _send(session, ask, outputs.supabase_url)
    if answer.status in (200, 201):
        return 1
    # GoTrue answers 422 email_exists (user_already_exists in older ones): made by an earlier, unfinished run.
    if answer.status == 422 and "exist" in answer.body.decode(errors="replace"):
        return 0
    reason = redact(answer.summary(), outputs.secrets)
    raise SeedingError(f"admin/users: expected 200 for {person.email}, got {reason}; is service_role_key right?")


def _can_sign_in(session: FastHttpSession, outputs: Outputs, person: Person) -> bool:
    body: Mapping[str, object] = {"email": person.email, "password": person.password}
    ask = Ask("POST", "/auth/v1/token?grant_type=password", {"apikey": outputs.anon_key}, body)
    return _send(session, ask, outputs.supabase_url).status == 200


def _send(session: FastHttpSession, ask: Ask, base_url: str) -> Answer:
    answer = Answer(0, {}, b"", "not sent")
    for _ in range(TRIES):
        answer = exchange(session, ask, base_url + ask.path, ask.path, TIMEOUT_S, lambda _answer: None)
        if answer.status not in PASSING:
            break
    return answer


def sign_in(urls: Mapping[str, str], people: Sequence[Person], count: int, secrets: Iterable[str]) -> list[SignedIn]:
    """Signs `count` users in through the service, in turn in each region. SeedingError when one cannot.

    Bounded concurrency: each sign-in is a bcrypt comparison, and a burst of them would be the first load test.
    """
    sessions = {region: new_session(url, SIGN_INS_AT_ONCE, TIMEOUT_S) for region, url in urls.items()}
    regions = list(urls)
    jobs = [(regions[index % len(regions)], people[index % len(people)]) for index in range(count)]

    def one(job: tuple[str, Person]) -> SignedIn:
        region, person = job
        answer = _send(sessions[region], login_ask(person), urls[region])
        found = signed_in(answer)
        if found is None:
            raise SeedingError(f"{region}: expected a sign-in of {person.email}, got {redact(answer.summary(), secrets)}")
        return found

    pool = Pool(SIGN_INS_AT_ONCE)
    try:
        return list(pool.imap(one, jobs))
    finally:
        pool.kill(timeout=5)


def cast_of(outputs: Outputs, people: Sequence[Person], sessions: int) -> Cast:
    """Shares the users out: validate's never sign in again, login's and revoke's are nobody else's."""
    held = max(1, min(sessions, len(people) // 4))
    rest = people[held:]
    urls = {region: found.url for region, found in outputs.regions.items()}
    signed = sign_in(urls, people[:held], sessions, outputs.secrets)
    return Cast(signed, rest[: len(rest) // 2], rest[len(rest) // 2 :], outputs.service_role_key)
