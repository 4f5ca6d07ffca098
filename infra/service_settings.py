"""Settings of the service that a stack may pass on as they are, by the service's own names.

What the program works out itself (addresses, keys, pools, draining) is not among them. Ranges are the service's to know: it
says each wrong value in a line of its log and does not become ready, so a deployment with one never takes over. A test holds
these names and `stack.variables` to the service's settings: each is set by one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from infra.rules import Findings, Secret, Wrong, decoded, secret, shown, unknown

PASSED_ON = frozenset(
    {
        "CACHE_BYTES_MAX",
        "CORS_MAX_AGE_S",
        "GZIP_BYTES_MIN",
        "GZIP_LEVEL",
        "INTROSPECTION_CLIENT_ID",
        "INTROSPECTION_URL",
        "JWT_CLOCK_SKEW_S",
        "LOCKOUT_ADDRESS_FAILURES",
        "LOCKOUT_BASE_S",
        "LOCKOUT_MAX_S",
        "LOCKOUT_PAIR_FAILURES",
        "OPAQUE_TOKENS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_SAMPLER_ARG",
        "POOL_RECYCLE_S",
        "POOL_TIMEOUT_S",
        "RATE_LIMIT_ACCOUNT_PER_HOUR",
        "RATE_LIMIT_ADDRESS_PER_MINUTE",
        "RATE_LIMIT_REFRESH_PER_MINUTE",
        "RATE_LIMIT_USER_PER_MINUTE",
        # Not worked out from the regions: a change of replicas alone must deploy nothing.
        "RATE_LIMIT_REPLICAS",
        "REVOCATION_STALENESS_MAX_S",
        "REVOCATION_WHEN_SILENT",
        "VERIFY_POLICY",
    }
)
SECRETS_PASSED_ON = frozenset({"INTROSPECTION_CLIENT_SECRET", "JWT_SECRET", "OTEL_EXPORTER_OTLP_HEADERS", "SUPABASE_SECRET_KEY"})
VALUE_CHARACTERS_MAX = 1000


def service_settings(path: str, given: object) -> Mapping[str, str]:
    """NAME -> text. A number stays as it was written. Wrong."""
    fields = decoded(path, given, dict, "an object of setting names and values")
    hidden = sorted(SECRETS_PASSED_ON.intersection(fields))
    findings = Findings([f"{path}.{name}: expected in serviceSecrets, which is stored encrypted" for name in hidden])
    findings.add(unknown(f"{path}.", set(fields) - SECRETS_PASSED_ON, PASSED_ON))
    found = {name: findings.take(_value, f"{path}.{name}", fields[name], "") for name in sorted(PASSED_ON.intersection(fields))}
    findings.finish()
    return MappingProxyType(found)


def service_secrets(path: str, given: object) -> Mapping[str, Secret]:
    """NAME -> secret; of what is wrong, the message tells names and lengths alone. Wrong."""
    try:
        fields = decoded(path, given, dict, "an object")
    except Wrong:
        raise Wrong(f"{path}: expected an object of setting names and values as JSON, got something else") from None
    findings = Findings(unknown(f"{path}.", fields, SECRETS_PASSED_ON))
    rule = secret(rf"[\x20-\x7e]{{1,{VALUE_CHARACTERS_MAX}}}", f"1 to {VALUE_CHARACTERS_MAX} visible ASCII characters")
    known = sorted(SECRETS_PASSED_ON.intersection(fields))
    found = {name: findings.take(rule, f"{path}.{name}", fields[name], Secret("")) for name in known}
    findings.finish()
    return MappingProxyType(found)


def _value(path: str, given: object) -> str:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    text = str(given) if is_number else given
    if not isinstance(text, str) or not 0 < len(text) <= VALUE_CHARACTERS_MAX or not text.isprintable():
        raise Wrong(f"{path}: expected a number or 1 to {VALUE_CHARACTERS_MAX} printable characters, got {shown(given)}")
    return text
