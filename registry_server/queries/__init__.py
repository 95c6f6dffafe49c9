"""All SQL statements of the registry, written once for both engines, one file per resource."""

from registry_server.queries.aliases import AliasRecords
from registry_server.queries.approvals import ApprovalRecords
from registry_server.queries.artifacts import ArtifactRecords
from registry_server.queries.collection import CollectionRecords
from registry_server.queries.events import EventRecords
from registry_server.queries.idempotency import IdempotencyRecords
from registry_server.queries.models import ModelRecords
from registry_server.queries.policies import PolicyRecords
from registry_server.queries.principals import PrincipalRecords
from registry_server.queries.sql import Sql
from registry_server.queries.store_identity import StoreRecords
from registry_server.queries.timeline import TimelineRecords
from registry_server.queries.uploads import UploadRecords
from registry_server.queries.versions import VersionRecords


class Records:
    """The queries of all resources on one connection, which may be in a transaction."""

    def __init__(self, sql: Sql) -> None:
        self.models = ModelRecords(sql)
        self.versions = VersionRecords(sql)
        self.aliases = AliasRecords(sql)
        self.artifacts = ArtifactRecords(sql)
        self.uploads = UploadRecords(sql)
        self.collection = CollectionRecords(sql)
        self.principals = PrincipalRecords(sql)
        self.events = EventRecords(sql)
        self.policies = PolicyRecords(sql)
        self.approvals = ApprovalRecords(sql)
        self.timeline = TimelineRecords(sql)
        self.idempotency = IdempotencyRecords(sql)
        self.store = StoreRecords(sql)
