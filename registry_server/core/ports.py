"""What the use cases need of the outside world; infrastructure provides it, once for each engine."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from common_lib.rules.lifecycle import ModelStage
from registry_server.domain.aliases import Alias
from registry_server.domain.answers import Answer, FirstAnswer
from registry_server.domain.approvals import Approval
from registry_server.domain.artifacts import Blob, FileEntry
from registry_server.domain.events import Event
from registry_server.domain.models import ModelFilter, RegisteredModel
from registry_server.domain.pages import Order, Window
from registry_server.domain.policies import Policy
from registry_server.domain.principals import Principal, Token
from registry_server.domain.production import Tenure
from registry_server.domain.store import StoreIdentity
from registry_server.domain.uploads import Progress
from registry_server.domain.versions import ModelVersion, VersionFilter

T = TypeVar("T")


class Models(Protocol):
    """Registered models."""

    async def find(self, name: str) -> RegisteredModel | None:
        """The model of that name, tombstoned or not."""

    async def lock(self, name: str) -> RegisteredModel | None:
        """The same, kept from other writers until this transaction ends."""

    async def find_ignoring_case(self, name: str) -> str | None:
        """The name of a model that differs from `name` at most in capitals."""

    async def insert(self, model: RegisteredModel) -> bool:
        """Whether the name was free."""

    async def update(self, before: RegisteredModel, model: RegisteredModel) -> bool:
        """Whether the stored model still had the revision of `before`; then it is `model` now."""

    async def take_next_version(self, name: str) -> int:
        """The next version number; the model's row stays locked until this transaction ends."""

    async def search(self, conditions: ModelFilter, order: Order, window: Window) -> list[RegisteredModel]:
        """One window, and the row behind it, of the models that fulfil the conditions, in that order."""


class Versions(Protocol):
    """Versions of models."""

    async def find(self, model: str, version: int) -> ModelVersion | None:
        """The version of that number, tombstoned or not."""

    async def find_in_production(self, model: str) -> ModelVersion | None:
        """The one version in production."""

    async def find_for_promotion(
        self, model: str, version: int
    ) -> tuple[ModelVersion | None, ModelVersion | None, Policy | None]:
        """The version of that number, the one in production, which may be the same, and the policy that was set."""

    async def find_newest(self, model: str, stage: ModelStage | None, *, recalled: bool = True) -> ModelVersion | None:
        """The live version with the highest number, in that stage or in any, and perhaps none that is recalled."""

    async def find_by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at."""

    async def insert(self, version: ModelVersion, files: Sequence[FileEntry]) -> None:
        """Store a new version and its files; its manifest stands in the documents already."""

    async def update(self, before: ModelVersion, version: ModelVersion) -> bool:
        """Whether the stored version still had the revision of `before`; then it is `version` now."""

    async def list_page(
        self, model: str, conditions: VersionFilter, order: Order, window: Window
    ) -> list[ModelVersion]:
        """One window of the versions of a model, by number."""

    async def find_file(self, model: str, version: int, path: str) -> FileEntry | None:
        """One file of a version."""

    async def list_paths(self, model: str, version: int) -> list[str]:
        """The paths of the files of a version, sorted."""

    async def list_metrics(self, model: str) -> frozenset[str] | None:
        """The names of all metrics that live versions of a model have, or None if there is no such version."""


class Aliases(Protocol):
    """Pointers to versions."""

    async def find(self, model: str, alias: str) -> Alias | None:
        """The alias of that name."""

    async def list_of_model(self, model: str) -> list[Alias]:
        """All aliases of a model, by name."""

    async def list_of_version(self, model: str, version: int) -> list[str]:
        """The names of the aliases that point at a version."""

    async def insert(self, alias: Alias) -> bool:
        """Whether the name was free."""

    async def update(self, before: Alias, alias: Alias) -> bool:
        """Whether the stored alias still had the revision of `before`; then it is `alias` now."""

    async def delete(self, alias: Alias) -> bool:
        """Whether the stored alias still had that revision; then it is gone."""


class Artifacts(Protocol):
    """Rows about bytes: blobs, and documents small enough for a row."""

    async def find_blob(self, sha256: str) -> Blob | None:
        """The row of a blob, which exists only if its bytes do."""

    async def find_sizes(self, digests: Sequence[str]) -> dict[str, int]:
        """The sizes of those blobs that are there and sound; they stay until this transaction ends."""

    async def insert_blob(self, blob: Blob) -> bool:
        """Whether the blob was new."""

    async def update_blob(self, before: Blob, blob: Blob) -> bool:
        """Whether the blob is there; then it is `blob` now."""

    async def delete_blob(self, sha256: str) -> bool:
        """Whether the blob was there, unnamed by any version; now it is not."""

    async def list_blobs(self, after: str, limit: int) -> Sequence[Blob]:
        """Blobs by digest, beginning behind `after`."""

    async def lease(self, digests: Sequence[str], principal: str, until: datetime, *, sent: bool = False) -> None:
        """Keep bytes, there or not yet there, for a principal, and note it if these are bytes it sent itself."""

    async def find_readable(self, digests: Sequence[str], principal: str, patterns: Sequence[str]) -> set[str]:
        """Those blobs that the principal has sent, or that a version of a model names whose name fits a pattern."""

    async def find_sent_until(self, sha256: str, principal: str) -> datetime | None:
        """Return until when bytes are kept for a principal that sent them; None if it did not, or long ago."""

    async def find_registration(self, sha256: str, patterns: Sequence[str]) -> tuple[str, datetime] | None:
        """Return who registered the oldest version with those bytes, of models that fit a pattern, and when."""

    async def delete_expired_leases(self, now: datetime) -> int:
        """Drop leases that have expired, and say how many."""

    async def is_leased(self, sha256: str, now: datetime) -> bool:
        """Whether somebody relies on these bytes, be they there or not."""

    async def find_document(self, digest: str) -> bytes | None:
        """A manifest or another document by its digest."""

    async def insert_document(self, digest: str, body: bytes) -> None:
        """Keep a document; the same digest twice is the same document."""


class Uploads(Protocol):
    """Uploads in parts that are not complete."""

    async def find(self, sha256: str, principal: str) -> Progress | None:
        """The upload of those bytes by that principal."""

    async def count_open(self, principal: str, now: datetime) -> tuple[int, int]:
        """Return how many uploads of the principal are under way, and how many bytes they will have."""

    async def put(self, upload: Progress) -> None:
        """Keep how far an upload is."""

    async def delete(self, sha256: str, principal: str) -> None:
        """Forget an upload."""

    async def list_expired(self, now: datetime) -> list[Progress]:
        """Uploads that nobody went on with in time."""


class Collection(Protocol):
    """Blobs that no version references, and versions whose files can be released."""

    async def list_tombstoned_with_files(self) -> list[tuple[str, int, datetime]]:
        """Model, number and time of tombstone of the versions that still name their bytes; a model's counts too."""

    async def list_unreferenced(self, now: datetime) -> list[str]:
        """Blobs that no version names and nobody holds a lease on."""

    async def mark_unreferenced(self, digests: Sequence[str], at: datetime) -> None:
        """Note when these blobs were found unnamed first; all others are not condemned any more."""

    async def list_marked(self, before: datetime) -> list[str]:
        """Blobs that were found unnamed before that time."""

    async def is_unreferenced(self, sha256: str, now: datetime) -> bool:
        """Whether no version names the blob and nobody holds a lease on it; kept so until this transaction ends."""

    async def release_files(self, model: str, version: int) -> None:
        """Let a version name its bytes no more; its manifest stays."""


