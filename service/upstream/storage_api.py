"""Supabase Storage, as far as the follow-up of a first log-in needs it: a user's folders."""

from __future__ import annotations

import httpx

from service.upstream.tls import context_for

REQUEST_TIMEOUT_S = 5.0
FOLDERS = ("avatars", "documents")


class StorageFailed(Exception):
    """The folders could not be made; the job is tried again."""


class StorageApi:
    """Object storage has no folders; a folder is there once an object named below it is. Safe to repeat."""

    def __init__(self, supabase_url: str, service_role_key: str, bucket: str) -> None:
        self._bucket = bucket
        self._client = httpx.AsyncClient(
            base_url=f"{supabase_url}/storage/v1",
            headers={"apikey": service_role_key, "authorization": f"Bearer {service_role_key}"},
            timeout=REQUEST_TIMEOUT_S,
            trust_env=False,
            verify=context_for(supabase_url),
        )

    async def make_folders(self, user_id: str) -> None:
        """StorageFailed."""
        try:
            for folder in FOLDERS:
                await self._put(f"/object/{self._bucket}/{user_id}/{folder}/.keep")
        except httpx.HTTPError as exc:
            raise StorageFailed(f"storage does not answer: {type(exc).__name__}") from exc

    async def close(self) -> None:
        await self._client.aclose()

    async def _put(self, path: str) -> None:
        headers = {"x-upsert": "true", "content-type": "application/octet-stream"}
        response = await self._client.post(path, content=b"", headers=headers)
        if response.status_code in (400, 404) and b"ucket" in response.content:
            await self._client.post("/bucket", json={"id": self._bucket, "name": self._bucket, "public": False})
            response = await self._client.post(path, content=b"", headers=headers)
        if response.status_code not in (200, 201):
            raise StorageFailed(f"storage answered {response.status_code}")
