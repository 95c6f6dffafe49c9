"""All SQL statements of the registry, written once for both engines, one file per resource."""

from registry_server.core import ports
from registry_server.infrastructure.records.aliases import AliasRecords
from registry_server.infrastructure.records.approvals import ApprovalRecords
from registry_server.infrastructure.records.artifacts import ArtifactRecords
from registry_server.infrastructure.records.collection import CollectionRecords
from registry_server.infrastructure.records.events import EventRecords
from registry_server.infrastructure.records.idempotency import IdempotencyRecords
from registry_server.infrastructure.records.models import ModelRecords
from registry_server.infrastructure.records.policies import PolicyRecords
from registry_server.infrastructure.records.principals import PrincipalRecords
from registry_server.infrastructure.records.store import StoreRecords
from registry_server.infrastructure.records.timeline import TimelineRecords
from registry_server.infrastructure.records.uploads import UploadRecords
from registry_server.infrastructure.records.versions import VersionRecords
from registry_server.infrastructure.sql import Sql


class Records:
    """All records behind one connection."""

    def __init__(self, sql: Sql) -> None:
        self.models: ports.Models = ModelRecords(sql)
        self.versions: ports.Versions = VersionRecords(sql)
        self.aliases: ports.Aliases = AliasRecords(sql)
        self.artifacts: ports.Artifacts = ArtifactRecords(sql)
        self.uploads: ports.Uploads = UploadRecords(sql)
        self.collection: ports.Collection = CollectionRecords(sql)
        self.principals: ports.Principals = PrincipalRecords(sql)
        self.events: ports.Events = EventRecords(sql)
        self.policies: ports.Policies = PolicyRecords(sql)
        self.approvals: ports.Approvals = ApprovalRecords(sql)
        self.timeline: ports.Timeline = TimelineRecords(sql)
        self.idempotency: ports.Idempotency = IdempotencyRecords(sql)
        self.store: ports.Store = StoreRecords(sql)
