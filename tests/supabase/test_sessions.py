"""Host and user of a session, as Supabase's Management API tells them."""

from typing import Any

import pytest

from infra.supabase.sessions import Session, session_of

CASES: list[tuple[dict[str, Any], Session]] = [
    (
        {
            "connection_string": "postgres://postgres.abcd:[YOUR-PASSWORD]@aws-0-us-west-1.pooler.supabase.com:6543/postgres",
            "db_user": "postgres",
            "db_host": "aws-0-us-west-1.pooler.supabase.com",
        },
        Session("aws-0-us-west-1.pooler.supabase.com", "postgres.abcd"),
    ),
    (
        {"connection_string": "postgresql://postgres.abcd-rr-eu-central-1-x@pooler.example/postgres", "db_host": "other"},
        Session("pooler.example", "postgres.abcd-rr-eu-central-1-x"),
    ),
    ({"db_host": "127.64.1.3", "db_user": "postgres"}, Session("127.64.1.3", "postgres")),
    ({"db_host": "db.abcd.supabase.co"}, Session("db.abcd.supabase.co", "postgres")),
    ({"connection_string": "nonsense", "db_host": "h", "db_user": "u"}, Session("h", "u")),
]


@pytest.mark.parametrize(("entry", "expected"), CASES)
def test_the_connection_string_decides_and_the_fields_stand_in(entry: dict[str, Any], expected: Session) -> None:
    assert session_of(entry) == expected
