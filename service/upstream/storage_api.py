"""Supabase Storage, as far as the follow-up of a first log-in needs it: a user's folders."""

from __future__ import annotations

import asyncio

import msgspec

from service.upstream.exchanges import ExchangeFailed, Received, Server

REQUEST_TIMEOUT_S = 5.0
FOLDERS = ("avatars", "documents")


class StorageFailed(Exception):
    """The folders could not be made; the job is tried again."""


class StorageApi:
    """Object storage has no folders; a folder is there once an object named below it is. Safe to repeat."""

    def __init__(self, supabase_url: str, service_role_key: str, bucket: str) -> None:
        self._bucket = bucket
        self._server = Server(supabase_url)
        self._headers = {"apikey": service_role_key, "authorization": f"Bearer {service_role_key}"}

    async def make_folders(self, user_id: str) -> None:
        """StorageFailed."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                for folder in FOLDERS:
                    await self._put(f"/object/{self._bucket}/{user_id}/{folder}/.keep")
        except (ExchangeFailed, TimeoutError) as exc:
            raise StorageFailed(f"storage does not answer: {type(exc).__name__}") from exc

    async def close(self) -> None:
        await self._server.close()

    async def _put(self, path: str) -> None:
        received = await self._post(path, b"", {"x-upsert": "true", "content-type": "application/octet-stream"})
        if received.status in (400, 404) and b"ucket" in received.body:
            bucket = msgspec.json.encode({"id": self._bucket, "name": self._bucket, "public": False})
            await self._post("/bucket", bucket, {"content-type": "application/json"})
            received = await self._post(path, b"", {"x-upsert": "true", "content-type": "application/octet-stream"})
        if received.status not in (200, 201):
            raise StorageFailed(f"storage answered {received.status}")

    async def _post(self, path: str, body: bytes, headers: dict[str, str]) -> Received:
        return await self._server.exchange("POST", f"/storage/v1{path}", {**self._headers, **headers}, body)
