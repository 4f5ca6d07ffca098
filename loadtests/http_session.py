"""The gate's HTTP on Locust's FastHttpSession: keep-alive pools, deadlines on the whole exchange, certificates verified.

Import it only in the run process: importing locust patches the standard library for gevent.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent  # type: ignore[import-untyped]  # gevent carries no types
import msgspec
from locust.contrib.fasthttp import FastHttpSession, ResponseContextManager
from locust.event import EventHook

from loadtests.scenarios.interface import Answer, Ask

REDIRECTS_NONE: frozenset[int] = frozenset()
Report = Callable[[Answer], str | None]


def new_session(base_url: str, connections: int, timeout_s: float) -> FastHttpSession:
    """A session that reports to nobody: for seeding and for signing in before a run."""
    session = FastHttpSession(
        base_url=base_url,
        request_event=EventHook(),  # type: ignore[no-untyped-call]  # locust's own, without types
        user=None,
        insecure=False,
        concurrency=connections,
        network_timeout=timeout_s,
        connection_timeout=timeout_s,
        max_retries=0,
    )
    return stay_put(session)


def stay_put(session: FastHttpSession) -> FastHttpSession:
    """No redirect is followed: a redirect is an answer, and the checks judge it."""
    session.client.redirect_response_codes = REDIRECTS_NONE  # type: ignore[misc]  # locust's request() sets it on the instance too
    return session


def exchange(
    session: FastHttpSession, ask: Ask, url: str, name: str, timeout_s: float, report: Report, started_s: float | None = None
) -> Answer:
    """One exchange with a deadline over all of it. `report` judges the answer and returns a failure's text for Locust, or None.

    What Locust gets to see counts from `started_s`, the intended start, so that its own statistics tell the same truth.
    """
    begun_s = time.perf_counter() if started_s is None else started_s
    deadline = gevent.Timeout(timeout_s)
    deadline.start()
    try:
        with session.request(
            ask.method,
            url,
            name=name,
            data=msgspec.json.encode(ask.body).decode() if ask.body is not None else None,
            headers={**ask.headers, **({"Content-Type": "application/json"} if ask.body is not None else {})},
            catch_response=True,
        ) as response:
            deadline.close()
            answer = _answer(response, timeout_s)
            failure = report(answer)
            response.request_meta["response_time"] = (time.perf_counter() - begun_s) * 1000
            if failure is None:
                response.success()
            else:
                response.failure(failure)
            return answer
    except gevent.Timeout as exc:
        if exc is not deadline:
            raise
        answer = Answer(0, {}, b"", f"no answer within {timeout_s:g} s")
        report(answer)
        return answer
    finally:
        deadline.close()


def _answer(response: ResponseContextManager, timeout_s: float) -> Answer:
    if not response.status_code:
        error = getattr(response, "error", None)
        if isinstance(error, gevent.Timeout):
            return Answer(0, {}, b"", f"no answer within {timeout_s:g} s")
        return Answer(0, {}, b"", f"no answer: {type(error).__name__}: {error}")
    headers = {name.lower(): str(value) for name, value in (response.headers or {}).items()}
    return Answer(response.status_code, headers, response.content or b"")
