"""Log-in, sign-up, refresh and changes behind the limits: as in auth_endpoints.py, with X-RateLimit-* on what they answer."""

from __future__ import annotations

from dataclasses import replace

from service.errors import Unavailable
from service.limits.gate import Gate, limit_headers, outcome_of
from service.upstream.auth_api import UpstreamAnswer, error_of
from service.web.answers import Answer, Headers
from service.web.auth_endpoints import AuthEndpoints


class LimitedEndpoints:
    """Raises what AuthEndpoints does, and TooManyRequests."""

    def __init__(self, endpoints: AuthEndpoints, gate: Gate) -> None:
        self._endpoints = endpoints
        self._gate = gate

    async def log_in(self, email: str, password: str, client_address: str) -> Answer:
        attempt = await self._gate.log_in(email, client_address)
        try:
            answer = await self._endpoints.log_in(email, password, client_address)
        except Unavailable:
            await attempt.ended("neither")
            raise
        await attempt.ended(outcome_of(answer.status, code_of(answer)))
        return _with(answer, attempt.headers)

    async def register(self, email: str, password: str, display_name: str | None, client_address: str) -> Answer:
        verdict = await self._gate.ask(client_address)
        answer = await self._endpoints.register(email, password, display_name, client_address)
        return _with(answer, limit_headers(verdict))

    async def refresh(self, refresh_token: str, client_address: str) -> Answer:
        verdict = await self._gate.refresh(client_address)
        answer = await self._endpoints.refresh(refresh_token, client_address)
        return _with(answer, limit_headers(verdict))

    async def change_me(self, user_id: str, display_name: str | None, client_address: str) -> Answer:
        verdict = await self._gate.ask(client_address)
        answer = await self._endpoints.change_me(user_id, display_name)
        return _with(answer, limit_headers(verdict))


def code_of(answer: Answer) -> str:
    """GoTrue's error code in an answer, wherever its version puts it; empty where there is none."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    return "" if answer.status < 400 else error_of(UpstreamAnswer(answer.status, headers, answer.body))[0]


def _with(answer: Answer, extra: Headers) -> Answer:
    return replace(answer, headers=[*answer.headers, *extra])
