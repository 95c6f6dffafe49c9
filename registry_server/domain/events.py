"""Events of the log: each change of state is one event, whose stored bytes are never changed."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from common_lib.rules import canonical, names
from registry_server.domain.base import Time

MAX_BYTES = 16 * 1024
_PART_BYTES = 256


class Change(Struct, frozen=True):
    """The change of state that one write makes, before it is encoded as an event.

    `before` and `after` map the key of each changed object, such as `models/eurusd-direction/versions/3`, to its
    changed fields. A created object is missing in `before`; a removed object is `None` in `after`. `replay` needs only
    these two. `basis` explains a decision: the evaluated policy with its values, or the event that a rollback returns
    to.
    """

    type: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str = ""
    forced: bool = False
    basis: dict[str, Any] = {}


class CloudEvent(Struct, frozen=True):
    """The fields of an encoded event, for code that reads events; only `encode` writes them."""

    actor: str
    data: dict[str, Any]
    datacontenttype: str
    id: str
    requestid: str
    sequence: Annotated[str, Meta(pattern=names.SEQUENCE)]
    source: str
    specversion: str
    subject: str
    time: Time
    type: str


class Event(Struct, frozen=True):
    """One event of the log: its sequence number and its encoded bytes."""

    sequence: int
    body: bytes


def encode(
    change: Change, *, sequence: int, event_id: str, time: datetime, actor: str, request_id: str, source: str
) -> tuple[bytes, dict[str, bytes]]:
    """Encode a change as a CloudEvents 1.0 JSON object in canonical form. Return the bytes of the event and its parts.

    Parts are long fields that the caller must store under their digests in the same transaction. In an event that would
    be larger than 16 KiB, `{"$part": "sha256:…", "size": n}` replaces each long field.

    Source: CloudEvents 1.0.2, section 3 (attributes) and the extension `sequence`; RFC 8785.
    """
    data = {"after": change.after, "before": change.before, "forced": change.forced, "reason": change.reason}
    event: dict[str, Any] = {
        "actor": actor,
        "data": data | change.basis,
        "datacontenttype": "application/json",
        "id": event_id,
        "requestid": request_id,
        "sequence": f"{sequence:020d}",
        "source": source,
        "specversion": "1.0",
        "subject": change.subject,
        "time": time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": f"registry.{change.type}",
    }
    body = canonical.encode_with_decimals(event)
    if len(body) <= MAX_BYTES:
        return body, {}
    event = canonical.without_floats(event)
    data = event["data"]
    parts: dict[str, bytes] = {}
    for side in (data["before"], data["after"], {name: data[name] for name in change.basis}):
        for fields in filter(_has_fields, side.values()):
            for name, value in fields.items():
                part = canonical.encode(value)
                if len(part) > _PART_BYTES:
                    digest = f"sha256:{hashlib.sha256(part).hexdigest()}"
                    parts[digest] = part
                    fields[name] = {"$part": digest, "size": len(part)}
    return canonical.encode(event), parts


def _has_fields(value: Any) -> bool:
    return isinstance(value, dict) and "$decimal" not in value
