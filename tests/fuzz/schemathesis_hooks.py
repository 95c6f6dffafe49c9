"""A serializer for a body of several small blobs, which schemathesis does not have."""

from typing import Any

import schemathesis
from schemathesis.transport.serialization import serialize_binary


@schemathesis.serializer("application/vnd.model-registry.blobs")
def blobs(ctx: Any, value: Any) -> dict[str, Any]:
    """Send the generated value as bytes."""
    return {"data": serialize_binary(value)}
