"""The records that use cases read and write, one Protocol per resource; the SQL is written once for both engines."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from common_lib.rules.lifecycle import ModelStage
from registry_server.core.ports.artifacts import Artifacts, Collection, Uploads
from registry_server.domain.aliases import Alias
from registry_server.domain.answers import Answer, FirstAnswer
from registry_server.domain.approvals import Approval
from registry_server.domain.artifacts import FileEntry
from registry_server.domain.events import Event
from registry_server.domain.models import ModelFilter, RegisteredModel
from registry_server.domain.pages import Order, Window
from registry_server.domain.policies import Policy
from registry_server.domain.principals import Principal, Token
from registry_server.domain.production import Tenure
from registry_server.domain.store import StoreIdentity
from registry_server.domain.versions import ModelVersion, VersionFilter


class Models(Protocol):
    """Registered models."""

    async def find(self, name: str) -> RegisteredModel | None:
        """Return the model of that name, tombstoned or not, or None."""

    async def lock(self, name: str) -> RegisteredModel | None:
        """Return the model like `find`; no other transaction can change it until this one ends."""

    async def find_ignoring_case(self, name: str) -> str | None:
        """Return the name of a model that equals `name` except for upper and lower case, or None."""

    async def insert(self, model: RegisteredModel) -> bool:
        """Insert the model; return False if the name is taken."""

    async def update(self, before: RegisteredModel, model: RegisteredModel) -> bool:
        """Store `model` if the stored one has the revision of `before`; return False otherwise."""

    async def take_next_version(self, name: str) -> int:
        """Return the next version number; the row of the model is locked until this transaction ends."""

    async def search(self, conditions: ModelFilter, order: Order, window: Window) -> list[RegisteredModel]:
        """Return one window of the matching models in that order, and one more if there is a next page."""


class Versions(Protocol):
    """Versions of models."""

    async def find(self, model: str, version: int) -> ModelVersion | None:
        """Return the version of that number, tombstoned or not, or None."""

    async def find_in_production(self, model: str) -> ModelVersion | None:
        """Return the version in production, or None."""

    async def find_for_promotion(
        self, model: str, version: int
    ) -> tuple[ModelVersion | None, ModelVersion | None, Policy | None]:
        """Return the version of that number, the one in production (perhaps the same), and the policy of the model."""

    async def find_newest(self, model: str, stage: ModelStage | None, *, recalled: bool = True) -> ModelVersion | None:
        """Return the version with the highest number that is not tombstoned, in that stage or in any, or None.

        With `recalled=False` recalled versions are left out.
        """

    async def find_by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """Return the version to which an alias points, or None."""

    async def insert(self, version: ModelVersion, files: Sequence[FileEntry]) -> None:
        """Insert a version and its files; its manifest is stored as a document before."""

    async def update(self, before: ModelVersion, version: ModelVersion) -> bool:
        """Store `version` if the stored one has the revision of `before`; return False otherwise."""

    async def list_page(
        self, model: str, conditions: VersionFilter, order: Order, window: Window
    ) -> list[ModelVersion]:
        """Return one window of the versions of a model by number, and one more if there is a next page."""

    async def find_file(self, model: str, version: int, path: str) -> FileEntry | None:
        """Return one file of a version, or None."""

    async def list_paths(self, model: str, version: int) -> list[str]:
        """Return the sorted paths of the files of a version."""

    async def list_metrics(self, model: str) -> frozenset[str] | None:
        """Return the names of all metrics of versions that are not tombstoned; None without such versions."""


class Aliases(Protocol):
    """Aliases, which point to versions."""

    async def find(self, model: str, alias: str) -> Alias | None:
        """Return the alias of that name, or None."""

    async def list_of_model(self, model: str) -> list[Alias]:
        """Return all aliases of a model, by name."""

    async def list_of_version(self, model: str, version: int) -> list[str]:
        """Return the names of the aliases that point to a version."""

    async def insert(self, alias: Alias) -> bool:
        """Insert the alias; return False if the name is taken."""

    async def update(self, before: Alias, alias: Alias) -> bool:
        """Store `alias` if the stored one has the revision of `before`; return False otherwise."""

    async def delete(self, alias: Alias) -> bool:
        """Delete the alias if the stored one has its revision; return False otherwise."""


class Principals(Protocol):
    """Principals and their tokens."""

    async def find(self, name: str) -> Principal | None:
        """Return the principal of that name, or None."""

    async def list_page(self, window: Window) -> list[Principal]:
        """Return one window of the principals by name, and one more if there is a next page."""

    async def insert(self, principal: Principal) -> bool:
        """Insert the principal; return False if the name is taken."""

    async def update(self, before: Principal, principal: Principal) -> bool:
        """Store `principal` if the stored one has the revision of `before`; return False otherwise."""

    async def lock(self) -> None:
        """Lock all principals and tokens against other writers until this transaction ends."""

    async def list_usable_tokens(self, now: datetime) -> list[tuple[Principal, Token]]:
        """Return the tokens of admins that are neither revoked nor expired, each with its principal."""

    async def find_token(self, token_id: str) -> Token | None:
        """Return the token of that id, or None."""

    async def list_tokens(self, window: Window) -> list[Token]:
        """Return one window of the tokens by id, and one more if there is a next page."""

    async def insert_token(self, token: Token, secret_sha256: str) -> None:
        """Insert a token and the digest of its secret."""

    async def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Revoke the token; return False if it was revoked before."""

    async def find_by_secret(self, secret_sha256: str) -> tuple[Token, Principal] | None:
        """Return the token with that secret and its principal, or None."""


