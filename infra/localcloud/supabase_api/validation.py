"""Addresses and phone numbers as GoTrue accepts them (internal/api/mail.go, phone.go)."""

from __future__ import annotations

import re
from uuid import UUID

from infra.localcloud.supabase_api.errors import validation_failed

EMAIL = re.compile(  # badoux/checkmail, which GoTrue uses
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
EMAIL_CHARACTERS_MAX = 255
PHONE = re.compile(r"[1-9][0-9]{1,14}")  # E.164 without the plus sign


def checked_email(email: str) -> str:
    """The address in lower case; raises ApiError validation_failed."""
    if not email:
        raise validation_failed("An email address is required")
    if len(email) > EMAIL_CHARACTERS_MAX:
        raise validation_failed("An email address is too long")
    if not EMAIL.fullmatch(email):
        raise validation_failed("Unable to validate email address: invalid format")
    return email.lower()


def checked_phone(phone: str) -> str:
    """Digits only; raises ApiError validation_failed."""
    digits = phone.lstrip("+").replace(" ", "")
    if not PHONE.fullmatch(digits):
        raise validation_failed("Invalid phone number format (E.164 required)")
    return digits


def parsed_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
