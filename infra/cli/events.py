"""The Automation API's event objects back to the JSON that the engine wrote."""

from __future__ import annotations

from enum import Enum
from typing import Any

NAMES = {
    "resource_pre_event": "resourcePreEvent",
    "res_outputs_event": "resOutputsEvent",
    "res_op_failed_event": "resOpFailedEvent",
    "diagnostic_event": "diagnosticEvent",
    "summary_event": "summaryEvent",
    "prelude_event": "preludeEvent",
}


def event_document(event: Any) -> dict[str, Any]:
    """An EngineEvent as the object of the event log, for the events that the commands read."""
    return {wire: plain(value) for name, wire in NAMES.items() if (value := getattr(event, name, None)) is not None}


def plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "__dict__"):
        return {camel(name): plain(item) for name, item in vars(value).items() if item is not None}
    return value


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)
