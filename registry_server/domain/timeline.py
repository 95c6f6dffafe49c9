"""Tenures and decisions of models, computed from the event log; the database stores them for quick access."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from common_lib.rules.lifecycle import DECISIONS, ModelStage
from registry_server.domain.production import Tenure
from registry_server.domain.replay import decode_field, parse_kind

# The fields of a version that may change; a tenure stores their values at its beginning.
MUTABLE: Final = ("description", "tags", "revision", "updated_at")


def parse_model(subject: str) -> str | None:
    """Return the name of the model in the subject of an event; None if the subject does not belong to a model.

    >>> parse_model("models/eurusd-direction/versions/3")
    'eurusd-direction'
    """
    parts = subject.split("/")
    return parts[1] if parts[0] == "models" else None


def parse_version(key: str) -> int:
    """Return the version number in the key of a version.

    >>> parse_version("models/eurusd-direction/versions/3")
    3
    """
    return int(key.rpartition("/")[2])


def find_production_key(side: dict[str, Any]) -> str | None:
    """Return the key of the version in production in `before` or `after` of an event; None without such a version."""
    stage = ModelStage.PRODUCTION
    return next((key for key, fields in side.items() if fields and fields.get("stage") == stage), None)


def rollback_target(last: Tenure | None, restored: Tenure | None) -> int | None:
    """Return the sequence of the tenure that a rollback from a new tenure will return to.

    If the new tenure begins with a rollback (`restored` is given), this is the target of the restored tenure. Otherwise
    it is the last tenure that had a version.
    """
    if restored is not None:
        return restored.rollback_target
    if last is None:
        return None
    return last.rollback_target if last.version is None else last.sequence


def from_log(
    bodies: Iterable[bytes], documents: dict[str, bytes] | None = None
) -> tuple[list[Tenure], list[tuple[str, int]]]:
    """Return all tenures, and model and sequence of all decisions, computed from all events in order."""
    tenures: dict[int, Tenure] = {}
    last: dict[str, Tenure] = {}
    decisions: list[tuple[str, int]] = []
    known: dict[str, dict[str, Any]] = {}
    for body in bodies:
        event = json.loads(body)
        data, sequence, model = event["data"], int(event["sequence"]), parse_model(event["subject"])
        if model is None:
            continue
        for key, fields in data["after"].items():
            if fields is not None and parse_kind(key) == "versions":
                now = {name: decode_field(fields[name], documents or {}) for name in MUTABLE if name in fields}
                known[key] = known.get(key, {}) | now
        if event["type"].removeprefix("registry.") in DECISIONS:
            decisions.append((model, sequence))
        entered = find_production_key(data["after"])
        if entered or find_production_key(data["before"]):
            last[model] = tenures[sequence] = Tenure(
                model=model,
                since=datetime.fromisoformat(event["time"]),
                sequence=sequence,
                version=parse_version(entered) if entered else None,
                rollback_target=rollback_target(last.get(model), tenures.get(data.get("restored"))),
                facts=known[entered] if entered else None,
            )
    return list(tenures.values()), decisions
