"""What a replica does not load, and whom its clients believe."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

from service.lean import NEVER_USED
from service.upstream.tls import context_for

ROOT = Path(__file__).resolve().parents[2]


def test_replica_starts_without_what_it_never_uses():
    """Each is optional to the library that would import it; were one not, the replica would not start at all."""
    code = (
        "import sys; from service import lean; lean.share_one_heap(); lean.leave_out_the_unused(); "
        "lean.put_off_the_document(); import service.server; "
        "lean.settle(); print(sorted(name for name in sys.modules if sys.modules[name] is not None))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.strip("[]' \n") for name in done.stdout.split(",")}
    assert "service.server" in loaded
    assert not loaded & {*NEVER_USED, "aiosmtplib", "pydantic_settings", "click", "multiprocessing"}


def test_models_of_the_document_are_made_when_they_are_wanted():
    """At the start none is, and the document is the same as ever; models of our own are made at once."""
    code = (
        "from service import lean; lean.leave_out_the_unused(); lean.put_off_the_document(); "
        "from fastapi import FastAPI; from fastapi.openapi.models import OpenAPI; from pydantic import BaseModel\n"
        "class Ours(BaseModel): number: int\n"
        "app = FastAPI(); app.post('/ours')(lambda body: None); app.get('/{name}')(lambda name: None); "
        "print(OpenAPI.__pydantic_complete__, Ours.__pydantic_complete__); "
        "print(*app.openapi()['paths']); print(OpenAPI.__pydantic_complete__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True", "/ours", "/{name}", "True"]


def test_clients_of_https_verify_and_share_one_list_of_authorities():
    context = context_for("https://project.example.com", "http://127.0.0.1:1")
    assert context is context_for("https://other.example.com")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs()


def test_clients_of_http_trust_nobody():
    """Should such a client ever speak TLS, by a redirect or a mistake, nothing passes."""
    context = context_for("http://127.0.0.1:1")
    assert (context.verify_mode, context.check_hostname, context.get_ca_certs()) == (ssl.CERT_REQUIRED, True, [])