class Events(Protocol):
    """The append-only log."""

    async def take_next_place(self, now: datetime) -> tuple[int, datetime]:
        """Return the next sequence number and its time, which is later than that of every earlier event.

        The counter stays locked until this transaction ends, so commits, sequence numbers and times have one order.
        """

    async def has_passed(self, moment: datetime) -> bool:
        """Return whether every future event will be later than that moment."""

    async def close_time(self, until: datetime) -> None:
        """Make every future event later than that moment."""

    async def append(self, event: Event) -> None:
        """Append the event with its sequence number."""

    async def list_after(self, sequence: int, limit: int) -> Sequence[Event]:
        """Return up to `limit` events in order, those after `sequence`."""


class Policies(Protocol):
    """Policies of models."""

    async def find(self, model: str) -> Policy | None:
        """Return the policy of a model, or None."""

    async def put(self, policy: Policy) -> bool:
        """Store the policy if the stored one, if any, has the revision before; return False otherwise."""


class Approvals(Protocol):
    """Approvals and refusals of versions."""

    async def find(self, model: str, version: int, approver: str) -> Approval | None:
        """Return the current verdict of a human on a version, or None."""

    async def list_of_version(self, model: str, version: int) -> list[Approval]:
        """Return the current verdicts on a version, by name of the approver."""

    async def put(self, approval: Approval) -> None:
        """Store the verdict of a human, in place of an earlier one."""


class Timeline(Protocol):
    """Tables that follow from the log: tenures in production, and the decisions about each model."""

    async def find_last(self, model: str) -> Tenure | None:
        """Return the newest tenure of a model, or None."""

    async def find_at(self, model: str, moment: datetime) -> Tenure | None:
        """Return the tenure of a model at a moment, or None."""

    async def find(self, sequence: int) -> Tenure | None:
        """Return the tenure that an event began, or None."""

    async def insert(self, tenure: Tenure) -> None:
        """Insert a tenure."""

    async def insert_decision(self, model: str, sequence: int) -> None:
        """Record that an event is a decision about a model."""

    async def list_decisions(self, model: str, window: Window) -> Sequence[Event]:
        """Return one window of the decisions about a model, newest first, and one more if there is a next page."""

    async def needs_rebuild(self) -> bool:
        """Return whether both tables must be rebuilt from the log; the answer is locked until this transaction ends."""

    async def mark_rebuilt(self) -> None:
        """Record that both tables were rebuilt."""


class Idempotency(Protocol):
    """First responses to write requests, by principal and Idempotency-Key."""

    async def claim(self, principal: str, key: str) -> bool:
        """Claim the key until this transaction ends; return False if another process has it."""

    async def find(self, principal: str, key: str) -> FirstAnswer | None:
        """Return the first response to a key, or None."""

    async def insert(self, principal: str, key: str, fingerprint: str, answer: Answer, at: datetime) -> None:
        """Store the first response to a key."""

    async def delete_older(self, before: datetime) -> int:
        """Delete the responses stored before that time, and return their number."""


class Store(Protocol):
    """The identity that ties the database to one blob folder."""

    async def find(self) -> StoreIdentity | None:
        """Return the identity, or None."""

    async def claim(self, identity: StoreIdentity) -> StoreIdentity:
        """Store the identity unless another one is stored, and return the stored one."""

    async def put(self, identity: StoreIdentity) -> None:
        """Store the identity, in place of an earlier one."""


class Records(Protocol):
    """All records, read at one moment or within one transaction."""

    models: Models
    versions: Versions
    aliases: Aliases
    artifacts: Artifacts
    uploads: Uploads
    collection: Collection
    principals: Principals
    events: Events
    policies: Policies
    approvals: Approvals
    timeline: Timeline
    idempotency: Idempotency
    store: Store
