"""The protocol's general part, with a provider of two lines, and the plugin as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import grpc
import grpc.aio
import msgspec
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

import infra
from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import ConfigurationError
from infra.provider.fields import Field, Output
from infra.provider.native import NativeProvider, by_type
from infra.provider.properties import UNKNOWN, Secret, from_struct, to_struct
from infra.provider.rules import Text
from infra.provider.stopping import Stopper
from tests.provider.driving import Driver, Kept, driven

pytestmark = pytest.mark.anyio

ROOT = Path(infra.__file__).parents[1]


class NoteInputs(msgspec.Struct, frozen=True, rename="camel"):
    text: str


class Note(Resource[dict[str, str], NoteInputs]):
    """A text under a number."""

    resource_type: ClassVar = "notes:index:Note"
    collection: ClassVar = "notes"
    inputs_type: ClassVar = NoteInputs
    fields: ClassVar = (Field("text", Text(), is_required=True, is_secret=True),)
    outputs: ClassVar = (Output("echo", is_secret=True),)

    async def create(self, call: Call[dict[str, str]], inputs: NoteInputs) -> Made:
        if inputs.text == "break":
            raise ZeroDivisionError("secret-break")
        call.client["1"] = inputs.text
        return Made("1", {"echo": inputs.text})

    async def read(self, call: Call[dict[str, str]], recorded: Recorded[NoteInputs]) -> Found | None:
        text = call.client.get(recorded.identity)
        return None if text is None else Found("1", {"text": text}, {"echo": text})

    async def update(self, call: Call[dict[str, str]], recorded: Recorded[NoteInputs], inputs: NoteInputs) -> Made:
        return await self.create(call, inputs)

    async def delete(self, call: Call[dict[str, str]], recorded: Recorded[NoteInputs]) -> None:
        call.client.pop(recorded.identity, None)


async def shout(call: Call[Any], arguments: dict[str, Any]) -> dict[str, Any]:
    return {"text": str(arguments["text"]).upper()}


class NotesProvider(NativeProvider[dict[str, str]]):
    name: ClassVar[str] = "notes"
    version: ClassVar[str] = "1.2.3"
    settings: ClassVar = (Field("endpoint", Text()), Field("token", Text(), is_secret=True))
    resources = by_type(Note())
    functions: ClassVar = {"notes:index:shout": shout}

    def connect(self, settings: Mapping[str, str], environment: Mapping[str, str], stopper: Stopper) -> dict[str, str]:
        if settings.get("token") == "bad-token":
            raise ConfigurationError("notes:token: expected another one than bad-token")
        return {}

    async def disconnect(self, client: dict[str, str]) -> None:
        client.clear()


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    async with driven(NotesProvider()) as driver:
        await driver.configure()
        yield driver


async def test_secrets_stay_marked_through_the_whole_life(driver: Driver) -> None:
    kept = await driver.create("Note", "n", text="plain text, declared secret")
    assert kept.inputs == {"text": Secret("plain text, declared secret")}
    assert kept.outputs == {"text": kept.inputs["text"], "echo": kept.inputs["text"]}
    assert await driver.refresh(kept)
    assert kept.inputs == {"text": Secret("plain text, declared secret")}


async def test_unknown_secret_is_previewed_as_such(driver: Driver) -> None:
    kept = await driver.create("Note", "n", preview=True, text=Secret(UNKNOWN))
    assert kept.identity == ""
    assert kept.outputs == {"text": Secret(UNKNOWN), "echo": Secret(UNKNOWN)}


async def test_gone_is_an_empty_answer(driver: Driver) -> None:
    kept = await driver.create("Note", "n", text="x")
    await driver.delete(kept)
    assert not await driver.refresh(kept)


async def test_our_own_mistakes_are_one_line_too(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHED_AUTH_TRACE", raising=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.create("Note", "n", text="break")
    message = caught.value.details() or ""
    assert message.startswith("notes: our mistake in Create: ZeroDivisionError: secret-[secret]; ")
    assert "CACHED_AUTH_TRACE=1" in message
    assert "\n" not in message


async def test_unknown_type_and_function_are_named(driver: Driver) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="notes:index:Song: expected one of notes:index:Note"):
        await driver.check(Kept(driver.urn("Song", "s")), {})
    with pytest.raises(grpc.aio.AioRpcError, match="notes:index:whisper: expected one of notes:index:shout"):
        await driver.stub.Invoke(provider_pb2.InvokeRequest(tok="notes:index:whisper"))


async def test_function_answers(driver: Driver) -> None:
    answer = await driver.stub.Invoke(provider_pb2.InvokeRequest(tok="notes:index:shout", args=to_struct({"text": "hey"})))
    assert from_struct(getattr(answer, "return")) == {"text": "HEY"}


async def test_component_children_are_found_by_their_own_type(driver: Driver) -> None:
    """A child's URN carries its parents' types before its own."""
    kept = Kept("urn:pulumi:dev::test::app:index:Cell$notes:index:Note::n")
    _, failures = await driver.check(kept, {})
    assert failures == ["notes/n/text: expected a value, got nothing"]


async def test_handshake_and_information(driver: Driver) -> None:
    answer = await driver.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:9"))
    assert (answer.accept_secrets, answer.accept_resources) == (True, True)
    assert (await driver.stub.GetPluginInfo(empty_pb2.Empty())).version == "1.2.3"
    schema = json.loads((await driver.stub.GetSchema(provider_pb2.GetSchemaRequest())).schema)
    assert schema["resources"]["notes:index:Note"]["requiredInputs"] == ["text"]
    assert schema["config"]["variables"]["token"]["secret"] is True


async def test_settings_are_checked(driver: Driver) -> None:
    news = to_struct({"token": "t0p", "endpiont": "x", "version": "1", "__internal": {}})
    answer = await driver.stub.CheckConfig(provider_pb2.CheckRequest(urn="urn:x", news=news))
    assert [each.reason for each in answer.failures] == ['notes:endpiont: expected one of endpoint, token, got "endpiont"']
    assert from_struct(answer.inputs)["token"] == Secret("t0p")


async def test_new_settings_replace_nothing(driver: Driver) -> None:
    """A provider that replaces itself replaces every resource it has: a rotated token must not."""
    request = provider_pb2.DiffRequest(
        urn="urn:x", old_inputs=to_struct({"token": Secret("a")}), news=to_struct({"token": Secret("b")})
    )
    answer = await driver.stub.DiffConfig(request)
    assert list(answer.diffs) == ["token"]
    assert not answer.replaces


async def test_a_refused_setting_is_not_quoted(driver: Driver) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.configure(token=Secret("bad-token"))
    assert caught.value.details() == "notes:token: expected another one than [secret]"


@pytest.mark.parametrize("plugin", ["railway", "supabase"])
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_plugin_starts_as_pulumi_starts_it_and_ends_on_a_signal(plugin: str, signal_number: int, tmp_path: Path) -> None:
    """`python <plugin folder> <engine address>`, from any folder; the port is the first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "infra" / plugin), "127.0.0.1:1", cwd=tmp_path, stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            assert process.stdout is not None
            port = int(await process.stdout.readline())
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                assert (await stub.GetPluginInfo(empty_pb2.Empty(), wait_for_ready=True)).version
            process.send_signal(signal_number)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_programs_do_not_load_the_plugins_side() -> None:
    """The SDK side is imported by every run of every program; an HTTP client there would cost each of them."""
    program = (
        "import sys, infra.railway.resources, infra.supabase.resources;"
        "print(sorted(name for name in sys.modules if name.startswith(('httpx', 'msgspec', 'infra.provider'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert done.stdout.strip() == "['infra.provider', 'infra.provider.resource_class']"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="parents that go away are watched on POSIX only")
async def test_plugin_ends_when_its_engine_is_killed() -> None:
    """An engine that was killed cannot end its plugins."""
    middle = (
        "import subprocess, sys, time;"
        f"p = subprocess.Popen([sys.executable, {str(ROOT / 'infra' / 'railway')!r}, '127.0.0.1:1'], stdout=subprocess.PIPE);"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)"
    )
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", middle, stdout=subprocess.PIPE)
    assert engine.stdout is not None
    async with asyncio.timeout(30):
        plugin = int(await engine.stdout.readline())
        engine.kill()
        await engine.wait()
        while _is_running(plugin):  # noqa: ASYNC110  another process's end cannot be awaited
            await asyncio.sleep(0.1)


def _is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
