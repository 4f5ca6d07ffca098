"""docs/localcloud.md tells the truth about which operations there are."""

import re
from pathlib import Path

from graphql import build_schema

from infra.localcloud.railway_api.executable import schema_text
from infra.localcloud.supabase_api import admin_routes, auth_routes

DOCS = Path(__file__).resolve().parents[3] / "docs" / "localcloud.md"
SUBSCRIPTION = re.compile(r"^\| subscription (\w+) \|", re.MULTILINE)
ROW = re.compile(r"^\| (\w+) \| (full|partly|no) \| (.*)\|$", re.MULTILINE)

AUTH = re.compile(r"^\| ([A-Z]+ /\S*) \| (full|partly|no) \| (.*)\|$", re.MULTILINE)


def test_every_route_of_auth_has_its_row_and_no_other():
    """Who writes a client for Supabase decides by it what can be tried here."""
    routes = [("", one) for one in auth_routes.routes] + [("/admin", one) for one in admin_routes.routes]
    served = sorted(f"{method} {prefix}{one.path}" for prefix, one in routes for method in one.methods or () if method != "HEAD")
    rows = AUTH.findall(DOCS.read_text(encoding="utf-8"))
    assert sorted(name for name, _, _ in rows) == served
    assert all(remark.strip() for _, how_far, remark in rows if how_far != "full"), "partly and no say what is missing"


def test_every_operation_of_the_schema_has_its_row_and_no_other():
    """Who reads the table decides by it what can be tried here."""
    schema = build_schema(schema_text())
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    offered = sorted([*schema.query_type.fields, *schema.mutation_type.fields])
    text = DOCS.read_text(encoding="utf-8")
    rows = ROW.findall(text)
    assert [name for name, how_far, _ in rows if how_far != "no"] == offered
    assert schema.subscription_type is not None
    assert SUBSCRIPTION.findall(text) == sorted(schema.subscription_type.fields)
    assert all(remark.strip() for _, how_far, remark in rows if how_far == "partly"), "partly says what is missing"
