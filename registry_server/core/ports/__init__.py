"""The interfaces between the use cases and the infrastructure: records, database and blob store."""

from registry_server.core.ports.artifacts import Artifacts, Collection, Uploads
from registry_server.core.ports.records import (
    Aliases,
    Approvals,
    Events,
    Idempotency,
    Models,
    Policies,
    Principals,
    Records,
    Store,
    Timeline,
    Versions,
)
from registry_server.core.ports.storage import BlobStore, Database

__all__ = [
    "Aliases",
    "Approvals",
    "Artifacts",
    "BlobStore",
    "Collection",
    "Database",
    "Events",
    "Idempotency",
    "Models",
    "Policies",
    "Principals",
    "Records",
    "Store",
    "Timeline",
    "Uploads",
    "Versions",
]
