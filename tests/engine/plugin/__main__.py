# ruff: noqa: N802 - methods are named by the protocol
"""A provider for the tests: things are files in THING_STORE; each call is a line of calls.log.

What a thing does is told by its inputs: `fail: create` refuses and `fail: init` leaves it half made until the file `mended`
is there, `delay_s` waits, `fixed` cannot be changed in place. Like many an API it quotes in its errors what
it was sent: `password`. The file `unready` in the store makes every read find a thing half made.
"""

import json
import os
import sys
import threading
import time
import uuid
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf import any_pb2, empty_pb2, json_format

from infra.lean_imports import use_protos_alone

use_protos_alone()  # all of the SDK would be most of what a command of a test costs

from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2  # noqa: E402

STORE = Path(os.environ["THING_STORE"])
CANCELLED = threading.Event()
SIGNATURE = "4dabf18193072939515e22adb298388d"


def log(operation, request):
    with (STORE / "calls.log").open("a") as file:
        file.write(json.dumps([operation, request.urn.rsplit("::", 1)[-1]]) + "\n")
    if operation in ("create", "update", "delete"):
        time.sleep(float(os.environ.get("EACH_S", "0")))
    if getattr(request, "timeout", 0):
        with (STORE / "timeouts").open("a") as file:
            file.write(f"{operation} {request.urn.rsplit('::', 1)[-1]} {request.timeout}\n")


def plain(struct):
    def strip(value):
        if isinstance(value, dict):
            return strip(value["value"]) if SIGNATURE in value and "value" in value else {k: strip(v) for k, v in value.items()}
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(json_format.MessageToDict(struct))


def quoted(inputs):
    return f", with {inputs['password']}" if "password" in inputs else ""


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    def Handshake(self, request, context):
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def CheckConfig(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    def Configure(self, request, context):
        return provider_pb2.ConfigureResponse(acceptSecrets="NO_SECRETS" not in os.environ, supportsPreview=True)

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="1.0.0")

    def Check(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request, context):
        log("diff", request)
        old, new = plain(request.old_inputs), plain(request.news)
        changed = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
        kinds = provider_pb2.PropertyDiff.Kind
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[k for k in changed if k == "fixed"],
            deleteBeforeReplace=bool(new.get("alone")),
            detailedDiff={
                k: provider_pb2.PropertyDiff(kind=kinds.UPDATE_REPLACE if k == "fixed" else kinds.UPDATE, inputDiff=True)
                for k in changed
            },
            hasDetailedDiff=True,
        )

    def Create(self, request, context):
        inputs = plain(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        log("create", request)
        if CANCELLED.wait(float(inputs.get("delay_s", 0))):
            context.abort(grpc.StatusCode.CANCELLED, "gave up as it was told")
        if inputs.get("fail") == "die":
            os._exit(9)
        if inputs.get("fail") == "create" and not (STORE / "mended").exists():
            context.abort(grpc.StatusCode.UNKNOWN, f"refused on purpose{quoted(inputs)}")
        identity = uuid.uuid4().hex[:12]
        (STORE / f"{identity}.json").write_text(json.dumps(inputs))
        if inputs.get("fail") == "init" and not (STORE / "mended").exists():
            self.init_failed(context, identity, request.properties)
        return provider_pb2.CreateResponse(id=identity, properties=self.outputs(request.properties, identity))

    def Update(self, request, context):
        inputs = plain(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=self.outputs(request.news, request.id))
        log("update", request)
        if inputs.get("fail") == "init" and not (STORE / "mended").exists():
            self.init_failed(context, request.id, request.news)
        (STORE / f"{request.id}.json").write_text(json.dumps(inputs))
        return provider_pb2.UpdateResponse(properties=self.outputs(request.news, request.id))

    def Read(self, request, context):
        log("read", request)
        path = STORE / f"{request.id}.json"
        if not path.exists():
            return provider_pb2.ReadResponse()
        if (STORE / "unready").exists():
            self.init_failed(context, request.id, request.inputs)
        properties, inputs = request.properties, request.inputs
        if not properties:  # an import knows nothing but the id
            inputs.update(json.loads(path.read_text()))
            properties = self.outputs(inputs, request.id)
        return provider_pb2.ReadResponse(id=request.id, properties=properties, inputs=inputs)

    def Delete(self, request, context):
        log("delete", request)
        time.sleep(float(os.environ.get("DELETE_S", "0")))
        (STORE / f"{request.id}.json").unlink(missing_ok=True)
        return empty_pb2.Empty()

    def Cancel(self, request, context):
        CANCELLED.set()
        return empty_pb2.Empty()

    @staticmethod
    def outputs(inputs, identity):
        outputs = type(inputs)()
        outputs.CopyFrom(inputs)
        outputs["serial"] = identity
        return outputs

    def init_failed(self, context, identity, properties):
        detail = any_pb2.Any()
        failed = provider_pb2.ErrorResourceInitFailed(
            id=identity,
            properties=self.outputs(properties, identity),
            inputs=properties,
            reasons=[f"not ready: on purpose{quoted(plain(properties))}"],
        )
        detail.Pack(failed, "type.googleapis.com")
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message="init failed", details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, "init failed")


server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
sys.stdout.write(f"{port}\n")
sys.stdout.flush()
server.wait_for_termination()
