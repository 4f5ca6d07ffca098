"""What a test says to the API, in few words."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from infra.localcloud.supabase_api.settings import Settings

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Client:
    http: httpx.AsyncClient
    settings: Settings

    async def signed_up(self, email: str | None = None, **data: Any) -> dict[str, Any]:
        """The token answer of a new user."""
        email = email or f"{secrets.token_hex(6)}@example.com"
        answer = await self.http.post("/auth/v1/signup", json={"email": email, "password": PASSWORD, "data": data})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def login(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/auth/v1/token?grant_type=password", json={"email": email, "password": password})

    async def refresh(self, token: str) -> httpx.Response:
        return await self.http.post("/auth/v1/token?grant_type=refresh_token", json={"refresh_token": token})

    async def user(self, access_token: str, **headers: str) -> httpx.Response:
        return await self.http.get("/auth/v1/user", headers={"authorization": f"Bearer {access_token}", **headers})

    async def put_user(self, access_token: str, **changes: Any) -> httpx.Response:
        return await self.http.put("/auth/v1/user", json=changes, headers={"authorization": f"Bearer {access_token}"})

    async def logout(self, access_token: str, scope: str = "global") -> httpx.Response:
        headers = {"authorization": f"Bearer {access_token}"}
        return await self.http.post(f"/auth/v1/logout?scope={scope}", headers=headers)

    async def admin(self, method: str, path: str = "", body: Any = None, **query: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.settings.service_role_key}"}
        return await self.http.request(method, f"/auth/v1/admin/users{path}", json=body, headers=headers, params=query)

    async def storage(self, method: str, path: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.settings.service_role_key}", **headers}
        return await self.http.request(method, f"/storage/v1/{path}", content=content, headers=headers)

    async def sql(self, statement: str, *arguments: Any) -> Any:
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error_code"])
