"""How long the embedded engine takes: `python -m loadtests.bench.engine [--rounds 5]`.

A stack of N resources of a provider that does nothing but answer; what is left is the engine, the SDK and gRPC. Prints a
line of JSON per measurement: median and worst of the rounds in seconds, process start included, and the median of the processor
time that engine, program and provider took together, which says something on a busy machine too. Runs the engine as a command,
as its users do, and so imports nothing of it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TARGETS_S = {("preview", 20): 1.0, ("preview", 200): 1.5, ("preview", 1000): 5.0, ("up (create)", 200): 2.5}
SIZES = (20, 200, 1000)
MEMORY_MAX_MB = 200
TIMEOUT_S = 120
PROJECT = "name: bench\nruntime: python\nplugins:\n  providers:\n    - name: null\n      path: plugin\n"
PROGRAM = """
import os, pulumi
for n in range(int(os.environ["BENCH_RESOURCES"])):
    pulumi.CustomResource("null:index:Thing", f"thing-{n}", {"n": n, "text": "x" * 200})
"""
PLUGIN = """
import sys, uuid
from concurrent import futures
import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as p, provider_pb2_grpc
class Null(provider_pb2_grpc.ResourceProviderServicer):
    def Handshake(self, r, c): return p.ProviderHandshakeResponse(accept_secrets=True)
    def CheckConfig(self, r, c): return p.CheckResponse(inputs=r.news)
    def Configure(self, r, c): return p.ConfigureResponse(acceptSecrets=True, supportsPreview=True)
    def Check(self, r, c): return p.CheckResponse(inputs=r.news)
    def Diff(self, r, c): return p.DiffResponse(changes=1 if r.old_inputs == r.news else 2)
    def Create(self, r, c): return p.CreateResponse(id="" if r.preview else uuid.uuid4().hex, properties=r.properties)
    def Delete(self, r, c): return empty_pb2.Empty()
    def Cancel(self, r, c): return empty_pb2.Empty()
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
provider_pb2_grpc.add_ResourceProviderServicer_to_server(Null(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


def make_project(folder: Path) -> None:
    (folder / "plugin").mkdir()
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text(PROJECT.replace("name: null", 'name: "null"'))
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "plugin/PulumiPlugin.yaml").write_text("runtime: python\n")
    (folder / "plugin/__main__.py").write_text(PLUGIN)


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one command with all its children."""

    wall_s: float
    processor_s: float


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(folder: Path, resources: int, *arguments: str) -> Timing:
    """How long the command takes. Raises CalledProcessError with its output."""
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{folder}/state",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "bench",
        "BENCH_RESOURCES": str(resources),
    }
    began, used_before_s = time.perf_counter(), processor_s()
    command = [sys.executable, "-m", "infra.engine", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=TIMEOUT_S)
    return Timing(time.perf_counter() - began, processor_s() - used_before_s)


def report(what: str, resources: int, timings: list[Timing]) -> None:
    median_s = statistics.median(timing.wall_s for timing in timings)
    target_s = TARGETS_S.get((what, resources))
    row = {
        "what": what,
        "resources": resources,
        "median_s": round(median_s, 3),
        "worst_s": round(max(timing.wall_s for timing in timings), 3),
        "processor_s": round(statistics.median(timing.processor_s for timing in timings), 3),
        "target_s": target_s,
    }
    sys.stdout.write(json.dumps({**row, "is_met": None if target_s is None else median_s <= target_s}) + "\n")
    sys.stdout.flush()


def report_memory(resources: int) -> None:
    """The largest of the engine's processes so far: itself, the program or the provider."""
    largest_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # Linux counts in KiB
    row = {"what": "memory", "resources": resources, "largest_mb": round(largest_mb), "target_mb": MEMORY_MAX_MB}
    sys.stdout.write(json.dumps({**row, "is_met": largest_mb <= MEMORY_MAX_MB}) + "\n")
    sys.stdout.flush()


def measure(resources: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_project(folder)
        timed(folder, resources, "stack", "init", "bench")
        report("stack ls", resources, [timed(folder, resources, "stack", "ls") for _ in range(rounds)])
        report("up (create)", resources, [timed(folder, resources, "up", "--yes", "--skip-preview", "-s", "bench")])
        report("preview", resources, [timed(folder, resources, "preview", "-s", "bench") for _ in range(rounds)])
        again = [timed(folder, resources, "up", "--yes", "--skip-preview", "-s", "bench") for _ in range(rounds)]
        report("up (unchanged)", resources, again)
        if resources == max(SIZES):
            report_memory(resources)
        report("destroy", resources, [timed(folder, resources, "destroy", "--yes", "--skip-preview", "-s", "bench")])


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the embedded engine.")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for resources in SIZES:
        measure(resources, arguments.rounds)


if __name__ == "__main__":
    main()
