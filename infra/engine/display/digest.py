"""`preview --json`: the steps of a preview as one document, in the form of Pulumi's CLI (apitype PreviewDigest)."""

from typing import Any

from infra.engine.display.events import Event


def preview_digest(events: list[Event], duration_s: float) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    diagnostics: list[dict[str, Any]] = []
    digest: dict[str, Any] = {
        "config": {},
        "steps": steps,
        "diagnostics": diagnostics,
        "duration": int(duration_s * 1e9),
        "changeSummary": {},
    }
    for event in events:
        if body := event.get("preludeEvent"):
            digest["config"] = body["config"]
        elif body := event.get("resOutputsEvent"):
            steps.append(_step(body["metadata"]))
        elif body := event.get("diagnosticEvent"):
            if not body["ephemeral"]:
                diagnostics.append({k: body[k] for k in ("urn", "prefix", "message", "severity") if k in body})
        elif body := event.get("summaryEvent"):
            digest["changeSummary"] = body["resourceChanges"]
    return digest


def _step(metadata: dict[str, Any]) -> dict[str, Any]:
    step: dict[str, Any] = {"op": metadata["op"], "urn": metadata["urn"], "provider": metadata["provider"]}
    for ours, theirs in (
        ("old", "oldState"),
        ("new", "newState"),
        ("diffs", "diffReasons"),
        ("keys", "replaceReasons"),
        ("detailedDiff", "detailedDiff"),
    ):
        if metadata.get(ours):
            step[theirs] = metadata[ours]
    return step