class Principals(Protocol):
    """Principals and their tokens."""

    async def find(self, name: str) -> Principal | None:
        """The principal of that name."""

    async def list_page(self, window: Window) -> list[Principal]:
        """One window of the principals, by name."""

    async def insert(self, principal: Principal) -> bool:
        """Whether the name was free."""

    async def update(self, before: Principal, principal: Principal) -> bool:
        """Whether the stored principal still had the revision of `before`; then it is `principal` now."""

    async def lock(self) -> None:
        """Keep all principals and tokens from other writers until this transaction ends."""

    async def list_usable_tokens(self, now: datetime) -> list[tuple[Principal, Token]]:
        """Return the tokens that are neither revoked nor expired, each with its principal."""

    async def find_token(self, token_id: str) -> Token | None:
        """The token of that id."""

    async def list_tokens(self, window: Window) -> list[Token]:
        """One window of the tokens, by id."""

    async def insert_token(self, token: Token, secret_sha256: str) -> None:
        """Keep a new token and the digest of its secret."""

    async def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Whether the token was not revoked before; now it is."""

    async def find_by_secret(self, secret_sha256: str) -> tuple[Token, Principal] | None:
        """The token with that secret and whose it is."""


class Events(Protocol):
    """The append-only log."""

    async def take_next_place(self, now: datetime) -> tuple[int, datetime]:
        """The next sequence number and its time, later than that of every event before, whatever the clock says.

        It stays locked until this transaction ends, so commit order, log order and time order are one.
        """

    async def has_passed(self, moment: datetime) -> bool:
        """Whether no event to come can have a time up to a moment."""

    async def close_time(self, until: datetime) -> None:
        """Give no event to come a time up to then."""

    async def append(self, event: Event) -> None:
        """Put the event at its place."""

    async def list_after(self, sequence: int, limit: int) -> Sequence[Event]:
        """Events in order, beginning behind `sequence`."""


class Policies(Protocol):
    """Policies of models."""

    async def find(self, model: str) -> Policy | None:
        """The policy that was set for a model."""

    async def put(self, policy: Policy) -> bool:
        """Whether the stored policy, if there is one, had the revision before; then it is `policy` now."""


class Approvals(Protocol):
    """What humans said of versions."""

    async def find(self, model: str, version: int, approver: str) -> Approval | None:
        """The last word of a human about a version."""

    async def list_of_version(self, model: str, version: int) -> list[Approval]:
        """All last words about a version, by name."""

    async def put(self, approval: Approval) -> None:
        """Keep the last word of a human, in place of an earlier one."""


class Timeline(Protocol):
    """What follows from the log: tenures in production, and which events are decisions about a model."""

    async def find_last(self, model: str) -> Tenure | None:
        """The newest tenure of a model."""

    async def find_at(self, model: str, moment: datetime) -> Tenure | None:
        """The tenure that holds at a moment."""

    async def find(self, sequence: int) -> Tenure | None:
        """The tenure that an event began."""

    async def insert(self, tenure: Tenure) -> None:
        """Keep a new tenure."""

    async def insert_decision(self, model: str, sequence: int) -> None:
        """Note that an event is a decision about a model."""

    async def list_decisions(self, model: str, window: Window) -> Sequence[Event]:
        """One window of the decisions about a model, the newest first."""

    async def needs_rebuild(self) -> bool:
        """Whether all this must still be told from the log; kept from others until this transaction ends."""

    async def mark_rebuilt(self) -> None:
        """Note that it was told."""


class Idempotency(Protocol):
    """First answers to unsafe requests."""

    async def claim(self, principal: str, key: str) -> bool:
        """Whether no other process is at work on this key; held until this transaction ends."""

    async def find(self, principal: str, key: str) -> FirstAnswer | None:
        """The first answer to a key."""

    async def insert(self, principal: str, key: str, fingerprint: str, answer: Answer, at: datetime) -> None:
        """Keep the first answer."""

    async def delete_older(self, before: datetime) -> int:
        """Drop answers that are older, and say how many."""


class Store(Protocol):
    """The identity that ties the database to one folder of bytes."""

    async def find(self) -> StoreIdentity | None:
        """Return the identity, or None if the database has none yet."""

    async def claim(self, identity: StoreIdentity) -> StoreIdentity:
        """Give the database this identity unless it has one, and return the one that it has then."""

    async def put(self, identity: StoreIdentity) -> None:
        """Give the database this identity, whatever it had before."""


class Records(Protocol):
    """All records, read as of one moment or within one transaction."""

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


class Database(Protocol):
    """One engine."""

    read: Records
    source: str

    async def write(self, use_case: Callable[[Records], Awaitable[T]]) -> T:
        """Run a use case in one durable transaction; what it raises rolls it back whole."""

    async def ping(self) -> None:
        """Return if the engine answers.

        Raises:
            StorageUnavailable: it does not.
        """


class BlobStore(Protocol):
    """Bytes under their SHA-256; they appear whole and durable, or not at all."""

    async def put(self, sha256: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Store bytes and return their number."""

    async def put_many(self, blobs: Mapping[str, bytes]) -> None:
        """Store several small blobs."""

    async def append_part(
        self,
        upload: str,
        chunks: AsyncIterator[bytes],
        *,
        start: int,
        start_sha256: str,
        limit: int,
        prefix_sha256: str,
    ) -> int:
        """Store one part of an upload behind the bytes that are there, and return how many there are then."""

    async def publish_upload(self, upload: str, sha256: str) -> None:
        """Make the bytes of a whole upload a blob."""

    async def delete_upload(self, upload: str) -> None:
        """Remove what came of an upload."""

    def has_blob(self, sha256: str, size: int) -> bool:
        """Whether bytes of that length stand under the digest."""

    def read_chunks(self, sha256: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Some bytes of a blob, in chunks."""

    async def verify(self, sha256: str, bytes_per_s: float = 0.0) -> str | None:
        """Hash the stored bytes. Return None if they match, otherwise an id of the damaged file for `quarantine`.

        At most `bytes_per_s` are read in a second, if it is not 0.
        """

    def check_medium(self) -> None:
        """Return if the medium is there and is the one that belongs to the database.

        Raises:
            StorageUnavailable: it is not.
        """

    async def make_durable(self, sha256: str) -> None:
        """Make bytes durable that were put in their place by hand; those that are gone again are passed over."""

    def quarantine(self, sha256: str, damaged_file: str) -> bool:
        """Whether these damaged bytes are kept from those who ask for them now."""

    def move_to_trash(self, sha256: str) -> None:
        """Move the bytes to the trash."""

    def restore_from_trash(self, sha256: str) -> bool:
        """Whether the bytes were in the trash; now they are back."""

    def list_published(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Digest, size and age in seconds of what is there under digests that begin with two digits."""

    def list_trash(self) -> Iterator[tuple[str, int, float]]:
        """Digest, size and age in seconds of what is in the trash."""

    def purge(self, sha256: str) -> None:
        """Remove bytes from the trash for good."""
